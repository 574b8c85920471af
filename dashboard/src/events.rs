//! The list of events, by type and time or by id. A page looks at a bounded number of them, and says how far it looked.

use askama::Template;
use axum::{
    Router,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        event::{Event, EventType},
    },
    store::{DeliveryCounts, EventFilter, Page},
};

use crate::{
    Dashboard,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show},
    visit::Visit,
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/events", get(events))
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    form: Form,
    rows: Vec<Line>,
    older: Option<String>,
    /// Where the list was cut off before it was full: how far was looked.
    looked_to: Option<Moment>,
}

/// What the filter's fields hold.
struct Form {
    id: String,
    kind: String,
    since: String,
    until: String,
    is_set: bool,
}

struct Line {
    id: String,
    /// As its publisher and its receivers know it.
    public_id: String,
    kind: String,
    channels: String,
    published: Moment,
    counts: DeliveryCounts,
    unwanted: bool,
}

async fn events(visit: Visit) -> Shown {
    let fields = &visit.query;
    if let Some(id) = fields.text("id") {
        let found = visit.scope().event(id).await?.ok_or(Refusal::NotFound("event with this id"))?;
        return Ok(Redirect::to(&format!("{}/events/{}", base(&visit.tenant), found.event.id)).into_response());
    }
    let filter = EventFilter {
        kind: fields.parsed::<EventType>("type", "event type")?,
        since: fields.time("since")?,
        until: fields.time("until")?,
    };
    let before = fields.parsed::<Id<Event>>("before", "id of an event")?;
    let listed = visit.scope().events_alone(&filter, &Page { before, limit: ROWS }).await?;
    let ids: Vec<Id<Event>> = listed.rows.iter().map(|event| event.id).collect();
    let counts = visit.scope().delivery_counts(&ids).await?;
    let looked_to = listed.next.filter(|_| listed.rows.len() < ROWS as usize);
    let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
    let page = EventsPage {
        frame: Frame::of(&visit, Section::Events, "Events"),
        form: Form {
            id: String::new(),
            kind: text("type"),
            since: text("since"),
            until: text("until"),
            is_set: !fields.query_without(&["before"]).is_empty(),
        },
        older: listed.next.map(|next| fields.query_with("before", &next.to_string())),
        looked_to: looked_to.map(|last| Moment::of(last.made_at(), visit.now)),
        rows: listed.rows.into_iter().map(|event| line(&event, counts.get(&event.id), visit.now)).collect(),
    };
    show(&page)
}

fn line(event: &Event, counts: Option<&DeliveryCounts>, now: UnixMs) -> Line {
    let channels: Vec<String> = event.channels.iter().map(ToString::to_string).collect();
    Line {
        id: event.id.to_string(),
        public_id: event.public_id(),
        kind: event.kind.to_string(),
        channels: channels.join(", "),
        published: Moment::of(event.created_at, now),
        counts: counts.copied().unwrap_or_default(),
        unwanted: counts.is_none(),
    }
}
