//! `/v1/recipients/{key}/inbox`: what somebody has in their inbox, how much of it is new, and what they did with it.
//! [`crate::browser_inbox`] has the same for their browser.

use std::time::Duration;

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        inbox_grant::InboxGrant,
        notification::Notification,
        notification_type::Notice,
        recipient::{Recipient, RecipientKey},
        tenant::Tenant,
    },
    live::News,
    store::{InboxCounts, InboxFilter, InboxItem, InboxState, Mark, Scope, Told},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Needs, Publish, ReadPublished},
    inbox_stream::{LastEventId, follow},
    json::{Json, OptionalJson},
    page::{Paging, Params, write_cursor},
    path::{Key, OfRecipient},
    problem::{Code, Problem},
    recipients,
    state::ApiState,
    wire::{Time, created, raw},
};

/// For how long a browser's token is valid: where nobody says, and at most.
const TOKEN_TTL_DEFAULT_S: u64 = 3_600;
const TOKEN_TTL_MAX_S: u64 = 24 * 3_600;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(counts))
        .routes(routes!(mark))
        .routes(routes!(see_all))
        .routes(routes!(read_all))
        .routes(routes!(stream))
        .routes(routes!(token))
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

/// For how long a browser may see an inbox.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InboxTokenRequest)]
pub(crate) struct TokenRequest {
    /// 1 to 86,400; absent: 3,600.
    ttl_seconds: Option<u64>,
}

/// What a browser shows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxToken)]
pub(crate) struct TokenJson {
    /// For `Authorization: Bearer`, or `?token=` where a browser's EventSource sends no headers.
    token: String,
    expires_at: Time,
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

/// Somebody's inbox, for whoever may see it.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) api: ApiState,
    pub(crate) tenant: Id<Tenant>,
    pub(crate) recipient: Recipient,
}

impl Inbox {
    async fn of<N: Needs>(caller: Caller<N>, key: &RecipientKey) -> Result<Self, Problem> {
        let recipient = caller.scope().recipient(key).await?.ok_or_else(recipients::missing)?;
        Ok(Self { tenant: caller.tenant, api: caller.api, recipient })
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        self.api.store().tenant(self.tenant)
    }

    pub(crate) async fn list(&self, mut params: Params) -> Result<InboxJson, Problem> {
        let filter = params.parsed("state", |text| match text {
            "unread" => Ok(InboxFilter::Unread),
            "archived" => Ok(InboxFilter::Archived),
            other => Err(format!("{other:?} is none of unread and archived")),
        })?;
        let page = params.page()?;
        let counts = self.scope().inbox_state(self.recipient.id).await?.counts;
        let filter = filter.unwrap_or(InboxFilter::Current);
        let listed = self.scope().inbox(self.recipient.id, filter, &page).await?;
        let mut data = Vec::with_capacity(listed.rows.len());
        for item in listed.rows {
            data.push(self.show(item).await?);
        }
        Ok(InboxJson { data, next_cursor: listed.next.map(write_cursor), counts: counts.into() })
    }

    pub(crate) async fn counts(&self) -> Result<CountsJson, Problem> {
        Ok(self.scope().inbox_state(self.recipient.id).await?.counts.into())
    }

    pub(crate) async fn mark(&self, id: Id<Notification>, request: &MarkRequest) -> Result<Marked, Problem> {
        if request.seen == Some(false) {
            let detail = "what was seen stays seen; leave it out, or set read to false";
            return Err(Problem::at(Code::InvalidBody, "/seen", detail));
        }
        let mark = Mark { seen: request.seen.is_some(), read: request.read, archived: request.archived };
        let marked = self.scope().mark_inbox_item(self.recipient.id, id, mark, UnixMs::now()).await?;
        let nothing = || Problem::new(Code::NotFound, "this notification is not in this inbox");
        let (state, told) = marked.ok_or_else(nothing)?;
        Ok(Marked { id, state: state.into(), counts: self.told(told).await })
    }

    pub(crate) async fn mark_all(&self, are_read: bool, request: MarkAllRequest) -> Result<CountsJson, Problem> {
        let told = self.scope().mark_inbox(self.recipient.id, are_read, request.upto_seq, UnixMs::now()).await?;
        Ok(self.told(told).await)
    }

    /// Their other windows show it too.
    async fn told(&self, told: Told) -> CountsJson {
        self.api.live().tell(News { notification: None, at: UnixMs::now(), told: vec![told] }).await;
        told.counts.into()
    }

    /// An item in their language.
    pub(crate) async fn show(&self, item: InboxItem) -> Result<ItemJson, Problem> {
        let InboxItem { of, state } = item;
        let version = self.api.notified().version(of.of.kind, of.of.version).await?;
        let notice = version.notice(&of, &self.recipient);
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
}

/// Lists somebody's inbox, newest first. Without `state`, all that is not archived.
#[utoipa::path(get, path = "/v1/recipients/{key}/inbox", tag = "inbox",
    params(("key" = String, Path), ("state" = Option<String>, Query, description = "`unread` or `archived`."), Paging),
    responses((status = 200, body = InboxJson)))]
async fn list(
    caller: Caller<ReadPublished>,
    Key(key): Key<RecipientKey>,
    params: Params,
) -> Result<Answer<InboxJson>, Problem> {
    Inbox::of(caller, &key).await?.list(params).await.map(Answer)
}

/// Says how much is new to somebody: for a badge.
#[utoipa::path(get, path = "/v1/recipients/{key}/inbox/counts", tag = "inbox", params(("key" = String, Path)),
    responses((status = 200, body = CountsJson)))]
async fn counts(caller: Caller<ReadPublished>, Key(key): Key<RecipientKey>) -> Result<Answer<CountsJson>, Problem> {
    Inbox::of(caller, &key).await?.counts().await.map(Answer)
}

/// Marks an item as seen, read or archived, or takes the last two back.
#[utoipa::path(patch, path = "/v1/recipients/{key}/inbox/{id}", tag = "inbox",
    params(("key" = String, Path), ("id" = String, Path)), request_body = MarkRequest,
    responses((status = 200, body = Marked)))]
async fn mark(
    caller: Caller<Publish>,
    OfRecipient(key, id): OfRecipient<Notification>,
    Json(request): Json<MarkRequest>,
) -> Result<Answer<Marked>, Problem> {
    Inbox::of(caller, &key).await?.mark(id, &request).await.map(Answer)
}

/// Marks all as seen: what is done when somebody opens their inbox.
#[utoipa::path(post, path = "/v1/recipients/{key}/inbox/see-all", tag = "inbox", params(("key" = String, Path)),
    request_body = MarkAllRequest, responses((status = 200, body = CountsJson)))]
async fn see_all(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    OptionalJson(request): OptionalJson<MarkAllRequest>,
) -> Result<Answer<CountsJson>, Problem> {
    Inbox::of(caller, &key).await?.mark_all(false, request).await.map(Answer)
}

/// Marks all as read. What comes meanwhile stays new where `upto_seq` says how far.
#[utoipa::path(post, path = "/v1/recipients/{key}/inbox/read-all", tag = "inbox", params(("key" = String, Path)),
    request_body = MarkAllRequest, responses((status = 200, body = CountsJson)))]
async fn read_all(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    OptionalJson(request): OptionalJson<MarkAllRequest>,
) -> Result<Answer<CountsJson>, Problem> {
    Inbox::of(caller, &key).await?.mark_all(true, request).await.map(Answer)
}

/// Says what is new in somebody's inbox as it comes, by server-sent events: `counts` whenever they change, `item` with each item,
/// whose id is its `seq`, and `gone` with the `id` of one that a newer one took the place of. `Last-Event-ID` goes on after it; `reload`
/// says that more was missed than is sent here.
#[utoipa::path(get, path = "/v1/recipients/{key}/inbox/stream", tag = "inbox",
    params(("key" = String, Path), ("Last-Event-ID" = Option<u64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
async fn stream(
    caller: Caller<ReadPublished>,
    Key(key): Key<RecipientKey>,
    after: LastEventId,
) -> Result<Response, Problem> {
    follow(Inbox::of(caller, &key).await?, after, None).await
}

/// Makes a token with which somebody's browser sees and marks their inbox, and nothing else.
#[utoipa::path(post, path = "/v1/recipients/{key}/inbox/token", tag = "inbox", params(("key" = String, Path)),
    request_body = TokenRequest, responses((status = 201, body = TokenJson)))]
async fn token(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    OptionalJson(request): OptionalJson<TokenRequest>,
) -> Result<Response, Problem> {
    let inbox = Inbox::of(caller, &key).await?;
    let seconds = request.ttl_seconds.unwrap_or(TOKEN_TTL_DEFAULT_S);
    if !(1..=TOKEN_TTL_MAX_S).contains(&seconds) {
        let detail = format!("a token is valid for 1 to {TOKEN_TTL_MAX_S} seconds");
        return Err(Problem::at(Code::InvalidBody, "/ttl_seconds", detail));
    }
    let expires_at = UnixMs::now() + Duration::from_secs(seconds);
    let grant = InboxGrant { tenant: inbox.tenant, recipient: inbox.recipient.id, expires_at };
    Ok(created(TokenJson { token: inbox.api.store().sign_inbox(&grant), expires_at: Time(expires_at) }))
}
