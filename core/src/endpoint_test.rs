//! One event to one endpoint, for somebody who waits for what comes of it. Owns how long that is, and that a test nobody
//! waits for any more does not arrive.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{
    dispatch::Dispatcher,
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        dead_letter::PastAttempt,
        endpoint::{Endpoint, EndpointState},
        event::{Event, EventType},
        job::{Job, JobKind},
    },
    queue::Queue,
    store::{Gate, Item, NewEvent, NewJob, Publication, Published, Scope, StoreError},
};

/// Waited beyond the endpoint's own time-out, for the queue and the commit.
const MARGIN: Duration = Duration::from_secs(5);
/// How often the attempt is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What a test delivery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The `webhook-id` that was sent.
    pub event_id: Id<Event>,
    pub job_id: Id<Job>,
    pub attempt: PastAttempt,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("the endpoint is {0}; resume it to test it")]
    NotActive(EndpointState),
    #[error("no attempt was made in time; is a worker running, and is the endpoint's lane free?")]
    NoAttempt,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a test goes through.
#[derive(Clone, Copy, Debug)]
pub struct Testing<'t> {
    pub scope: &'t Scope<'t>,
    pub queue: &'t Queue,
    pub dispatcher: &'t Dispatcher,
}

impl Testing<'_> {
    /// Sends a `postrider.test` event to this endpoint only, once, and waits for the attempt's result.
    ///
    /// # Errors
    /// When the endpoint takes nothing now, nothing was tried in time, or the database does not answer.
    pub async fn run(&self, endpoint: &Endpoint) -> Result<Tested, TestError> {
        let job_id = Id::new();
        let event_id = self.publish(endpoint, job_id, None).await?;
        let attempt = self.result(endpoint, job_id).await?;
        Ok(Tested { event_id, job_id, attempt })
    }

    /// As [`Self::run`], as this job, and only by the first who comes through the gate; whoever comes later waits for the
    /// same result.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_once(&self, endpoint: &Endpoint, job: Id<Job>, gate: Gate) -> Result<(), TestError> {
        self.publish(endpoint, job, Some(gate)).await?;
        self.result(endpoint, job).await.map(drop)
    }

    async fn publish(&self, endpoint: &Endpoint, job_id: Id<Job>, gate: Option<Gate>) -> Result<Id<Event>, TestError> {
        if matches!(endpoint.state, EndpointState::Paused | EndpointState::Disabled) {
            return Err(TestError::NotActive(endpoint.state));
        }
        let (id, kind, now) = (Id::<Event>::new(), EventType::of_test(), UnixMs::now());
        let payload = json!({
            "type": kind,
            "timestamp": now,
            "data": { "endpoint_id": endpoint.id, "message": "A test by Postrider; nothing happened." },
        });
        let event = NewEvent {
            id,
            own_id: None,
            kind,
            channels: Vec::new(),
            payload: payload.to_string().into_bytes(),
            deliver_at: now,
            trace: None,
        };
        let delivery = NewJob::delivery(endpoint, id, now);
        let job = NewJob { id: job_id, kind: JobKind::WebhookTest, max_attempts: 1, ..delivery };
        let due = job.due(endpoint.tenant_id);
        let item = Item::event(event, vec![job]);
        let note = json!({ "event": id, "job": job_id });
        let publication = Publication::plain(vec![item], now).behind(gate);
        let publication = publication.noting("endpoint.test", endpoint.id.to_string(), note);
        if let Published::Stored(_) = self.scope.publish(publication).await? {
            self.dispatcher.offer(&[due]);
        }
        Ok(id)
    }

    async fn result(&self, endpoint: &Endpoint, job: Id<Job>) -> Result<PastAttempt, TestError> {
        let wait = Duration::from_millis(u64::from(endpoint.settings.timeout_ms)) + MARGIN;
        if let Some(attempt) = self.attempt(job, Instant::now() + wait).await? {
            return Ok(attempt);
        }
        self.give_up(endpoint, job).await?;
        Err(TestError::NoAttempt)
    }

    async fn attempt(&self, job: Id<Job>, deadline: Instant) -> Result<Option<PastAttempt>, StoreError> {
        loop {
            if let Some(attempt) = attempt_of_test(self.scope, job).await? {
                return Ok(Some(attempt));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the test back, so that it does not arrive when nobody waits for it any more.
    async fn give_up(&self, endpoint: &Endpoint, job: Id<Job>) -> Result<(), StoreError> {
        self.scope.cancel_job(job, UnixMs::now()).await?;
        if let Err(error) = self.queue.cancel(&endpoint.lane(), job).await {
            tracing::debug!(%error, "the ticket of a test that was given up stays in the queue");
        }
        Ok(())
    }
}

/// What a test's receiver answered, as soon as it has. An attempt whose worker vanished says nothing of the endpoint, and is
/// followed by another.
///
/// # Errors
/// When the database does not answer.
pub async fn attempt_of_test(scope: &Scope<'_>, job: Id<Job>) -> Result<Option<PastAttempt>, StoreError> {
    let ended = |attempt: &PastAttempt| attempt.outcome != AttemptClass::Lost.as_str();
    Ok(scope.attempts(job).await?.into_iter().rfind(ended))
}
