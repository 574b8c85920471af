//! `/v1/push`: the key that a tenant's pushes are signed with, and whom push services turn to.

use axum::Json as Answer;
use postrider_core::domain::{
    UnixMs,
    vapid::{Subject, Vapid, VapidKey},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate, ReadPublished},
    json::{Ignored, Json},
    problem::{Faults, Problem},
    push_subscriptions,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get, put)).merge(push_subscriptions::router())
}

/// How a tenant pushes. What is shown can be put back as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what nobody sets is not looked at")]
pub(crate) struct PushRequest {
    /// Whom push services turn to: `mailto:` with an e-mail address, or an `https:` address. Absent: nobody, and some push services
    /// refuse pushes then.
    subject: Option<String>,
    /// Base64url of 32 bytes: the private key that subscriptions were made for elsewhere. Absent: the key stays. Push services refuse
    /// pushes to subscriptions that were made with the former one.
    private_key: Option<String>,
    /// That of `private_key`, or without one that of the key which stays, if it is there.
    public_key: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    created_at: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    updated_at: Ignored,
}

/// How a tenant pushes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Push)]
pub(crate) struct PushJson {
    /// Base64url of 65 bytes: the `applicationServerKey` with which browsers subscribe.
    public_key: String,
    /// Whom push services turn to.
    subject: Option<String>,
    created_at: Time,
    updated_at: Time,
}

impl From<Vapid> for PushJson {
    fn from(vapid: Vapid) -> Self {
        Self {
            public_key: vapid.key.public().to_string(),
            subject: vapid.subject.map(String::from),
            created_at: Time(vapid.created_at),
            updated_at: Time(vapid.updated_at),
        }
    }
}

/// Shows the public key that browsers subscribe with. It is made when it is first asked for.
#[utoipa::path(get, path = "/v1/push", tag = "push", responses((status = 200, body = PushJson)))]
async fn get(caller: Caller<ReadPublished>) -> Result<Answer<PushJson>, Problem> {
    Ok(Answer(caller.scope().vapid(UnixMs::now()).await?.into()))
}

/// Sets whom push services turn to, and the key where one is handed in. Of a key that is replaced, all subscriptions have to be made
/// again by their browsers.
#[utoipa::path(put, path = "/v1/push", tag = "push", request_body = PushRequest, responses((status = 200, body = PushJson)))]
async fn put(caller: Caller<Operate>, Json(request): Json<PushRequest>) -> Result<Answer<PushJson>, Problem> {
    let now = UnixMs::now();
    let mut faults = Faults::default();
    let subject = request.subject.and_then(|text| faults.keep("/subject", text.parse::<Subject>()));
    let has_key = request.private_key.is_some();
    let key = request.private_key.and_then(|text| faults.keep("/private_key", VapidKey::parse(&text)));
    if let Some(given) = request.public_key.filter(|_| faults.is_empty()) {
        let public = match &key {
            Some(key) => *key.public(),
            None => *caller.scope().vapid(now).await?.key.public(),
        };
        let words = if has_key { "it is not that of private_key" } else { "it is another key's; set private_key too" };
        faults.check("/public_key", given.trim_end_matches('=') == public.to_string(), words);
    }
    faults.result()?;
    Ok(Answer(caller.scope().put_vapid(subject.as_ref(), key.as_ref(), now).await?.into()))
}
