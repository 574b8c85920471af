//! `postrider bench webhooks`: events published, stored, delivered, signed and received.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use http_body_util::Full;
use hyper::{Request, body::Bytes};
use indicatif::ProgressBar;
use postrider_core::{
    config::Settings,
    domain::{UnixMs, signature},
};
use serde::Serialize;

use super::{
    Common,
    books::Books,
    figures::{self, TimesMs},
    publisher::{self, Plan, TIME_MAX},
    receiver::{NUMBER, Receiver},
    target::Target,
};

/// How long the raw limit is measured.
const RAW_TIME: Duration = Duration::from_secs(3);
/// Deliveries that do not come for so long are lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Part of the events that warms up connections and lanes before anything is counted.
const WARM_UP: u64 = 10;

#[derive(Args)]
pub(super) struct WebhooksArgs {
    /// Events to be counted; a tenth more goes before them to warm up.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    events: u64,
    /// Connections that publish, each with one request under way.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Events in one request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    batch: u64,
    /// Events in a second; without it, as many as are accepted.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Endpoints; each gets every event.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    endpoints: u16,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(30..=1_000_000))]
    payload_bytes: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Figures {
    stack: String,
    events: u64,
    events_in_a_request: u64,
    connections: u16,
    endpoints: u16,
    payload_bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_per_second: Option<u32>,
    raw_limit_per_second: f64,
    accepted_per_second: f64,
    delivered_per_second: f64,
    delivered_to_raw_limit: f64,
    publish_to_answer_ms: TimesMs,
    publish_to_receipt_ms: TimesMs,
    delivered: u64,
    lost: u64,
    duplicated: u64,
    wrongly_signed: u64,
    server_cpu_seconds_for_1000_deliveries: Option<f64>,
    server_peak_memory_mb: Option<f64>,
}

pub(super) async fn run(settings: &Settings, args: WebhooksArgs) -> anyhow::Result<()> {
    let warm_up = (args.events / WARM_UP).next_multiple_of(args.batch);
    let endpoints = usize::from(args.endpoints);
    let books = Arc::new(Books::new(usize::try_from(warm_up + args.events)?, endpoints));
    let receiver = Receiver::start(args.common.receiver, Arc::clone(&books)).await?;
    let raw = raw_limit(&receiver, args.connections.into(), args.payload_bytes).await?;
    let target = Target::of(settings, &args.common).await?;
    let measured = measure(&args, &target, &receiver, &books, warm_up, raw).await;
    target.end().await?;
    figures::print(&measured?, args.common.json)
}

async fn measure(
    args: &WebhooksArgs,
    target: &Target,
    receiver: &Receiver,
    books: &Arc<Books>,
    warm_up: u64,
    raw: f64,
) -> anyhow::Result<Figures> {
    let endpoints = usize::from(args.endpoints);
    target.subscribe(receiver, &vec!["bench.event"; endpoints]).await?;
    let publication = Publication { first: 0, events: warm_up, kind: "bench.event", ..Publication::of(args) };
    publication.send(target, books).await?;
    arrived(books, warm_up * u64::from(args.endpoints)).await;

    let cpu_before = target.cpu_seconds();
    let publication = Publication { first: warm_up, events: args.events, ..publication };
    let sent = publication.send(target, books).await?;
    arrived(books, (warm_up + args.events) * u64::from(args.endpoints)).await;
    let counted = usize::try_from(warm_up)?..usize::try_from(warm_up + args.events)?;
    let balance = books.balance(counted, 0..endpoints);
    let cpu = target.cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    let delivered_per_second = balance.delivered as f64 / balance.took.as_secs_f64();
    Ok(Figures {
        stack: target.stack.clone(),
        events: args.events,
        events_in_a_request: args.batch,
        connections: args.connections,
        endpoints: args.endpoints,
        payload_bytes: args.payload_bytes,
        rate_per_second: args.rate,
        raw_limit_per_second: raw,
        accepted_per_second: args.events as f64 / sent.took.as_secs_f64(),
        delivered_per_second,
        delivered_to_raw_limit: delivered_per_second / raw,
        publish_to_answer_ms: TimesMs::of(&sent.latencies_us),
        publish_to_receipt_ms: TimesMs::of(&balance.latencies_us),
        delivered: balance.delivered,
        lost: balance.lost,
        duplicated: books.duplicated(),
        wrongly_signed: books.refused(),
        server_cpu_seconds_for_1000_deliveries: cpu.map(|cpu| cpu * 1000.0 / balance.delivered as f64),
        server_peak_memory_mb: target.peak_memory_mb(),
    })
}

/// Requests in a second of the same client to the same receiver, each with a signature to be verified.
pub(super) async fn raw_limit(receiver: &Receiver, connections: usize, payload_bytes: u32) -> anyhow::Result<f64> {
    let body = payload(0, payload_bytes);
    let signed = signature::sign(std::slice::from_ref(receiver.raw_secret()), "raw", UnixMs::now(), body.as_bytes());
    let (to, body) = (receiver.address, Bytes::from(body));
    let make = move |_, _| {
        Request::post("/raw")
            .header("host", to.to_string())
            .header("content-type", "application/json")
            .header("webhook-id", &signed.id)
            .header("webhook-timestamp", &signed.timestamp)
            .header("webhook-signature", &signed.signature)
            .body(Full::new(body.clone()))
            .unwrap_or_default()
    };
    let make = Arc::new(make);
    let plan = Plan { to, connections, requests: None, time_max: RAW_TIME, rate_per_second: None, make };
    Ok(publisher::send(plan).await?.per_second())
}

/// Events to be published, numbered from `first`.
#[derive(Clone, Copy)]
pub(super) struct Publication {
    pub(super) first: u64,
    pub(super) events: u64,
    pub(super) kind: &'static str,
    pub(super) batch: u64,
    pub(super) connections: u16,
    pub(super) rate_per_second: Option<u32>,
    pub(super) payload_bytes: u32,
}

impl Publication {
    fn of(args: &WebhooksArgs) -> Self {
        let (batch, connections, rate_per_second) = (args.batch, args.connections, args.rate);
        let payload_bytes = args.payload_bytes;
        Self { first: 0, events: args.events, kind: "", batch, connections, rate_per_second, payload_bytes }
    }

    pub(super) async fn send(self, target: &Target, books: &Arc<Books>) -> anyhow::Result<publisher::Sent> {
        let (caller, books) = (target.caller(), Arc::clone(books));
        let path = if self.batch == 1 { "/v1/events" } else { "/v1/events/batch" };
        let make = move |request: u64, at: Instant| {
            let first = self.first + request * self.batch;
            let numbers = first..(first + self.batch).min(self.first + self.events);
            for number in numbers.clone() {
                books.publish(usize::try_from(number).unwrap_or(usize::MAX), at);
            }
            caller.post(path, self.body(numbers))
        };
        let plan = Plan {
            to: target.address,
            connections: self.connections.into(),
            requests: Some(self.events.div_ceil(self.batch)),
            time_max: TIME_MAX,
            rate_per_second: self.rate_per_second.map(|rate| f64::from(rate) / self.batch as f64),
            make: Arc::new(make),
        };
        publisher::send(plan).await
    }

    fn body(self, numbers: std::ops::Range<u64>) -> Bytes {
        let event =
            |number| format!("{{\"type\":\"{}\",\"payload\":{}}}", self.kind, payload(number, self.payload_bytes));
        if self.batch == 1 {
            return event(numbers.start).into();
        }
        format!("{{\"events\":[{}]}}", numbers.map(event).collect::<Vec<_>>().join(",")).into()
    }
}

pub(super) fn payload(number: u64, bytes: u32) -> String {
    let mut text = format!("{NUMBER}{number},\"fill\":\"");
    let end = "\"}";
    let fill = (bytes as usize).saturating_sub(text.len() + end.len());
    text.extend(std::iter::repeat_n('x', fill));
    text + end
}

/// Waits until so many deliveries have come, or none comes any more.
pub(super) async fn arrived(books: &Books, deliveries: u64) {
    let bar = ProgressBar::new(deliveries);
    let (mut before, mut at) = (0, Instant::now());
    loop {
        let received = books.received();
        bar.set_position(received);
        if received != before {
            (before, at) = (received, Instant::now());
        }
        if received >= deliveries || at.elapsed() > SILENCE_MAX {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    bar.finish_and_clear();
}
