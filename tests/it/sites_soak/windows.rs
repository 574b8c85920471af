//! Windows of changes: a site waits for 2 s of quiet, but 20 s at most after the first change.

use std::time::{Duration, Instant};

use super::writer::Book;

/// The contract's.
const QUIET: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// When something was handed in. It was accepted somewhere in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) sent: Instant,
    pub(super) answered: Instant,
    /// It was answered.
    pub(super) is_sure: bool,
}

pub(super) fn all_calls(books: &[Book]) -> Vec<Call> {
    let mut calls: Vec<Call> = books.iter().flat_map(|book| book.calls.iter().copied()).collect();
    calls.sort_by_key(|call| call.sent);
    calls
}

/// How many windows fit into these calls, each closing as early as it may. One that closes later makes no more of them.
pub(super) fn count(calls: &[Call]) -> usize {
    let (mut windows, mut closed_at) = (0, None);
    loop {
        // What was accepted after the last one was read.
        let mut open = calls.iter().enumerate().filter(|(_, call)| closed_at.is_none_or(|at| call.answered > at));
        let Some((first, opens)) = open.next() else { return windows };
        let rests = (first..calls.len()).find(|at| rests_after(calls, *at)).map(|at| calls[at].sent + QUIET);
        let closes = rests.unwrap_or(opens.sent + PATIENCE).min(opens.sent + PATIENCE);
        (windows, closed_at) = (windows + 1, Some(closes));
    }
}

/// Whether nothing may have been accepted for a while after a call.
fn rests_after(calls: &[Call], at: usize) -> bool {
    let quiet_until = calls[at].sent + QUIET;
    calls[at + 1..].iter().all(|later| later.answered >= quiet_until)
}
