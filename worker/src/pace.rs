//! Waiting: between rounds, and through outages, always ready to be told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use postrider_core::domain::retry::{ReconnectDelays, reconnect_delays};
use tokio_util::sync::CancellationToken;

/// Waits for `time`; false when `stop` came before its end.
pub(crate) async fn rest(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// The waits of one outage after another.
#[derive(Debug)]
pub(crate) struct Outage {
    delays: ReconnectDelays,
    failures: u32,
}

impl Outage {
    pub(crate) fn none() -> Self {
        Self { delays: reconnect_delays(), failures: 0 }
    }

    /// Waits for the next try; false when `stop` came before its end.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        self.failures += 1;
        rest(self.delays.next(rand::random()), stop).await
    }

    /// Tries that have failed since the last success.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The next failure is the first of another outage. True when one has just ended.
    pub(crate) fn over(&mut self) -> bool {
        let ended = self.failures > 0;
        if ended {
            *self = Self::none();
        }
        ended
    }
}

/// What waits through an outage in many tasks at once: the first and the end are told, not each. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// One more waits. True for the first since the last end.
    pub(crate) fn add(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// One has succeeded: how many had to wait, told once.
    pub(crate) fn end(&self) -> Option<usize> {
        // Nearly always nothing has, and then nothing is written that others read.
        if self.0.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(self.0.swap(0, Ordering::Relaxed)).filter(|waited| *waited > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_wait_the_first_and_the_end_are_told() {
        let (one, other) = (Waiting::default(), Waiting::default());
        assert_eq!(one.end(), None);
        let same = one.clone();
        assert_eq!([one.add(), same.add(), one.add(), other.add()], [true, false, false, true]);
        assert_eq!([same.end(), one.end(), other.end()], [Some(3), None, Some(1)]);
        assert!(one.add(), "the next outage is another");
    }
}
