//! Operations: what somebody asked to be done to many things, its progress and its end.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{Id, UnixMs},
    store::{DeadLetterFilter, Left, Operation, OperationKind, OperationState, Page},
};

use crate::{
    Dashboard,
    dead_letters::{PAYLOAD, written},
    faults::Named,
    filters::{self, grouped},
    moment::Moment,
    operation_links::{ListLink, links_of},
    page::{Frame, Refusal, Section, Shown, base, show},
    pager::Pager,
    visit::{Deed, Visit},
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/operations", get(operations))
        .route("/operations/{id}", get(operation))
        .route("/operations/{id}/cancel", post(cancel))
}

struct Line {
    id: String,
    what: &'static str,
    state: &'static str,
    runs: bool,
    failed: Option<String>,
    total: Option<u64>,
    seen: u64,
    /// Counted when it began and no longer there for it, where it is done.
    elsewhere: u64,
    /// What was done to those that were looked at, in words.
    result: String,
    rate: Option<u32>,
    by: String,
    began: Moment,
    ended: Option<Moment>,
}

impl Line {
    /// How far the bar is, of the total.
    const fn progress(&self) -> u64 {
        self.seen + self.elsewhere
    }

    fn of(operation: &Operation, now: UnixMs) -> Self {
        let skipped = match operation.skipped {
            0 => String::new(),
            skipped => format!(", {} left as they were", grouped(skipped)),
        };
        let result = match operation.kind {
            OperationKind::DiscardDeadLetters { .. } => format!("{} discarded{skipped}", grouped(operation.discarded)),
            _ => format!("{} replayed{skipped}", grouped(operation.replayed)),
        };
        Self {
            id: operation.id.to_string(),
            what: match operation.kind {
                OperationKind::RecoverEndpoint { .. } => "Recover an endpoint",
                OperationKind::ReplayDeadLetters { .. } => "Replay dead letters",
                OperationKind::DiscardDeadLetters { .. } => "Discard dead letters",
            },
            state: operation.state.as_str(),
            runs: operation.state == OperationState::Running,
            failed: operation.error.clone(),
            total: operation.total,
            seen: operation.seen,
            elsewhere: match (operation.state, operation.total) {
                (OperationState::Succeeded, Some(total)) => total.saturating_sub(operation.seen),
                _ => 0,
            },
            result,
            rate: operation.rate_per_second,
            by: operation.created_by.clone().unwrap_or_else(|| "an API token".to_owned()),
            began: Moment::of(operation.created_at, now),
            ended: operation.finished_at.map(|at| Moment::of(at, now)),
        }
    }
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    frame: Frame,
    rows: Vec<Line>,
    pager: Pager,
}

async fn operations(visit: Visit) -> Shown {
    let before = visit.query.before::<Id<Operation>>()?;
    let listed = visit.scope().operations(&Page { before, limit: ROWS }).await?;
    let pager = Pager::of(&visit.query, &listed);
    let rows = listed.rows.iter().map(|operation| Line::of(operation, visit.now)).collect();
    show(&OperationsPage { frame: Frame::of(&visit, Section::Operations, "Operations"), rows, pager })
}

#[derive(Template)]
#[template(path = "operation.html")]
struct OperationPage {
    frame: Frame,
    line: Line,
    asked: Vec<(&'static str, String)>,
    /// How many were left as they were, and why.
    left: Vec<(u64, &'static str)>,
    links: Vec<ListLink>,
}

async fn operation(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let operation = find(&visit, &id).await?;
    let frame = Frame::of(&visit, Section::Operations, "Operation");
    show(&OperationPage {
        frame,
        line: Line::of(&operation, visit.now),
        asked: asked(&operation.kind, visit.sees_all()),
        left: operation.left.iter().map(|(reason, count)| (*count, why(*reason))).collect(),
        links: links_of(&operation, visit.sees_all()),
    })
}

async fn cancel(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let operation = find(&visit, &id).await?;
    match visit.scope().cancel_operation(operation.id, visit.now).await? {
        true => Ok(Redirect::to(&format!("{}/operations/{id}", base(&visit.tenant))).into_response()),
        false => Err(Refusal::Conflict("It has ended already; its page says how.".to_owned())),
    }
}

async fn find(visit: &Visit, id: &str) -> Result<Operation, Refusal> {
    let missing = Refusal::NotFound("operation");
    let Ok(id) = id.parse::<Id<Operation>>() else { return Err(missing) };
    visit.scope().operation(id).await?.ok_or(missing)
}

const fn why(reason: Left) -> &'static str {
    match reason {
        Left::EndpointDeleted => "their endpoint is deleted, so there is nowhere to deliver to: discard them",
        Left::EndpointDisabled => "their endpoint is disabled: resume it, then replay them again",
        Left::Delivered => "they went through before",
        Left::Pending => "they are on their way",
        Left::Test => "they were tests, meant for their moment only",
        Left::NotWanted => "the endpoint does not take them, or was made after them",
        Left::PayloadGone => "retention has removed what was to be sent",
    }
}

/// What an operation takes, as names and values.
fn asked(kind: &OperationKind, sees_all: bool) -> Vec<(&'static str, String)> {
    match kind {
        OperationKind::RecoverEndpoint { endpoint, since, until } => {
            vec![("Endpoint", endpoint.to_string()), ("Since", since.to_string()), ("Until", until.to_string())]
        }
        OperationKind::ReplayDeadLetters { filter } => asked_of(filter, sees_all),
        OperationKind::DiscardDeadLetters { filter, reason } => {
            let mut asked = asked_of(filter, sees_all);
            asked.push(("Reason", reason.clone()));
            asked
        }
    }
}

fn asked_of(filter: &DeadLetterFilter, sees_all: bool) -> Vec<(&'static str, String)> {
    let ids = &filter.ids;
    let ticked = (!ids.is_empty()).then(|| ("Dead letters", format!("{} that were ticked", ids.len())));
    let told = |(named, value): (Named, String)| {
        let hidden = named == PAYLOAD && !sees_all;
        // A time that is told has its offset.
        (named.1.trim_end_matches(" (UTC)"), if hidden { "(hidden)".to_owned() } else { value })
    };
    ticked.into_iter().chain(written(filter).into_iter().map(told)).collect()
}
