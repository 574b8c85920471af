//! `postrider bench lanes`: what a tenant's event notices of another tenant's backlog on many lanes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Args;
use postrider_core::{config::Settings, domain::signature::SigningSecret};
use serde::Serialize;
use serde_json::json;

use super::{
    Common,
    books::Books,
    figures::{self, TimesMs},
    receiver::Receiver,
    target::Target,
    webhooks::{Publication, payload},
};
use crate::{
    client::{Server, text_of},
    open_files,
};

const BACKLOG: &str = "bench.backlog";
const OTHER: &str = "bench.other";
const PAYLOAD_BYTES: u32 = 200;
/// Each event of the backlog is a job on every lane, so few of them are stored at once.
const CONNECTIONS: u16 = 4;
/// A try whose delivery does not come for so long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);
/// Between two tries.
const REST: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(super) struct LanesArgs {
    /// Lanes of the tenant that has the backlog: endpoints of its own.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lanes: u16,
    /// Deliveries that wait on each lane.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    backlog: u64,
    /// Events of the other tenant, one after another, while the backlog is worked off.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    tries: u64,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Figures {
    stack: String,
    lanes: u16,
    backlog_of_each_lane: u64,
    stored_per_second: f64,
    tries: u64,
    publish_to_answer_ms: TimesMs,
    answer_to_receipt_ms: TimesMs,
    lost: u64,
    backlog_left: u64,
    server_peak_memory_mb: Option<f64>,
}

pub(super) async fn run(settings: &Settings, args: LanesArgs) -> anyhow::Result<()> {
    if args.common.url.is_some() {
        bail!("lanes are not measured with --url: tenants and endpoints are made for them, which would stay there");
    }
    // The receiver has as many connections as there are deliveries under way.
    open_files::raise_limit(settings);
    let books = Arc::new(Books::new(usize::try_from(args.backlog + args.tries)?, usize::from(args.lanes) + 1));
    let receiver = Receiver::start(args.common.receiver, Arc::clone(&books)).await?;
    let target = Target::of(settings, &args.common).await?;
    let measured = measure(&args, &target, &receiver, &books).await;
    target.end().await?;
    figures::print(&measured?, args.common.json)
}

async fn measure(
    args: &LanesArgs,
    target: &Target,
    receiver: &Receiver,
    books: &Arc<Books>,
) -> anyhow::Result<Figures> {
    let other = target.other_tenant().await?;
    let endpoints = subscribe(args, target, &other, receiver).await?;
    // Paused until all of it is there, so that the backlog stands as each try begins.
    for id in &endpoints {
        target.api.post(&format!("/v1/endpoints/{id}/pause"), "{}".to_owned(), None).await?;
    }
    let backlog = Publication {
        first: 0,
        events: args.backlog,
        kind: BACKLOG,
        batch: 1,
        connections: CONNECTIONS,
        rate_per_second: None,
        payload_bytes: PAYLOAD_BYTES,
    };
    let stored = backlog.send(target, books).await?;
    for id in &endpoints {
        target.api.post(&format!("/v1/endpoints/{id}/resume"), "{}".to_owned(), None).await?;
    }

    let mut answered_us = Vec::new();
    for number in args.backlog..args.backlog + args.tries {
        answered_us.push(one_try(args, &other, books, number).await?);
        tokio::time::sleep(REST).await;
    }
    answered_us.sort_unstable();
    let (events, lanes) = (usize::try_from(args.backlog)?, usize::from(args.lanes));
    let tries = books.balance(events..events + usize::try_from(args.tries)?, lanes..lanes + 1);
    let jobs = args.backlog * u64::from(args.lanes);
    Ok(Figures {
        stack: target.stack.clone(),
        lanes: args.lanes,
        backlog_of_each_lane: args.backlog,
        stored_per_second: jobs as f64 / stored.took.as_secs_f64(),
        tries: args.tries,
        publish_to_answer_ms: TimesMs::of(&answered_us),
        answer_to_receipt_ms: TimesMs::of(&tries.latencies_us),
        lost: tries.lost,
        backlog_left: jobs - (books.received() - tries.delivered),
        server_peak_memory_mb: target.peak_memory_mb(),
    })
}

/// Makes an endpoint for each lane, and one of the other tenant at the receiver's last place. Answers with the lanes' ids.
async fn subscribe(
    args: &LanesArgs,
    target: &Target,
    other: &Server,
    receiver: &Receiver,
) -> anyhow::Result<Vec<String>> {
    let lanes = usize::from(args.lanes);
    let (mut ids, mut secrets) = (Vec::with_capacity(lanes), Vec::with_capacity(lanes + 1));
    for place in 0..lanes {
        let made = target.endpoint(&receiver.url(place), BACKLOG).await?;
        ids.push(text_of(&made, "id").to_owned());
        secrets.push(SigningSecret::parse(text_of(&made, "secret"))?);
    }
    let body = json!({ "url": receiver.url(lanes), "event_types": [OTHER] });
    let made = other.post("/v1/endpoints", body.to_string(), None).await?;
    secrets.push(SigningSecret::parse(text_of(&made, "secret"))?);
    receiver.trust(secrets);
    Ok(ids)
}

/// Publishes one event of the other tenant and waits for its receipt. In the books it is published when the answer is
/// there; the microseconds until then are the answer here.
async fn one_try(args: &LanesArgs, other: &Server, books: &Books, number: u64) -> anyhow::Result<u64> {
    let (event, lanes) = (usize::try_from(number)?, usize::from(args.lanes));
    let body = format!("{{\"type\":\"{OTHER}\",\"payload\":{}}}", payload(number, PAYLOAD_BYTES));
    let began = Instant::now();
    other.post("/v1/events", body, None).await?;
    let answered = Instant::now();
    books.publish(event, answered);
    while books.balance(event..event + 1, lanes..lanes + 1).delivered == 0 && answered.elapsed() < SILENCE_MAX {
        tokio::time::sleep(LOOK).await;
    }
    Ok(u64::try_from(answered.duration_since(began).as_micros())?)
}
