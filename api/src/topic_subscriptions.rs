//! `/v1/topics/{key}/subscriptions`: who subscribes to what, one at a time or many.

use std::collections::BTreeMap;

use axum::{Json as Answer, http::StatusCode};
use postrider_core::{
    domain::{
        Id, UnixMs,
        recipient::{Recipient, RecipientKey},
        topic::{Topic, TopicKey},
    },
    store::{Subscriber, SubscriptionChanges, SubscriptionsChanged},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish, ReadPublished},
    json::{Json, Nothing, OptionalJson},
    page::{Listing, Paging, Params},
    path::{Key, RecipientAt},
    problem::{Code, Faults, Problem},
    recipients,
    state::ApiState,
    topics::{TopicJson, find, missing},
};

/// Changes of one batch.
const BATCH_CHANGES_MAX: usize = 1_000;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_subscriptions))
        .routes(routes!(subscribe, unsubscribe))
        .routes(routes!(change_subscriptions))
        .routes(routes!(list_topics))
}

/// Who subscribes from now on, and who does so no more; up to 1,000 in all, nobody in both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionBatch {
    /// Keys of recipients; one that is not known is made.
    subscribe: Option<Vec<String>>,
    /// Keys of recipients; one that is not known, or does not subscribe, is passed over.
    unsubscribe: Option<Vec<String>>,
}

/// What came of a change of subscriptions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubscriptionsChanged)]
pub(crate) struct ChangedJson {
    /// Subscriptions that are new.
    subscribed: u64,
    /// Subscriptions that are gone.
    unsubscribed: u64,
    /// Recipients who were not known before.
    recipients_created: u64,
    /// Who subscribe to the topic now.
    subscribers: u64,
}

/// Somebody who subscribes to a topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionJson {
    /// Their key.
    recipient: String,
    #[schema(value_type = String)]
    recipient_id: Id<Recipient>,
}

impl From<SubscriptionsChanged> for ChangedJson {
    fn from(changed: SubscriptionsChanged) -> Self {
        let SubscriptionsChanged { subscribed, unsubscribed, recipients_created, subscribers } = changed;
        Self { subscribed, unsubscribed, recipients_created, subscribers }
    }
}

impl From<Subscriber> for SubscriptionJson {
    fn from(Subscriber { id, key }: Subscriber) -> Self {
        Self { recipient: key.to_string(), recipient_id: id }
    }
}

impl SubscriptionBatch {
    fn check(self) -> Result<SubscriptionChanges, Problem> {
        let (subscribe, unsubscribe) = (self.subscribe.unwrap_or_default(), self.unsubscribe.unwrap_or_default());
        let count = subscribe.len() + unsubscribe.len();
        if count > BATCH_CHANGES_MAX {
            let detail = format!("a batch has at most {BATCH_CHANGES_MAX} keys in all, not {count}");
            return Err(Problem::at(Code::BatchTooLarge, "", detail));
        }
        let (mut changes, mut faults) = (SubscriptionChanges::new(), Faults::default());
        for (list, keys, subscribes) in [("/subscribe", subscribe, true), ("/unsubscribe", unsubscribe, false)] {
            for (place, key) in keys.into_iter().enumerate() {
                let pointer = format!("{list}/{place}");
                let Some(key) = faults.keep(&pointer, key.parse::<RecipientKey>()) else { continue };
                if changes.insert(key, subscribes).is_some_and(|before| before != subscribes) {
                    faults.add(&pointer, "it is to subscribe as well; leave one of the two out");
                }
            }
        }
        faults.result().map(|()| changes)
    }
}

/// Stores changes of a topic's subscriptions.
///
/// # Errors
/// 404 where the topic was removed meanwhile.
pub(crate) async fn store(
    caller: &Caller<Publish>,
    topic: &Topic,
    changes: &SubscriptionChanges,
) -> Result<SubscriptionsChanged, Problem> {
    caller.scope().change_subscriptions(topic, changes, UnixMs::now()).await?.ok_or_else(missing)
}

/// Subscribes somebody, who is made where nobody is known by this key.
#[utoipa::path(put, path = "/v1/topics/{key}/subscriptions/{recipient}", tag = "topics",
    params(("key" = String, Path), ("recipient" = String, Path)), responses((status = 200, body = ChangedJson)))]
async fn subscribe(
    caller: Caller<Publish>,
    RecipientAt(key, recipient): RecipientAt<TopicKey>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<ChangedJson>, Problem> {
    let topic = find(&caller, &key).await?;
    Ok(Answer(store(&caller, &topic, &BTreeMap::from([(recipient, true)])).await?.into()))
}

/// Ends somebody's subscription.
#[utoipa::path(delete, path = "/v1/topics/{key}/subscriptions/{recipient}", tag = "topics",
    params(("key" = String, Path), ("recipient" = String, Path)), responses((status = 204)))]
async fn unsubscribe(
    caller: Caller<Publish>,
    RecipientAt(key, recipient): RecipientAt<TopicKey>,
) -> Result<StatusCode, Problem> {
    let topic = find(&caller, &key).await?;
    match store(&caller, &topic, &BTreeMap::from([(recipient, false)])).await?.unsubscribed {
        0 => Err(Problem::not_found("subscription")),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Changes up to 1,000 subscriptions in one commit. The same batch again changes nothing.
#[utoipa::path(post, path = "/v1/topics/{key}/subscriptions/batch", tag = "topics", params(("key" = String, Path)),
    request_body = SubscriptionBatch, responses((status = 200, body = ChangedJson)))]
async fn change_subscriptions(
    caller: Caller<Publish>,
    Key(key): Key<TopicKey>,
    Json(request): Json<SubscriptionBatch>,
) -> Result<Answer<ChangedJson>, Problem> {
    let topic = find(&caller, &key).await?;
    Ok(Answer(store(&caller, &topic, &request.check()?).await?.into()))
}

/// Lists who subscribes to a topic, those first who were made known last.
#[utoipa::path(get, path = "/v1/topics/{key}/subscriptions", tag = "topics", params(("key" = String, Path), Paging),
    responses((status = 200, body = Listing<SubscriptionJson>)))]
async fn list_subscriptions(
    caller: Caller<ReadPublished>,
    Key(key): Key<TopicKey>,
    params: Params,
) -> Result<Answer<Listing<SubscriptionJson>>, Problem> {
    let topic = find(&caller, &key).await?;
    let listed = caller.scope().subscribers(&topic, &params.page()?).await?;
    Ok(Answer(Listing::of(listed, SubscriptionJson::from)))
}

/// Lists what somebody subscribes to, the newest topic first.
#[utoipa::path(get, path = "/v1/recipients/{key}/topics", tag = "recipients", params(("key" = String, Path), Paging),
    responses((status = 200, body = Listing<TopicJson>)))]
async fn list_topics(
    caller: Caller<ReadPublished>,
    Key(key): Key<RecipientKey>,
    params: Params,
) -> Result<Answer<Listing<TopicJson>>, Problem> {
    let recipient = caller.scope().recipient(&key).await?.ok_or_else(recipients::missing)?;
    let listed = caller.scope().topics_of(&recipient, &params.page()?).await?;
    Ok(Answer(Listing::of(listed, TopicJson::from)))
}
