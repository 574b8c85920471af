//! What is done to many dead letters at once: how many there are is shown first, then an operation does it.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{Id, dead_letter::DeadLetterState, line::judge_line, user::UserRole},
    store::{DeadLetterFilter, OpenCount, Operation, OperationKind, Replay},
};

use crate::{
    Dashboard,
    dead_letters::{filter, is_filter, label, nothing_ticked},
    fields::Fields,
    filters,
    once::{begin, id_of_form},
    page::{Frame, LATER, Refusal, Section, Shown, base, show_in_parts},
    visit::{Deed, Visit},
};

/// What stands beside the filter: in the address of the question, and in the form that answers it.
const OF_QUESTION: [&str; 3] = ["act", "from", "picked"];
const OF_ANSWER: [&str; 7] = ["act", "counted_at", "once", "picked", "rate", "reason", "token"];
const RATE_MAX: u32 = 10_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/dead-letters/bulk", get(ask).post(start))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Replay,
    Discard,
}

impl Act {
    fn of(fields: &Fields) -> Result<Self, Refusal> {
        match fields.text("act") {
            Some("replay") => Ok(Self::Replay),
            Some("discard") => Ok(Self::Discard),
            _ => Err(Refusal::Bad("It is not said what to do. Go back to the list and choose.".to_owned())),
        }
    }
}

/// A part of the filter.
struct Asked {
    name: String,
    label: String,
    value: String,
}

/// What is sent before it is known how many there are.
#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage {
    frame: Frame,
    later: &'static str,
}

#[derive(Template)]
#[template(path = "bulk_ask.html")]
struct Question {
    base: String,
    tenant: String,
    token: String,
    replays: bool,
    act: &'static str,
    /// `None`: the database did not say.
    count: Option<OpenCount>,
    /// What is asked for, also for the form.
    asked: Vec<Asked>,
    picked: bool,
    rate_max: u32,
    counted_at: String,
    /// Of the operation that the form begins.
    once: String,
    /// The list that it came from.
    back: String,
}

async fn ask(visit: Visit) -> Shown {
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let (act, mut filter) = (Act::of(&visit.query)?, asked_for(&visit, &visit.query, &OF_QUESTION)?);
    filter.until = Some(filter.until.map_or(visit.now, |until| until.min(visit.now)));
    let title = if act == Act::Replay { "Replay dead letters" } else { "Discard dead letters" };
    let asked = visit.query.pairs().filter(|(name, value)| {
        let counts = *name == "id" || (is_filter(name) && *name != "state");
        counts && !value.is_empty()
    });
    let frame = Frame::of(&visit, Section::DeadLetters, title);
    let question = Question {
        asked: asked
            .map(|(name, value)| Asked {
                name: name.to_owned(),
                label: label(name).to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        base: frame.base(),
        tenant: frame.tenant.name.to_string(),
        token: frame.token.clone(),
        replays: act == Act::Replay,
        act: if act == Act::Replay { "replay" } else { "discard" },
        count: None,
        picked: !filter.ids.is_empty(),
        rate_max: RATE_MAX,
        counted_at: visit.now.to_string(),
        once: Id::<Operation>::new().to_string(),
        back: format!("{}/dead-letters{}", base(&visit.tenant), list_of(&visit.query)),
    };
    show_in_parts(&BulkPage { frame, later: LATER }, counted(visit, filter, question))
}

/// All rows that match are read for it, which takes long where there are many or payloads are searched.
async fn counted(visit: Visit, filter: DeadLetterFilter, mut question: Question) -> String {
    match visit.scope().count_open_dead_letters(&filter).await {
        Ok(count) => question.count = Some(count),
        Err(error) => tracing::error!(%error, "dead letters cannot be counted"),
    }
    question.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page cannot be drawn");
        String::new()
    })
}

/// The query of the list that somebody came from: as it says where some are ticked, or the filter itself.
fn list_of(query: &Fields) -> String {
    match query.text("from") {
        Some(from) => {
            let fields = Fields::parse(from.trim_start_matches('?').as_bytes());
            fields.map(|fields| fields.query_without(&[])).unwrap_or_default()
        }
        None => query.query_without(&["act", "picked", "id", "from"]),
    }
}

async fn start(Deed { visit, fields }: Deed) -> Shown {
    let (id, mut filter) = (id_of_form(&fields, visit.now)?, asked_for(&visit, &fields, &OF_ANSWER)?);
    // What died since it was counted is not part of it.
    let counted_at = fields.time(("counted_at", "Counted at"))?.unwrap_or(visit.now);
    filter.until = Some(filter.until.map_or(counted_at, |until| until.min(counted_at)));
    let count = visit.scope().count_open_dead_letters(&filter).await?;
    let replay = match Act::of(&fields)? {
        Act::Replay => {
            let kind = OperationKind::ReplayDeadLetters { filter };
            Replay { kind, total: Some(count.all), rate_per_second: rate(&fields)? }
        }
        Act::Discard => {
            let reason = fields.text("reason").unwrap_or_default();
            judge_line(reason).map_err(|error| {
                Refusal::Bad(format!("The reason {error}. Go back and write why they need no replay."))
            })?;
            let kind = OperationKind::DiscardDeadLetters { filter, reason: reason.to_owned() };
            Replay { kind, total: Some(count.all), rate_per_second: None }
        }
    };
    begin(&visit, id, &replay, visit.now).await
}

/// The open dead letters that are meant.
fn asked_for(visit: &Visit, fields: &Fields, beside: &[&str]) -> Result<DeadLetterFilter, Refusal> {
    let filter = filter(visit, fields, beside)?;
    if fields.raw("picked").is_some_and(|picked| picked.is_empty() || filter.ids.is_empty()) {
        return Err(nothing_ticked());
    }
    match filter.state {
        None | Some(DeadLetterState::Open) => Ok(filter),
        Some(_) => {
            Err(Refusal::Bad("Only open dead letters are replayed or discarded. Go back and ask for those.".to_owned()))
        }
    }
}

fn rate(fields: &Fields) -> Result<Option<u32>, Refusal> {
    let Some(text) = fields.text("rate") else { return Ok(None) };
    let rate = text.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    let refused = || Refusal::Bad(format!("{text:?} is no rate: 1 to {RATE_MAX} a second. Go back and mend it."));
    rate.map(Some).ok_or_else(refused)
}
