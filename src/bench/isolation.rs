//! `postrider bench isolation`: what a healthy endpoint notices of one that hangs.

use std::sync::Arc;

use clap::Args;
use postrider_core::config::Settings;
use serde::Serialize;

use super::{
    Common,
    books::{Balance, Books},
    figures::{self, TimesMs},
    receiver::Receiver,
    target::Target,
    webhooks::{Publication, arrived},
};

const HEALTHY: &str = "bench.healthy";
const HANGING: &str = "bench.hanging";
const PAYLOAD_BYTES: u32 = 200;
const CONNECTIONS: u16 = 16;

#[derive(Args)]
pub(super) struct IsolationArgs {
    /// Events in a second to each of the two endpoints.
    #[arg(long, default_value_t = 100, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long each of the two parts takes: the healthy endpoint alone, then beside the one that hangs.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Figures {
    stack: String,
    rate_per_second: u32,
    seconds: u64,
    alone_publish_to_receipt_ms: TimesMs,
    beside_publish_to_receipt_ms: TimesMs,
    p99_beside_to_alone: f64,
    lost: u64,
    duplicated: u64,
    server_peak_memory_mb: Option<f64>,
}

pub(super) async fn run(settings: &Settings, args: IsolationArgs) -> anyhow::Result<()> {
    let part = u64::from(args.rate) * args.seconds;
    // Warm-up, alone, beside; then those of the hanging endpoint.
    let books = Arc::new(Books::new(usize::try_from(4 * part)?, 1));
    let receiver = Receiver::start(args.common.receiver, Arc::clone(&books)).await?;
    let target = Target::of(settings, &args.common).await?;
    let measured = measure(&args, &target, &receiver, &books, part).await;
    target.end().await?;
    figures::print(&measured?, args.common.json)
}

async fn measure(
    args: &IsolationArgs,
    target: &Target,
    receiver: &Receiver,
    books: &Arc<Books>,
    part: u64,
) -> anyhow::Result<Figures> {
    let healthy = Publication {
        first: 0,
        events: part.min(1000),
        kind: HEALTHY,
        batch: 1,
        connections: CONNECTIONS,
        rate_per_second: Some(args.rate),
        payload_bytes: PAYLOAD_BYTES,
    };
    target.subscribe(receiver, &[HEALTHY]).await?;
    healthy.send(target, books).await?;
    arrived(books, healthy.events).await;

    let alone = Publication { first: part, events: part, ..healthy };
    alone.send(target, books).await?;
    arrived(books, healthy.events + part).await;

    target.subscribe_hanging(receiver, HANGING).await?;
    let beside = Publication { first: 2 * part, ..alone };
    let hanging = Publication { first: 3 * part, kind: HANGING, ..alone };
    let (beside_sent, hanging_sent) = tokio::join!(beside.send(target, books), hanging.send(target, books));
    beside_sent?;
    hanging_sent?;
    arrived(books, healthy.events + 2 * part).await;

    let balance = |first: u64| -> anyhow::Result<Balance> {
        Ok(books.balance(usize::try_from(first)?..usize::try_from(first + part)?, 0..1))
    };
    let (alone, beside) = (balance(part)?, balance(2 * part)?);
    let (alone_ms, beside_ms) = (TimesMs::of(&alone.latencies_us), TimesMs::of(&beside.latencies_us));
    Ok(Figures {
        stack: target.stack.clone(),
        rate_per_second: args.rate,
        seconds: args.seconds,
        alone_publish_to_receipt_ms: alone_ms,
        beside_publish_to_receipt_ms: beside_ms,
        p99_beside_to_alone: beside_ms.p99 / alone_ms.p99,
        lost: alone.lost + beside.lost,
        duplicated: books.duplicated(),
        server_peak_memory_mb: target.peak_memory_mb(),
    })
}
