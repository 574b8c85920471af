//! `/v1/recipients/{key}/push-subscriptions`: somebody's browsers, as these describe themselves. [`crate::browser_push`] has the same
//! for the browsers.

use std::time::Duration;

use axum::{Json as Answer, http::StatusCode, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        egress::EgressPolicy,
        push::{NewPushSubscription, PushKeys, PushSubscription, parse_auth, parse_push_endpoint},
        recipient::{Recipient, RecipientKey},
    },
    store::Scope,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish, ReadPublished},
    json::{Json, Object},
    page::Listing,
    path::{Key, OfRecipient},
    problem::{Faults, Problem},
    recipients,
    state::ApiState,
    wire::{Time, kept},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list, subscribe)).routes(routes!(unsubscribe))
}

/// A browser's subscription, as its `PushSubscription.toJSON()` says it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPushSubscription)]
pub(crate) struct SubscriptionRequest {
    /// An `https:` address of the browser's push service.
    endpoint: String,
    /// Milliseconds since 1970, where the subscription ends by itself.
    #[serde(rename = "expirationTime")]
    expiration_time: Option<f64>,
    #[schema(value_type = SubscriptionKeys)]
    keys: Object<SubscriptionKeys>,
}

/// What texts for a browser are encrypted with, in base64url.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushSubscriptionKeys)]
pub(crate) struct SubscriptionKeys {
    /// The browser's public key: 65 bytes, a point of the curve P-256.
    p256dh: String,
    /// 16 bytes.
    auth: String,
}

/// A browser of somebody.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PushSubscription)]
pub(crate) struct SubscriptionJson {
    #[schema(value_type = String)]
    id: Id<PushSubscription>,
    endpoint: String,
    /// When it ends by itself.
    expires_at: Option<Time>,
    created_at: Time,
    /// When it was last handed in.
    updated_at: Time,
}

impl From<PushSubscription> for SubscriptionJson {
    fn from(subscription: PushSubscription) -> Self {
        Self {
            id: subscription.id,
            endpoint: subscription.endpoint.as_str().to_owned(),
            expires_at: subscription.expires_at.map(Time),
            created_at: Time(subscription.created_at),
            updated_at: Time(subscription.updated_at),
        }
    }
}

impl SubscriptionRequest {
    fn check(self, egress: &EgressPolicy) -> Result<NewPushSubscription, Problem> {
        let mut faults = Faults::default();
        let endpoint = faults.keep("/endpoint", parse_push_endpoint(&self.endpoint, egress));
        let expires_at = self.expiration_time.map(|ms| {
            let since_1970 = Duration::try_from_secs_f64(ms / 1000.0).map(|time| UnixMs(0) + time);
            faults.keep("/expirationTime", since_1970.map_err(|_| "it is no time in milliseconds since 1970"))
        });
        let Object(keys) = self.keys;
        let p256dh = faults.keep("/keys/p256dh", keys.p256dh.parse());
        let auth = faults.keep("/keys/auth", parse_auth(&keys.auth));
        match (endpoint, p256dh, auth) {
            (Some(endpoint), Some(p256dh), Some(auth)) if faults.is_empty() => {
                let keys = PushKeys::new(p256dh, auth);
                Ok(NewPushSubscription { endpoint, keys, expires_at: expires_at.flatten() })
            }
            _ => Err(faults.problem()),
        }
    }

    /// Keeps it as this recipient's.
    pub(crate) async fn keep(self, api: &ApiState, scope: &Scope<'_>, of: Id<Recipient>) -> Result<Response, Problem> {
        let new = self.check(&api.settings().egress)?;
        let put = scope.put_push_subscription(of, &new, UnixMs::now()).await?;
        let (subscription, is_new) = put.ok_or_else(recipients::missing)?;
        let answer = SubscriptionJson::from(subscription);
        Ok(kept(answer, is_new))
    }
}

pub(crate) fn removed(was_there: bool) -> Result<StatusCode, Problem> {
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("push subscription")) }
}

/// Lists somebody's browsers, the one first that was handed in last.
#[utoipa::path(get, path = "/v1/recipients/{key}/push-subscriptions", tag = "push", params(("key" = String, Path)),
    responses((status = 200, body = Listing<SubscriptionJson>)))]
async fn list(
    caller: Caller<ReadPublished>,
    Key(key): Key<RecipientKey>,
) -> Result<Answer<Listing<SubscriptionJson>>, Problem> {
    let of = caller.scope().recipient(&key).await?.ok_or_else(recipients::missing)?.id;
    let found = caller.scope().push_subscriptions(of).await?;
    Ok(Answer(Listing { data: found.into_iter().map(SubscriptionJson::from).collect(), next_cursor: None }))
}

/// Keeps a browser as somebody's, also where it was another's before. Of more than 20 the one goes that was not handed in for the
/// longest.
#[utoipa::path(post, path = "/v1/recipients/{key}/push-subscriptions", tag = "push", params(("key" = String, Path)),
    request_body = SubscriptionRequest,
    responses((status = 200, body = SubscriptionJson), (status = 201, body = SubscriptionJson)))]
async fn subscribe(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    Json(request): Json<SubscriptionRequest>,
) -> Result<Response, Problem> {
    let of = caller.scope().recipient(&key).await?.ok_or_else(recipients::missing)?.id;
    request.keep(&caller.api, &caller.scope(), of).await
}

/// Forgets a browser of somebody.
#[utoipa::path(delete, path = "/v1/recipients/{key}/push-subscriptions/{id}", tag = "push",
    params(("key" = String, Path), ("id" = String, Path)), responses((status = 204)))]
async fn unsubscribe(
    caller: Caller<Publish>,
    OfRecipient(key, id): OfRecipient<PushSubscription>,
) -> Result<StatusCode, Problem> {
    let of = caller.scope().recipient(&key).await?.ok_or_else(recipients::missing)?.id;
    removed(caller.scope().delete_push_subscription(of, id).await?)
}
