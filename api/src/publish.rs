//! Publishing events, one or a batch: what is checked, what is stored, what is answered.

use std::sync::Arc;

use axum::response::Response;
use postrider_core::{
    domain::{
        Id, UnixMs,
        event::{Channel, Event, EventType, OwnId},
        limits::{BATCH_EVENTS_MAX, CHANNELS_MAX},
        trace::TraceContext,
    },
    store::{Gate, Item, ItemResult, NewEvent, NewJob, TenantEndpoints},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    accept::{IdempotencyKey, Submission, conflict, hash},
    auth::{Caller, Publish},
    json::{RawJson, parse_at},
    problem::{Code, Faults, Problem, ProblemBody},
    state::{ApiSettings, SCHEDULE_AHEAD_MAX},
    trace::Traced,
    wire::Time,
};

/// What ids that Postrider gives begin with, so that no own id is taken for one.
const GIVEN_ID_PREFIX: &str = "evt_";

/// An event to be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEvent)]
pub(crate) struct EventRequest {
    /// What happened, for example `invoice.paid`: 1 to 128 characters of a-z, 0-9, `_`, `.` and `-`.
    r#type: String,
    /// Any JSON; it reaches the receivers byte for byte.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
    /// Your own id of it. The same id again is the same event.
    id: Option<String>,
    /// Further dimensions that endpoints filter by.
    channels: Option<Vec<String>>,
    /// When to deliver it; absent: now.
    #[schema(value_type = Option<Time>)]
    deliver_at: Option<String>,
}

/// Up to 1,000 events; each is accepted or refused by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch)]
pub(crate) struct BatchRequest {
    #[schema(value_type = Vec<EventRequest>, min_items = 1, max_items = 1_000)]
    events: Vec<Box<RawValue>>,
}

/// An event that is stored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AcceptedEvent)]
pub(crate) struct EventAccepted {
    /// What receivers see as `webhook-id`.
    id: String,
    r#type: String,
    /// Endpoints that it goes to.
    deliveries: usize,
    created_at: Time,
    deliver_at: Time,
}

/// What became of one event of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchResult {
    Accepted {
        /// 202
        status: u16,
        #[serde(flatten)]
        event: EventAccepted,
        /// Its own id was used before, for the same event; this is that one.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    },
    Refused {
        status: u16,
        error: ProblemBody,
    },
}

/// One result for each event of a batch, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    data: Vec<BatchResult>,
}

/// What an event is checked against.
struct Checks<'c> {
    settings: &'c ApiSettings,
    endpoints: &'c TenantEndpoints,
    now: UnixMs,
    trace: Option<TraceContext>,
}

pub(crate) async fn one(
    caller: &Caller<Publish>,
    key: IdempotencyKey,
    traced: Traced,
    body: &RawJson,
) -> Result<Response, Problem> {
    let now = UnixMs::now();
    let endpoints = caller.api.store().directory().endpoints(caller.tenant).await?;
    let checks = Checks { settings: caller.api.settings(), endpoints: &endpoints, now, trace: traced.context() };
    let (item, _) = checks.item(body.parse()?, "")?;
    let answer = item.answer.clone();
    let submission = Submission {
        gate: key.gate(&caller.api, "POST /v1/events", body.bytes(), now),
        items: vec![item],
        answer: Arc::new(move |results| match results {
            [ItemResult::Stored] => Some(answer.clone()),
            [ItemResult::Replayed { answer }] => Some(answer.clone()),
            _ => None,
        }),
        now,
        step: Some(traced.0),
    };
    submission.submit(caller).await
}

pub(crate) async fn batch(
    caller: &Caller<Publish>,
    key: IdempotencyKey,
    traced: Traced,
    body: &RawJson,
) -> Result<Response, Problem> {
    let BatchRequest { events } = body.parse()?;
    if events.is_empty() {
        let detail = format!("a batch has 1 to {BATCH_EVENTS_MAX} events; this one has none");
        return Err(Problem::at(Code::InvalidBody, "/events", detail));
    }
    if events.len() > BATCH_EVENTS_MAX {
        let detail = format!("a batch has 1 to {BATCH_EVENTS_MAX} events; this one has {}", events.len());
        return Err(Problem::at(Code::BatchTooLarge, "/events", detail));
    }
    let now = UnixMs::now();
    let endpoints = caller.api.store().directory().endpoints(caller.tenant).await?;
    let checks = Checks { settings: caller.api.settings(), endpoints: &endpoints, now, trace: traced.context() };
    let mut items = Vec::with_capacity(events.len());
    let mut slots = Vec::with_capacity(events.len());
    for (place, raw) in events.iter().enumerate() {
        let base = format!("/events/{place}");
        match parse_at(raw.get(), &base).and_then(|event| checks.item(event, &base)) {
            Ok((item, accepted)) => {
                items.push(item);
                slots.push(Ok(accepted));
            }
            Err(problem) => slots.push(Err(problem)),
        }
    }
    let submission = Submission {
        gate: key.gate(&caller.api, "POST /v1/events/batch", body.bytes(), now),
        items,
        answer: Arc::new(move |results| serde_json::to_string(&batch_answer(&slots, results)).ok()),
        now,
        step: Some(traced.0),
    };
    submission.submit(caller).await
}

/// The results in the order of the events: of those that were stored, and of those refused before.
fn batch_answer(slots: &[Result<EventAccepted, Problem>], results: &[ItemResult]) -> BatchAnswer {
    let mut results = results.iter();
    let refused =
        |problem: &Problem| BatchResult::Refused { status: problem.code.status().as_u16(), error: problem.body(None) };
    let result = |slot: &Result<EventAccepted, Problem>| match slot {
        Err(problem) => refused(problem),
        Ok(event) => match results.next() {
            Some(ItemResult::Stored) => BatchResult::Accepted { status: 202, event: event.clone(), replayed: false },
            Some(ItemResult::Replayed { answer }) => match serde_json::from_str(answer) {
                Ok(event) => BatchResult::Accepted { status: 202, event, replayed: true },
                Err(_) => refused(&conflict()),
            },
            Some(ItemResult::Conflict | ItemResult::Existing(_)) | None => refused(&conflict()),
        },
    };
    BatchAnswer { data: slots.iter().map(result).collect() }
}

impl Checks<'_> {
    /// An event with its deliveries, ready to be stored, and its answer.
    fn item(&self, request: EventRequest, base: &str) -> Result<(Item, EventAccepted), Problem> {
        let bytes = request.payload.get().len();
        if bytes > self.settings.payload_bytes_max {
            let detail = format!("the payload has {bytes} bytes; it may have {}", self.settings.payload_bytes_max);
            return Err(Problem::at(Code::PayloadTooLarge, format!("{base}/payload"), detail));
        }
        let mut faults = Faults::below(base);
        let kind = faults.keep("/type", request.r#type.parse::<EventType>());
        let own_id = request.id.as_deref().and_then(|id| faults.keep("/id", parse_own_id(id)));
        let given = request.channels.clone().unwrap_or_default();
        let detail = format!("an event has at most {CHANNELS_MAX} channels");
        faults.check("/channels", given.len() <= CHANNELS_MAX, detail);
        let channels = faults.keep_all("/channels", given, |channel: String| channel.parse::<Channel>());
        let deliver_at = request.deliver_at.as_deref().and_then(|text| faults.keep("/deliver_at", self.ahead(text)));
        let Some(kind) = kind else { return Err(faults.problem()) };
        faults.result()?;
        let gate = own_id.as_ref().map(|own_id| self.own_gate(own_id, &request));
        let id = Id::<Event>::new();
        let deliver_at = deliver_at.unwrap_or(self.now);
        let wanting = self.endpoints.wanting(&kind, &channels);
        let jobs: Vec<NewJob> = wanting.map(|live| NewJob::delivery(&live.endpoint, id, deliver_at)).collect();
        let accepted = EventAccepted {
            id: own_id.as_ref().map_or_else(|| id.to_string(), ToString::to_string),
            r#type: kind.to_string(),
            deliveries: jobs.len(),
            created_at: Time(self.now),
            deliver_at: Time(deliver_at),
        };
        let answer = serde_json::to_string(&accepted).map_err(|error| Problem::new(Code::Internal, error))?;
        let payload = Box::<str>::from(request.payload).into_string().into_bytes();
        let event = NewEvent { id, own_id, kind, channels, payload, deliver_at, trace: self.trace.clone() };
        Ok((Item { gate, answer, ..Item::event(event, jobs) }, accepted))
    }

    /// A time that somebody asked for; one that is past is now.
    fn ahead(&self, text: &str) -> Result<UnixMs, String> {
        schedule(text, self.now)
    }

    fn own_gate(&self, own_id: &OwnId, request: &EventRequest) -> Gate {
        let channels = request.channels.as_ref().map(|list| list.join("\n")).unwrap_or_default();
        let deliver_at = request.deliver_at.as_deref().unwrap_or_default();
        let parts = [request.r#type.as_str(), request.payload.get(), &channels, deliver_at].map(str::as_bytes);
        let expires_at = self.now + self.settings.own_id_ttl;
        Gate { scope: "own_id", key: own_id.to_string(), body_hash: hash(&parts), expires_at }
    }
}

/// A time to begin at: one that is past is now, one too far ahead is refused.
///
/// # Errors
/// When it is not an RFC 3339 time, or lies too far ahead.
pub(crate) fn schedule(text: &str, now: UnixMs) -> Result<UnixMs, String> {
    let at = UnixMs::parse(text).map_err(|error| error.to_string())?;
    if at > now + SCHEDULE_AHEAD_MAX {
        return Err(format!("{at} is more than {} days ahead", SCHEDULE_AHEAD_MAX.as_secs() / 86_400));
    }
    Ok(at.max(now))
}

fn parse_own_id(text: &str) -> Result<OwnId, String> {
    if text.starts_with(GIVEN_ID_PREFIX) {
        return Err(format!("an own id may not begin with {GIVEN_ID_PREFIX}, as given ids do"));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte == b'.') {
        return Err("an own id of dots alone cannot be asked for, since paths leave dots out".to_owned());
    }
    text.parse().map_err(|error: postrider_core::domain::event::OwnIdError| error.to_string())
}
