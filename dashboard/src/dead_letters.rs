//! The list of dead letters by filter, and their export.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::{DeadLetter, DeadLetterState},
        endpoint::Endpoint,
        job::JobKind,
        tag::Tag,
        user::UserRole,
    },
    store::{DeadLetterFilter, Page},
};

use crate::{
    Dashboard,
    fields::Fields,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, show},
    visit::Visit,
};

const ROWS: u32 = 50;
/// Dead letters that are ticked at most.
const TICKED_MAX: usize = 1_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/dead-letters", get(dead_letters))
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    frame: Frame,
    form: Form,
    rows: Vec<Line>,
    older: Option<String>,
    /// The search ended before the page was full.
    is_short: bool,
    /// Down to which time it looked.
    looked_to: String,
}

/// What the filter's fields hold.
struct Form {
    kinds: Vec<(&'static str, bool)>,
    states: Vec<(&'static str, bool)>,
    endpoint: String,
    event_type: String,
    fingerprint: String,
    status: String,
    q: String,
    payload: String,
    /// What may be hidden from whoever looks is not to be found out by searching either.
    may_search_payloads: bool,
    since: String,
    until: String,
    tag: String,
    is_set: bool,
    /// Some of those that match may be acted on.
    has_open: bool,
    /// The filter as the rest of a query.
    rest: String,
}

/// A dead letter, as lists show it.
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) is_open: bool,
    pub(crate) cause: &'static str,
    pub(crate) what: String,
    pub(crate) to: String,
    pub(crate) status: Option<u16>,
    pub(crate) error: String,
    pub(crate) attempts: u32,
    pub(crate) died: Moment,
}

async fn dead_letters(visit: Visit) -> Shown {
    let fields = &visit.query;
    let filter = filter(&visit, fields)?;
    let before = fields.parsed::<Id<DeadLetter>>("before", "id of a dead letter")?;
    let listed = visit.scope().dead_letters(&filter, &Page { before, limit: ROWS }).await?;
    let older = listed.next.map(|next| fields.query_with("before", &next.to_string()));
    let is_short = listed.rows.len() < ROWS as usize;
    let looked_to = listed.next.map(|next| next.made_at().to_string()).unwrap_or_default();
    let rows = listed.rows.into_iter().map(|letter| Line::of(letter, visit.now)).collect();
    let frame = Frame::of(&visit, Section::DeadLetters, "Dead letters");
    show(&DeadLettersPage { frame, form: form(&visit, &filter), rows, older, is_short, looked_to })
}

impl Line {
    pub(crate) fn of(letter: DeadLetter, now: UnixMs) -> Self {
        Self {
            id: letter.id.to_string(),
            state: letter.state.as_str(),
            is_open: letter.state == DeadLetterState::Open,
            cause: letter.cause.as_str(),
            what: letter.event_type.unwrap_or_else(|| letter.kind.to_string()),
            to: letter.endpoint_url.unwrap_or_else(|| letter.lane.to_string()),
            status: letter.status_code,
            error: letter.last_error.unwrap_or_else(|| "it never ran".to_owned()),
            attempts: letter.attempts,
            died: Moment::of(letter.created_at, now),
        }
    }
}

/// Open ones, unless another state is asked for.
pub(crate) fn filter(visit: &Visit, fields: &Fields) -> Result<DeadLetterFilter, Refusal> {
    let filter = read_filter(fields)?;
    match filter.payload {
        Some(_) if !visit.sees_all() => Err(Refusal::Role(UserRole::Operator)),
        _ => Ok(filter),
    }
}

fn read_filter(fields: &Fields) -> Result<DeadLetterFilter, Refusal> {
    let text = |name: &str| fields.text(name).map(str::to_owned);
    let state = match fields.text("state") {
        Some("any") => None,
        Some(_) => fields.parsed::<DeadLetterState>("state", "state")?,
        None => Some(DeadLetterState::Open),
    };
    Ok(DeadLetterFilter {
        kind: fields.parsed::<JobKind>("kind", "kind of a job")?.map(|kind| kind.as_str().to_owned()),
        endpoint: fields.parsed::<Id<Endpoint>>("endpoint", "endpoint's id")?,
        event_type: text("event_type"),
        fingerprint: text("fingerprint"),
        status_code: fields.parsed::<u16>("status", "status code")?,
        q: text("q"),
        since: fields.time("since")?,
        until: fields.time("until")?,
        payload: fields.raw("payload").filter(|text| !text.is_empty()).map(str::to_owned),
        ids: ids(fields)?,
        state,
        tag: fields.parsed::<Tag>("tag", "tag")?,
    })
}

/// Those that are ticked.
fn ids(fields: &Fields) -> Result<Vec<Id<DeadLetter>>, Refusal> {
    let refused = |text: &str| Refusal::Bad(format!("{text:?} is no id of a dead letter. Go back and select again."));
    let mut ids: Vec<_> =
        fields.all("id").map(|text| text.parse().map_err(|_| refused(text))).collect::<Result<_, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    match ids.len() > TICKED_MAX {
        true => Err(Refusal::Bad(format!("More than {TICKED_MAX} are ticked. Go back and take a filter instead."))),
        false => Ok(ids),
    }
}

fn form(visit: &Visit, filter: &DeadLetterFilter) -> Form {
    let fields = &visit.query;
    let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
    let kinds = JobKind::ALL.iter().map(|kind| kind.as_str());
    let states = DeadLetterState::ALL.iter().map(|state| state.as_str()).chain(["any"]);
    let state = filter.state.map_or("any", DeadLetterState::as_str);
    Form {
        kinds: kinds.map(|kind| (kind, filter.kind.as_deref() == Some(kind))).collect(),
        states: states.map(|known| (known, known == state)).collect(),
        endpoint: text("endpoint"),
        event_type: text("event_type"),
        fingerprint: text("fingerprint"),
        status: text("status"),
        q: text("q"),
        payload: text("payload"),
        may_search_payloads: visit.sees_all(),
        since: text("since"),
        until: text("until"),
        tag: text("tag"),
        is_set: !fields.query_without(&["before"]).is_empty(),
        has_open: filter.state.is_none_or(|state| state == DeadLetterState::Open),
        rest: fields.query_without(&["before"]).replacen('?', "&", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_from_an_address_and_open_by_default() {
        let of = |query: &str| read_filter(&Fields::parse(query.as_bytes()));
        assert_eq!(of("").unwrap().state, Some(DeadLetterState::Open));
        let asked = of("state=any&status=503&since=2026-01-31T12:00&until=2026-02-01T00:00:00Z&q=+time+out").unwrap();
        assert_eq!((asked.state, asked.status_code, asked.q.as_deref()), (None, Some(503), Some("time out")));
        assert_eq!(asked.since, Some(UnixMs::parse("2026-01-31T12:00:00Z").unwrap()));
        for bad in ["state=lost", "status=abc", "since=yesterday", "endpoint=ep_1", "kind=x"] {
            assert!(matches!(of(bad), Err(Refusal::Bad(_))), "{bad}");
        }
    }
}
