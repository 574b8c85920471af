//! `/v1/endpoints/{id}/test`: one event to one endpoint, answered with what came of it.

use std::{sync::Arc, time::Duration};

use axum::Json as Answer;
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        dead_letter::PastAttempt,
        endpoint::{Endpoint, EndpointState},
        event::Event,
        job::{Job, JobKind},
    },
    store::{Item, ItemResult, NewEvent, NewJob},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accept::Submission,
    auth::{Caller, Operate},
    json::{Nothing, OptionalJson},
    path::Ref,
    problem::{Code, Problem},
    state::ApiState,
    wire::AttemptJson,
};

const TEST_EVENT: &str = "postrider.test";
/// Waited beyond the endpoint's own time-out, for the queue and the commit.
const MARGIN: Duration = Duration::from_secs(5);
/// How often the attempt is looked for.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(test))
}

/// What a test delivery came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestResult {
    /// The `webhook-id` that was sent.
    event_id: String,
    #[schema(value_type = String)]
    job_id: Id<Job>,
    #[serde(flatten)]
    attempt: AttemptJson,
}

/// Sends a `postrider.test` event to this endpoint only, once, and answers with the attempt's result. One that fails
/// leaves no dead letter, and the endpoint's state as it is.
#[utoipa::path(post, path = "/v1/endpoints/{id}/test", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = TestResult)))]
async fn test(
    caller: Caller<Operate>,
    Ref(id): Ref<Endpoint>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<TestResult>, Problem> {
    let endpoint = caller.scope().endpoint(id).await?.ok_or_else(|| Problem::not_found("endpoint"))?;
    if matches!(endpoint.state, EndpointState::Paused | EndpointState::Disabled) {
        let detail = format!("the endpoint is {}; resume it to test it", endpoint.state);
        return Err(Problem::new(Code::EndpointNotActive, detail));
    }
    let now = UnixMs::now();
    let (event_id, job_id) = publish(&caller, &endpoint, now).await?;
    let wait = Duration::from_millis(u64::from(endpoint.settings.timeout_ms)) + MARGIN;
    match attempt(&caller, job_id, Instant::now() + wait).await? {
        Some(attempt) => Ok(Answer(TestResult { event_id: event_id.to_string(), job_id, attempt: attempt.into() })),
        None => {
            give_up(&caller, &endpoint, job_id).await?;
            let detail = "no attempt was made in time; is a worker running, and is the endpoint's lane free?";
            Err(Problem::new(Code::NoAttempt, detail))
        }
    }
}

async fn publish(caller: &Caller<Operate>, endpoint: &Endpoint, now: UnixMs) -> Result<(Id<Event>, Id<Job>), Problem> {
    let id = Id::<Event>::new();
    let kind = TEST_EVENT.parse().map_err(|error| Problem::new(Code::Internal, error))?;
    let payload = serde_json::json!({
        "type": TEST_EVENT,
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
    let job_id = job.id;
    let item = Item { gate: None, answer: String::new(), event: Some(event), jobs: vec![job] };
    let answer = Arc::new(|_: &[ItemResult]| Some(String::new()));
    Submission { gate: None, items: vec![item], answer, now, step: None }.submit(caller).await?;
    Ok((id, job_id))
}

async fn attempt(caller: &Caller<Operate>, job: Id<Job>, deadline: Instant) -> Result<Option<PastAttempt>, Problem> {
    loop {
        // One whose worker vanished says nothing of the endpoint, and is followed by another.
        let ended = |attempt: &PastAttempt| attempt.outcome != AttemptClass::Lost.as_str();
        if let Some(attempt) = caller.scope().attempts(job).await?.into_iter().rfind(ended) {
            return Ok(Some(attempt));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes the test back, so that it does not arrive when nobody waits for it any more.
async fn give_up(caller: &Caller<Operate>, endpoint: &Endpoint, job: Id<Job>) -> Result<(), Problem> {
    caller.scope().cancel_job(job, UnixMs::now()).await?;
    if let Err(error) = caller.api.queue().cancel(&endpoint.lane(), job).await {
        tracing::debug!(%error, "the ticket of a test that was given up stays in the queue");
    }
    Ok(())
}
