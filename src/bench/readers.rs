//! `postrider bench readers`: what many open inboxes cost the server, and how soon a new item is at all of them.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use postrider_core::config::Settings;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
};

use super::{
    figures::{self, TimesMs},
    notify::{self, By},
    target::Target,
};
use crate::open_files;

/// Streams that are opened at once.
const AT_ONCE: usize = 64;
/// Connections of others than readers.
const BESIDE_READERS: usize = 100;
/// All readers hear of an item within this, or the run fails.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct ReadersArgs {
    /// Inboxes that are open, of as many followers of one topic.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    readers: u32,
    /// How often all of them are told something.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Figures {
    stack: String,
    readers: u32,
    opened_seconds: f64,
    idle_memory_mb: f64,
    /// While all inboxes are opened and are open.
    open_memory_mb: f64,
    /// While all are told something.
    told_memory_mb: f64,
    told_cpu_seconds: f64,
    /// From the call that publishes until the item is at a reader, of all readers in all rounds.
    item_ms: TimesMs,
}

pub(super) async fn run(settings: &Settings, args: ReadersArgs) -> anyhow::Result<()> {
    open_files::raise_limit(settings);
    let connections_max = settings.connections_max.max(args.readers as usize + BESIDE_READERS);
    let target = Target::start(&Settings { connections_max, ..settings.clone() }).await?;
    let measured = measure(&target, &args).await;
    target.end().await?;
    figures::print(&measured?, args.json)
}

async fn measure(target: &Target, args: &ReadersArgs) -> anyhow::Result<Figures> {
    notify::followers(target, args.readers, By::Inbox).await?;
    let memory = || target.peak_memory_mb().unwrap_or_default();
    target.forget_peak();
    let idle_memory_mb = memory();
    let began = Instant::now();
    let (items, mut heard) = mpsc::unbounded_channel();
    let mut readers = JoinSet::new();
    let opened = stream::iter(0..args.readers).map(|n| open(target, n)).buffer_unordered(AT_ONCE);
    for inbox in opened.try_collect::<Vec<_>>().await? {
        readers.spawn(read(inbox, items.clone()));
    }
    let (opened_seconds, open_memory_mb) = (began.elapsed().as_secs_f64(), memory());
    target.forget_peak();
    let cpu = target.cpu_seconds().unwrap_or_default();
    let mut times = Vec::new();
    for _ in 0..args.rounds {
        let began = Instant::now();
        notify::publish_to_all(target).await?;
        times.extend(all_hear(&mut heard, args.readers, began).await?);
    }
    times.sort_unstable();
    Ok(Figures {
        stack: target.stack.clone(),
        readers: args.readers,
        opened_seconds,
        idle_memory_mb,
        open_memory_mb,
        told_memory_mb: memory(),
        told_cpu_seconds: (target.cpu_seconds().unwrap_or_default() - cpu) / f64::from(args.rounds.max(1)),
        item_ms: TimesMs::of(&times),
    })
}

/// Opens a follower's inbox, and waits for the first of its counts.
async fn open(target: &Target, n: u32) -> anyhow::Result<BufReader<TcpStream>> {
    let mut stream = BufReader::new(TcpStream::connect(target.address).await.context("an inbox cannot be opened")?);
    stream.get_mut().write_all(target.caller().get(&notify::inbox(n)).as_bytes()).await?;
    let mut line = String::new();
    while !line.starts_with("event: counts") {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            bail!("the server ended the stream of {} before it said anything", notify::inbox(n));
        }
        if line.starts_with("HTTP/1.1 ") && !line.contains(" 200 ") {
            bail!("the server answered {} to {}", line.trim_end(), notify::inbox(n));
        }
    }
    Ok(stream)
}

/// Says when an item came, each time.
async fn read(mut inbox: BufReader<TcpStream>, items: UnboundedSender<Instant>) {
    let mut line = String::new();
    while inbox.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        if line.starts_with("event: item") && items.send(Instant::now()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Microseconds until each of the readers heard of it.
async fn all_hear(heard: &mut UnboundedReceiver<Instant>, readers: u32, began: Instant) -> anyhow::Result<Vec<u64>> {
    let mut times = Vec::new();
    for n in 0..readers {
        let Ok(Some(at)) = tokio::time::timeout(SILENCE_MAX, heard.recv()).await else {
            bail!("{n} of {readers} readers heard of an item, and no other within {} s", SILENCE_MAX.as_secs());
        };
        times.push(u64::try_from(at.duration_since(began).as_micros())?);
    }
    Ok(times)
}
