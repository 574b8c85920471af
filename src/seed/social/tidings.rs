//! What people of a social platform that never was are told: posts of those they follow, and what concerns them alone.

use anyhow::Context;
use postrider_core::{
    domain::{
        Id, UnixMs,
        notification::{Audience, NamedTopic},
        preferences::Channel,
        recipient::RecipientKey,
        topic::Topic,
    },
    store::{Item, NewNotification, NotificationContents},
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{DAY, Types, people::People};

const TEXTS: [&str; 12] = [
    "The harbour this morning, before the ferries.",
    "Does anybody know a good book about bridges?",
    "We are looking for a third player for Thursdays.",
    "Bread, second try. It has risen this time.",
    "The night train is back from May on.",
    "Ten years ago today. Thank you all.",
    "Somebody has left a bicycle at our door; is it yours?",
    "New: all recordings of the summer concert.",
    "Fog, and above it nothing but sun.",
    "I have read it three times now and would read it again.",
    "Who comes along on Sunday? We start at nine at the old mill.",
    "It works! Details follow.",
];
const SIGNED_IN: [(&str, &str); 4] = [
    ("Porto", "Firefox on Linux"),
    ("Vienna", "Safari on an iPhone"),
    ("Lagos", "Chrome on Android"),
    ("an unknown place", "curl"),
];
/// People of whom one is told something that concerns them alone.
const PEOPLE_PER_TIDING: u32 = 100;

/// All of it. Of e-mail nothing: where a mail server is set, it would be sent.
pub(super) fn all(people: &People, types: &Types, topics: &[Topic], now: UnixMs) -> anyhow::Result<Vec<Item>> {
    let mut dice = people.dice(0, 3);
    let mut items = Vec::new();
    // Whose rank is a number of Fibonacci: some who are followed by many, and some by a few.
    let (mut rank, mut next) = (1, 2);
    while let Some(topic) = topics.get(rank - 1) {
        let of = NamedTopic { id: topic.id, key: topic.key.clone() };
        let writer = u32::try_from(rank)?;
        let post = Tiding { kind: "post.created", actor: Some(writer), data: post(people, writer, &mut dice) };
        let audience = Audience { topics: vec![of], ..Audience::default() };
        items.push(post.to(audience, people, types, if rank == 3 { now + DAY } else { now })?);
        (rank, next) = (next, rank + next);
    }
    let count = u32::try_from(people.numbers().count())?;
    for _ in 0..(count / PEOPLE_PER_TIDING).max(5) {
        let [whom, actor] = [0; 2].map(|_| dice.random_range(1..=count));
        let tiding = direct(people, actor, &mut dice);
        let audience = Audience { recipients: vec![people.key(whom)?], ..Audience::default() };
        items.push(tiding.to(audience, people, types, now)?);
    }
    Ok(items)
}

struct Tiding {
    kind: &'static str,
    actor: Option<u32>,
    data: Value,
}

fn direct(people: &People, actor: u32, dice: &mut StdRng) -> Tiding {
    match dice.random_range(0..10) {
        0..4 => Tiding { kind: "comment.mentioned", actor: Some(actor), data: post(people, actor, dice) },
        4..7 => Tiding { kind: "comment.replied", actor: Some(actor), data: post(people, actor, dice) },
        7..9 => Tiding { kind: "user.followed", actor: Some(actor), data: json!({ "actor": shown(people, actor) }) },
        _ => {
            let (place, device) = SIGNED_IN.choose(dice).copied().unwrap_or(SIGNED_IN[0]);
            Tiding { kind: "security.sign_in", actor: None, data: json!({ "place": place, "device": device }) }
        }
    }
}

fn post(people: &People, actor: u32, dice: &mut StdRng) -> Value {
    let text = TEXTS.choose(dice).copied().unwrap_or_default();
    let id = format!("p{}", dice.random_range(1_000..1_000_000));
    json!({ "actor": shown(people, actor), "post": { "id": id, "text": text } })
}

fn shown(people: &People, number: u32) -> Value {
    json!({ "id": format!("m{number}"), "name": people.name(number) })
}

impl Tiding {
    fn to(self, audience: Audience, people: &People, types: &Types, deliver_at: UnixMs) -> anyhow::Result<Item> {
        let kind = types.get(self.kind).with_context(|| format!("there is no type {}", self.kind))?;
        let locales = kind.definition.channels.locales();
        let channels = locales.into_iter().map(|(channel, _)| channel).filter(|channel| *channel != Channel::Email);
        let of = NotificationContents {
            kind: kind.id,
            key: kind.key.clone(),
            version: kind.version,
            category: kind.definition.category.clone(),
            urgency: kind.definition.urgency,
            channels: channels.collect(),
            event_type: None,
            collapse_key: None,
            data: serde_json::to_vec(&self.data)?,
        };
        let actor: Option<RecipientKey> = self.actor.map(|number| people.key(number)).transpose()?;
        let audience = Audience { actor, ..audience };
        let new = NewNotification { id: Id::new(), of, audience, deliver_at, plan_job: Id::new() };
        Ok(Item::notification(new, None))
    }
}
