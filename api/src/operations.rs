//! `/v1/operations`: recoveries and bulk replays, their progress and their end.

use std::collections::BTreeMap;

use axum::Json as Answer;
use postrider_core::{
    domain::{Id, UnixMs, endpoint::Endpoint},
    store::{DeadLetterFilter, Left, Operation, OperationKind},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate, Read},
    dead_letters::FilterJson,
    json::{Nothing, OptionalJson},
    path::Ref,
    problem::{Code, Problem},
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(cancel))
}

/// Long work that somebody asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Operation)]
pub(crate) struct OperationJson {
    #[schema(value_type = String)]
    id: Id<Operation>,
    /// `recover_endpoint`, `replay_dead_letters` or `discard_dead_letters`.
    kind: &'static str,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    state: &'static str,
    /// Rows to look at.
    total: Option<u64>,
    /// Rows looked at.
    seen: u64,
    /// Jobs made.
    replayed: u64,
    /// Dead letters discarded.
    discarded: u64,
    /// Rows that were left as they were.
    skipped: u64,
    /// How many of those for each reason: `endpoint_deleted`, `endpoint_disabled`, `delivered`, `pending`, `test`,
    /// `not_wanted` or `payload_gone`.
    #[schema(value_type = BTreeMap<String, u64>)]
    skipped_because: BTreeMap<Left, u64>,
    rate_per_second: Option<u32>,
    error: Option<String>,
    created_at: Time,
    finished_at: Option<Time>,
    /// Of a recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    endpoint_id: Option<Id<Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    /// Of a bulk replay or discard.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilterJson>,
}

impl From<Operation> for OperationJson {
    fn from(operation: Operation) -> Self {
        let name = operation.kind.as_str();
        let (range, filter): (_, Option<DeadLetterFilter>) = match operation.kind {
            OperationKind::RecoverEndpoint { endpoint, since, until } => (Some((endpoint, since, until)), None),
            OperationKind::ReplayDeadLetters { filter } | OperationKind::DiscardDeadLetters { filter, .. } => {
                (None, Some(filter))
            }
        };
        Self {
            id: operation.id,
            kind: name,
            state: operation.state.as_str(),
            total: operation.total,
            seen: operation.seen,
            replayed: operation.replayed,
            discarded: operation.discarded,
            skipped: operation.skipped,
            skipped_because: operation.left,
            rate_per_second: operation.rate_per_second,
            error: operation.error,
            created_at: Time(operation.created_at),
            finished_at: operation.finished_at.map(Time),
            endpoint_id: range.map(|(endpoint, _, _)| endpoint),
            since: range.map(|(_, since, _)| Time(since)),
            until: range.map(|(_, _, until)| Time(until)),
            filter: filter.map(FilterJson::from),
        }
    }
}

/// Shows an operation's progress.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = OperationJson)))]
async fn get(caller: Caller<Read>, Ref(id): Ref<Operation>) -> Result<Answer<OperationJson>, Problem> {
    let operation = caller.scope().operation(id).await?.ok_or_else(|| Problem::not_found("operation"))?;
    Ok(Answer(operation.into()))
}

/// Ends an operation. What it has replayed stays replayed.
#[utoipa::path(post, path = "/v1/operations/{id}/cancel", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = OperationJson)))]
async fn cancel(
    caller: Caller<Operate>,
    Ref(id): Ref<Operation>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<OperationJson>, Problem> {
    let scope = caller.scope();
    let cancelled = scope.cancel_operation(id, UnixMs::now()).await?;
    let operation = scope.operation(id).await?.ok_or_else(|| Problem::not_found("operation"))?;
    if !cancelled {
        let detail = format!("the operation has {}", operation.state.as_str());
        return Err(Problem::new(Code::OperationFinished, detail));
    }
    Ok(Answer(operation.into()))
}
