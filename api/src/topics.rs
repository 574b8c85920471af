//! `/v1/topics`: what people subscribe to.

use axum::{Json as Answer, http::StatusCode, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        line::judge_line,
        topic::{Topic, TopicKey},
    },
    notify::Condition,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Needs, Publish, ReadPublished},
    json::{Ignored, OptionalJson, present},
    page::{Listing, Paging, Params, write_keys_cursor},
    path::{ANOTHER_KEY, Key},
    problem::{Faults, Problem},
    state::ApiState,
    topic_import, topic_subscriptions,
    wire::{Time, kept},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, get, delete))
        .merge(topic_subscriptions::router())
        .merge(topic_import::router())
}

/// What a topic is called. What is shown of one can be put back as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what nobody sets is not looked at")]
pub(crate) struct TopicRequest {
    /// That of the path, if it is there.
    key: Option<String>,
    /// For people; absent: the one that it has, and that of a new one is its key.
    name: Option<String>,
    /// For whom of its subscribers notifications are: an expression as templates have them, of 1,024 bytes at most, which knows
    /// `recipient` (`key`, `locale`, `time_zone`, `attributes`) and the notification's `data`, as in
    /// `recipient.attributes.plan == 'pro'`. Where it names what is not there, it does not hold. null: for all; absent: as it is.
    #[serde(default, deserialize_with = "present")]
    condition: Option<Option<String>>,
    #[serde(default)]
    #[schema(value_type = Option<String>, read_only)]
    id: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<u64>, read_only)]
    subscribers: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    created_at: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    updated_at: Ignored,
}

/// Something that people subscribe to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Topic)]
pub(crate) struct TopicJson {
    #[schema(value_type = String)]
    id: Id<Topic>,
    key: String,
    name: String,
    /// For whom of its subscribers notifications are; null: for all.
    condition: Option<String>,
    subscribers: u64,
    created_at: Time,
    updated_at: Time,
}

impl From<Topic> for TopicJson {
    fn from(topic: Topic) -> Self {
        let Topic { id, key, name, condition, subscribers, created_at, updated_at } = topic;
        let (created_at, updated_at) = (Time(created_at), Time(updated_at));
        Self { id, key: key.to_string(), name, condition, subscribers, created_at, updated_at }
    }
}

pub(crate) fn missing() -> Problem {
    Problem::not_found("topic")
}

/// The caller's topic of this key.
///
/// # Errors
/// 404 where there is none.
pub(crate) async fn find<N: Needs>(caller: &Caller<N>, key: &TopicKey) -> Result<Topic, Problem> {
    caller.scope().topic(key).await?.ok_or_else(missing)
}

/// Names a topic, or makes it. Its subscriptions stay.
#[utoipa::path(put, path = "/v1/topics/{key}", tag = "topics", params(("key" = String, Path)), request_body = TopicRequest,
    responses((status = 200, body = TopicJson), (status = 201, body = TopicJson)))]
async fn put(
    caller: Caller<Publish>,
    Key(key): Key<TopicKey>,
    OptionalJson(request): OptionalJson<TopicRequest>,
) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let is_same = request.key.is_none_or(|given| given == key.as_str());
    faults.check("/key", is_same, ANOTHER_KEY);
    if let Some(fault) = request.name.as_deref().and_then(|name| judge_line(name).err()) {
        faults.add("/name", format_args!("a name {fault}"));
    }
    if let Some(condition) = request.condition.as_ref().and_then(Option::as_deref) {
        faults.keep("/condition", Condition::new(condition));
    }
    faults.result()?;
    let condition = request.condition.as_ref().map(Option::as_deref);
    let (topic, is_new) = caller.scope().put_topic(&key, request.name.as_deref(), condition, UnixMs::now()).await?;
    let answer = TopicJson::from(topic);
    Ok(kept(answer, is_new))
}

/// Shows a topic.
#[utoipa::path(get, path = "/v1/topics/{key}", tag = "topics", params(("key" = String, Path)),
    responses((status = 200, body = TopicJson)))]
async fn get(caller: Caller<ReadPublished>, Key(key): Key<TopicKey>) -> Result<Answer<TopicJson>, Problem> {
    Ok(Answer(find(&caller, &key).await?.into()))
}

/// Removes a topic with its subscriptions. Who subscribed to it stays known.
#[utoipa::path(delete, path = "/v1/topics/{key}", tag = "topics", params(("key" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Publish>, Key(key): Key<TopicKey>) -> Result<StatusCode, Problem> {
    let topic = find(&caller, &key).await?;
    caller.scope().delete_topic(&topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists topics by key.
#[utoipa::path(get, path = "/v1/topics", tag = "topics", params(Paging),
    responses((status = 200, body = Listing<TopicJson>)))]
async fn list(caller: Caller<ReadPublished>, params: Params) -> Result<Answer<Listing<TopicJson>>, Problem> {
    let (found, next) = caller.scope().topics(&params.key_page()?).await?;
    let next_cursor = next.map(|key| write_keys_cursor([key.as_str()]));
    Ok(Answer(Listing { data: found.into_iter().map(TopicJson::from).collect(), next_cursor }))
}
