//! One recipient: what is known of them, what they want, and their inbox as they see it; and letting their address be written to
//! again.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id,
        preferences::{Category, Channel},
        quiet_hours::QuietHours,
        recipient::{EmailState, Recipient},
        topic::Topic,
    },
    store::{Changed, InboxCounts, InboxFilter, InboxItem, InboxState, KeyPage, Page},
};

use crate::{
    Dashboard,
    body::Body,
    filters,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, in_path, show},
    pager::Pager,
    recipients::{EmailLine, shown},
    visit::{Deed, Visit},
};

const TOPICS: u32 = 50;
const ITEMS: u32 = 20;
/// Types whose categories stand beside those that somebody has decided on.
const TYPES: u32 = 250;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/recipients/{key}", get(recipient)).route("/recipients/{key}/lift", post(lift))
}

#[derive(Template)]
#[template(path = "recipient.html")]
struct RecipientPage {
    frame: Frame,
    key: String,
    id: String,
    email: Option<EmailLine>,
    is_suppressed: bool,
    locale: Option<String>,
    zone: Option<String>,
    quiet_hours: Option<String>,
    /// `None` where there are none.
    attributes: Option<Body>,
    made: Moment,
    changed: Moment,
    channels: [&'static str; Channel::OF_PEOPLE.len()],
    preferences: Vec<Wishes>,
    topics: Vec<Topic>,
    pager: Pager,
    counts: InboxCounts,
    items: Vec<ItemLine>,
}

/// What somebody wants of one category, on each channel.
struct Wishes {
    category: String,
    /// Words and the class that their colour hangs on.
    wants: Vec<(&'static str, &'static str)>,
}

/// Something in an inbox.
struct ItemLine {
    notification: String,
    kind: String,
    /// As its reader sees it; why nothing comes out of its templates where nothing does.
    notice: Result<NoticeLine, String>,
    state: &'static str,
    class: &'static str,
    delivered: Moment,
}

struct NoticeLine {
    title: String,
    body: String,
    url: Option<String>,
}

async fn find(visit: &Visit, key: &str) -> Result<Recipient, Refusal> {
    let key = key.parse().map_err(|_| Refusal::NotFound("recipient"))?;
    visit.scope().recipient(&key).await?.ok_or(Refusal::NotFound("recipient"))
}

async fn recipient(visit: Visit, Path((_, key)): Path<(String, String)>) -> Shown {
    let recipient = find(&visit, &key).await?;
    let (scope, now) = (visit.scope(), visit.now);
    let before = visit.query.before::<Id<Topic>>()?;
    let topics = scope.topics_of(&recipient, &Page { before, limit: TOPICS }).await?;
    let counts = scope.inbox_state(recipient.id).await?.counts;
    let newest = scope.inbox(recipient.id, InboxFilter::Current, &Page { before: None, limit: ITEMS }).await?;
    let mut items = Vec::with_capacity(newest.rows.len());
    for item in newest.rows {
        items.push(item_line(&visit, item, &recipient).await);
    }
    let preferences = preferences(&visit, &recipient).await?;
    let shown = shown(&visit, &recipient);
    let attributes = shown["attributes"].as_object().filter(|all| !all.is_empty());
    let profile = &recipient.profile;
    let suppressed = recipient.email.as_ref().filter(|email| matches!(email.state, EmailState::Suppressed(_)));
    show(&RecipientPage {
        frame: Frame::of(&visit, Section::Recipients, format!("Recipient {}", recipient.key)),
        key: recipient.key.to_string(),
        id: recipient.id.to_string(),
        email: recipient.email.as_ref().map(|email| EmailLine::of(email, &shown)),
        is_suppressed: suppressed.is_some(),
        locale: profile.locale.as_ref().map(ToString::to_string),
        zone: profile.time_zone.as_ref().map(|zone| zone.name().to_owned()),
        quiet_hours: profile.quiet_hours.as_ref().map(in_words),
        attributes: attributes.and_then(|all| serde_json::to_string(all).ok()).map(Body::of_text),
        made: Moment::of(recipient.created_at, now),
        changed: Moment::of(recipient.updated_at, now),
        channels: Channel::OF_PEOPLE.map(Channel::as_str),
        preferences,
        pager: Pager::of(&visit.query, &topics),
        topics: topics.rows,
        counts,
        items,
    })
}

fn in_words(hours: &QuietHours) -> String {
    let days: Vec<&str> = hours.days().iter().map(|day| day.as_str()).collect();
    let days = if days.is_empty() { "each day".to_owned() } else { format!("on {}", days.join(", ")) };
    format!("from {} to {}, {days}", hours.from(), hours.to())
}

/// Of the categories that they have decided on, and of those that there are types of.
async fn preferences(visit: &Visit, recipient: &Recipient) -> Result<Vec<Wishes>, Refusal> {
    let decided: BTreeMap<&Category, &BTreeMap<Channel, bool>> = recipient.profile.preferences.iter().collect();
    let (types, _) = visit.scope().notification_types(&KeyPage { after: None, limit: TYPES }).await?;
    let mut categories: BTreeSet<String> = types.into_iter().map(|kind| kind.category).collect();
    categories.extend(decided.keys().map(ToString::to_string));
    let wish = |category: &String, channel: Channel| {
        let channels = decided.iter().find(|(known, _)| known.to_string() == *category).map(|(_, channels)| channels);
        match channels.and_then(|channels| channels.get(&channel)) {
            Some(true) => ("wants it", "succeeded"),
            Some(false) => ("does not want it", "cancelled"),
            None => ("not decided", ""),
        }
    };
    let wishes = |category: String| {
        let wants = Channel::OF_PEOPLE.map(|channel| wish(&category, channel)).into();
        Wishes { category, wants }
    };
    Ok(categories.into_iter().map(wishes).collect())
}

async fn item_line(visit: &Visit, item: InboxItem, recipient: &Recipient) -> ItemLine {
    let InboxItem { of, state } = item;
    let (words, class) = in_inbox(&state);
    let notice = match visit.sees_all() {
        false => Err("hidden: it may repeat what is hidden of payloads".to_owned()),
        true => match visit.dashboard.notified.version(of.of.kind, of.of.version).await {
            Ok(version) => version.notice(&of, recipient).map_err(|error| format!("it cannot be shown: {error}")),
            Err(error) => Err(format!("it cannot be shown: {error}")),
        },
    };
    let notice = notice.map(|notice| NoticeLine { title: notice.title, body: notice.body, url: notice.url });
    ItemLine {
        notification: of.id.to_string(),
        kind: of.of.key.to_string(),
        notice,
        state: words,
        class,
        delivered: Moment::of(state.delivered_at, visit.now),
    }
}

const fn in_inbox(state: &InboxState) -> (&'static str, &'static str) {
    match state {
        InboxState { read_at: Some(_), .. } => ("read", "succeeded"),
        InboxState { seen_at: Some(_), .. } => ("seen", "running"),
        _ => ("unseen", "pending"),
    }
}

async fn lift(Path((_, key)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let recipient = find(&visit, &key).await?;
    let address = fields.raw("address").unwrap_or_default();
    match visit.scope().lift_suppression_of(&recipient.key, address).await? {
        Changed::Done(()) => {
            let path = format!("{}/recipients/{}", base(&visit.tenant), in_path(recipient.key.as_str()));
            Ok(Redirect::to(&path).into_response())
        }
        Changed::NotFound => Err(Refusal::NotFound("recipient")),
        Changed::Refused => Err(Refusal::stale("this address")),
    }
}
