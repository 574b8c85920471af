//! Waiting: between rounds, and through outages, always ready to be told to stop.

use std::time::Duration;

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
