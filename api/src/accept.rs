//! Taking work in: idempotency keys, the commit, the offer after it, and the answer that a key repeats.

use std::{fmt, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use postrider_core::{
    domain::UnixMs,
    store::{DueJob, Gate, Item, ItemResult, Publication, Published, StoreError},
    trace::{Attribute, Side, Step, Told},
};
use ring::digest;
use utoipa::{
    IntoParams,
    openapi::{
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use crate::{
    auth::Caller,
    header::only,
    problem::{Code, Problem},
    state::ApiState,
};

const KEY_HEADER: &str = "Idempotency-Key";
const KEY_BYTES_MAX: usize = 255;
const KEY_FORM: &str = "it is 1 to 255 visible ASCII characters";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The caller's `Idempotency-Key`.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = only(&parts.headers, KEY_HEADER)? else { return Ok(Self(None)) };
        let bytes = value.as_bytes();
        let key = is_key(bytes).then(|| String::from_utf8_lossy(bytes).into_owned());
        key.map(|key| Self(Some(key))).ok_or_else(|| Problem::of_parameter(Code::BadHeader, KEY_HEADER, KEY_FORM))
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = "1 to 255 visible ASCII characters. The same key and body gives the first answer again.";
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let header = ParameterBuilder::new().name(KEY_HEADER).parameter_in(ParameterIn::Header);
        vec![header.description(Some(words)).schema(Some(text)).build()]
    }
}

fn is_key(bytes: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

impl IdempotencyKey {
    /// The same where the body may have it in the header's place.
    ///
    /// # Errors
    /// 422 when it is no key, or another than the header's.
    pub(crate) fn or_in_body(self, given: Option<&str>) -> Result<Self, Problem> {
        let refused = |detail: &str| Problem::at(Code::InvalidBody, "/idempotency_key", detail);
        match (self.0, given) {
            (header, None) => Ok(Self(header)),
            (_, Some(given)) if !is_key(given.as_bytes()) => Err(refused(KEY_FORM)),
            (Some(header), Some(given)) if header != given => {
                Err(refused("it is another key than the header's; leave one of them out"))
            }
            (_, Some(given)) => Ok(Self(Some(given.to_owned()))),
        }
    }

    /// The claim of a call with this body.
    pub(crate) fn gate(self, api: &ApiState, call: &'static str, body: &[u8], now: UnixMs) -> Option<Gate> {
        let body_hash = hash(&[call.as_bytes(), body]);
        let expires_at = now + api.settings().idempotency_ttl;
        self.0.map(|key| Gate { scope: call, key, body_hash, expires_at })
    }
}

/// SHA-256 over parts, each with its length, so that no two lists of parts hash alike.
pub(crate) fn hash(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// What a caller is told: a body, or that its key was used for something else.
pub(crate) type Answer = Option<String>;

/// Makes the answer of what became of each item.
pub(crate) type Answering = Arc<dyn Fn(&[ItemResult]) -> Answer + Send + Sync>;

/// Work to be taken in, and how its answer is made of what became of it.
pub(crate) struct Submission {
    pub(crate) gate: Option<Gate>,
    pub(crate) items: Vec<Item>,
    pub(crate) answer: Answering,
    pub(crate) now: UnixMs,
    /// Ends with the commit.
    pub(crate) step: Option<Step>,
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission").field("items", &self.items).finish_non_exhaustive()
    }
}

impl Submission {
    /// Stores the work, offers it to the queue, and answers 202. A failed offer is not the caller's concern.
    ///
    /// # Errors
    /// 409 when a key was used for something else, 503 when it cannot be stored now.
    pub(crate) async fn submit<N>(self, caller: &Caller<N>) -> Result<Response, Problem> {
        let Self { gate, items, answer, now, step } = self;
        let due: Vec<(bool, Vec<DueJob>)> = items
            .iter()
            .map(|item| (item.event.is_some(), item.jobs.iter().map(|job| job.due(caller.tenant)).collect()))
            .collect();
        let compose = Arc::clone(&answer);
        // An empty text stands for a conflict, so that a repeated key repeats that as well.
        let compose = Box::new(move |results: &[ItemResult]| compose(results).unwrap_or_default());
        let published = caller.scope().publish(Publication::new(gate, items, now, compose)).await;
        if let Some(step) = step {
            step.end(|| told(caller, &due, published.as_ref().err()));
        }
        let published = published?;
        let results = match published {
            Published::Conflict => return Err(conflict()),
            Published::Replayed { answer } if answer.is_empty() => return Err(conflict()),
            Published::Replayed { answer } => return Ok(accepted(answer, true)),
            Published::Stored(results) => results,
        };
        let stored = results.iter().zip(due).filter(|(result, _)| **result == ItemResult::Stored);
        let (events, jobs): (Vec<bool>, Vec<Vec<DueJob>>) = stored.map(|(_, work)| work).unzip();
        let jobs: Vec<DueJob> = jobs.into_iter().flatten().collect();
        caller.api.metrics().accepted(events.into_iter().filter(|event| *event).count(), jobs.len());
        if !jobs.is_empty() {
            caller.api.dispatcher().offer(&jobs);
        }
        let replayed = matches!(results.as_slice(), [ItemResult::Replayed { .. }]);
        answer(&results).map(|body| accepted(body, replayed)).ok_or_else(conflict)
    }
}

/// The span of handing work in.
fn told<N>(caller: &Caller<N>, due: &[(bool, Vec<DueJob>)], error: Option<&StoreError>) -> Told {
    let count = |of: usize| Attribute::Number(i64::try_from(of).unwrap_or(i64::MAX));
    Told {
        name: "publish",
        side: Side::Server,
        error: error.map(ToString::to_string),
        attributes: vec![
            ("postrider.tenant.id", Attribute::Text(caller.tenant.to_string())),
            ("postrider.events", count(due.iter().filter(|(is_event, _)| *is_event).count())),
            ("postrider.jobs", count(due.iter().map(|(_, jobs)| jobs.len()).sum())),
        ],
    }
}

pub(crate) fn conflict() -> Problem {
    let detail = "this key or id was used before with another body; use a new one";
    Problem::new(Code::IdempotencyConflict, detail)
}

fn accepted(body: String, replayed: bool) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut response = (StatusCode::ACCEPTED, headers, body).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
