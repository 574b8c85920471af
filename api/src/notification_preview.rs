//! What would be sent: of a type that is stored, and of one that is not yet.

use axum::Json as Answer;
use postrider_core::{
    domain::{
        locale::Locale,
        notification_type::{Definition, Form, SAMPLE_BYTES_MAX, TypeKey},
        preferences::Channel,
        recipient::{Attributes, Profile, RecipientKey},
    },
    notify::{CompiledType, Content, Data, Fault, Message, RenderError, Told},
    store::StoreError,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Needs, Operate, ReadPublished},
    json::{Json, Object},
    notification_types::{MailJson, NoticeJson, TypeRequest, missing},
    own_object::OwnObject,
    path::Key,
    problem::{Code, Faults, Problem},
    state::ApiState,
};

/// Who is told where no recipient is named.
const NOBODY: &str = "somebody";

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(preview_new)).routes(routes!(preview))
}

/// Of which message a preview is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    /// `inbox`, `push` or `email`.
    channel: String,
    /// Whether it is the channel's digest, of the data twice; absent: it is not.
    #[serde(default)]
    digest: bool,
    /// As if it were the recipient's; absent: theirs.
    locale: Option<String>,
    /// Absent: the type's sample.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    data: Option<OwnObject>,
    /// A recipient's key; absent: somebody of whom nothing is known.
    recipient: Option<String>,
}

/// Of which message a preview is, and of which type, as it would be put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTypePreviewRequest {
    #[schema(value_type = TypeRequest)]
    r#type: Object<TypeRequest>,
    /// `inbox`, `push` or `email`.
    channel: String,
    /// Whether it is the channel's digest, of the data twice; absent: it is not.
    #[serde(default)]
    digest: bool,
    /// As if it were the recipient's; absent: theirs.
    locale: Option<String>,
    /// Absent: the type's sample.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    data: Option<OwnObject>,
    /// A recipient's key; absent: somebody of whom nothing is known.
    recipient: Option<String>,
}

/// What would be sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    channel: &'static str,
    /// Of the templates that it was made of.
    locale: String,
    message: PreviewMessage,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PreviewMessage {
    Notice(NoticeJson),
    Mail(MailJson),
}

impl From<(Channel, Message)> for Preview {
    fn from((channel, Message { locale, content }): (Channel, Message)) -> Self {
        let message = match content {
            Content::Notice(notice) => PreviewMessage::Notice(notice.into()),
            Content::Mail(mail) => PreviewMessage::Mail(mail.into()),
        };
        Self { channel: channel.as_str(), locale: locale.to_string(), message }
    }
}

/// A request whose texts were read.
struct Asked {
    channel: Channel,
    form: Form,
    key: String,
    profile: Profile,
    data: Option<Data>,
}

impl PreviewRequest {
    async fn read<N: Needs>(self, caller: &Caller<N>) -> Result<Asked, Problem> {
        let mut faults = Faults::default();
        let channel = faults.keep("/channel", self.channel.parse());
        let has_templates = channel != Some(Channel::Webhook);
        faults.check(
            "/channel",
            has_templates,
            "the channel webhook has no templates: its event has the data as they are",
        );
        let locale = self.locale.and_then(|text| faults.keep("/locale", text.parse::<Locale>()));
        let key = self.recipient.and_then(|text| faults.keep("/recipient", text.parse::<RecipientKey>()));
        let data = self.data.map(|OwnObject(data)| data);
        let bytes = data.as_ref().and_then(|data| serde_json::to_string(data).ok()).map_or(0, |text| text.len());
        let detail = format!("the data have {bytes} bytes as JSON; they may have {SAMPLE_BYTES_MAX}");
        faults.check("/data", bytes <= SAMPLE_BYTES_MAX, detail);
        let (Some(channel), true) = (channel, faults.is_empty()) else { return Err(faults.problem()) };
        let (key, profile) = match key {
            None => (NOBODY.to_owned(), Profile::default()),
            Some(key) => {
                let found = caller.scope().recipient(&key).await?;
                let none = || Problem::at(Code::InvalidBody, "/recipient", "there is no recipient of this key");
                (key.to_string(), found.ok_or_else(none)?.profile)
            }
        };
        let profile = Profile { locale: locale.or(profile.locale), ..profile };
        let form = if self.digest { Form::Digest } else { Form::Single };
        Ok(Asked { channel, form, key, profile, data: data.map(Data::new) })
    }
}

/// Shows what would be sent of a type.
#[utoipa::path(post, path = "/v1/notification-types/{key}/preview", tag = "notification types",
    params(("key" = String, Path)), request_body = PreviewRequest, responses((status = 200, body = Preview)))]
async fn preview(
    caller: Caller<ReadPublished>,
    Key(key): Key<TypeKey>,
    Json(request): Json<PreviewRequest>,
) -> Result<Answer<Preview>, Problem> {
    let found = caller.scope().notification_type(&key).await?.ok_or_else(missing)?;
    let asked = request.read(&caller).await?;
    let shown = blocking(move || {
        let compiled = CompiledType::new(&found.definition).map_err(|Fault { pointer, detail }| {
            let detail = format!("{pointer}: {detail}");
            Problem::from(StoreError::Unreadable { what: "type's template", detail })
        })?;
        show(&found.definition, &compiled, asked)
    });
    shown.await.map(Answer)
}

/// Shows what would be sent of a type that is not stored.
#[utoipa::path(post, path = "/v1/notification-types/preview", tag = "notification types",
    request_body = NewTypePreviewRequest, responses((status = 200, body = Preview)))]
async fn preview_new(
    caller: Caller<Operate>,
    Json(request): Json<NewTypePreviewRequest>,
) -> Result<Answer<Preview>, Problem> {
    let NewTypePreviewRequest { r#type: Object(given), channel, digest, locale, data, recipient } = request;
    let asked = PreviewRequest { channel, digest, locale, data, recipient }.read(&caller).await?;
    let (definition, compiled) = given.check(None, "/type").await?;
    blocking(move || show(&definition, &compiled, asked)).await.map(Answer)
}

async fn blocking(show: impl FnOnce() -> Result<Preview, Problem> + Send + 'static) -> Result<Preview, Problem> {
    let shown = tokio::task::spawn_blocking(show).await;
    shown.map_err(|_| Problem::new(Code::Internal, "the preview ended before it was done"))?
}

fn show(definition: &Definition, compiled: &CompiledType, asked: Asked) -> Result<Preview, Problem> {
    let Asked { channel, form, key, profile, data } = asked;
    let Profile { locale, time_zone, attributes, .. } = profile;
    let attributes: &Attributes = &attributes;
    let told = Told { key: &key, locale: locale.as_ref(), time_zone: time_zone.as_ref(), attributes };
    let place = if data.is_some() { "/data" } else { "/recipient" };
    let data = data.unwrap_or_else(|| Data::new(definition.sample.clone()));
    let data = if form == Form::Digest { data.as_digest() } else { data };
    let rendered = compiled.render((channel, form), locale.as_ref(), &data, &told);
    let message = rendered.map_err(|error| {
        let place = match error {
            RenderError::NoChannel(_) => "/channel",
            RenderError::NoDigest(_) => "/digest",
            RenderError::Template { .. } => place,
        };
        Problem::at(Code::InvalidBody, place, error)
    })?;
    Ok(Preview::from((channel, message)))
}
