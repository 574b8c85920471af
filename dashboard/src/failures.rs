//! Failures, grouped by what is the same in them.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::domain::{UnixMs, fingerprint::Fingerprint};

use crate::{
    Dashboard,
    overview::FailureLine,
    page::{Frame, Section, Shown, show},
    visit::Visit,
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/failures", get(failures))
}

#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    frame: Frame,
    rows: Vec<FailureLine>,
    older: Option<String>,
}

async fn failures(visit: Visit) -> Shown {
    let before = visit.query.text("before").and_then(read_place);
    let mut groups = visit.scope().failures(before, ROWS + 1).await?;
    let more = groups.len() > ROWS as usize;
    groups.truncate(ROWS as usize);
    let last = groups.last().filter(|_| more);
    let older =
        last.map(|group| visit.query.query_with("before", &format!("{}-{}", group.last_seen_at.0, group.fingerprint)));
    let rows = groups.into_iter().map(|group| FailureLine::of(group, visit.now)).collect();
    show(&FailuresPage { frame: Frame::of(&visit, Section::Failures, "Failures"), rows, older })
}

/// The place of a group in the list: its last time in milliseconds, and its fingerprint.
fn read_place(text: &str) -> Option<(UnixMs, Fingerprint)> {
    let (ms, fingerprint) = text.split_once('-')?;
    Some((UnixMs(ms.parse().ok()?), Fingerprint::stored(fingerprint.to_owned())))
}
