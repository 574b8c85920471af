//! `/v1/endpoints/portal-link`: a signed link that opens the integrators' portal for a while.

use std::{net::IpAddr, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode, header, uri::Authority},
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
    problem::{Code, Faults, Problem},
    state::ApiState,
    wire::{Time, created},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(portal_link, revoke))
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
/// pause and resume them, rotate their secrets and replay what died. Whoever has the link may, until its time is over or all links are revoked.
#[utoipa::path(post, path = "/v1/endpoints/portal-link", tag = "endpoints", request_body = NewPortalLink,
    responses((status = 201, body = PortalLink)))]
async fn portal_link(
    caller: Caller<Operate>,
    headers: HeaderMap,
    OptionalJson(request): OptionalJson<NewPortalLink>,
) -> Result<Response, Problem> {
    let base = base(&caller, &headers)?;
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
    let epoch = caller.scope().portal_epoch().await?;
    let grant = PortalGrant { tenant: caller.tenant, epoch, expires_at, endpoints: endpoints.unwrap_or_default() };
    let link = caller.api.store().sign_portal(&grant);
    let url = format!("{base}/portal/open?link={link}");
    Ok(created(PortalLink { url, expires_at: Time(expires_at) }))
}

/// Revokes all links to the portal that the tenant has given out by now. They open nothing from then on.
#[utoipa::path(delete, path = "/v1/endpoints/portal-link", tag = "endpoints", responses((status = 204)))]
async fn revoke(caller: Caller<Operate>) -> Result<StatusCode, Problem> {
    caller.scope().revoke_portal_links(UnixMs::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where browsers reach the dashboard: as it is configured, or, on the same machine, by the host that this caller has
/// reached. Anybody can write another host into a request, and the link would carry its grant there.
fn base(caller: &Caller<Operate>, headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(url) = &caller.api.settings().public_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match is_loopback(host) {
        true => Ok(format!("http://{host}")),
        false => Err(Problem::new(
            Code::NoPublicUrl,
            "links need public_url (POSTRIDER_PUBLIC_URL), the address at which browsers reach this server; set it and \
            start again",
        )),
    }
}

/// Whether a `Host` names this machine as seen from itself.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_own_names_are_taken_from_a_request() {
        for own in ["localhost", "LOCALHOST:7077", "127.0.0.1:1", "127.8.8.8", "[::1]:7077"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "a@127.0.0.1x",
            "[::2]",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
