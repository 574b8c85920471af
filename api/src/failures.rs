//! `/v1/failures`: failures grouped by fingerprint.

use axum::Json as Answer;
use postrider_core::{
    domain::{Id, job::Job},
    store::FailureGroup,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    page::{Listing, Paging, Params, write_failure_cursor},
    problem::Problem,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Failures that are one failure: the same kind, class, status and message, numbers and ids aside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureGroup)]
pub(crate) struct FailureJson {
    fingerprint: String,
    kind: &'static str,
    error_class: String,
    status_code: Option<u16>,
    /// Failed attempts.
    count: u64,
    first_seen_at: Time,
    last_seen_at: Time,
    /// What operators say of it: `open`, `acknowledged`, `resolved`, or `regressed` where it came back after it was resolved.
    state: &'static str,
    note: Option<String>,
    example: FailureExample,
}

/// One of a group's failures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureExample {
    error: String,
    #[schema(value_type = String)]
    job_id: Id<Job>,
}

impl From<FailureGroup> for FailureJson {
    fn from(group: FailureGroup) -> Self {
        let state = if group.is_regressed() { "regressed" } else { group.verdict.as_str() };
        Self {
            fingerprint: group.fingerprint.to_string(),
            kind: group.kind.as_str(),
            error_class: group.class,
            status_code: group.status_code,
            count: group.count,
            first_seen_at: Time(group.first_seen_at),
            last_seen_at: Time(group.last_seen_at),
            state,
            note: group.note,
            example: FailureExample { error: group.error, job_id: group.job_id },
        }
    }
}

/// Lists groups of failures, those seen last first.
#[utoipa::path(get, path = "/v1/failures", tag = "failures",
    params(Paging),
    responses((status = 200, body = Listing<FailureJson>)))]
async fn list(caller: Caller<Read>, params: Params) -> Result<Answer<Listing<FailureJson>>, Problem> {
    let (before, limit) = params.failures_page()?;
    let mut groups = caller.scope().failures(before, limit + 1).await?;
    let more = groups.len() > limit as usize;
    groups.truncate(limit as usize);
    let last = groups.last().filter(|_| more);
    let next_cursor = last.map(|group| write_failure_cursor(group.last_seen_at, &group.fingerprint));
    Ok(Answer(Listing { data: groups.into_iter().map(FailureJson::from).collect(), next_cursor }))
}
