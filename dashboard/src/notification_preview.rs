//! What comes out of a type's templates: a message as it would be, by channel and language. An e-mail's HTML, which somebody else
//! wrote, is a document of its own that is framed and can do nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header::CONTENT_SECURITY_POLICY},
    response::{Html, IntoResponse},
    routing::get,
};
use postrider_core::{
    domain::{
        locale::Locale,
        notification_type::{Mail, Notice, NotificationType},
        preferences::Channel,
        recipient::{Profile, RecipientKey},
        user::UserRole,
    },
    notify::{Content, Message},
    store::StoreError,
};

use crate::{
    Dashboard,
    faults::{Fault, Faults, Named},
    filter_form::{FieldsOf, FilterField},
    headers::FRAMED,
    notification_types::find,
    page::{Refusal, Shown},
    visit::Visit,
};

/// Who is told where no recipient is named.
const NOBODY: &str = "somebody";

const CHANNEL: Named = ("channel", "Channel");
const LOCALE: Named = ("locale", "Language");
const RECIPIENT: Named = ("recipient", "As this recipient (key)");

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/notification-types/{key}/mail", get(mail))
}

/// Of what a preview is.
pub(crate) struct PreviewForm {
    pub(crate) fields: Vec<FilterField>,
}

/// What would be sent.
#[derive(Default)]
pub(crate) struct Preview {
    pub(crate) channel: &'static str,
    /// Of the templates that it was made of.
    pub(crate) locale: String,
    pub(crate) notice: Option<Notice>,
    pub(crate) mail: Option<Mail>,
    /// What the address of its HTML says after its path.
    pub(crate) query: String,
    /// Why nothing came out.
    pub(crate) fault: Option<String>,
}

/// What is asked for.
struct Asked {
    channel: Channel,
    key: String,
    profile: Profile,
}

/// The preview that the address asks for; its first channel in its default language where it asks for none.
pub(crate) async fn preview(
    visit: &Visit,
    kind: &NotificationType,
) -> Result<(StatusCode, PreviewForm, Preview), Refusal> {
    let mut faults = Faults::default();
    let asked = read(visit, kind, &mut faults).await?;
    let form = form(visit, kind, &faults);
    if !faults.is_empty() {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, form, Preview::default()));
    }
    // Of a type that tells endpoints alone there is nothing to be seen.
    let Some(asked) = asked else { return Ok((StatusCode::OK, form, Preview::default())) };
    let channel = asked.channel.as_str();
    let preview = match render(visit, kind, asked).await? {
        Ok(Message { locale, content }) => {
            let (notice, mail) = match content {
                Content::Notice(notice) => (Some(notice), None),
                Content::Mail(mail) => (None, Some(mail)),
            };
            let query = visit.query.without(&[CHANNEL.0]).query_without(&[]);
            Preview { channel, locale: locale.to_string(), notice, mail, query, fault: None }
        }
        Err(fault) => Preview { channel, fault: Some(fault), ..Preview::default() },
    };
    Ok((StatusCode::OK, form, preview))
}

async fn read(visit: &Visit, kind: &NotificationType, faults: &mut Faults) -> Result<Option<Asked>, Refusal> {
    let fields = &visit.query;
    let first = kind.definition.channels.locales().first().map(|(channel, _)| *channel);
    let channel = faults.read(fields.parsed::<Channel>(CHANNEL, "channel")).or(first);
    let locale = faults.read(fields.parsed::<Locale>(LOCALE, "language tag like de or pt-BR"));
    let key = faults.read(fields.parsed::<RecipientKey>(RECIPIENT, "key of a recipient"));
    let (key, profile) = match key {
        None => (NOBODY.to_owned(), Profile::default()),
        // What is hidden of people is not to be found out by what templates make of it.
        Some(_) if !visit.sees_all() => return Err(Refusal::Role(UserRole::Operator)),
        Some(key) => match visit.scope().recipient(&key).await? {
            Some(found) => (key.to_string(), found.profile),
            None => {
                faults.add(Fault::of(RECIPIENT, format!("there is no recipient {:?}", key.as_str())));
                (key.to_string(), Profile::default())
            }
        },
    };
    let profile = Profile { locale: locale.or(profile.locale), ..profile };
    Ok(channel.map(|channel| Asked { channel, key, profile }))
}

fn form(visit: &Visit, kind: &NotificationType, faults: &Faults) -> PreviewForm {
    let of = FieldsOf { fields: &visit.query, faults };
    let channels: Vec<&'static str> =
        kind.definition.channels.locales().iter().map(|(channel, _)| channel.as_str()).collect();
    let first = channels.first().copied().unwrap_or_default();
    let mut fields =
        vec![of.choice(CHANNEL, (first, first), channels.into_iter()), of.text(LOCALE, "theirs, or the default")];
    if visit.sees_all() {
        fields.push(of.text(RECIPIENT, "member-42"));
    }
    PreviewForm { fields }
}

/// What comes out, or why nothing does.
async fn render(visit: &Visit, kind: &NotificationType, asked: Asked) -> Result<Result<Message, String>, Refusal> {
    let version = visit.dashboard.notified.version(kind.id, kind.version).await;
    let version = version.map_err(|error| {
        let shared = |error: Arc<StoreError>| Refusal::Broken(error.to_string());
        Arc::try_unwrap(error).map_or_else(shared, Refusal::Store)
    })?;
    let sample = kind.definition.sample.clone();
    let Asked { channel, key, profile } = asked;
    let rendered = tokio::task::spawn_blocking(move || version.preview(channel, sample, &key, &profile));
    let rendered = rendered.await.map_err(|_| Refusal::Broken("the preview ended before it was done".to_owned()))?;
    Ok(rendered.map_err(|error| error.to_string()))
}

/// The HTML of an e-mail, for its frame.
async fn mail(visit: Visit, Path((_, key)): Path<(String, String)>) -> Shown {
    let kind = find(&visit, &key).await?;
    let mut faults = Faults::default();
    let asked = read(&visit, &kind, &mut faults).await?;
    faults.result()?;
    let missing = || Refusal::NotFound("HTML of an e-mail");
    let asked = asked.map(|asked| Asked { channel: Channel::Email, ..asked }).ok_or_else(missing)?;
    let rendered = render(&visit, &kind, asked).await?;
    let html = match rendered.map(|message| message.content) {
        Ok(Content::Mail(Mail { html: Some(html), .. })) => html,
        _ => return Err(missing()),
    };
    Ok(([(CONTENT_SECURITY_POLICY, FRAMED)], Html(html)).into_response())
}
