//! The list of notifications, by type and by how far they have come: to whom each was, and what became of it.

use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id,
        notification::Notification,
        notification_type::{NotificationType, TypeKey},
    },
    store::{KeyPage, Listed, NotificationState, Page, Receipt, StoredNotification},
};
use serde_json::json;

use crate::{
    Dashboard,
    faults::{Fault, Faults, Named},
    fields::{FILTER, Fields},
    filter_form::{FieldsOf, FilterForm},
    filters,
    how::How,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show_with},
    pager::Pager,
    receipt::ChannelBar,
    visit::Visit,
};

const ROWS: u32 = 50;
/// Notifications that one page looks at for those that have come so far as is asked for.
const LOOKED_MAX: usize = 300;
/// Chunks of which one page adds up receipts: two million recipients.
const CHUNKS_MAX: u32 = 2_000;
/// Types that an empty page chooses its example among.
const EXAMPLES_MAX: u32 = 20;

const ID: Named = ("id", "Id");
const TYPE: Named = ("type", "Type");
const STATE: Named = ("state", "State");
/// Asked for as a state, and none of its own: some of its recipients are dead letters.
const DEAD: &str = "dead letters";

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/notifications", get(notifications))
}

#[derive(Template)]
#[template(path = "notifications.html")]
struct NotificationsPage {
    frame: Frame,
    form: FilterForm,
    rows: Vec<Line>,
    pager: Pager,
    /// Where nothing was ever told: how something is.
    how: Option<How>,
}

struct Line {
    id: String,
    kind: String,
    state: StateLabel,
    due: Option<Moment>,
    audience: AudienceLine,
    urgency: &'static str,
    /// `None` where there are too many on this page to be added up.
    receipt: Option<Vec<ChannelBar>>,
    made: Moment,
}

/// To whom a notification is.
pub(crate) struct AudienceLine {
    pub(crate) named: usize,
    pub(crate) topics: Vec<String>,
}

impl AudienceLine {
    pub(crate) fn of(of: &StoredNotification) -> Self {
        Self {
            named: of.audience.recipients.len(),
            topics: of.audience.topics.iter().map(|topic| topic.key.to_string()).collect(),
        }
    }
}

/// How far a notification has come.
#[derive(Clone, Copy)]
pub(crate) struct StateLabel {
    pub(crate) words: &'static str,
    /// As jobs that stand alike look.
    pub(crate) class: &'static str,
}

impl From<NotificationState> for StateLabel {
    fn from(state: NotificationState) -> Self {
        let class = match state {
            NotificationState::Scheduled => "scheduled",
            NotificationState::Planning => "queued",
            NotificationState::Delivering => "running",
            NotificationState::Done => "succeeded",
            NotificationState::Failed => "dead",
            NotificationState::Cancelled => "cancelled",
        };
        Self { words: state.as_str(), class }
    }
}

/// What a notification has to be like to be listed.
#[derive(Clone, Copy)]
enum Asked {
    State(NotificationState),
    Dead,
}

impl Asked {
    /// # Errors
    /// When it is none.
    fn read(fields: &Fields) -> Result<Option<Self>, Fault> {
        let Some(text) = fields.text(STATE.0) else { return Ok(None) };
        if text == DEAD {
            return Ok(Some(Self::Dead));
        }
        let state = NotificationState::ALL.into_iter().find(|state| state.as_str() == text);
        state
            .map(|state| Some(Self::State(state)))
            .ok_or_else(|| Fault::of(STATE, format!("{text:?} is no state of a notification")))
    }

    fn fits(self, receipt: &Receipt, state: NotificationState) -> bool {
        match self {
            Self::State(asked) => asked == state,
            Self::Dead => state == NotificationState::Failed || receipt.channels.values().any(|counts| counts.dead > 0),
        }
    }
}

async fn notifications(visit: Visit) -> Shown {
    let fields = &visit.query;
    let (mut faults, mut status) = (Faults::default(), StatusCode::OK);
    faults.read(fields.only(&[ID.0, TYPE.0, STATE.0, "before"], &[]).map(Some));
    let kind = faults.read(fields.parsed::<TypeKey>(TYPE, "key of a notification type, like user.followed"));
    let asked = faults.read(Asked::read(fields));
    if let Some(id) = fields.text(ID.0).filter(|_| faults.at(FILTER.0).is_none()) {
        if let Some(path) = page_of(&visit, id).await? {
            return Ok(Redirect::to(&path).into_response());
        }
        faults.add(Fault::of(ID, format!("there is no notification {id:?}")));
        status = StatusCode::NOT_FOUND;
    } else if !faults.is_empty() {
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    let before = fields.before::<Id<Notification>>()?;
    let listed = match faults.is_empty() {
        true => look(&visit, kind.as_ref(), asked, before).await?,
        false => Listed { rows: Vec::new(), next: None },
    };
    let of = FieldsOf { fields, faults: &faults };
    let states = NotificationState::ALL.iter().map(|state| state.as_str()).chain([DEAD]);
    let form_fields = vec![of.text(ID, "ntf_…"), of.text(TYPE, "user.followed"), of.choice(STATE, ("", "any"), states)];
    let form = of.form(form_fields, visit.now);
    let example = match listed.rows.is_empty() && !form.is_set {
        true => example(&visit).await?,
        false => None,
    };
    let page = NotificationsPage {
        frame: Frame::of(&visit, Section::Notifications, "Notifications"),
        pager: Pager::searched(fields, &listed, ROWS, visit.now),
        how: example.as_ref().map(|kind| how(&visit, kind)),
        rows: listed.rows,
        form,
    };
    show_with(status, &page)
}

async fn page_of(visit: &Visit, id: &str) -> Result<Option<String>, Refusal> {
    let Ok(id) = id.parse::<Id<Notification>>() else { return Ok(None) };
    let found = visit.scope().notification(id).await?;
    Ok(found.map(|of| format!("{}/notifications/{}", base(&visit.tenant), of.id)))
}

/// Looks for those that are asked for, newest first, among a bounded number.
async fn look(
    visit: &Visit,
    kind: Option<&TypeKey>,
    asked: Option<Asked>,
    before: Option<Id<Notification>>,
) -> Result<Listed<Line, Notification>, Refusal> {
    let (mut rows, mut place, mut looked, mut chunks) = (Vec::new(), before, 0, 0);
    loop {
        let page = Page { before: place, limit: ROWS };
        let listed = match kind {
            Some(kind) => visit.scope().notifications_of_type(kind, &page).await?,
            None => visit.scope().notifications(&page).await?,
        };
        for (at, of) in listed.rows.iter().enumerate() {
            chunks += of.chunks();
            looked += 1;
            rows.extend(line(visit, of, asked, chunks <= CHUNKS_MAX).await?);
            place = Some(of.id);
            let is_last = at + 1 == listed.rows.len() && listed.next.is_none();
            let is_enough = looked >= LOOKED_MAX || asked.is_some() && chunks > CHUNKS_MAX;
            if is_last || is_enough || rows.len() >= ROWS as usize {
                return Ok(Listed { rows, next: place.filter(|_| !is_last) });
            }
        }
        if listed.next.is_none() {
            return Ok(Listed { rows, next: None });
        }
    }
}

/// A notification as the list shows it; `None` where it is not as it was asked for. One whose receipt is not counted might be.
async fn line(
    visit: &Visit,
    of: &StoredNotification,
    asked: Option<Asked>,
    is_counted: bool,
) -> Result<Option<Line>, Refusal> {
    let now = visit.now;
    let receipt = match is_counted || of.planned_at.is_none() {
        true => Some(visit.scope().receipt(of).await?),
        false => None,
    };
    let state = receipt.as_ref().map(|receipt| receipt.state(of, now));
    if let (Some(asked), Some(receipt), Some(state)) = (asked, &receipt, state)
        && !asked.fits(receipt, state)
    {
        return Ok(None);
    }
    let unknown = StateLabel { words: "told, or being told", class: "running" };
    Ok(Some(Line {
        id: of.id.to_string(),
        kind: of.of.key.to_string(),
        state: state.map_or(unknown, StateLabel::from),
        due: (state == Some(NotificationState::Scheduled)).then(|| Moment::of(of.deliver_at, now)),
        audience: AudienceLine::of(of),
        urgency: of.of.urgency.as_str(),
        receipt: receipt.as_ref().map(ChannelBar::all),
        made: Moment::of(of.created_at, now),
    }))
}

/// A type that a first notification may be of.
async fn example(visit: &Visit) -> Result<Option<NotificationType>, Refusal> {
    let (types, _) = visit.scope().notification_types(&KeyPage { after: None, limit: EXAMPLES_MAX }).await?;
    let mut example = None;
    for kind in types {
        let Some(kind) = visit.scope().notification_type(&kind.key).await? else { continue };
        if kind.definition.channels.inbox.is_some() {
            return Ok(Some(kind));
        }
        example = example.or(Some(kind));
    }
    Ok(example)
}

/// One that needs nothing to be set up before, where the type has it.
fn channel_of(kind: &NotificationType) -> &'static str {
    kind.definition.channels.all().first().map_or("inbox", |channel| channel.as_str())
}

fn how(visit: &Visit, kind: &NotificationType) -> How {
    let body = json!({ "type": kind.key.as_str(), "recipients": ["member-42"], "channels": [channel_of(kind)],
        "data": kind.definition.sample });
    How::new(visit, "publisher", &[("POST", "/v1/notifications", body)])
}
