//! A secret that was just made, shown this once. A form that replaces one says which, so that a reload of the answer finds
//! that it is done.

use askama::Template;

use crate::{
    fields::Fields,
    filters,
    once::not_whole,
    page::{Frame, Refusal},
};

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

/// What a form replaces, as its page has said it.
pub(crate) fn replaced_by<T>(fields: &Fields, read: impl Fn(&str) -> Option<T>) -> Result<T, Refusal> {
    fields.text("replaces").and_then(read).ok_or_else(not_whole)
}

/// The answer to a form whose `what` has been replaced since its page was made.
pub(crate) fn replaced_already(what: &str) -> Refusal {
    Refusal::Conflict(format!(
        "This was done already: the {what} was replaced since the page with this form was made, by a first sending of the \
        same form or by somebody else. It was not replaced again. Where the new one is lost, go back, reload the page, and \
        make another."
    ))
}
