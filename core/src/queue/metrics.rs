//! What the queue shows to Prometheus: what its round trips cost, and what it holds, looked at when it is scraped.
//! Knows no backend.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::{Instant, timeout};

use super::{LaneView, Queue, QueueError, QueueView};
use crate::domain::{UnixMs, lane::Standing};

/// Lanes that one look goes through: the deepest, among which the oldest ticket of a backlog is. A few milliseconds of
/// a Redis server.
const LANES: usize = 100;
/// Looks are at least this far apart, however often it is scraped.
const LOOK: Duration = Duration::from_secs(1);
/// A queue that does not answer within this holds up no scrape.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Upper bounds of a round trip, up to the time after which a server is given up.
const SECONDS: [f64; 10] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.025, 0.1, 0.5, 2.0];

type ByOperation = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// Calls of a queue on another machine.
#[derive(Clone, Debug)]
pub(super) struct RoundTrips {
    all: ByOperation,
    offer: Histogram,
    claim: Histogram,
    settle: Histogram,
    other: Histogram,
    failures: Counter,
}

impl Default for RoundTrips {
    fn default() -> Self {
        let all = ByOperation::new_with_constructor(|| Histogram::new(SECONDS));
        let of = |operation| all.get_or_create_owned(&[("operation", operation)]);
        let (offer, claim, settle, other) = (of("offer"), of("claim"), of("settle"), of("other"));
        Self { all, offer, claim, settle, other, failures: Counter::default() }
    }
}

impl RoundTrips {
    /// `script` as the backend names it.
    pub(super) fn ended(&self, script: &str, took: Duration, error: Option<&QueueError>) {
        let histogram = match script {
            "OFFER" => &self.offer,
            "CLAIM" => &self.claim,
            "SETTLE" => &self.settle,
            _ => &self.other,
        };
        histogram.observe(took.as_secs_f64());
        // That it was emptied is an answer.
        if error.is_some_and(|error| !matches!(error, QueueError::Emptied { .. })) {
            self.failures.inc();
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let words = "Calls of the queue in Redis, answered or not";
        registry.register_with_unit("postrider_queue_round_trip", words, Unit::Seconds, self.all.clone());
        let words = "Calls of the queue in Redis that it did not answer, or refused";
        registry.register("postrider_queue_round_trip_failures", words, self.failures.clone());
    }
}

/// What the queue holds, as of the last look. Where it does not answer there are no numbers, rather than old ones.
#[derive(Clone, Default)]
pub struct QueueGauges(Arc<Looks>);

#[derive(Default)]
struct Looks {
    last: tokio::sync::Mutex<Option<Instant>>,
    found: Mutex<Option<Found>>,
}

/// What one look found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Found {
    /// The oldest ready tickets' ages by what they wait for, in the order of [`WAITS_FOR`].
    oldest_seconds: [f64; 3],
    tickets: u64,
    in_flight: u64,
    workers: u64,
}

/// A worker with a free slot; the receiver, which bears no more now, or is called only so often or in order; a person
/// who resumes it.
const WAITS_FOR: [&str; 3] = ["worker", "receiver", "resume"];

impl QueueGauges {
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register_collector(Box::new(gauges.clone()));
        gauges
    }

    /// Asks the queue what it holds, unless that was done a moment ago. To be called before each scrape is answered.
    pub async fn look(&self, queue: &Queue) {
        let mut last = self.0.last.lock().await;
        if last.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        let view = timeout(ANSWER_MAX, queue.view(LANES)).await;
        let found = view.ok().and_then(Result::ok).map(|view| Found::of(&view, UnixMs::now()));
        *self.0.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        *last = Some(Instant::now());
    }
}

impl Found {
    fn of(view: &QueueView, now: UnixMs) -> Self {
        let mut oldest_seconds = [0.0; WAITS_FOR.len()];
        for lane in &view.lanes {
            let Some(oldest) = lane.oldest else { continue };
            let oldest_of_kind: &mut f64 = &mut oldest_seconds[waits_for(lane)];
            *oldest_of_kind = oldest_of_kind.max(now.since(oldest).as_secs_f64());
        }
        Self {
            oldest_seconds,
            tickets: view.totals.tickets,
            in_flight: view.totals.in_flight,
            workers: view.workers.iter().filter(|worker| worker.expires_at > now).count() as u64,
        }
    }
}

/// The place in [`WAITS_FOR`]. A lane that fails gets few slots on purpose, so what it waits for is its receiver.
const fn waits_for(lane: &LaneView) -> usize {
    match lane.seat {
        _ if lane.paused => 2,
        Some(Standing::Answering | Standing::Unknown) => 0,
        Some(Standing::Failing) | None => 1,
    }
}

impl fmt::Debug for QueueGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueGauges").finish_non_exhaustive()
    }
}

impl Collector for QueueGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(found) = *self.0.found.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        let words = "Age of the oldest ticket that is due, among the 100 deepest lanes, by what it waits for";
        let mut oldest = encoder.encode_descriptor(
            "postrider_queue_oldest_ticket_age",
            words,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (waits_for, age) in WAITS_FOR.into_iter().zip(found.oldest_seconds) {
            ConstGauge::new(age).encode(oldest.encode_family(&[("waits_for", waits_for)])?)?;
        }
        for (name, words, value) in [
            ("postrider_queue_tickets", "Unfinished jobs that the queue holds; the rest waits in SQL", found.tickets),
            ("postrider_queue_in_flight", "Tickets that workers hold, of all processes", found.in_flight),
            ("postrider_queue_workers", "Workers that the queue takes for alive", found.workers),
        ] {
            let gauge = encoder.encode_descriptor(name, words, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}
