//! One dead letter, whole: what it was, each attempt, and what can be done with it.

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
        dead_letter::{DeadLetter, DeadLetterState},
        endpoint::Endpoint,
        job::{Input, JobKind, JobView},
        line::judge_line,
        nesting::{DEPTH_MAX, too_deep},
    },
    store::Resolved,
};
use serde_json::value::RawValue;

use crate::{
    Dashboard,
    attempts::{self, AttemptLine},
    body::Body,
    call_arguments,
    diagram::{Diagram, Life},
    exchange::{Delivery, Exchange},
    failures::{Similar, similar},
    filters,
    lineage::{self, Kin},
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show},
    visit::{Deed, PayloadDeed, Visit},
};

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/dead-letters/{id}", get(dead_letter))
        .route("/dead-letters/{id}/replay", post(replay))
        .route("/dead-letters/{id}/discard", post(discard))
}

#[derive(Template)]
#[template(path = "dead_letter.html")]
struct DeadLetterPage {
    frame: Frame,
    id: String,
    job: String,
    state: &'static str,
    open: bool,
    cause: &'static str,
    kind: &'static str,
    event_type: Option<String>,
    message_id: Option<String>,
    /// The endpoint is deleted, and its lane with it.
    is_gone: bool,
    endpoint: Option<(String, String)>,
    lane: String,
    died: Moment,
    resolved: Option<Moment>,
    resolved_reason: Option<String>,
    replay_of: Option<String>,
    replayed_as: Option<String>,
    similar: Option<Similar>,
    first_error: Option<String>,
    last_error: Option<String>,
    /// Where there is no request that shows it.
    payload: Option<Body>,
    diagram: Diagram,
    exchange: Option<Exchange>,
    attempts: Vec<AttemptLine>,
    lineage: Vec<Kin>,
    takes_other_payload: bool,
}

async fn dead_letter(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let letter = find(&visit, &id).await?;
    show(&page(&visit, letter).await?)
}

/// As it is, or with the payload that the form brings.
async fn replay(Path((_, id)): Path<(String, String)>, PayloadDeed(Deed { visit, fields }): PayloadDeed) -> Shown {
    let letter = find(&visit, &id).await?;
    let payload = match fields.raw("payload") {
        // Browsers write the ends of lines as CRLF (HTML, section 4.10.21.7), whatever they were.
        Some(text) => other_payload(&visit, &letter, text.replace("\r\n", "\n"))?,
        None => None,
    };
    let job = match visit.scope().replay_dead_letter(letter.id, payload, visit.now).await? {
        Resolved::Done(job) => job,
        other => return Err(refused(other)),
    };
    visit.dashboard.dispatcher.offer(std::slice::from_ref(&job));
    Ok(back(&visit, letter.id).into_response())
}

async fn discard(Path((_, id)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let letter = find(&visit, &id).await?;
    let reason = fields.text("reason").unwrap_or_default();
    judge_line(reason)
        .map_err(|error| Refusal::Bad(format!("The reason {error}. Go back and write why it needs no replay.")))?;
    match visit.scope().discard_dead_letter(letter.id, reason, visit.now).await? {
        Resolved::Done(_) => Ok(back(&visit, letter.id).into_response()),
        other => Err(refused(other)),
    }
}

pub(crate) async fn find(visit: &Visit, id: &str) -> Result<DeadLetter, Refusal> {
    let missing = Refusal::NotFound("dead letter");
    let Ok(id) = id.parse::<Id<DeadLetter>>() else { return Err(missing) };
    visit.scope().dead_letter(id).await?.ok_or(missing)
}

fn back(visit: &Visit, id: Id<DeadLetter>) -> Redirect {
    Redirect::to(&format!("{}/dead-letters/{id}", base(&visit.tenant)))
}

/// What is edited of it; `None` where there is nothing to edit, or where it cannot be read.
pub(crate) fn editable(visit: &Visit, letter: &DeadLetter) -> Option<String> {
    match letter.kind.input() {
        Input::Payload => Some(String::from_utf8_lossy(&letter.payload).into_owned()),
        Input::Call => call_arguments::shown(&*visit.dashboard.settings.calls, &letter.payload),
        Input::Own => None,
    }
}

/// `None` where it is the payload that the letter has.
pub(crate) fn other_payload(visit: &Visit, letter: &DeadLetter, text: String) -> Result<Option<Vec<u8>>, Refusal> {
    let (bytes, max) = (text.len(), visit.dashboard.settings.payload_bytes_max);
    let Some(now) = editable(visit, letter) else {
        return Err(Refusal::Bad(format!("A job of the kind {} is replayed as it is.", letter.kind)));
    };
    if now.replace("\r\n", "\n") == text {
        return Ok(None);
    }
    if bytes > max {
        return Err(Refusal::Bad(format!("The payload has {bytes} bytes; it may have {max}.")));
    }
    if too_deep(text.as_bytes()).is_some() {
        return Err(Refusal::Bad(format!("The payload is nested deeper than {DEPTH_MAX} arrays and objects.")));
    }
    let json: Result<&RawValue, _> = serde_json::from_str(&text);
    if let Err(error) = json {
        return Err(Refusal::Bad(format!("The payload is no JSON: {error}. Mend it, and send it again.")));
    }
    if letter.kind != JobKind::HttpRequest {
        return Ok(Some(text.into_bytes()));
    }
    let edited = call_arguments::edited(&*visit.dashboard.settings.calls, &letter.payload, &text);
    let edited = edited
        .map_err(|error| Refusal::Bad(format!("The call cannot be made so: {error}. Mend it, and send it again.")));
    Ok(Some(edited?).filter(|edited| *edited != letter.payload))
}

pub(crate) fn refused<T>(resolved: Resolved<T>) -> Refusal {
    match resolved {
        Resolved::Done(_) | Resolved::NotFound => Refusal::NotFound("dead letter"),
        Resolved::Already(letter) => {
            let by = letter.replayed_as.map(|job| format!(" as {job}")).unwrap_or_default();
            Refusal::Conflict(format!(
                "It was {}{by} already, by a first sending of the same form or by somebody else.",
                letter.state.as_str()
            ))
        }
        Resolved::EndpointGone => {
            Refusal::Conflict("Its endpoint is deleted, so there is nowhere to deliver it to. Discard it.".to_owned())
        }
        Resolved::EndpointDisabled(endpoint) => Refusal::Conflict(format!(
            "Its endpoint {} is disabled, so the replay would die at once. Resume the endpoint first.",
            endpoint.settings.url.as_str()
        )),
    }
}

async fn page(visit: &Visit, letter: DeadLetter) -> Result<DeadLetterPage, Refusal> {
    let now = visit.now;
    let endpoint = match letter.endpoint_id {
        Some(id) => visit.scope().endpoint(id).await?,
        None => None,
    };
    let exchange = exchange(visit, &letter, endpoint.as_ref());
    let takes_other_payload = editable(visit, &letter).is_some();
    Ok(DeadLetterPage {
        is_gone: letter.endpoint_id.is_some() && endpoint.is_none(),
        payload: exchange.is_none().then(|| visit.body(&letter.payload)),
        exchange,
        lineage: lineage::of(visit, letter.job_id, letter.replay_of, &letter.id.to_string()).await?,
        diagram: Diagram::of(&Life {
            made_at: letter.job_id.made_at(),
            finished_at: Some(letter.created_at),
            view: JobView::Dead,
            attempts: &letter.history,
            planned: None,
            now,
        }),
        attempts: attempts::lines(visit, letter.history),
        job: letter.job_id.to_string(),
        frame: Frame::of(visit, Section::DeadLetters, format!("Dead letter {}", letter.id)),
        id: letter.id.to_string(),
        state: letter.state.as_str(),
        open: letter.state == DeadLetterState::Open,
        cause: letter.cause.in_words(),
        kind: letter.kind.as_str(),
        event_type: letter.event_type,
        message_id: letter.message_id,
        endpoint: letter.endpoint_id.map(|id| (id.to_string(), visit.url(&letter.endpoint_url.unwrap_or_default()))),
        lane: letter.lane.to_string(),
        died: Moment::of(letter.created_at, now),
        resolved: letter.resolved_at.map(|at| Moment::of(at, now)),
        resolved_reason: letter.resolved_reason,
        replay_of: letter.replay_of.map(|id| id.to_string()),
        replayed_as: letter.replayed_as.map(|id| id.to_string()),
        similar: similar(visit, letter.fingerprint.as_ref()).await?,
        first_error: letter.first_error,
        last_error: letter.last_error,
        takes_other_payload,
    })
}

/// What was sent, as far as the snapshot has it.
fn exchange(visit: &Visit, letter: &DeadLetter, endpoint: Option<&Endpoint>) -> Option<Exchange> {
    if letter.kind == JobKind::HttpRequest {
        return Exchange::of_call(visit, &letter.payload, &letter.history);
    }
    letter.endpoint_id?;
    let delivery = Delivery {
        url: letter.endpoint_url.clone()?,
        message_id: letter.message_id.clone()?,
        payload: &letter.payload,
        headers: letter.request_headers.clone(),
        endpoint,
    };
    Some(Exchange::of_delivery(visit, delivery, &letter.history))
}
