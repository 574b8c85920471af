//! `postrider seed --scenario social`: the people of a social platform, whom they follow and what they are told, straight in the
//! database. The server that runs on it tells them.

mod people;
mod tidings;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use futures::{StreamExt, TryStreamExt, stream};
use postrider_core::{
    config::Settings,
    domain::{
        UnixMs,
        notification_type::{Definition, NotificationType, TypeKey},
        topic::{Topic, TopicKey},
    },
    notify::CompiledType,
    store::{Publication, PutType, Scope, Store, SubscriptionChanges},
};

use self::people::{People, Person};
use super::{Progress, SeedArgs};
use crate::{first_start, logs};

/// People, or subscriptions of one topic, of one commit.
const GROUP: usize = 1_000;
/// Topics that are written at once.
const TOPICS_AT_ONCE: usize = 4;
const DAY: Duration = Duration::from_secs(24 * 3_600);
const TYPES: &str = include_str!("types.json");

type Types = BTreeMap<String, NotificationType>;

pub(super) async fn run(store: &Store, settings: &Settings, args: &SeedArgs) -> anyhow::Result<()> {
    let (began, now) = (Instant::now(), UnixMs::now());
    let people = People::new(args.people, args.seed);
    let tenant = store.default_tenant(now).await?;
    let scope = store.tenant(tenant.id);
    if !args.add && scope.recipient(&people.key(1)?).await?.is_some() {
        bail!(
            "there is somebody called {} already; name another database with database_url, or give --add",
            people.key(1)?
        );
    }
    let types = types(&scope).await?;
    let mut progress = Progress::start(u64::from(args.people) + u64::from(people.topics()), "people and topics")?;
    put_people(&scope, &people, &mut progress).await?;
    let (topics, subscriptions) = put_topics(&scope, &people, &mut progress).await?;
    progress.end();
    let told = tell(&scope, &people, &types, &topics).await?;
    store.settle_down().await?;
    logs::say(&format!(
        "{} people, {} topics and {subscriptions} subscriptions stand in {}; it took {:.1} s. {told} notifications wait there: a \
        running server tells them by itself, and one of them tomorrow.",
        args.people,
        topics.len(),
        first_start::hide_password(&settings.database_url()),
        began.elapsed().as_secs_f64()
    ))
}

/// The types, put as `PUT /v1/notification-types/{key}` does.
async fn types(scope: &Scope<'_>) -> anyhow::Result<Types> {
    let definitions: BTreeMap<String, Definition> = serde_json::from_str(TYPES)?;
    let mut types = Types::new();
    for (key, definition) in definitions {
        if let Err(faults) = CompiledType::check(&definition) {
            let words: Vec<String> =
                faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect();
            bail!("the type {key}: {}", words.join("; "));
        }
        match scope.put_notification_type(&key.parse::<TypeKey>()?, &definition, UnixMs::now()).await? {
            PutType::Made(kind) | PutType::Kept(kind) => types.insert(key, kind),
            PutType::TooMany => bail!("the tenant has as many notification types as it may"),
        };
    }
    Ok(types)
}

async fn put_people(scope: &Scope<'_>, people: &People, progress: &mut Progress) -> anyhow::Result<()> {
    let numbers: Vec<u32> = people.numbers().collect();
    for group in numbers.chunks(GROUP) {
        let group = group.iter().map(|number| people.person(*number)).collect::<anyhow::Result<Vec<Person>>>()?;
        let new: Vec<_> = group.iter().map(|person| person.new.clone()).collect();
        scope.put_recipients(&new, UnixMs::now()).await.context("the database does not take people")?;
        for person in &group {
            let (Some((cause, reason)), Some(email)) = (person.suppressed, &person.new.email) else { continue };
            scope.put_suppression(&email.address, cause, reason, UnixMs::now()).await?;
        }
        progress.add(group.len() as u64);
    }
    Ok(())
}

/// The topics, most followed first, with how many subscriptions there are.
async fn put_topics(scope: &Scope<'_>, people: &People, progress: &mut Progress) -> anyhow::Result<(Vec<Topic>, u64)> {
    let put = |rank| async move { put_topic(scope, people, rank).await };
    let mut putting = stream::iter(1..=people.topics()).map(put).buffered(TOPICS_AT_ONCE);
    let (mut topics, mut subscriptions) = (Vec::new(), 0);
    while let Some((topic, subscribers)) = putting.try_next().await? {
        topics.push(topic);
        subscriptions += subscribers;
        progress.add(1);
    }
    Ok((topics, subscriptions))
}

async fn put_topic(scope: &Scope<'_>, people: &People, rank: u32) -> anyhow::Result<(Topic, u64)> {
    let key: TopicKey = format!("followers-of-m{rank}").parse()?;
    let name = format!("Followers of {}", people.name(rank));
    let (topic, _) = scope.put_topic(&key, Some(&name), None, UnixMs::now()).await?;
    let (followers, mut subscribers) = (people.followers(rank)?, topic.subscribers);
    for group in followers.chunks(GROUP) {
        let changes: SubscriptionChanges = group.iter().map(|key| (key.clone(), true)).collect();
        let changed = scope.change_subscriptions(&topic, &changes, UnixMs::now()).await?;
        let changed = changed.ok_or_else(|| anyhow!("somebody removes the topic {key} meanwhile"))?;
        subscribers = changed.subscribers;
    }
    Ok((topic, subscribers))
}

/// Publishes as `POST /v1/notifications` does; how many.
async fn tell(scope: &Scope<'_>, people: &People, types: &Types, topics: &[Topic]) -> anyhow::Result<usize> {
    let now = UnixMs::now();
    let items = tidings::all(people, types, topics, now)?;
    let count = items.len();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let group = items.by_ref().take(GROUP / 10).collect();
        scope.publish(Publication::plain(group, now)).await.context("the database does not take notifications")?;
    }
    Ok(count)
}
