//! The list of events, by type and time or by id. A page looks at a bounded number of them, and says how far it looked.

use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        event::{Event, EventType},
    },
    store::{DeliveryCounts, EventFilter, Listed, Page},
};

use crate::{
    Dashboard,
    faults::{Fault, Faults, Named},
    fields::FILTER,
    filter_form::{FieldsOf, FilterForm},
    filters,
    moment::Moment,
    page::{Frame, Section, Shown, base, show_with},
    pager::Pager,
    visit::Visit,
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/events", get(events))
}

const ID: Named = ("id", "Id, the publisher's own or ours");
const TYPE: Named = ("type", "Type");
const SINCE: Named = ("since", "Published since (UTC)");
const UNTIL: Named = ("until", "Published before (UTC)");

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    form: FilterForm,
    rows: Vec<Line>,
    pager: Pager,
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
    let (mut faults, mut status) = (Faults::default(), StatusCode::OK);
    faults.read(fields.only(&[ID.0, TYPE.0, SINCE.0, UNTIL.0, "before"], &[]).map(Some));
    let (since, until) = fields.range(SINCE, UNTIL, &mut faults);
    let filter = EventFilter {
        kind: faults.read(fields.parsed::<EventType>(TYPE, "event type like invoice.paid")),
        since,
        until,
    };
    if let Some(id) = fields.text(ID.0).filter(|_| faults.at(FILTER.0).is_none()) {
        if let Some(found) = visit.scope().event(id).await? {
            return Ok(Redirect::to(&format!("{}/events/{}", base(&visit.tenant), found.event.id)).into_response());
        }
        faults.add(Fault::of(ID, format!("there is no event {id:?}")));
        status = StatusCode::NOT_FOUND;
    } else if !faults.is_empty() {
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    let before = fields.before::<Id<Event>>()?;
    let listed = match faults.is_empty() {
        true => visit.scope().events_alone(&filter, &Page { before, limit: ROWS }).await?,
        false => Listed { rows: Vec::new(), next: None },
    };
    let ids: Vec<Id<Event>> = listed.rows.iter().map(|event| event.id).collect();
    let counts = visit.scope().delivery_counts(&ids).await?;
    let of = FieldsOf { fields, faults: &faults };
    let form_fields = vec![
        of.text(ID, "evt_…"),
        of.text(TYPE, "invoice.paid"),
        of.text(SINCE, "2026-01-31 12:00"),
        of.text(UNTIL, "2026-02-01"),
    ];
    let page = EventsPage {
        frame: Frame::of(&visit, Section::Events, "Events"),
        form: of.form(form_fields, visit.now),
        pager: Pager::searched(fields, &listed, ROWS, visit.now),
        rows: listed.rows.into_iter().map(|event| line(&event, counts.get(&event.id), visit.now)).collect(),
    };
    show_with(status, &page)
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
