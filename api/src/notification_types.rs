//! `/v1/notification-types`: what people are told of, and how it reads. Previews are in `notification_preview`.

use std::collections::BTreeMap;

use axum::{
    Json as Answer,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        locale::Locale,
        notification_type::{
            Channels, Definition, Mail, Notice, NotificationType, TYPES_PER_TENANT_MAX, ToEndpoints, TypeKey, Urgency,
        },
        preferences::Channel,
    },
    notify::CompiledType,
    store::{ListedType, PutType},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate, ReadPublished},
    json::{Ignored, Json, Object, escape},
    notification_preview,
    notification_workflow::{MailDigest, NoticeDigest, ThrottleJson, mails, notices},
    own_object::{Named, OwnObject},
    page::{Listing, Paging, Params, write_keys_cursor},
    path::{ANOTHER_KEY, Key},
    problem::{Code, Faults, Problem},
    state::ApiState,
    wire::{Time, created},
};

/// What a type is called that has neither name nor key yet.
const UNNAMED: &str = "unnamed";

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, get, delete)).merge(notification_preview::router())
}

/// A type of notifications. What is shown of one can be put back as it is. Templates are Jinja; they know `data`, which is the notification's own, and `recipient` with `key`,
/// `locale`, `time_zone` and `attributes`. Whatever they name of `data` has to be in `sample`, or have a default in the template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationTypeRequest)]
#[expect(dead_code, reason = "what nobody sets is not looked at")]
pub(crate) struct TypeRequest {
    /// For people; absent: as its key.
    name: Option<String>,
    /// What recipients' preferences are by: 1 to 64 of `a-z`, `0-9`, `_`, `.` and `-`.
    category: String,
    /// `high`, `normal` or `low`; absent: `normal`.
    urgency: Option<String>,
    /// The language of whoever has none of those that there are templates in, as in `en`. Each channel has templates in it.
    default_locale: String,
    #[schema(value_type = ChannelsJson)]
    channels: Object<ChannelsJson>,
    /// The data of an example, 16 KiB at most; absent: none.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    sample: Option<OwnObject>,
    /// That of the path, if it is there.
    key: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, read_only)]
    id: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<u32>, read_only)]
    version: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    created_at: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    updated_at: Ignored,
}

/// What is said by which channel; one at least.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationChannels)]
pub(crate) struct ChannelsJson {
    #[schema(value_type = Option<NoticeChannel>)]
    inbox: Option<Object<NoticeChannel>>,
    #[schema(value_type = Option<NoticeChannel>)]
    push: Option<Object<NoticeChannel>>,
    #[schema(value_type = Option<MailChannel>)]
    email: Option<Object<MailChannel>>,
    #[schema(value_type = Option<WebhookChannel>)]
    webhook: Option<Object<WebhookChannel>>,
}

/// An event to the endpoints that subscribe to its type, one for each notification; it has no templates.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChannel {
    /// 1 to 128 of `a-z`, `0-9`, `_`, `.` and `-`; absent: the key of the notification type.
    event_type: Option<String>,
}

/// Templates by language, 50 at most, and how it tells people.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeChannel {
    #[schema(value_type = BTreeMap<String, NoticeJson>)]
    pub(crate) templates: Named<NoticeJson>,
    /// Seconds that people have to see it in their inbox before this channel reaches them; who has seen it by then is suppressed as
    /// `seen`. Where a notification goes without the inbox it is not waited. Absent: they are reached at once.
    pub(crate) only_if_unseen_for_s: Option<u32>,
    #[schema(value_type = Option<ThrottleJson>)]
    pub(crate) throttle: Option<Object<ThrottleJson>>,
    #[schema(value_type = Option<NoticeDigest>)]
    pub(crate) digest: Option<Object<NoticeDigest>>,
}

/// Templates by language, 50 at most, and how it tells people.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailChannel {
    #[schema(value_type = BTreeMap<String, MailJson>)]
    pub(crate) templates: Named<MailJson>,
    /// Seconds that people have to see it in their inbox before this channel reaches them; who has seen it by then is suppressed as
    /// `seen`. Where a notification goes without the inbox it is not waited. Absent: they are reached at once.
    pub(crate) only_if_unseen_for_s: Option<u32>,
    #[schema(value_type = Option<ThrottleJson>)]
    pub(crate) throttle: Option<Object<ThrottleJson>>,
    #[schema(value_type = Option<MailDigest>)]
    pub(crate) digest: Option<Object<MailDigest>>,
}

/// What stands in an inbox or is pushed: as templates of 64 KiB at most, or as it comes out of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Notice)]
pub(crate) struct NoticeJson {
    /// One line.
    title: String,
    body: String,
    /// Where it leads to: an address, or a path of your own.
    url: Option<String>,
}

/// An e-mail: as templates of 64 KiB at most, or as it comes out of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Mail)]
pub(crate) struct MailJson {
    /// One line.
    subject: String,
    text: String,
    /// What data bring along is escaped in it.
    html: Option<String>,
}

/// A type of notifications.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationType)]
pub(crate) struct TypeJson {
    #[schema(value_type = String)]
    id: Id<NotificationType>,
    key: String,
    /// 1 for the first; one more with each change.
    version: u32,
    name: String,
    category: String,
    urgency: &'static str,
    default_locale: String,
    #[schema(value_type = ChannelsJson)]
    channels: Channels,
    #[schema(value_type = BTreeMap<String, Value>)]
    sample: Map<String, Value>,
    created_at: Time,
    updated_at: Time,
}

/// A type in a list, which has not its templates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedNotificationType)]
pub(crate) struct ListedTypeJson {
    #[schema(value_type = String)]
    id: Id<NotificationType>,
    key: String,
    version: u32,
    name: String,
    category: String,
    urgency: String,
    created_at: Time,
    updated_at: Time,
}

impl From<NotificationType> for TypeJson {
    fn from(of: NotificationType) -> Self {
        let Definition { name, category, urgency, default_locale, channels, sample } = of.definition;
        Self {
            id: of.id,
            key: of.key.to_string(),
            version: of.version,
            name,
            category: category.to_string(),
            urgency: urgency.as_str(),
            default_locale: default_locale.to_string(),
            channels,
            sample,
            created_at: Time(of.created_at),
            updated_at: Time(of.updated_at),
        }
    }
}

impl From<ListedType> for ListedTypeJson {
    fn from(of: ListedType) -> Self {
        let ListedType { id, key, version, name, category, urgency, created_at, updated_at } = of;
        let (created_at, updated_at) = (Time(created_at), Time(updated_at));
        Self { id, key: key.to_string(), version, name, category, urgency, created_at, updated_at }
    }
}

impl From<NoticeJson> for Notice {
    fn from(NoticeJson { title, body, url }: NoticeJson) -> Self {
        Self { title, body, url }
    }
}

impl From<Notice> for NoticeJson {
    fn from(Notice { title, body, url }: Notice) -> Self {
        Self { title, body, url }
    }
}

impl From<MailJson> for Mail {
    fn from(MailJson { subject, text, html }: MailJson) -> Self {
        Self { subject, text, html }
    }
}

impl From<Mail> for MailJson {
    fn from(Mail { subject, text, html }: Mail) -> Self {
        Self { subject, text, html }
    }
}

impl TypeRequest {
    /// A type by what the body at `base` says of it, with its templates compiled. One that is not stored may have no key.
    ///
    /// # Errors
    /// 422 with all that is wrong, each at its place.
    pub(crate) async fn check(self, key: Option<&TypeKey>, base: &str) -> Result<(Definition, CompiledType), Problem> {
        let mut faults = Faults::below(base);
        let same = key.zip(self.key.as_deref()).is_none_or(|(key, given)| key.as_str() == given);
        faults.check("/key", same, ANOTHER_KEY);
        let category = faults.keep("/category", self.category.parse());
        let urgency = self.urgency.map_or(Some(Urgency::default()), |text| faults.keep("/urgency", text.parse()));
        let default_locale = faults.keep("/default_locale", self.default_locale.parse::<Locale>());
        let Object(ChannelsJson { inbox, push, email, webhook }) = self.channels;
        let inbox = inbox.map(|Object(of)| notices(of, Channel::Inbox, &mut faults));
        let push = push.map(|Object(of)| notices(of, Channel::Push, &mut faults));
        let email = email.map(|Object(of)| mails(of, &mut faults));
        let waits = [
            ("push", push.as_ref().is_some_and(|of| of.only_if_unseen_for_s.is_some())),
            ("email", email.as_ref().is_some_and(|of| of.only_if_unseen_for_s.is_some())),
        ];
        for (name, waits) in waits {
            let at = format!("/channels/{name}/only_if_unseen_for_s");
            faults.check(&at, !waits || inbox.is_some(), "the type has no channel inbox, in which people could see it");
        }
        let named = key.map_or_else(|| UNNAMED.to_owned(), TypeKey::to_string);
        let webhook = webhook.and_then(|Object(WebhookChannel { event_type })| {
            let event_type = event_type.as_ref().unwrap_or(&named).parse();
            Some(ToEndpoints { event_type: faults.keep("/channels/webhook/event_type", event_type)? })
        });
        let OwnObject(sample) = self.sample.unwrap_or_default();
        let (Some(category), Some(urgency), Some(default_locale), true) =
            (category, urgency, default_locale, faults.is_empty())
        else {
            return Err(faults.problem());
        };
        let name = self.name.or(self.key).unwrap_or(named);
        let channels = Channels { inbox, push, email, webhook };
        let definition = Definition { name, category, urgency, default_locale, channels, sample };
        // Many templates with an example each: not on a thread that answers others.
        let checked =
            tokio::task::spawn_blocking(move || CompiledType::check(&definition).map(|done| (definition, done)));
        let checked = checked.await.map_err(|_| Problem::new(Code::Internal, "the check ended before it was done"))?;
        checked.map_err(|found| {
            found.iter().for_each(|fault| faults.add(&fault.pointer, &fault.detail));
            faults.problem()
        })
    }
}

/// Templates by language, of what stands at `at` in a type.
pub(crate) fn templates<J, T: From<J>>(Named(given): Named<J>, at: &str, faults: &mut Faults) -> BTreeMap<Locale, T> {
    let mut templates = BTreeMap::new();
    for (tag, template) in given {
        let place = format!("{at}/templates/{}", escape(&tag));
        let Some(locale) = faults.keep(&place, tag.parse::<Locale>()) else { continue };
        // Else two could be of one language, and faults of templates would have other places than the body.
        faults.check(
            &place,
            locale.as_str() == tag,
            format_args!("write {locale}, as the tag is written by convention"),
        );
        templates.insert(locale, template.into());
    }
    templates
}

pub(crate) fn missing() -> Problem {
    Problem::not_found("notification type")
}

/// Puts a type in place of that of this key, or makes it. What is sent from then on reads as it says; its version grows where
/// something of it is new.
#[utoipa::path(put, path = "/v1/notification-types/{key}", tag = "notification types",
    params(("key" = String, Path, description = "1 to 128 of `a-z`, `0-9`, `_`, `.` and `-`, as in `comment.created`.")),
    request_body = TypeRequest, responses((status = 200, body = TypeJson), (status = 201, body = TypeJson)))]
async fn put(
    caller: Caller<Operate>,
    Key(key): Key<TypeKey>,
    Json(request): Json<TypeRequest>,
) -> Result<Response, Problem> {
    let (definition, _) = request.check(Some(&key), "").await?;
    match caller.scope().put_notification_type(&key, &definition, UnixMs::now()).await? {
        PutType::Made(made) => Ok(created(TypeJson::from(made))),
        PutType::Kept(kept) => Ok(Answer(TypeJson::from(kept)).into_response()),
        PutType::TooMany => {
            let detail = format!("a tenant has at most {TYPES_PER_TENANT_MAX} notification types; delete one");
            Err(Problem::new(Code::LimitReached, detail))
        }
    }
}

/// Shows a type with its templates.
#[utoipa::path(get, path = "/v1/notification-types/{key}", tag = "notification types", params(("key" = String, Path)),
    responses((status = 200, body = TypeJson)))]
async fn get(caller: Caller<ReadPublished>, Key(key): Key<TypeKey>) -> Result<Answer<TypeJson>, Problem> {
    let found = caller.scope().notification_type(&key).await?.ok_or_else(missing)?;
    Ok(Answer(found.into()))
}

/// Removes a type. What was sent by it can still be explained.
#[utoipa::path(delete, path = "/v1/notification-types/{key}", tag = "notification types", params(("key" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Operate>, Key(key): Key<TypeKey>) -> Result<StatusCode, Problem> {
    match caller.scope().delete_notification_type(&key, UnixMs::now()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing()),
    }
}

/// Lists types by key, without their templates.
#[utoipa::path(get, path = "/v1/notification-types", tag = "notification types", params(Paging),
    responses((status = 200, body = Listing<ListedTypeJson>)))]
async fn list(caller: Caller<ReadPublished>, params: Params) -> Result<Answer<Listing<ListedTypeJson>>, Problem> {
    let (found, next) = caller.scope().notification_types(&params.key_page()?).await?;
    let next_cursor = next.map(|key| write_keys_cursor([key.as_str()]));
    Ok(Answer(Listing { data: found.into_iter().map(ListedTypeJson::from).collect(), next_cursor }))
}
