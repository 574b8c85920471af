//! The list of dead letters, by filter.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::{DeadLetter, DeadLetterState},
        endpoint::Endpoint,
        job::JobKind,
        tag::Tag,
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
    since: String,
    until: String,
    tag: String,
    is_set: bool,
}

struct Line {
    id: String,
    state: &'static str,
    cause: &'static str,
    what: String,
    to: String,
    status: Option<u16>,
    error: String,
    attempts: u32,
    died: Moment,
}

async fn dead_letters(visit: Visit) -> Shown {
    let fields = &visit.query;
    let filter = filter(fields)?;
    let before = fields.parsed::<Id<DeadLetter>>("before", "id of a dead letter")?;
    let listed = visit.scope().dead_letters(&filter, &Page { before, limit: ROWS }).await?;
    let older = listed.next.map(|next| fields.query_with("before", &next.to_string()));
    let rows = listed.rows.into_iter().map(|letter| line(letter, visit.now)).collect();
    let frame = Frame::of(&visit, Section::DeadLetters, "Dead letters");
    show(&DeadLettersPage { frame, form: form(fields, &filter), rows, older })
}

fn line(letter: DeadLetter, now: UnixMs) -> Line {
    Line {
        id: letter.id.to_string(),
        state: letter.state.as_str(),
        cause: letter.cause.as_str(),
        what: letter.event_type.unwrap_or_else(|| letter.kind.to_string()),
        to: letter.endpoint_url.unwrap_or_else(|| letter.lane.to_string()),
        status: letter.status_code,
        error: letter.last_error.unwrap_or_else(|| "it never ran".to_owned()),
        attempts: letter.attempts,
        died: Moment::of(letter.created_at, now),
    }
}

/// Open ones, unless another state is asked for.
fn filter(fields: &Fields) -> Result<DeadLetterFilter, Refusal> {
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
        state,
        tag: fields.parsed::<Tag>("tag", "tag")?,
    })
}

fn form(fields: &Fields, filter: &DeadLetterFilter) -> Form {
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
        since: text("since"),
        until: text("until"),
        tag: text("tag"),
        is_set: !fields.query_without(&["before"]).is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_from_an_address_and_open_by_default() {
        let of = |query: &str| filter(&Fields::parse(query.as_bytes()));
        assert_eq!(of("").unwrap().state, Some(DeadLetterState::Open));
        let asked = of("state=any&status=503&since=2026-01-31T12:00&until=2026-02-01T00:00:00Z&q=+time+out").unwrap();
        assert_eq!((asked.state, asked.status_code, asked.q.as_deref()), (None, Some(503), Some("time out")));
        assert_eq!(asked.since, Some(UnixMs::parse("2026-01-31T12:00:00Z").unwrap()));
        for bad in ["state=lost", "status=abc", "since=yesterday", "endpoint=ep_1", "kind=x"] {
            assert!(matches!(of(bad), Err(Refusal::Bad(_))), "{bad}");
        }
    }
}
