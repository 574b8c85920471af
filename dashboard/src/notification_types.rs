//! Types of notifications: the list, and one of them with its templates and what comes out of them.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    extract::Path,
    http::header::CONTENT_SECURITY_POLICY,
    response::{IntoResponse, Response},
    routing::get,
};
use postrider_core::{
    domain::{
        notification_type::{Definition, NotificationType},
        preferences::Channel,
    },
    store::{KeyPage, ListedType},
};
use serde_json::json;

use crate::{
    Dashboard,
    body::Body,
    filters,
    headers::FRAMING,
    how::How,
    moment::Moment,
    notification_preview::{Preview, PreviewForm, preview},
    page::{Frame, Refusal, Section, Shown, show, show_with},
    pager::Pager,
    visit::Visit,
};

/// Types of one page, each of which is read whole.
const ROWS: u32 = 25;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/notification-types", get(types)).route("/notification-types/{key}", get(one_type))
}

#[derive(Template)]
#[template(path = "notification_types.html")]
struct TypesPage {
    frame: Frame,
    rows: Vec<Line>,
    pager: Pager,
    how: How,
}

struct Line {
    key: String,
    name: String,
    category: String,
    urgency: String,
    channels: String,
    locales: String,
    version: u32,
    changed: Moment,
}

#[derive(Template)]
#[template(path = "notification_type.html")]
struct TypePage {
    frame: Frame,
    key: String,
    name: String,
    id: String,
    category: String,
    urgency: &'static str,
    default_locale: String,
    version: u32,
    made: Moment,
    changed: Moment,
    /// The event by which endpoints are told.
    event_type: Option<String>,
    form: PreviewForm,
    preview: Preview,
    channels: Vec<ChannelTemplates>,
    sample: Body,
}

/// What a type has for one channel.
struct ChannelTemplates {
    channel: &'static str,
    locales: Vec<LocaleTemplates>,
}

struct LocaleTemplates {
    locale: String,
    is_default: bool,
    /// What each is for, and its text.
    parts: Vec<(&'static str, String)>,
}

async fn types(visit: Visit) -> Shown {
    let after = visit.query.text("before").map(str::to_owned);
    let (found, next) = visit.scope().notification_types(&KeyPage { after, limit: ROWS }).await?;
    let mut rows = Vec::with_capacity(found.len());
    for listed in found {
        // One that was removed meanwhile is not there.
        if let Some(kind) = visit.scope().notification_type(&listed.key).await? {
            rows.push(line(&visit, listed, &kind.definition));
        }
    }
    let notice = json!({ "title": "{{ data.actor.name }} follows you", "body": "Say hello.", "url": "/members/{{ data.actor.id }}" });
    let body = json!({ "name": "New follower", "category": "social", "default_locale": "en",
        "channels": { "inbox": { "templates": { "en": notice } } }, "sample": { "actor": { "id": "m7", "name": "Anna" } } });
    show(&TypesPage {
        frame: Frame::of(&visit, Section::Types, "Types of notifications"),
        rows,
        pager: Pager::after(&visit.query, next.map(|key| key.to_string())),
        how: How::new(&visit, "operator", &[("PUT", "/v1/notification-types/user.followed", body)]),
    })
}

fn line(visit: &Visit, listed: ListedType, definition: &Definition) -> Line {
    let by_channel = definition.channels.locales();
    let channels: Vec<&str> = definition.channels.all().into_iter().map(Channel::as_str).collect();
    let locales: BTreeSet<&str> = by_channel.iter().flat_map(|(_, all)| all).map(|locale| locale.as_str()).collect();
    Line {
        key: listed.key.to_string(),
        name: listed.name,
        category: listed.category,
        urgency: listed.urgency,
        channels: channels.join(", "),
        locales: locales.into_iter().collect::<Vec<_>>().join(", "),
        version: listed.version,
        changed: Moment::of(listed.updated_at, visit.now),
    }
}

pub(crate) async fn find(visit: &Visit, key: &str) -> Result<NotificationType, Refusal> {
    let key = key.parse().map_err(|_| Refusal::NotFound("notification type"))?;
    visit.scope().notification_type(&key).await?.ok_or(Refusal::NotFound("notification type"))
}

async fn one_type(visit: Visit, Path((_, key)): Path<(String, String)>) -> Result<Response, Refusal> {
    let kind = find(&visit, &key).await?;
    let (status, form, preview) = preview(&visit, &kind).await?;
    let NotificationType { id, key, version, definition, created_at, updated_at } = kind;
    let channels = channels(&definition);
    let sample = serde_json::to_vec(&definition.sample).unwrap_or_default();
    let page = TypePage {
        frame: Frame::of(&visit, Section::Types, format!("Type {key}")),
        key: key.to_string(),
        name: definition.name,
        id: id.to_string(),
        category: definition.category.to_string(),
        urgency: definition.urgency.as_str(),
        default_locale: definition.default_locale.to_string(),
        version,
        made: Moment::of(created_at, visit.now),
        changed: Moment::of(updated_at, visit.now),
        event_type: definition.channels.webhook.map(|to| to.event_type.to_string()),
        form,
        preview,
        channels,
        sample: visit.body(&sample),
    };
    Ok(([(CONTENT_SECURITY_POLICY, FRAMING)], show_with(status, &page)?).into_response())
}

fn channels(definition: &Definition) -> Vec<ChannelTemplates> {
    let mut channels: Vec<ChannelTemplates> = Vec::new();
    for at in definition.channels.templates() {
        let (channel, locale) = (at.channel.as_str(), at.locale.to_string());
        if channels.last().is_none_or(|last| last.channel != channel) {
            channels.push(ChannelTemplates { channel, locales: Vec::new() });
        }
        let Some(last) = channels.last_mut() else { continue };
        if last.locales.last().is_none_or(|last| last.locale != locale) {
            let is_default = *at.locale == definition.default_locale;
            last.locales.push(LocaleTemplates { locale, is_default, parts: Vec::new() });
        }
        let Some(last) = last.locales.last_mut() else { continue };
        last.parts.push((at.part.as_str(), at.source.to_owned()));
    }
    channels
}
