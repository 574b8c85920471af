//! One executor for each kind of job. Owns how a kind finds its executor, and what a failed attempt comes to.

mod http_request;
mod notification;
mod notification_batch;
mod notification_digest;
mod notification_message;
mod site_announce;
mod site_probe;
mod site_regenerate;
mod trace;
mod webhook_deliver;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use apalis_core::{error::BoxDynError, task::Task};
use postrider_core::{
    dispatch::Dispatcher,
    domain::{
        UnixMs,
        attempt::{AttemptClass, AttemptReport},
        dead_letter::Cause,
        job::{JobKind, NextTry, Outcome},
        lane::Health,
        retry::RetrySchedule,
    },
    live::Live,
    queue::Next,
    store::{Store, StoreError, Work, announcement_retries, chunk_schedule, probe_schedule},
    trace::{Step, Tracer},
};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;
use tower::Service;

use crate::{
    WorkerParts,
    backend::Assignment,
    egress::{Call, EgressClient, Exchange},
    notify::Channels,
    outcomes::{Ended, Execution, health},
    site::Publisher,
};

/// A row that was read longer ago is read again before its job is run.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a job waits whose endpoint or row could not be looked up.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// All that a tenant is told of a fault of ours.
const BROKE: &str = "an internal error ended this attempt";

/// What executors work with. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Executors(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    dispatcher: Dispatcher,
    egress: EgressClient,
    publisher: Publisher,
    live: Live,
    channels: Channels,
    user_agent: String,
    /// The process, as attempts name it.
    worker: String,
    refusals: Counter,
    tracer: Tracer,
    /// Turns to tell a chunk of subscribers.
    chunks: Semaphore,
}

/// A chunk keeps about two cores busy, the database's among them: with more at once all subscribers are told little sooner, and whoever is
/// named in a notification waits three times as long.
fn chunks_at_once() -> usize {
    thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

impl Executors {
    pub(crate) fn new(parts: &WorkerParts, worker: String) -> Self {
        Self(Arc::new(Parts {
            store: parts.store.clone(),
            dispatcher: parts.dispatcher.clone(),
            egress: parts.egress.clone(),
            publisher: Publisher::of(parts),
            live: parts.live.clone(),
            channels: Channels::new(parts),
            user_agent: format!("Postrider/{}", parts.settings.version),
            worker,
            refusals: parts.metrics.refusals.clone(),
            tracer: parts.tracer.clone(),
            chunks: Semaphore::new(chunks_at_once()),
        }))
    }

    async fn execute(self, work: Arc<Work>, read_at: Instant) -> Execution {
        let work = match self.as_it_is_now(work, read_at).await {
            Ok(work) => work,
            Err(execution) => return execution,
        };
        #[cfg(test)]
        crate::tests::panic_if_told(&work);
        match work.job.kind {
            JobKind::WebhookDeliver | JobKind::WebhookTest => webhook_deliver::run(&self, &work).await,
            JobKind::HttpRequest
            | JobKind::SiteRegenerate
            | JobKind::SiteAnnounce
            | JobKind::SiteProbe
            | JobKind::NotificationPlan
            | JobKind::NotificationChunk
            | JobKind::NotificationBatch
            | JobKind::NotificationMessage
            | JobKind::NotificationDigest
            | JobKind::Noop
                if self.is_paused(&work).await =>
            {
                self.hold(&work).await
            }
            JobKind::HttpRequest => http_request::run(&self, &work).await,
            JobKind::SiteRegenerate => site_regenerate::run(&self, &work).await,
            JobKind::SiteAnnounce => site_announce::run(&self, &work).await,
            JobKind::SiteProbe => site_probe::run(&self, &work).await,
            JobKind::NotificationPlan => notification::plan(&self, &work).await,
            JobKind::NotificationChunk => notification::chunk(&self, &work).await,
            JobKind::NotificationBatch => notification_batch::run(&self, &work).await,
            JobKind::NotificationMessage => notification_message::run(&self, &work).await,
            JobKind::NotificationDigest => notification_digest::run(&self, &work).await,
            JobKind::Noop => self.nothing(&work),
        }
    }

    /// Whether the job's lane is paused, although the queue gave the job out: it may not have heard of it.
    async fn is_paused(&self, work: &Work) -> bool {
        let set = self.0.store.directory().lane(&work.job.lane_key()).await;
        set.is_ok_and(|settings| settings.paused)
    }

    /// Gives the ticket of a paused lane back. The lane is told before, or the ticket would come again at once; told what
    /// SQL says now, since what is in memory may be older than a resume.
    async fn hold(&self, work: &Work) -> Execution {
        let lane = work.job.lane_key();
        match self.0.store.tenant(lane.tenant).lane_settings(&lane.name).await {
            Ok(settings) => {
                self.0.dispatcher.tell(&lane, &settings).await;
                Execution::NotNow(Next::Release)
            }
            Err(_) => Execution::not_now(work, LOOK_AGAIN),
        }
    }

    /// The job's row is read again where it waited long for this executor: it may have been cancelled since. Where this
    /// process was frozen meanwhile and taken for lost, the job is another's.
    async fn as_it_is_now(&self, work: Arc<Work>, read_at: Instant) -> Result<Arc<Work>, Execution> {
        if read_at.elapsed() < BELIEVED {
            return Ok(work);
        }
        match self.0.store.load_work(&[work.job.id]).await {
            Ok(mut found) => match found.pop() {
                Some(now) if now.job.lost_workers == work.job.lost_workers => Ok(Arc::new(now)),
                Some(_) => Err(Execution::NotNow(Next::Release)),
                None => Err(Execution::NotNow(Next::Done)),
            },
            Err(error) => {
                tracing::warn!(%error, job = %work.job.id, "a job's row could not be read again; it waits");
                Err(Execution::not_now(&work, LOOK_AGAIN))
            }
        }
    }

    /// An attempt that our own code did not bring to its end.
    pub(crate) async fn broke(&self, work: &Work, error: &BoxDynError) -> Execution {
        tracing::error!(job = %work.job.id, kind = %work.job.kind, error = %chain(error.as_ref()), "an executor broke");
        let report = self.report(AttemptClass::Panic, BROKE);
        let schedule = self.schedule(work).await;
        Execution::ended(work, Some(report.clone()), after_failure(work, &report, &schedule))
    }

    /// What became of a job could not be read or stored: it waits where that passes.
    async fn not_stored(&self, work: &Work, error: StoreError) -> Execution {
        if !error.is_unavailable() {
            return self.broke(work, &error.into()).await;
        }
        tracing::warn!(%error, job = %work.job.id, kind = %work.job.kind, "the database does not answer a job, which waits");
        Execution::not_now(work, LOOK_AGAIN)
    }

    async fn schedule(&self, work: &Work) -> RetrySchedule {
        let found = match work.job.kind {
            JobKind::WebhookDeliver | JobKind::WebhookTest => webhook_deliver::schedule(self, work).await,
            JobKind::HttpRequest => http_request::schedule(work),
            JobKind::SiteAnnounce => Some(announcement_retries()),
            JobKind::SiteProbe => Some(probe_schedule()),
            JobKind::NotificationPlan | JobKind::NotificationChunk => Some(chunk_schedule()),
            // As an endpoint that nobody has set anything for.
            JobKind::NotificationBatch | JobKind::NotificationMessage | JobKind::NotificationDigest => None,
            JobKind::SiteRegenerate | JobKind::Noop => None,
        };
        found.unwrap_or_default()
    }

    /// A report of an attempt that met nobody.
    fn report(&self, class: AttemptClass, error: &str) -> AttemptReport {
        AttemptReport {
            started_at: UnixMs::now(),
            duration_ms: 0,
            class,
            status_code: None,
            error: Some(error.to_owned()),
            response_body: None,
            address: None,
            worker: self.0.worker.clone(),
            retry_after: None,
        }
    }

    /// A job that is done as soon as it is run. Its lane has nobody to spare, and grows as one that answers.
    fn nothing(&self, work: &Work) -> Execution {
        let report = AttemptReport { error: None, ..self.report(AttemptClass::Succeeded, "") };
        let ended = Ended::of(work, Some(report), Outcome::Succeeded);
        Execution::Ended(Box::new(Ended { health: Health::Good, ..ended }))
    }

    /// The good end of a job that called nobody, whose lane has nobody to spare either.
    fn done(&self, work: &Work, started_at: UnixMs, took: Duration) -> Execution {
        let duration_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let report = AttemptReport { started_at, duration_ms, error: None, ..self.report(AttemptClass::Succeeded, "") };
        let ended = Ended::of(work, Some(report), Outcome::Succeeded);
        Execution::Ended(Box::new(Ended { health: Health::Good, took, ..ended }))
    }

    /// The end of a job that cannot be run as it is, however often.
    fn invalid(&self, work: &Work, why: &str) -> Execution {
        let report = self.report(AttemptClass::Invalid, why);
        Execution::ended(work, Some(report), Outcome::Dead { cause: Cause::Invalid })
    }

    /// Begins an attempt's step of the job's trace.
    fn step(&self, work: &Work) -> Step {
        self.0.tracer.attempt(work.trace.as_ref())
    }

    /// Makes a job's call, and ends its step. One for which this machine has no socket was not made: the job waits and spends no attempt.
    async fn call(&self, work: &Work, call: Call<'_>, step: Step) -> Result<(Exchange, AttemptReport), Execution> {
        let started_at = UnixMs::now();
        let exchange = self.0.egress.send(call).await;
        if exchange.class == AttemptClass::Egress {
            self.0.refusals.inc();
        }
        if exchange.starved {
            tracing::warn!(job = %work.job.id, "too many files are open, so a call waits; raise the limit (ulimit -n, LimitNOFILE)");
            return Err(Execution::not_now(work, LOOK_AGAIN));
        }
        let report = self.reported(work, &exchange, started_at);
        trace::end(step, work, &report);
        Ok((exchange, report))
    }

    /// A call's end, as attempts keep it and the tenant sees it. The operator's words are in the log.
    fn reported(&self, work: &Work, exchange: &Exchange, started_at: UnixMs) -> AttemptReport {
        if exchange.error != exchange.tenant_error {
            let (error, address) = (exchange.error.as_deref(), exchange.address.as_deref());
            tracing::warn!(job = %work.job.id, tenant = %work.job.tenant_id, error, address, "a call was not made");
        }
        let shown = exchange.class != AttemptClass::Egress;
        AttemptReport {
            started_at,
            duration_ms: u32::try_from(exchange.duration.as_millis()).unwrap_or(u32::MAX),
            class: exchange.class,
            status_code: exchange.status_code,
            error: exchange.tenant_error.clone(),
            response_body: exchange.response_body.clone(),
            address: exchange.address.clone().filter(|_| shown),
            worker: self.0.worker.clone(),
            retry_after: exchange.retry_after,
        }
    }
}

/// The end of a call: success, another try, or death.
fn after_call(work: &Work, report: AttemptReport, schedule: &RetrySchedule, took: Duration) -> Ended {
    let health = health(report.class, report.status_code);
    let outcome = match report.class {
        AttemptClass::Succeeded => Outcome::Succeeded,
        _ => after_failure(work, &report, schedule),
    };
    Ended { health, took, ..Ended::of(work, Some(report), outcome) }
}

fn after_failure(work: &Work, report: &AttemptReport, schedule: &RetrySchedule) -> Outcome {
    Outcome::of_failure(&NextTry {
        attempt: work.job.attempt,
        max_attempts: work.job.max_attempts,
        // A replay may have more attempts than the schedule has delays: the last one repeats.
        schedule: &schedule.with_max_attempts(work.job.max_attempts.max(schedule.max_attempts())),
        report,
        roll: rand::random(),
        now: UnixMs::now(),
    })
}

/// An error with its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Service<Task<Assignment>> for Executors {
    type Response = Execution;
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<Execution, BoxDynError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Assignment>) -> Self::Future {
        let executors = self.clone();
        let work = Arc::clone(&task.args.work);
        let read_at = task.args.read_at;
        Box::pin(async move { Ok(executors.execute(work, read_at).await) })
    }
}
