//! `/v1/recipients/{key}/inbox`: what somebody has in their inbox, how much of it is new, and what they did with it.

use axum::Json as Answer;
use postrider_core::{
    domain::{
        Id, UnixMs,
        notification::Notification,
        notification_type::Notice,
        recipient::{Recipient, RecipientKey},
    },
    store::{InboxCounts, InboxFilter, InboxItem, InboxState, Mark},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Needs, Publish, ReadPublished},
    json::{Json, OptionalJson},
    page::{Paging, Params, write_cursor},
    path::{InboxItemAt, Key},
    problem::{Code, Problem},
    recipients,
    state::ApiState,
    wire::{Time, raw},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(counts))
        .routes(routes!(mark))
        .routes(routes!(see_all))
        .routes(routes!(read_all))
}

/// How much is new to somebody.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxCounts)]
pub(crate) struct CountsJson {
    unread: u64,
    unseen: u64,
}

/// A page of somebody's inbox, with how much of all of it is new.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Inbox)]
pub(crate) struct InboxJson {
    data: Vec<ItemJson>,
    next_cursor: Option<String>,
    #[serde(flatten)]
    counts: CountsJson,
}

/// What somebody is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxItem)]
pub(crate) struct ItemJson {
    /// The notification's id: the same however often it is read.
    #[schema(value_type = String)]
    id: Id<Notification>,
    r#type: String,
    category: String,
    /// In their language, as far as the type has it.
    title: String,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[schema(value_type = serde_json::Value)]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    created_at: Time,
    #[serde(flatten)]
    state: StateJson,
}

/// What somebody did with an item.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxItemState)]
pub(crate) struct StateJson {
    /// Its place in the order in which they were told: 1 for the first.
    seq: u64,
    delivered_at: Time,
    seen_at: Option<Time>,
    read_at: Option<Time>,
    archived_at: Option<Time>,
}

/// What is done with an item. What is read was seen, and what is archived was read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InboxMark)]
pub(crate) struct MarkRequest {
    /// Only `true`: what was seen stays seen.
    seen: Option<bool>,
    read: Option<bool>,
    archived: Option<bool>,
}

/// An item as it is now, and how much is new.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarkedInboxItem)]
pub(crate) struct Marked {
    #[schema(value_type = String)]
    id: Id<Notification>,
    #[serde(flatten)]
    state: StateJson,
    #[serde(flatten)]
    counts: CountsJson,
}

/// How far an inbox is marked.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InboxMarkAll)]
pub(crate) struct MarkAllRequest {
    /// `seq` of the newest item that they have before them; absent: all that is there.
    upto_seq: Option<u64>,
}

impl From<InboxCounts> for CountsJson {
    fn from(InboxCounts { unread, unseen }: InboxCounts) -> Self {
        Self { unread, unseen }
    }
}

impl From<InboxState> for StateJson {
    fn from(state: InboxState) -> Self {
        let InboxState { seq, delivered_at, seen_at, read_at, archived_at } = state;
        let [seen_at, read_at, archived_at] = [seen_at, read_at, archived_at].map(|at| at.map(Time));
        Self { seq, delivered_at: Time(delivered_at), seen_at, read_at, archived_at }
    }
}

async fn find<N: Needs>(caller: &Caller<N>, key: &RecipientKey) -> Result<Recipient, Problem> {
    caller.scope().recipient(key).await?.ok_or_else(recipients::missing)
}

/// Lists somebody's inbox, newest first. Without `state`, all that is not archived.
#[utoipa::path(get, path = "/v1/recipients/{key}/inbox", tag = "inbox",
    params(("key" = String, Path), ("state" = Option<String>, Query, description = "`unread` or `archived`."), Paging),
    responses((status = 200, body = InboxJson)))]
async fn list(
    caller: Caller<ReadPublished>,
    Key(key): Key<RecipientKey>,
    mut params: Params,
) -> Result<Answer<InboxJson>, Problem> {
    let filter = params.parsed("state", |text| match text {
        "unread" => Ok(InboxFilter::Unread),
        "archived" => Ok(InboxFilter::Archived),
        other => Err(format!("{other:?} is none of unread and archived")),
    })?;
    let page = params.page()?;
    let recipient = find(&caller, &key).await?;
    let counts = caller.scope().inbox_counts(recipient.id).await?;
    let listed = caller.scope().inbox(recipient.id, filter.unwrap_or(InboxFilter::Current), &page).await?;
    let mut data = Vec::with_capacity(listed.rows.len());
    for item in listed.rows {
        data.push(show(&caller, &recipient, item).await?);
    }
    Ok(Answer(InboxJson { data, next_cursor: listed.next.map(write_cursor), counts: counts.into() }))
}

/// Says how much is new to somebody: for a badge.
#[utoipa::path(get, path = "/v1/recipients/{key}/inbox/counts", tag = "inbox", params(("key" = String, Path)),
    responses((status = 200, body = CountsJson)))]
async fn counts(caller: Caller<ReadPublished>, Key(key): Key<RecipientKey>) -> Result<Answer<CountsJson>, Problem> {
    let recipient = find(&caller, &key).await?;
    Ok(Answer(caller.scope().inbox_counts(recipient.id).await?.into()))
}

/// Marks an item as seen, read or archived, or takes the last two back.
#[utoipa::path(patch, path = "/v1/recipients/{key}/inbox/{id}", tag = "inbox",
    params(("key" = String, Path), ("id" = String, Path)), request_body = MarkRequest,
    responses((status = 200, body = Marked)))]
async fn mark(
    caller: Caller<Publish>,
    InboxItemAt(key, id): InboxItemAt,
    Json(request): Json<MarkRequest>,
) -> Result<Answer<Marked>, Problem> {
    if request.seen == Some(false) {
        let detail = "what was seen stays seen; leave it out, or set read to false";
        return Err(Problem::at(Code::InvalidBody, "/seen", detail));
    }
    let mark = Mark { seen: request.seen.is_some(), read: request.read, archived: request.archived };
    let recipient = find(&caller, &key).await?;
    let marked = caller.scope().mark_inbox_item(recipient.id, id, mark, UnixMs::now()).await?;
    let nothing = || Problem::new(Code::NotFound, "this notification is not in this inbox");
    let (state, counts) = marked.ok_or_else(nothing)?;
    Ok(Answer(Marked { id, state: state.into(), counts: counts.into() }))
}

/// Marks all as seen: what is done when somebody opens their inbox.
#[utoipa::path(post, path = "/v1/recipients/{key}/inbox/see-all", tag = "inbox", params(("key" = String, Path)),
    request_body = MarkAllRequest, responses((status = 200, body = CountsJson)))]
async fn see_all(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    OptionalJson(request): OptionalJson<MarkAllRequest>,
) -> Result<Answer<CountsJson>, Problem> {
    mark_all(&caller, &key, false, request).await
}

/// Marks all as read. What comes meanwhile stays new where `upto_seq` says how far.
#[utoipa::path(post, path = "/v1/recipients/{key}/inbox/read-all", tag = "inbox", params(("key" = String, Path)),
    request_body = MarkAllRequest, responses((status = 200, body = CountsJson)))]
async fn read_all(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    OptionalJson(request): OptionalJson<MarkAllRequest>,
) -> Result<Answer<CountsJson>, Problem> {
    mark_all(&caller, &key, true, request).await
}

async fn mark_all(
    caller: &Caller<Publish>,
    key: &RecipientKey,
    are_read: bool,
    request: MarkAllRequest,
) -> Result<Answer<CountsJson>, Problem> {
    let recipient = find(caller, key).await?;
    let counts = caller.scope().mark_inbox(recipient.id, are_read, request.upto_seq, UnixMs::now()).await?;
    Ok(Answer(counts.into()))
}

async fn show<N: Needs>(caller: &Caller<N>, recipient: &Recipient, item: InboxItem) -> Result<ItemJson, Problem> {
    let InboxItem { of, state } = item;
    let version = caller.api.notified().version(of.of.kind, of.of.version).await?;
    let notice = version.notice(&of, recipient);
    let Notice { title, body, url } = notice.map_err(|error| Problem::new(Code::Internal, error))?;
    Ok(ItemJson {
        id: of.id,
        r#type: of.of.key.to_string(),
        category: of.of.category.to_string(),
        title,
        body,
        url,
        data: raw(of.of.data),
        actor: of.audience.actor.map(|key| key.to_string()),
        created_at: Time(of.created_at),
        state: state.into(),
    })
}
