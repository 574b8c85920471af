//! `/v1/inbox`: an inbox for its owner's browser, which has a token for it and for nothing else. Pages of any site may call it: who
//! has no token gets nothing, and no cookie counts.

use axum::{
    Json as Answer,
    extract::{FromRequestParts, Query, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::options,
};
use postrider_core::{
    domain::{UnixMs, notification::Notification},
    store::NoInbox,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::bearer,
    browser_push,
    inbox::{CountsJson, Inbox, InboxJson, MarkAllRequest, MarkRequest, Marked},
    inbox_stream::{LastEventId, follow},
    json::{Json, OptionalJson},
    page::{Paging, Params},
    path::Ref,
    problem::{Code, Problem},
    recipients,
    state::ApiState,
};

/// For how long a browser need not ask again whether it may call.
const PREFLIGHT_S: &str = "7200";

/// What browsers ask for before they call it.
const PATHS: [&str; 6] =
    ["/v1/inbox", "/v1/inbox/counts", "/v1/inbox/see-all", "/v1/inbox/read-all", "/v1/inbox/stream", "/v1/inbox/{id}"];

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    let paths = PATHS.iter().chain(&browser_push::PATHS);
    let asked = paths.fold(OpenApiRouter::new(), |router, path| router.route(path, options(may_call)));
    asked
        .routes(routes!(list))
        .routes(routes!(counts))
        .routes(routes!(mark))
        .routes(routes!(see_all))
        .routes(routes!(read_all))
        .routes(routes!(stream))
        .merge(browser_push::router())
        .layer(from_fn(for_any_page))
}

/// The inbox of whoever's token it is.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) inbox: Inbox,
    expires_at: UnixMs,
}

/// A token where no header can be sent.
#[derive(Debug, Deserialize)]
struct InQuery {
    token: Option<String>,
}

/// As [`Own`], whose token may stand in the query.
#[derive(Debug)]
pub(crate) struct OwnByQuery(Own);

impl Own {
    async fn of(api: &ApiState, token: &str) -> Result<Self, Problem> {
        let grant = api.store().inbox_grant(token, UnixMs::now()).map_err(|refused| match refused {
            NoInbox::Forged => {
                Problem::new(Code::TokenInvalid, "this is no inbox's token; your product's server makes one")
            }
            NoInbox::Expired => {
                Problem::new(Code::TokenExpired, "the token's time is over; your product's server makes another")
            }
        })?;
        let recipient = api.store().tenant(grant.tenant).recipient_by_id(grant.recipient).await?;
        let recipient = recipient.ok_or_else(recipients::missing)?;
        let inbox = Inbox { api: api.clone(), tenant: grant.tenant, recipient };
        Ok(Self { inbox, expires_at: grant.expires_at })
    }
}

impl FromRequestParts<ApiState> for Own {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        Self::of(api, bearer(&parts.headers)?).await
    }
}

impl FromRequestParts<ApiState> for OwnByQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let query = Query::<InQuery>::try_from_uri(&parts.uri).ok().and_then(|Query(query)| query.token);
        match query {
            Some(token) => Own::of(api, &token).await.map(Self),
            None => Own::from_request_parts(parts, api).await.map(Self),
        }
    }
}

/// Lets pages of any origin call this (Fetch, section 3.3), with tokens that they have themselves.
async fn for_any_page(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// What browsers are told who ask first.
async fn may_call() -> impl IntoResponse {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, last-event-id"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S),
    ];
    (StatusCode::NO_CONTENT, allowed)
}

/// Lists one's own inbox, newest first. Without `state`, all that is not archived.
#[utoipa::path(get, path = "/v1/inbox", tag = "own inbox",
    params(("state" = Option<String>, Query, description = "`unread` or `archived`."), Paging),
    responses((status = 200, body = InboxJson)))]
async fn list(own: Own, params: Params) -> Result<Answer<InboxJson>, Problem> {
    own.inbox.list(params).await.map(Answer)
}

/// Says how much is new: for a badge.
#[utoipa::path(get, path = "/v1/inbox/counts", tag = "own inbox", responses((status = 200, body = CountsJson)))]
async fn counts(own: Own) -> Result<Answer<CountsJson>, Problem> {
    own.inbox.counts().await.map(Answer)
}

/// Marks an item as seen, read or archived, or takes the last two back.
#[utoipa::path(patch, path = "/v1/inbox/{id}", tag = "own inbox", params(("id" = String, Path)),
    request_body = MarkRequest, responses((status = 200, body = Marked)))]
async fn mark(
    own: Own,
    Ref(id): Ref<Notification>,
    Json(request): Json<MarkRequest>,
) -> Result<Answer<Marked>, Problem> {
    own.inbox.mark(id, &request).await.map(Answer)
}

/// Marks all as seen: what is done when the inbox is opened.
#[utoipa::path(post, path = "/v1/inbox/see-all", tag = "own inbox", request_body = MarkAllRequest,
    responses((status = 200, body = CountsJson)))]
async fn see_all(own: Own, OptionalJson(request): OptionalJson<MarkAllRequest>) -> Result<Answer<CountsJson>, Problem> {
    own.inbox.mark_all(false, request).await.map(Answer)
}

/// Marks all as read. What comes meanwhile stays new where `upto_seq` says how far.
#[utoipa::path(post, path = "/v1/inbox/read-all", tag = "own inbox", request_body = MarkAllRequest,
    responses((status = 200, body = CountsJson)))]
async fn read_all(
    own: Own,
    OptionalJson(request): OptionalJson<MarkAllRequest>,
) -> Result<Answer<CountsJson>, Problem> {
    own.inbox.mark_all(true, request).await.map(Answer)
}

/// Says what is new as it comes, by server-sent events, as `GET /v1/recipients/{key}/inbox/stream` does. Ends with the token's time.
#[utoipa::path(get, path = "/v1/inbox/stream", tag = "own inbox",
    params(("token" = Option<String>, Query, description = "Where no header can be sent, as by a browser's EventSource."),
        ("Last-Event-ID" = Option<u64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
async fn stream(OwnByQuery(own): OwnByQuery, after: LastEventId) -> Result<Response, Problem> {
    follow(own.inbox, after, Some(own.expires_at)).await
}
