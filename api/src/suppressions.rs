//! `/v1/suppressions`: e-mail addresses that nothing is sent to, whosever they are.

use axum::{Json as Answer, http::StatusCode};
use postrider_core::domain::{
    UnixMs,
    suppression::{SuppressedAddress, SuppressionCause, judge_reason},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish, ReadPublished},
    json::OptionalJson,
    page::{Listing, Paging, Params, write_keys_cursor},
    path::Address,
    problem::{Faults, Problem},
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, delete))
}

/// Why nothing is sent to an address any more.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSuppression)]
pub(crate) struct SuppressionRequest {
    /// `bounce`, `complaint` or `manual`, which it is where nobody says.
    cause: Option<String>,
    /// In words, 500 characters at most; absent: the cause's.
    reason: Option<String>,
}

/// An address that nothing is sent to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Suppression)]
pub(crate) struct SuppressionJson {
    address: String,
    /// `bounce`, `complaint` or `manual`.
    cause: &'static str,
    reason: String,
    created_at: Time,
}

impl From<SuppressedAddress> for SuppressionJson {
    fn from(of: SuppressedAddress) -> Self {
        let SuppressedAddress { address, cause, reason, created_at } = of;
        Self { address: address.into(), cause: cause.as_str(), reason, created_at: Time(created_at) }
    }
}

fn missing() -> Problem {
    Problem::not_found("suppression of this address")
}

/// Lists the addresses that nothing is sent to.
#[utoipa::path(get, path = "/v1/suppressions", tag = "suppressions", params(Paging),
    responses((status = 200, body = Listing<SuppressionJson>)))]
async fn list(caller: Caller<ReadPublished>, params: Params) -> Result<Answer<Listing<SuppressionJson>>, Problem> {
    let (found, next) = caller.scope().suppressions("", &params.key_page()?).await?;
    let next_cursor = next.map(|address| write_keys_cursor([address.as_str()]));
    Ok(Answer(Listing { data: found.into_iter().map(SuppressionJson::from).collect(), next_cursor }))
}

/// Says why nothing is sent to an address.
#[utoipa::path(get, path = "/v1/suppressions/{address}", tag = "suppressions", params(("address" = String, Path)),
    responses((status = 200, body = SuppressionJson)))]
async fn get(caller: Caller<ReadPublished>, Address(address): Address) -> Result<Answer<SuppressionJson>, Problem> {
    let found = caller.scope().suppression(&address).await?.ok_or_else(missing)?;
    Ok(Answer(found.into()))
}

/// Sends nothing to an address any more, for whoever has it: what a mail provider's report of a bounce or a complaint comes to.
#[utoipa::path(put, path = "/v1/suppressions/{address}", tag = "suppressions", params(("address" = String, Path)),
    request_body = SuppressionRequest, responses((status = 200, body = SuppressionJson)))]
async fn put(
    caller: Caller<Publish>,
    Address(address): Address,
    OptionalJson(request): OptionalJson<SuppressionRequest>,
) -> Result<Answer<SuppressionJson>, Problem> {
    let mut faults = Faults::default();
    let cause = request.cause.map_or(Some(SuppressionCause::Manual), |text| faults.keep("/cause", text.parse()));
    if let Some(reason) = &request.reason {
        faults.keep("/reason", judge_reason(reason));
    }
    let Some(cause) = cause.filter(|_| faults.is_empty()) else { return Err(faults.problem()) };
    let reason = request.reason.unwrap_or_else(|| cause.usual_reason().to_owned());
    let put = caller.scope().put_suppression(&address, cause, &reason, UnixMs::now()).await?;
    Ok(Answer(put.into()))
}

/// Lets mail go to an address again.
#[utoipa::path(delete, path = "/v1/suppressions/{address}", tag = "suppressions", params(("address" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Publish>, Address(address): Address) -> Result<StatusCode, Problem> {
    match caller.scope().lift_suppression(&address).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing()),
    }
}
