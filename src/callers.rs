//! Which callers' connections wait for a request: where there are too many, the one that has waited longest is closed, so
//! that nobody keeps others out by connecting and saying nothing. Knows neither sockets nor HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Whether it ever had an answer, and since when it waits: those without one go first.
type Rank = (bool, u64);

/// The connections that wait. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Callers(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// Counts who began to wait.
    turns: u64,
    by_rank: BTreeMap<Rank, CancellationToken>,
}

impl Callers {
    /// A new connection, which waits for its first request.
    pub(crate) fn arrive(&self) -> Caller {
        let mut waiting = self.waiting();
        let closed = CancellationToken::new();
        let rank = waiting.add(false, &closed);
        Caller { callers: self.clone(), closed, rank: Mutex::new(Some(rank)) }
    }

    /// Closes the connection that has waited longest, if any waits.
    pub(crate) fn close_longest(&self) {
        if let Some((_, closed)) = self.waiting().by_rank.pop_first() {
            closed.cancel();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, answered: bool, closed: &CancellationToken) -> Rank {
        self.turns += 1;
        let rank = (answered, self.turns);
        self.by_rank.insert(rank, closed.clone());
        rank
    }
}

/// One connection; dropped when it ends.
pub(crate) struct Caller {
    callers: Callers,
    closed: CancellationToken,
    /// `None` while a request of it is at work.
    rank: Mutex<Option<Rank>>,
}

impl Caller {
    /// Resolves when it has to go.
    pub(crate) fn closed(&self) -> WaitForCancellationFuture<'_> {
        self.closed.cancelled()
    }

    /// Its request is there, the body included.
    pub(crate) fn asks(&self) {
        if let Some(rank) = self.rank().take() {
            self.callers.waiting().by_rank.remove(&rank);
        }
    }

    /// It waits for another request from now on.
    pub(crate) fn answered(&self) {
        *self.rank() = Some(self.callers.waiting().add(true, &self.closed));
    }

    fn rank(&self) -> MutexGuard<'_, Option<Rank>> {
        self.rank.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.asks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_had_an_answer_goes_before_who_waits_longer_and_who_is_at_work_stays() {
        let callers = Callers::default();
        let [at_work, answered, again, silent, gone, new] = std::array::from_fn(|_| callers.arrive());
        at_work.asks();
        for caller in [&answered, &again] {
            caller.asks();
            caller.answered();
        }
        answered.asks();
        answered.answered();
        drop(gone);
        for next in [&silent, &new, &again, &answered] {
            assert!(!next.closed.is_cancelled());
            callers.close_longest();
            assert!(next.closed.is_cancelled());
        }
        callers.close_longest();
        assert!(!at_work.closed.is_cancelled());
    }
}
