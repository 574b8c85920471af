//! The arguments of an HTTP call as an operator edits them: written as callers of the API write them, with the values of
//! secret headers hidden, which stay what they were unless somebody writes others, and go nowhere else.

use std::fmt::Debug;

use postrider_core::domain::http_request::HttpRequest;
use url::Url;

use crate::exchange::{HIDDEN, without_secrets};

/// How arguments of calls are written by people, and which are refused: the API's rules.
pub trait CallRules: Debug + Send + Sync {
    /// Stored arguments as people write them; `None` where they cannot be read.
    fn shown(&self, stored: &[u8]) -> Option<String>;

    /// What somebody wrote, as a job keeps it.
    ///
    /// # Errors
    /// Every fault, in words.
    fn read(&self, text: &str) -> Result<Vec<u8>, String>;
}

/// As they are edited.
pub(crate) fn shown(rules: &dyn CallRules, stored: &[u8]) -> Option<String> {
    let mut request: HttpRequest = serde_json::from_slice(stored).ok()?;
    request.headers = without_secrets(&request.headers);
    rules.shown(&serde_json::to_vec(&request).ok()?)
}

/// What became of `stored` by an edit.
///
/// # Errors
/// Every fault, in words.
pub(crate) fn edited(rules: &dyn CallRules, stored: &[u8], text: &str) -> Result<Vec<u8>, String> {
    let read = |bytes: &[u8]| serde_json::from_slice::<HttpRequest>(bytes).map_err(|error| error.to_string());
    let (old, mut new) = (read(stored)?, read(&rules.read(text)?)?);
    let origin = |request: &HttpRequest| Url::parse(request.url.as_str()).map(|url| url.origin()).ok();
    let (before, moved) = (origin(&old), origin(&old) != origin(&new));
    for (name, value) in new.headers.iter_mut().filter(|(_, value)| value.contains(HIDDEN)) {
        if value != HIDDEN {
            return Err(format!("headers/{name}: {HIDDEN} stands for the whole value; write the whole of another"));
        }
        if moved {
            let before = before.map(|before| before.ascii_serialization()).unwrap_or_default();
            return Err(format!(
                "headers/{name}: its hidden value was meant for {before} alone; write one for the new address"
            ));
        }
        let kept = old.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        let (_, kept) = kept.ok_or_else(|| format!("headers/{name}: there is no value of it to keep; write one"))?;
        value.clone_from(kept);
    }
    serde_json::to_vec(&new).map_err(|error| error.to_string())
}
