//! `/v1/endpoints/{id}/test`: one event to one endpoint, answered with what came of it.

use axum::Json as Answer;
use postrider_core::{
    domain::{Id, endpoint::Endpoint, job::Job},
    endpoint_test::{TestError, Testing},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate},
    json::{Nothing, OptionalJson},
    path::Ref,
    problem::{Code, Problem},
    state::ApiState,
    wire::AttemptJson,
};

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
    let scope = caller.scope();
    let endpoint = scope.endpoint(id).await?.ok_or_else(|| Problem::not_found("endpoint"))?;
    let (queue, dispatcher) = (caller.api.queue(), caller.api.dispatcher());
    let tested = Testing { scope: &scope, queue, dispatcher }.run(&endpoint).await;
    if matches!(tested, Ok(_) | Err(TestError::NoAttempt)) {
        caller.api.metrics().accepted(1, 1);
    }
    let tested = tested.map_err(|error| match error {
        TestError::NotActive(_) => Problem::new(Code::EndpointNotActive, error),
        TestError::NoAttempt => Problem::new(Code::NoAttempt, error),
        TestError::Store(error) => error.into(),
    })?;
    let attempt = tested.attempt.into();
    Ok(Answer(TestResult { event_id: tested.event_id.to_string(), job_id: tested.job_id, attempt }))
}
