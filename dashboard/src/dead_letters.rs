//! The list of dead letters by filter, and their export.

use askama::Template;
use axum::{Router, http::StatusCode, routing::get};
use postrider_core::{
    domain::{
        Id,
        dead_letter::{DeadLetter, DeadLetterState},
        endpoint::Endpoint,
        fingerprint::Fingerprint,
        job::JobKind,
        tag::Tag,
        user::UserRole,
    },
    store::{DeadLetterFilter, Listed, Page},
};

use crate::{
    Dashboard,
    faults::{Faults, Named},
    fields::Fields,
    filter_form::{FieldsOf, FilterForm},
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, show_with},
    pager::Pager,
    visit::Visit,
};

const ROWS: u32 = 50;
/// Dead letters that are ticked at most.
const TICKED_MAX: usize = 1_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/dead-letters", get(dead_letters))
}

const STATE: Named = ("state", "State");
const KIND: Named = ("kind", "Kind");
const ENDPOINT: Named = ("endpoint", "Endpoint");
const EVENT_TYPE: Named = ("event_type", "Event type");
const FINGERPRINT: Named = ("fingerprint", "Fingerprint");
const STATUS: Named = ("status", "Last status");
const Q: Named = ("q", "Text in the error");
pub(crate) const PAYLOAD: Named = ("payload", "Text in the payload");
const SINCE: Named = ("since", "Died since (UTC)");
const UNTIL: Named = ("until", "Died before (UTC)");
const RESOLVED_SINCE: Named = ("resolved_since", "Dealt with since (UTC)");
const RESOLVED_UNTIL: Named = ("resolved_until", "Dealt with before (UTC)");
const TAG: Named = ("tag", "Tag");
const FIELDS: [Named; 13] = [
    Q,
    PAYLOAD,
    STATE,
    KIND,
    EVENT_TYPE,
    STATUS,
    SINCE,
    UNTIL,
    RESOLVED_SINCE,
    RESOLVED_UNTIL,
    ENDPOINT,
    FINGERPRINT,
    TAG,
];

/// A filter as its form has it: each field that is filled in, and what it holds. Ids and state are not typed in.
pub(crate) fn written(filter: &DeadLetterFilter) -> Vec<(Named, String)> {
    // Each by its name, so that none is forgotten here.
    let DeadLetterFilter {
        kind,
        endpoint,
        event_type,
        fingerprint,
        status_code,
        q,
        payload,
        ids: _,
        since,
        until,
        resolved_since,
        resolved_until,
        state: _,
        tag,
    } = filter;
    let fields = [
        (KIND, kind.clone()),
        (ENDPOINT, endpoint.map(|id| id.to_string())),
        (EVENT_TYPE, event_type.clone()),
        (FINGERPRINT, fingerprint.clone()),
        (STATUS, status_code.map(|status| status.to_string())),
        (Q, q.clone()),
        (PAYLOAD, payload.clone()),
        (SINCE, since.map(|at| at.to_string())),
        (UNTIL, until.map(|at| at.to_string())),
        (RESOLVED_SINCE, resolved_since.map(|at| at.to_string())),
        (RESOLVED_UNTIL, resolved_until.map(|at| at.to_string())),
        (TAG, tag.as_ref().map(ToString::to_string)),
    ];
    fields.into_iter().filter_map(|(named, value)| Some((named, value?))).collect()
}

/// Whether a field is part of the filter.
pub(crate) fn is_filter(name: &str) -> bool {
    FIELDS.iter().any(|(known, _)| *known == name)
}

/// What people read in the place of a field's name.
pub(crate) fn label(name: &str) -> &str {
    FIELDS.iter().find(|(known, _)| *known == name).map_or(name, |(_, label)| label)
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    frame: Frame,
    form: FilterForm,
    /// Some of those that match may be acted on.
    has_open: bool,
    /// The filter as the rest of a query.
    rest: String,
    /// The same as a whole query, which leads back to this list.
    whole: String,
    /// How many the address names by their ids.
    picked: usize,
    rows: Vec<Line>,
    pager: Pager,
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
    let mut faults = Faults::default();
    let filter = judged(&visit, read_filter(fields, &["before"], &mut faults)?)?;
    let before = fields.before::<Id<DeadLetter>>()?;
    let listed = match faults.is_empty() {
        true => visit.scope().dead_letters(&filter, &Page { before, limit: ROWS }).await?,
        false => Listed { rows: Vec::new(), next: None },
    };
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = DeadLettersPage {
        frame: Frame::of(&visit, Section::DeadLetters, "Dead letters"),
        form: form(&visit, &faults),
        has_open: filter.state.is_none_or(|state| state == DeadLetterState::Open),
        rest: fields.query_without(&["before"]).replacen('?', "&", 1),
        whole: fields.query_without(&["before"]),
        picked: filter.ids.len(),
        pager: Pager::searched(fields, &listed, ROWS, visit.now),
        rows: listed.rows.into_iter().map(|letter| Line::of(&visit, letter)).collect(),
    };
    show_with(status, &page)
}

impl Line {
    pub(crate) fn of(visit: &Visit, letter: DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            state: letter.state.as_str(),
            is_open: letter.state == DeadLetterState::Open,
            cause: letter.cause.in_words(),
            what: letter.event_type.unwrap_or_else(|| letter.kind.to_string()),
            to: letter.endpoint_url.map_or_else(|| letter.lane.to_string(), |url| visit.url(&url)),
            status: letter.status_code,
            error: letter.last_error.unwrap_or_else(|| "it never ran".to_owned()),
            attempts: letter.attempts,
            died: Moment::of(letter.created_at, visit.now),
        }
    }
}

/// Open ones, unless another state is asked for. Nothing stands beside the filter but `beside`.
pub(crate) fn filter(visit: &Visit, fields: &Fields, beside: &[&str]) -> Result<DeadLetterFilter, Refusal> {
    let mut faults = Faults::default();
    let filter = read_filter(fields, beside, &mut faults)?;
    faults.result()?;
    judged(visit, filter)
}

/// What may be hidden from whoever looks is not to be found out by searching either.
fn judged(visit: &Visit, filter: DeadLetterFilter) -> Result<DeadLetterFilter, Refusal> {
    match filter.payload {
        Some(_) if !visit.sees_all() => Err(Refusal::Role(UserRole::Operator)),
        _ => Ok(filter),
    }
}

fn read_filter(fields: &Fields, beside: &[&str], faults: &mut Faults) -> Result<DeadLetterFilter, Refusal> {
    let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).chain(beside.iter().copied()).collect();
    faults.read(fields.only(&known, &["id"]).map(Some));
    let text = |(name, _): Named| fields.text(name).map(str::to_owned);
    let state = match fields.text(STATE.0) {
        Some("any") => None,
        Some(_) => faults.read(fields.parsed::<DeadLetterState>(STATE, "state of a dead letter")),
        None => Some(DeadLetterState::Open),
    };
    let kind = faults.read(fields.parsed::<JobKind>(KIND, "kind of a job"));
    let fingerprint = faults.read(fields.parsed::<Fingerprint>(FINGERPRINT, "fingerprint of a failure group"));
    let (since, until) = fields.range(SINCE, UNTIL, faults);
    let (resolved_since, resolved_until) = fields.range(RESOLVED_SINCE, RESOLVED_UNTIL, faults);
    Ok(DeadLetterFilter {
        kind: kind.map(|kind| kind.as_str().to_owned()),
        endpoint: faults.read(fields.parsed::<Id<Endpoint>>(ENDPOINT, "endpoint's id, which begins with ep_")),
        event_type: text(EVENT_TYPE),
        fingerprint: fingerprint.map(|fingerprint| fingerprint.to_string()),
        status_code: faults.read(fields.parsed::<u16>(STATUS, "status code like 503")),
        q: text(Q),
        since,
        until,
        payload: fields.raw(PAYLOAD.0).filter(|text| !text.is_empty()).map(str::to_owned),
        resolved_since,
        resolved_until,
        ids: ids(fields)?,
        state,
        tag: faults.read(fields.parsed::<Tag>(TAG, "tag: one word of a-z, 0-9, _ . : / @ + and -")),
    })
}

pub(crate) fn nothing_ticked() -> Refusal {
    Refusal::Bad("Nothing was ticked. Go back and tick what you mean.".to_owned())
}

/// Those that are ticked.
fn ids(fields: &Fields) -> Result<Vec<Id<DeadLetter>>, Refusal> {
    let refused = |text: &str| Refusal::Bad(format!("{text:?} is no id of a dead letter. Go back and select again."));
    if fields.pairs().any(|(name, value)| name == "id" && value.trim().is_empty()) {
        return Err(nothing_ticked());
    }
    let mut ids: Vec<_> =
        fields.all("id").map(|text| text.parse().map_err(|_| refused(text))).collect::<Result<_, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    match ids.len() > TICKED_MAX {
        true => Err(Refusal::Bad(format!("More than {TICKED_MAX} are ticked. Go back and take a filter instead."))),
        false => Ok(ids),
    }
}

fn form(visit: &Visit, faults: &Faults) -> FilterForm {
    let of = FieldsOf { fields: &visit.query, faults };
    let states = DeadLetterState::ALL.iter().map(|state| state.as_str()).chain(["any"]);
    let open = DeadLetterState::Open.as_str();
    let mut fields = vec![of.text(Q, "")];
    if visit.sees_all() {
        fields.push(of.text(PAYLOAD, ""));
    }
    fields.extend([
        of.choice(STATE, (open, open), states),
        of.choice(KIND, ("", "any"), JobKind::ALL.iter().map(|kind| kind.as_str())),
        of.text(EVENT_TYPE, ""),
        of.text(STATUS, "503"),
        of.text(SINCE, "2026-01-31 12:00"),
        of.text(UNTIL, "2026-02-01"),
        of.text(RESOLVED_SINCE, "2026-01-31 12:00"),
        of.text(RESOLVED_UNTIL, "2026-02-01"),
        of.text(ENDPOINT, "ep_…"),
        of.text(FINGERPRINT, ""),
        of.text(TAG, ""),
    ]);
    of.form(fields, visit.now)
}

#[cfg(test)]
mod tests {
    use postrider_core::domain::UnixMs;

    use super::*;

    #[test]
    fn a_filter_is_read_from_an_address_and_open_by_default() {
        let of = |query: &str| {
            let mut faults = Faults::default();
            (read_filter(&Fields::parse(query.as_bytes()).unwrap(), &[], &mut faults).unwrap(), faults)
        };
        assert_eq!(of("").0.state, Some(DeadLetterState::Open));
        let (asked, faults) = of("state=any&status=503&since=2026-01-31T12:00&until=2026-02-01&q=+time+out");
        assert_eq!((asked.state, asked.status_code, asked.q.as_deref()), (None, Some(503), Some("time out")));
        assert_eq!(asked.since, Some(UnixMs::parse("2026-01-31T12:00:00Z").unwrap()));
        assert_eq!(asked.until, Some(UnixMs::parse("2026-02-01T00:00:00Z").unwrap()));
        assert!(faults.is_empty());
        for bad in ["state=lost", "status=abc", "since=yesterday", "endpoint=ep_1", "kind=x", "fingerprint=5"] {
            let (field, _) = bad.split_once('=').unwrap();
            assert!(of(bad).1.at(field).is_some(), "{bad}");
        }
        assert_eq!((label("event_type"), label("other")), ("Event type", "other"));
    }
}
