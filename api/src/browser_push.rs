//! `/v1/inbox/push-…`: how a browser with the token of its owner's inbox has pushes sent to itself.

use axum::{Json as Answer, http::StatusCode, response::Response};
use postrider_core::domain::UnixMs;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    browser_inbox::Own,
    json::{Ignored, Json},
    problem::Problem,
    push_subscriptions::{SubscriptionRequest, removed},
    state::ApiState,
};

/// What browsers ask for before they call it.
pub(crate) const PATHS: [&str; 2] = ["/v1/inbox/push-key", "/v1/inbox/push-subscriptions"];

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(key)).routes(routes!(subscribe, unsubscribe))
}

/// What a browser subscribes with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PushKey)]
pub(crate) struct KeyJson {
    /// `applicationServerKey`: base64url of 65 bytes.
    public_key: String,
}

/// A browser that is to get nothing more. All of its `PushSubscription.toJSON()` is taken, and its address counts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OldPushSubscription)]
#[expect(dead_code, reason = "its address says which it is")]
pub(crate) struct UnsubscribeRequest {
    endpoint: String,
    #[serde(default, rename = "expirationTime")]
    #[schema(value_type = Option<f64>)]
    expiration_time: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    keys: Ignored,
}

/// The key with which a browser subscribes at its push service.
#[utoipa::path(get, path = "/v1/inbox/push-key", tag = "own inbox", responses((status = 200, body = KeyJson)))]
async fn key(own: Own) -> Result<Answer<KeyJson>, Problem> {
    let vapid = own.inbox.scope().vapid(UnixMs::now()).await?;
    Ok(Answer(KeyJson { public_key: vapid.key.public().to_string() }))
}

/// Has pushes sent to this browser, and to nobody else by way of it.
#[utoipa::path(post, path = "/v1/inbox/push-subscriptions", tag = "own inbox", request_body = SubscriptionRequest,
    responses((status = 200, body = crate::push_subscriptions::SubscriptionJson),
        (status = 201, body = crate::push_subscriptions::SubscriptionJson)))]
async fn subscribe(own: Own, Json(request): Json<SubscriptionRequest>) -> Result<Response, Problem> {
    let inbox = &own.inbox;
    request.keep(&inbox.api, &inbox.scope(), inbox.recipient.id).await
}

/// Has no more pushes sent to this browser: for when its owner signs out.
#[utoipa::path(delete, path = "/v1/inbox/push-subscriptions", tag = "own inbox", request_body = UnsubscribeRequest,
    responses((status = 204)))]
async fn unsubscribe(own: Own, Json(request): Json<UnsubscribeRequest>) -> Result<StatusCode, Problem> {
    // As it was stored, which is the parser's form.
    let endpoint = Url::parse(&request.endpoint).map_or(request.endpoint, String::from);
    removed(own.inbox.scope().delete_push_subscription_at(own.inbox.recipient.id, &endpoint).await?)
}
