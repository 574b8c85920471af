//! `/v1/endpoints/portal-link`: a signed link that opens the integrators' portal for a while.

use std::time::Duration;

use axum::{
    http::{HeaderMap, header},
    response::Response,
};
use postrider_core::domain::{
    UnixMs,
    portal::{PORTAL_AGE_DEFAULT, PORTAL_AGE_MAX, PORTAL_ENDPOINTS_MAX, PortalGrant},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate},
    json::OptionalJson,
    problem::{Faults, Problem},
    state::ApiState,
    wire::{Time, created},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(portal_link))
}

/// For how long, and for which endpoints.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPortalLink {
    /// Absent: an hour.
    #[schema(minimum = 1, maximum = 604_800)]
    expires_in_seconds: Option<u64>,
    /// Absent: all of the tenant's, also those that are made later.
    #[schema(min_items = 1, max_items = 100)]
    endpoint_ids: Option<Vec<String>>,
}

/// A link to be given to an integrator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortalLink {
    url: String,
    expires_at: Time,
}

/// Makes a link with which an integrator sees its endpoints, what was sent to them and what they answered, and may test,
/// pause and resume them, rotate their secrets and replay what died. Whoever has the link may; it cannot be taken back.
#[utoipa::path(post, path = "/v1/endpoints/portal-link", tag = "endpoints", request_body = NewPortalLink,
    responses((status = 201, body = PortalLink)))]
async fn portal_link(
    caller: Caller<Operate>,
    headers: HeaderMap,
    OptionalJson(request): OptionalJson<NewPortalLink>,
) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let age = request.expires_in_seconds.map_or(PORTAL_AGE_DEFAULT, Duration::from_secs);
    let fits = !age.is_zero() && age <= PORTAL_AGE_MAX;
    faults.check("/expires_in_seconds", fits, format!("a link is for 1 to {} seconds", PORTAL_AGE_MAX.as_secs()));
    let known = caller.api.store().directory().endpoints(caller.tenant).await?;
    let endpoints = request.endpoint_ids.map(|named| {
        let fits = (1..=PORTAL_ENDPOINTS_MAX).contains(&named.len());
        let detail = format!("name 1 to {PORTAL_ENDPOINTS_MAX} endpoints, or leave it out for all");
        faults.check("/endpoint_ids", fits, detail);
        faults.keep_all("/endpoint_ids", named, |text| {
            let id = text.parse().ok().filter(|id| known.get(*id).is_some());
            id.ok_or_else(|| format!("there is no endpoint {text:?}"))
        })
    });
    faults.result()?;
    let expires_at = UnixMs::now() + age;
    let grant = PortalGrant { tenant: caller.tenant, expires_at, endpoints: endpoints.unwrap_or_default() };
    let link = caller.api.store().sign_portal(&grant);
    let url = format!("{}/portal/open?link={link}", base(&caller, &headers));
    Ok(created(PortalLink { url, expires_at: Time(expires_at) }))
}

/// Where browsers reach the dashboard: as it is configured, or by the host that this caller has reached.
fn base(caller: &Caller<Operate>, headers: &HeaderMap) -> String {
    let configured = caller.api.settings().public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    configured.unwrap_or_else(|| {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        format!("http://{host}")
    })
}
