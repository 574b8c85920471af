//! Attempts of a job or of a dead letter, as both pages list them.

use postrider_core::domain::{attempt::AttemptClass, dead_letter::PastAttempt};

use crate::{
    body::Body,
    moment::{Moment, length},
    visit::Visit,
};

pub(crate) struct AttemptLine {
    pub(crate) n: u32,
    pub(crate) outcome: String,
    pub(crate) failed: bool,
    pub(crate) late: bool,
    pub(crate) status: Option<u16>,
    pub(crate) duration: String,
    pub(crate) started: Moment,
    pub(crate) worker: String,
    pub(crate) address: String,
    pub(crate) error: String,
    pub(crate) response: Option<Body>,
}

/// Newest first.
pub(crate) fn lines(visit: &Visit, history: Vec<PastAttempt>) -> Vec<AttemptLine> {
    history.into_iter().rev().map(|attempt| line(visit, attempt)).collect()
}

fn line(visit: &Visit, attempt: PastAttempt) -> AttemptLine {
    AttemptLine {
        n: attempt.n,
        failed: attempt.outcome != AttemptClass::Succeeded.as_str(),
        outcome: attempt.outcome,
        late: attempt.late,
        status: attempt.status_code,
        duration: length(attempt.duration_ms.into()),
        started: Moment::of(attempt.started_at, visit.now),
        worker: attempt.worker.unwrap_or_default(),
        address: attempt.address.unwrap_or_default(),
        error: attempt.error.unwrap_or_default(),
        response: attempt.response_body.map(|text| visit.answer(&text)),
    }
}
