//! `postrider bench notify`: how long it takes until all followers of a topic have a notification in their inboxes, and somebody who
//! is told something alone meanwhile; or until all have a push or a mail, at a push service and a mail server of the bench's own.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use postrider_core::{config::Settings, domain::UnixMs};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    figures::{self, TimesMs},
    sinks::Sink,
    target::Target,
};
use crate::client::text_of;

const TOPIC: &str = "/v1/topics/bench";
const TYPE: &str = "/v1/notification-types/bench";
/// Lines of one part of the import's body.
const PART_LINES: u32 = 10_000;
/// How often it is asked whether all are told.
const LOOK: Duration = Duration::from_millis(20);
/// How long all of it may take.
const WHOLE_MAX: Duration = Duration::from_secs(1_800);
/// How often somebody is told something alone while all are told.
const DIRECT_EACH: Duration = Duration::from_millis(25);
/// Recipients of one call.
const BATCH: u32 = 1_000;
/// Calls at once that subscribe browsers.
const AT_ONCE: usize = 32;
/// The keys of RFC 8291, section 5.
const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
/// Followers whose inboxes are looked at in the end.
const LOOKED_AT: u32 = 500;

#[derive(Args)]
pub(super) struct NotifyArgs {
    /// Followers of the topic.
    #[arg(long, default_value_t = 100_000)]
    followers: u32,
    /// How often all of them are told something.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How they are told.
    #[arg(long, value_enum, default_value_t = By::Inbox)]
    channel: By,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    Inbox,
    Push,
    Email,
}

impl By {
    const fn channel(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Push => "push",
            Self::Email => "email",
        }
    }

    fn template(self) -> Value {
        match self {
            Self::Inbox | Self::Push => json!({ "title": "{{ data.who }} posted", "body": "{{ data.text }}" }),
            Self::Email => {
                json!({ "subject": "{{ data.who }} posted", "text": "{{ data.text }}", "html": "<p>{{ data.text }}</p>" })
            }
        }
    }
}

/// How fast all are reached on a channel that reaches one after the other.
#[derive(Debug, Default, Serialize)]
struct SentFigures {
    stack: String,
    channel: &'static str,
    followers: u32,
    /// From the 202 until the receipt says that all are reached: the slowest round.
    told_seconds: f64,
    sent_per_second: f64,
    cpu_seconds: f64,
    memory_mb: f64,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    stack: String,
    followers: u32,
    import_seconds: f64,
    /// From the 202 until the receipt says that all are told: the slowest round.
    told_seconds: f64,
    told_cpu_seconds: f64,
    memory_mb: f64,
    /// From the 202 of a notification to one person until they are told, while all are told something else.
    direct_ms: Option<TimesMs>,
    directs: usize,
}

pub(super) async fn run(settings: &Settings, args: NotifyArgs) -> anyhow::Result<()> {
    let sink = match args.channel {
        By::Inbox => {
            let target = Target::start(settings).await?;
            let measured = all(&target, &args).await;
            target.end().await?;
            return figures::print(&measured?, args.json);
        }
        By::Push => Sink::of_pushes().await?,
        By::Email => Sink::of_mail().await?,
    };
    let (url, from) = (format!("smtp://{}", sink.address), "bench@postrider.example".to_owned());
    let settings = Settings { smtp_url: Some(url), smtp_from: Some(from), ..settings.clone() };
    let target = Target::start(&settings).await?;
    let measured = sent(&target, &args, &sink).await;
    target.end().await?;
    figures::print(&measured?, args.json)
}

/// Sends all followers something, again and again.
async fn sent(target: &Target, args: &NotifyArgs, sink: &Sink) -> anyhow::Result<SentFigures> {
    let channel = args.channel.channel();
    followers(target, args.followers, args.channel).await?;
    match args.channel {
        By::Email => addresses(target, args.followers).await?,
        By::Inbox | By::Push => browsers(target, args.followers, sink).await?,
    }
    target.forget_peak();
    let cpu = target.cpu_seconds().unwrap_or_default();
    let mut figures =
        SentFigures { stack: target.stack.clone(), channel, followers: args.followers, ..SentFigures::default() };
    for _ in 0..args.rounds {
        let began = Instant::now();
        let id = publish_to_all(target).await?;
        until_done(target, &id, channel, args.followers).await?;
        figures.told_seconds = figures.told_seconds.max(began.elapsed().as_secs_f64());
    }
    if sink.taken() != u64::from(args.followers) * u64::from(args.rounds) {
        bail!("{} were taken, of {} in each of {} rounds", sink.taken(), args.followers, args.rounds);
    }
    figures.sent_per_second = f64::from(args.followers) / figures.told_seconds;
    figures.cpu_seconds = (target.cpu_seconds().unwrap_or_default() - cpu) / f64::from(args.rounds.max(1));
    figures.memory_mb = target.peak_memory_mb().unwrap_or_default();
    Ok(figures)
}

async fn addresses(target: &Target, followers: u32) -> anyhow::Result<()> {
    for first in (0..followers).step_by(BATCH as usize) {
        let person = |n: u32| json!({ "key": format!("u{n}"), "email": format!("u{n}@members.example") });
        let people: Vec<Value> = (first..followers.min(first + BATCH)).map(person).collect();
        target.api.post("/v1/recipients/batch", json!({ "recipients": people }).to_string(), None).await?;
    }
    Ok(())
}

/// A browser for each, all with the same keys: each push is encrypted for itself all the same.
async fn browsers(target: &Target, followers: u32, sink: &Sink) -> anyhow::Result<()> {
    let subscribe = |n: u32| async move {
        let endpoint = format!("http://{}/{n}", sink.address);
        let body = json!({ "endpoint": endpoint, "keys": { "p256dh": P256DH, "auth": AUTH } });
        target.api.post(&format!("/v1/recipients/u{n}/push-subscriptions"), body.to_string(), None).await.map(drop)
    };
    stream::iter(0..followers).map(subscribe).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// Waits until all were reached.
async fn until_done(target: &Target, id: &str, channel: &str, followers: u32) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let shown = target.api.get(&format!("/v1/notifications/{id}")).await?;
        let is_done = text_of(&shown, "state") == "done";
        let delivered = shown.pointer(&format!("/receipt/{channel}/delivered")).and_then(Value::as_u64);
        match (is_done, delivered == Some(followers.into())) {
            (true, true) => return Ok(()),
            (true, false) => bail!("the receipt says {}", shown["receipt"]),
            (false, _) if began.elapsed() > WHOLE_MAX => {
                bail!("after {} s the receipt says {}", WHOLE_MAX.as_secs(), shown["receipt"])
            }
            (false, _) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn all(target: &Target, args: &NotifyArgs) -> anyhow::Result<Figures> {
    let mut figures = Figures { stack: target.stack.clone(), followers: args.followers, ..Figures::default() };
    let began = Instant::now();
    followers(target, args.followers, By::Inbox).await?;
    figures.import_seconds = began.elapsed().as_secs_f64();
    target.forget_peak();
    let cpu = target.cpu_seconds().unwrap_or_default();
    let mut directs = Vec::new();
    for _ in 0..args.rounds {
        let (took, direct) = round(target, args.followers).await?;
        figures.told_seconds = figures.told_seconds.max(took.as_secs_f64());
        directs.extend(direct);
    }
    figures.told_cpu_seconds = (target.cpu_seconds().unwrap_or_default() - cpu) / f64::from(args.rounds.max(1));
    figures.memory_mb = target.peak_memory_mb().unwrap_or_default();
    look_at_inboxes(target, args).await?;
    let mut times = Vec::with_capacity(directs.len());
    for id in &directs {
        times.push(until_told(target, id).await?);
    }
    times.sort_unstable();
    figures.directs = times.len();
    figures.direct_ms = Some(TimesMs::of(&times));
    Ok(figures)
}

/// Makes a topic's followers, and what they are told.
pub(super) async fn followers(target: &Target, followers: u32, by: By) -> anyhow::Result<()> {
    let kind = json!({ "category": "posts", "default_locale": "en", "sample": { "who": "Anna", "text": "Hello" },
        "channels": { by.channel(): { "templates": { "en": by.template() } } } });
    target.api.put(TYPE, kind.to_string()).await?;
    target.api.put(TOPIC, "{}".to_owned()).await?;
    import(target, followers).await
}

/// Where a follower's inbox is followed.
pub(super) fn inbox(n: u32) -> String {
    format!("/v1/recipients/u{n}/inbox/stream")
}

async fn import(target: &Target, followers: u32) -> anyhow::Result<()> {
    let parts = (0..followers).step_by(PART_LINES as usize).map(move |first| {
        let lines = (first..followers.min(first + PART_LINES)).map(|n| format!("{{\"recipient\":\"u{n}\"}}\n"));
        Ok::<_, std::io::Error>(lines.collect::<String>())
    });
    let body = reqwest::Body::wrap_stream(stream::iter(parts));
    let imported = target.api.stream(&format!("{TOPIC}/subscriptions/import"), "application/x-ndjson", body).await?;
    if imported.get("subscribers").and_then(Value::as_u64) != Some(followers.into()) {
        bail!("the import came to {imported}");
    }
    Ok(())
}

/// Tells all of them something; the notification's id.
pub(super) async fn publish_to_all(target: &Target) -> anyhow::Result<String> {
    publish(target, json!({ "topics": ["bench"] })).await
}

async fn publish(target: &Target, to: Value) -> anyhow::Result<String> {
    let mut body = json!({ "type": "bench", "data": { "who": "Zoë", "text": "What a day" } });
    body.as_object_mut().context("an object")?.extend(to.as_object().cloned().context("an object")?);
    let accepted = target.api.post("/v1/notifications", body.to_string(), None).await?;
    Ok(text_of(&accepted, "id").to_owned())
}

/// Tells all followers something, and meanwhile somebody else again and again; how long that took, and what those others are told.
async fn round(target: &Target, followers: u32) -> anyhow::Result<(Duration, Vec<String>)> {
    let began = Instant::now();
    let id = publish_to_all(target).await?;
    let mut directs = Vec::new();
    let mut next = began;
    loop {
        if next.elapsed() >= DIRECT_EACH {
            next = Instant::now();
            directs.push(
                publish(target, json!({ "recipients": [format!("direct-{}", directs.len())], "urgency": "high" }))
                    .await?,
            );
        }
        let shown = target.api.get(&format!("/v1/notifications/{id}")).await?;
        if text_of(&shown, "state") == "done" {
            let delivered = shown.pointer("/receipt/inbox/delivered").and_then(Value::as_u64);
            if delivered != Some(followers.into()) {
                bail!("the receipt says {}", shown["receipt"]);
            }
            return Ok((began.elapsed(), directs));
        }
        if began.elapsed() > WHOLE_MAX {
            bail!("after {} s the receipt says {}", WHOLE_MAX.as_secs(), shown["receipt"]);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Counts of followers all over the topic are those of the rounds.
async fn look_at_inboxes(target: &Target, args: &NotifyArgs) -> anyhow::Result<()> {
    let step = (args.followers / LOOKED_AT).max(1) as usize;
    for n in (0..args.followers).step_by(step) {
        let counts = target.api.get(&format!("/v1/recipients/u{n}/inbox/counts")).await?;
        if counts != json!({ "unread": args.rounds, "unseen": args.rounds }) {
            bail!("after {} rounds, u{n} has {counts}", args.rounds);
        }
    }
    Ok(())
}

/// Microseconds from a notification's 202 until the one whom it names was told, by the server's clock.
async fn until_told(target: &Target, id: &str) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        let shown = target.api.get(&format!("/v1/notifications/{id}")).await?;
        let key = shown.pointer("/recipients/0").and_then(Value::as_str).context("somebody is named")?;
        let one = target.api.get(&format!("/v1/notifications/{id}/recipients/{key}")).await?;
        let at = |what: &str| {
            let moments = one["timeline"].as_array().into_iter().flatten();
            let mut found =
                moments.filter(|moment| text_of(moment, "what") == what).map(|moment| text_of(moment, "at"));
            found.next_back().and_then(|text| UnixMs::parse(text).ok())
        };
        if let (Some(accepted), Some(told)) = (at("accepted"), at("delivered")) {
            return Ok(u64::try_from(told.since(accepted).as_micros())?);
        }
        if began.elapsed() > WHOLE_MAX {
            bail!("{key} was not told");
        }
        tokio::time::sleep(LOOK).await;
    }
}
