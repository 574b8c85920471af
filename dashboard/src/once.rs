//! Forms that do once what they do, however often they are sent: the page gives its form the id of what it makes, so that a
//! second sending, by a double click or a reload, finds that it is done, whichever process it reaches.

use std::time::Duration;

use axum::response::{IntoResponse, Redirect};
use postrider_core::{
    domain::{Id, UnixMs, id::Identified},
    store::{Gate, Operation, OperationKind, Replay, StoreError},
};
use ring::digest;

use crate::{
    fields::Fields,
    page::{Refusal, Shown, base},
    visit::Visit,
};

/// The hidden field that has the id.
const FIELD: &str = "once";
/// A form may lie open for so long.
const FORM_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Hosts' clocks may be apart by so much.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);

/// The id of what a form makes, which its page has given it.
pub(crate) fn id_of_form<T: Identified>(fields: &Fields, now: UnixMs) -> Result<Id<T>, Refusal> {
    let id = fields.text(FIELD).and_then(|text| text.parse::<Id<T>>().ok());
    let is_of_now = |id: &Id<T>| (now - FORM_AGE_MAX..now + CLOCKS_APART_MAX).contains(&id.made_at());
    id.filter(is_of_now).ok_or_else(not_whole)
}

/// The gate that only the first sending of a form passes. `said` is what it asks for.
pub(crate) fn gate<T: Identified>(id: Id<T>, said: &str) -> Gate {
    Gate {
        scope: "form",
        key: id.to_string(),
        body_hash: digest::digest(&digest::SHA256, said.as_bytes()).as_ref().to_vec(),
        // By then the form is too old to be taken.
        expires_at: id.made_at() + FORM_AGE_MAX + CLOCKS_APART_MAX,
    }
}

/// Begins an operation and leads to its page, as does the form that has begun it before.
pub(crate) async fn begin(visit: &Visit, id: Id<Operation>, replay: &Replay, now: UnixMs) -> Shown {
    let scope = visit.scope();
    match scope.create_operation_as(id, replay, now).await {
        Err(StoreError::Exists(_)) => match scope.operation(id).await? {
            Some(begun) if is_same(&begun, replay) => {}
            _ => return Err(sent_already()),
        },
        begun => drop(begun?),
    }
    Ok(Redirect::to(&format!("{}/operations/{id}", base(&visit.tenant))).into_response())
}

/// Whether an operation was begun by the same words. Until when something is recovered may be the moment of the sending.
fn is_same(begun: &Operation, replay: &Replay) -> bool {
    use OperationKind::RecoverEndpoint;
    let same_kind = match (&begun.kind, &replay.kind) {
        (RecoverEndpoint { endpoint, since, .. }, RecoverEndpoint { endpoint: other, since: from, .. }) => {
            (endpoint, since) == (other, from)
        }
        (kind, other) => kind == other,
    };
    same_kind && begun.rate_per_second == replay.rate_per_second
}

pub(crate) fn not_whole() -> Refusal {
    let words = "The form is not whole, or is older than a week. Open its page again and fill it in once more.";
    Refusal::Bad(words.to_owned())
}

/// The answer to a form that did something else when it was sent before.
pub(crate) fn sent_already() -> Refusal {
    let words = "This form was sent before, and asked for something else then; that was done. Open its page again, look at \
        what is there now, and ask for what is still to be done.";
    Refusal::Conflict(words.to_owned())
}

/// The answer to a form that made its `what` when it was sent before.
pub(crate) fn made_already(what: &str, lost: &str) -> Refusal {
    Refusal::Conflict(format!(
        "This was done already: the form has made its {what} when it was sent first, and was sent again, by a reload \
        perhaps. No second one was made. What was shown then is not shown again; where it is lost, {lost}."
    ))
}
