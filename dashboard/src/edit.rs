//! A dead letter with another payload: edited, compared with what died, and only then replayed.

use std::time::Duration;

use askama::Template;
use axum::{Router, extract::Path, routing::get};
use postrider_core::domain::{
    dead_letter::{DeadLetter, DeadLetterState},
    job::JobKind,
    user::UserRole,
};
use similar::{ChangeTag, TextDiff};

use crate::{
    Dashboard,
    body::lay_out,
    dead_letter::{editable, find, other_payload},
    page::{Frame, Refusal, Section, Shown, show},
    visit::{Deed, PayloadDeed, Visit},
};

/// Unchanged lines around those that have changed.
const AROUND: usize = 3;
/// What is not compared by then is shown as gone and new.
const COMPARED_WITHIN: Duration = Duration::from_millis(200);
/// Lines that are shown.
const LINES_MAX: usize = 2_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/dead-letters/{id}/edit", get(edit).post(compare))
}

#[derive(Template)]
#[template(path = "dead_letter_edit.html")]
struct EditPage {
    frame: Frame,
    id: String,
    payload: String,
    is_call: bool,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "dead_letter_change.html")]
struct ChangePage {
    frame: Frame,
    change: Change,
}

struct Change {
    id: String,
    payload: String,
    is_laid_out: bool,
    only_blanks: bool,
    /// There is more than is shown.
    is_cut: bool,
    /// Groups of lines, each with its sign.
    groups: Vec<Vec<(Sign, String)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Same,
    Gone,
    New,
}

async fn edit(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let (letter, payload) = open_letter(&visit, &id).await?;
    // A call's arguments are one long line as they are kept; a payload is shown as it came.
    let is_call = letter.kind == JobKind::HttpRequest;
    let payload = if is_call { lay_out(&payload).unwrap_or(payload) } else { payload };
    show(&edit_page(&visit, &letter, payload, None))
}

/// Shows what would change; the same form again where it cannot be sent, or where it is to be edited further.
async fn compare(Path((_, id)): Path<(String, String)>, PayloadDeed(Deed { visit, fields }): PayloadDeed) -> Shown {
    let (letter, old) = open_letter(&visit, &id).await?;
    // Browsers write the ends of lines as CRLF (HTML, section 4.10.21.7), whatever they were.
    let text = fields.raw("payload").unwrap_or_default().replace("\r\n", "\n");
    if fields.text("again").is_some() {
        return show(&edit_page(&visit, &letter, text, None));
    }
    match other_payload(&visit, &letter, text.clone()) {
        Ok(Some(_)) => {
            let frame = Frame::of(&visit, Section::DeadLetters, format!("Change of {}", letter.id));
            // It takes a moment of a processor, which the other pages are not to wait for.
            let change = tokio::task::spawn_blocking(move || Change::of(letter.id.to_string(), old, text)).await;
            let change = change.map_err(|error| Refusal::Broken(error.to_string()))?;
            show(&ChangePage { frame, change })
        }
        Ok(None) => {
            let error = "Nothing is changed. Change it here, or replay the dead letter as it is.".to_owned();
            show(&edit_page(&visit, &letter, text, Some(error)))
        }
        Err(Refusal::Bad(error)) => show(&edit_page(&visit, &letter, text, Some(error))),
        Err(refusal) => Err(refusal),
    }
}

/// One that can be replayed with another payload, for somebody who sees all of it, with what is edited.
async fn open_letter(visit: &Visit, id: &str) -> Result<(DeadLetter, String), Refusal> {
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let letter = find(visit, id).await?;
    match (letter.state, editable(visit, &letter)) {
        (DeadLetterState::Open, Some(payload)) => Ok((letter, payload)),
        (DeadLetterState::Open, None) => {
            Err(Refusal::Conflict(format!("A job of the kind {} is replayed as it is.", letter.kind)))
        }
        (state, _) => {
            Err(Refusal::Conflict(format!("It was {} already; what was done is on its page.", state.as_str())))
        }
    }
}

fn edit_page(visit: &Visit, letter: &DeadLetter, payload: String, error: Option<String>) -> EditPage {
    let frame = Frame::of(visit, Section::DeadLetters, format!("Edit {}", letter.id));
    EditPage { frame, id: letter.id.to_string(), payload, is_call: letter.kind == JobKind::HttpRequest, error }
}

impl Change {
    fn of(id: String, old: String, payload: String) -> Self {
        let laid_out = lay_out(&old).zip(lay_out(&payload));
        let only_blanks = laid_out.as_ref().is_some_and(|(old, new)| old == new);
        let is_laid_out = laid_out.is_some();
        let (old, new) = laid_out.unwrap_or_else(|| (old, payload.clone()));
        let mut groups = difference(&old, &new);
        let mut left = LINES_MAX;
        for group in &mut groups {
            group.truncate(left);
            left -= group.len();
        }
        groups.retain(|group| !group.is_empty());
        Self { id, payload, is_laid_out, only_blanks, is_cut: left == 0, groups }
    }
}

fn difference(old: &str, new: &str) -> Vec<Vec<(Sign, String)>> {
    let diff = TextDiff::configure().timeout(COMPARED_WITHIN).diff_lines(old, new);
    let line = |change: similar::Change<&str>| {
        let sign = match change.tag() {
            ChangeTag::Equal => Sign::Same,
            ChangeTag::Delete => Sign::Gone,
            ChangeTag::Insert => Sign::New,
        };
        (sign, change.value().trim_end_matches('\n').to_owned())
    };
    let group = |ops: Vec<similar::DiffOp>| ops.iter().flat_map(|op| diff.iter_changes(op)).map(line).collect();
    diff.grouped_ops(AROUND).into_iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_goes_what_comes_and_what_is_around() {
        let groups = difference("a\nb\nc\n", "a\nx\nc\n");
        let lines: Vec<(Sign, &str)> = groups[0].iter().map(|(sign, text)| (*sign, text.as_str())).collect();
        assert!(lines == [(Sign::Same, "a"), (Sign::Gone, "b"), (Sign::New, "x"), (Sign::Same, "c")]);
        assert!(difference("a", "a").is_empty());
    }
}
