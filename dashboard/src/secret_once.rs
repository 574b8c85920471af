//! A secret that was just made, shown this once, and made once however often its form is sent: a form says what it makes or
//! what it replaces, so that a reload of the answer finds that it is done.

use askama::Template;
use postrider_core::domain::{Id, UnixMs, id::Identified};

use crate::{
    fields::Fields,
    filters,
    page::{Frame, Refusal},
};

/// A form may lie open for so long.
const FORM_AGE_MAX_MS: i64 = 7 * 24 * 3_600_000;
/// Hosts' clocks may be apart by so much.
const CLOCKS_APART_MAX_MS: i64 = 5 * 60_000;

#[derive(Template)]
#[template(path = "secret_once.html")]
pub(crate) struct SecretPage {
    pub(crate) frame: Frame,
    pub(crate) title: String,
    /// What to do with it.
    pub(crate) text: &'static str,
    pub(crate) secret: String,
    /// Where to go on.
    pub(crate) back: String,
}

/// The id of what a form makes, which its page has given it.
pub(crate) fn id_of_form<T: Identified>(fields: &Fields, now: UnixMs) -> Result<Id<T>, Refusal> {
    let id = fields.text("id").and_then(|text| text.parse::<Id<T>>().ok());
    let is_of_now = |id: &Id<T>| (-CLOCKS_APART_MAX_MS..FORM_AGE_MAX_MS).contains(&(now.0 - id.made_at().0));
    id.filter(is_of_now).ok_or_else(not_whole)
}

/// What a form replaces, as its page has said it.
pub(crate) fn replaced_by<T>(fields: &Fields, read: impl Fn(&str) -> Option<T>) -> Result<T, Refusal> {
    fields.text("replaces").and_then(read).ok_or_else(not_whole)
}

fn not_whole() -> Refusal {
    let words = "The form is not whole, or is older than a week. Open its page again and fill it in once more.";
    Refusal::Bad(words.to_owned())
}

/// The answer to a form that made its `what` when it was sent before.
pub(crate) fn made_already(what: &str, lost: &str) -> Refusal {
    Refusal::Conflict(format!(
        "This was done already: the form has made its {what} when it was sent first, and was sent again, by a reload \
        perhaps. No second one was made. What was shown then is not shown again; where it is lost, {lost}."
    ))
}

/// The answer to a form whose `what` has been replaced since its page was made.
pub(crate) fn replaced_already(what: &str) -> Refusal {
    Refusal::Conflict(format!(
        "This was done already: the {what} was replaced since the page with this form was made, by a first sending of the \
        same form or by somebody else. It was not replaced again. Where the new one is lost, go back, reload the page, and \
        make another."
    ))
}
