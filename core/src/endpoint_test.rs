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
    store::{Item, NewEvent, NewJob, Publication, Scope, StoreError},
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
        if matches!(endpoint.state, EndpointState::Paused | EndpointState::Disabled) {
            return Err(TestError::NotActive(endpoint.state));
        }
        let (event_id, job_id) = self.publish(endpoint, UnixMs::now()).await?;
        let wait = Duration::from_millis(u64::from(endpoint.settings.timeout_ms)) + MARGIN;
        match self.attempt(job_id, Instant::now() + wait).await? {
            Some(attempt) => Ok(Tested { event_id, job_id, attempt }),
            None => {
                self.give_up(endpoint, job_id).await?;
                Err(TestError::NoAttempt)
            }
        }
    }

    async fn publish(&self, endpoint: &Endpoint, now: UnixMs) -> Result<(Id<Event>, Id<Job>), StoreError> {
        let (id, kind) = (Id::<Event>::new(), EventType::of_test());
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
        let job = NewJob { kind: JobKind::WebhookTest, max_attempts: 1, ..NewJob::delivery(endpoint, id, now) };
        let (job_id, due) = (job.id, job.due(endpoint.tenant_id));
        let item = Item { gate: None, answer: String::new(), event: Some(event), jobs: vec![job] };
        let note = json!({ "event": id, "job": job_id });
        let publication = Publication::plain(vec![item], now).noting("endpoint.test", endpoint.id.to_string(), note);
        self.scope.publish(publication).await?;
        self.dispatcher.offer(&[due]);
        Ok((id, job_id))
    }

    async fn attempt(&self, job: Id<Job>, deadline: Instant) -> Result<Option<PastAttempt>, StoreError> {
        loop {
            // One whose worker vanished says nothing of the endpoint, and is followed by another.
            let ended = |attempt: &PastAttempt| attempt.outcome != AttemptClass::Lost.as_str();
            if let Some(attempt) = self.scope.attempts(job).await?.into_iter().rfind(ended) {
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
