//! From the end of an execution to the truth: its outcome is committed, then the queue is told. Owns the order of the
//! two, and what a lane learns of its receiver.

use std::time::Duration;

use postrider_core::{
    dispatch::HORIZON,
    domain::{
        UnixMs,
        attempt::{AttemptClass, AttemptReport},
        dead_letter::Cause,
        endpoint::EndpointState,
        job::{Job, Outcome},
        lane::Health,
        limits::ERROR_CHARS_MAX,
    },
    queue::Next,
    store::{Finished, Recorded, Store, Work},
};
use tokio_util::sync::CancellationToken;

use crate::{
    WorkerMetrics,
    leases::Slot,
    pace::{Outage, Waiting},
    settle::Settler,
};

/// Tries to commit an outcome that the database refuses, which is not an outage but a fault of ours.
const REFUSED_TRIES: u32 = 5;
/// How long a job waits whose outcome was refused.
const REFUSED_REST: Duration = Duration::from_secs(60);

/// What came of a claimed job.
#[derive(Debug)]
pub(crate) enum Execution {
    Ended(Box<Ended>),
    /// Nothing was tried: back into the queue.
    NotNow(Next),
}

/// An execution that ended, for SQL and for the queue.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) finished: Finished,
    pub(crate) health: Health,
    pub(crate) took: Duration,
    /// The lane keeps its order, so that it has to wait with its first job.
    pub(crate) ordered: bool,
}

impl Execution {
    /// An outcome without an attempt.
    pub(crate) fn decided(work: &Work, outcome: Outcome) -> Self {
        Self::ended(work, None, outcome)
    }

    /// An outcome that says nothing of the receiver.
    pub(crate) fn ended(work: &Work, report: Option<AttemptReport>, outcome: Outcome) -> Self {
        Self::Ended(Box::new(Ended::of(work, report, outcome)))
    }

    /// The job could not be tried, for a reason that passes.
    pub(crate) const fn not_now(work: &Work, delay: Duration) -> Self {
        Self::NotNow(later(&work.job, delay))
    }
}

/// The ticket of a job waits for `delay` and keeps its place.
pub(crate) const fn later(job: &Job, delay: Duration) -> Next {
    Next::Later { delay, order: job.run_at, priority: job.priority }
}

fn finished(job: &Job, message_id: Option<String>, report: Option<AttemptReport>, outcome: Outcome) -> Finished {
    Finished {
        job: job.id,
        tenant: job.tenant_id,
        kind: job.kind,
        endpoint: job.endpoint_id,
        message_id,
        attempt: job.attempt,
        lost_workers: job.lost_workers,
        due_at: job.run_at,
        report: report.map(presentable),
        outcome,
        endpoint_state: None,
        sent: None,
        now: UnixMs::now(),
        // The store knows its own.
        node: String::new(),
    }
}

/// The end of a job whose last worker has vanished. Its attempts were kept as its workers were counted, so that no row
/// comes of this report.
pub(crate) fn lost_too_often(work: &Work) -> Finished {
    let error = Some(format!("{} workers vanished while they ran it", work.job.lost_workers));
    let report = AttemptReport { error, ..AttemptReport::lost("", UnixMs::now()) };
    finished(&work.job, work.message_id.clone(), Some(report), Outcome::Dead { cause: Cause::WorkersLost })
}

/// Texts as both databases keep them: PostgreSQL takes no NUL, and errors have a limit.
fn presentable(report: AttemptReport) -> AttemptReport {
    let error = report.error.map(|error| error.chars().filter(|c| *c != '\0').take(ERROR_CHARS_MAX).collect());
    AttemptReport { error, ..report }
}

impl Ended {
    pub(crate) fn of(work: &Work, report: Option<AttemptReport>, outcome: Outcome) -> Self {
        Self::unheard(finished(&work.job, work.message_id.clone(), report, outcome))
    }

    /// An end that says nothing of the receiver.
    pub(crate) fn unheard(finished: Finished) -> Self {
        let took_ms = finished.report.as_ref().map_or(0, |report| report.duration_ms);
        Self { finished, health: Health::Neutral, took: Duration::from_millis(took_ms.into()), ordered: false }
    }

    /// Says of the endpoint what the delivery has shown.
    pub(crate) fn with_endpoint(mut self, state: Option<(EndpointState, Option<String>)>) -> Self {
        self.finished.endpoint_state = state;
        self
    }
}

/// What an attempt says of its receiver: only a 2xx that it is well. A 4xx, 410 and 3xx are about the call.
pub(crate) const fn health(class: AttemptClass, status_code: Option<u16>) -> Health {
    match (class, status_code) {
        (AttemptClass::Succeeded, _) => Health::Good,
        (AttemptClass::HttpStatus, Some(429 | 500..)) => Health::Bad,
        (
            AttemptClass::Timeout
            | AttemptClass::Dns
            | AttemptClass::Connect
            | AttemptClass::Tls
            | AttemptClass::Protocol,
            _,
        ) => Health::Bad,
        _ => Health::Neutral,
    }
}

/// Commits outcomes, then gives their verdicts. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) store: Store,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) settler: Settler,
    /// Outcomes that wait for the database: one for each slot, in a long outage.
    pub(crate) waiting: Waiting,
    /// Gives up waiting for the database: the lease goes back, and the job runs once more.
    pub(crate) hurry: CancellationToken,
}

impl Recorder {
    /// Ends an execution. While the database does not answer it waits here, in its slot, with its lease.
    pub(crate) async fn end(&self, slot: Slot, job: &Job, execution: Execution) {
        let ended = match execution {
            Execution::Ended(ended) => *ended,
            Execution::NotNow(next) => return self.settler.put_back(slot, next),
        };
        let next = match self.commit(&ended.finished).await {
            Some(Recorded::Applied) => next(&ended, job),
            Some(Recorded::Late) => {
                self.metrics.came_late();
                tracing::info!(job = %ended.finished.job, "an outcome came late and changed nothing");
                // The lease is another's by now; or it is one more of ours, and the job is not done.
                Next::Release
            }
            None => later(job, REFUSED_REST),
        };
        self.settler.settle(slot, ended.health, ended.took, next);
    }

    /// `None` when it could not be committed.
    pub(crate) async fn commit(&self, finished: &Finished) -> Option<Recorded> {
        let mut outage = Outage::none();
        let mut refused = 0;
        loop {
            let error = match self.store.record(finished.clone()).await {
                Ok(recorded) => {
                    if recorded == Recorded::Applied {
                        self.metrics.committed(finished);
                    }
                    if let Some(outcomes) = self.waiting.end() {
                        tracing::info!(outcomes, "outcomes that waited for the database are committed again");
                    }
                    return Some(recorded);
                }
                Err(error) => error,
            };
            if !error.is_unavailable() {
                refused += 1;
                tracing::error!(%error, job = %finished.job, "an outcome was refused by the database");
            } else if outage.failures() == 0 && self.waiting.add() {
                tracing::warn!(%error, job = %finished.job, "an outcome waits for the database, and others may");
            }
            if refused >= REFUSED_TRIES || !outage.wait(&self.hurry).await {
                return None;
            }
        }
    }
}

/// What the queue does with the ticket. A retry that is far off waits in SQL, and the sweep offers it in time; only
/// an ordered lane keeps it, since the lane waits with it.
fn next(ended: &Ended, job: &Job) -> Next {
    match &ended.finished.outcome {
        Outcome::Retry { at } => {
            let delay = at.since(UnixMs::now());
            if delay > HORIZON && !ended.ordered {
                return Next::Done;
            }
            Next::Later { delay, order: *at, priority: job.priority }
        }
        Outcome::Lost => Next::Release,
        Outcome::Succeeded | Outcome::Dead { .. } | Outcome::Cancelled { .. } => Next::Done,
    }
}
