//! When a failed attempt is tried again. Owns the schedule and its jitter; knows no clock and no queue.

use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};
use serde::{Deserialize, Serialize};

use super::limits::ATTEMPTS_MAX;

/// A receiver's `Retry-After` is obeyed up to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest single delay that a schedule may name.
pub const DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Retries up to this attempt wait half to all of their delay; later ones anything up to it.
const EQUAL_JITTER_UNTIL: u32 = 3;
/// How much of the jittered delay is laid on top of a `Retry-After`, so that not all come at its end.
const FLOOR_SPREAD: f64 = 0.1;
/// Standard Webhooks' example schedule, in seconds.
const STANDARD_S: [u64; 9] = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400];

/// Delays between attempts, in order. The attempt after the last delay is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct RetrySchedule(Vec<Duration>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryScheduleError {
    #[error("a schedule has at most {max} delays, this one has {0}", max = ATTEMPTS_MAX - 1)]
    TooLong(usize),
    #[error("delay {0} is not between 0 and {max_s} seconds", max_s = DELAY_MAX.as_secs())]
    Delay(usize),
}

impl RetryScheduleError {
    /// Which delay is at fault, counted from 0; `None` where it is the schedule as a whole.
    #[must_use]
    pub const fn place(&self) -> Option<usize> {
        match self {
            Self::Delay(place) => Some(*place),
            Self::TooLong(_) => None,
        }
    }
}

impl RetrySchedule {
    /// # Errors
    /// When there are too many delays, or one is negative or over a week.
    pub fn from_seconds(seconds: &[f64]) -> Result<Self, RetryScheduleError> {
        if seconds.len() >= ATTEMPTS_MAX as usize {
            return Err(RetryScheduleError::TooLong(seconds.len()));
        }
        let delay = |(place, &seconds): (usize, &f64)| {
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|delay| *delay <= DELAY_MAX)
                .ok_or(RetryScheduleError::Delay(place))
        };
        seconds.iter().enumerate().map(delay).collect::<Result<_, _>>().map(Self)
    }

    /// `base × factorⁿ`, each at most `cap`, for `max_attempts` attempts with the first included.
    #[must_use]
    pub fn exponential(base: Duration, factor: f64, cap: Duration, max_attempts: u32) -> Self {
        let mut delays = exponential(base, factor, cap.min(DELAY_MAX));
        let retries = max_attempts.clamp(1, ATTEMPTS_MAX) - 1;
        Self((0..retries).map_while(|_| delays.next_backoff()).collect())
    }

    /// The same delays for at most `max_attempts` attempts; the last delay repeats where they are too few.
    #[must_use]
    pub fn with_max_attempts(&self, max_attempts: u32) -> Self {
        let retries = max_attempts.clamp(1, ATTEMPTS_MAX) as usize - 1;
        let last = self.0.last().copied().unwrap_or(Duration::from_secs(STANDARD_S[0]));
        Self(self.0.iter().copied().chain(std::iter::repeat(last)).take(retries).collect())
    }

    /// Attempts in all, the first included.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.0.len()).map_or(ATTEMPTS_MAX, |retries| retries + 1)
    }

    #[must_use]
    pub fn seconds(&self) -> Vec<f64> {
        self.0.iter().map(Duration::as_secs_f64).collect()
    }

    /// The wait before attempt `next` (2 is the first retry), or `None` when the schedule is spent.
    ///
    /// `roll` is uniform in `[0, 1)`: callers own the randomness, so a test can name the wait it expects.
    /// The receiver's `floor` (Retry-After, RFC 9110 §10.2.3) is never undercut: jitter only adds to it.
    #[must_use]
    pub fn delay(&self, next: u32, roll: f64, floor: Option<Duration>) -> Option<Duration> {
        let planned = *self.0.get(next.checked_sub(2)? as usize)?;
        let spread = if next <= EQUAL_JITTER_UNTIL { planned / 2 } else { Duration::ZERO };
        let jittered = spread + (planned - spread).mul_f64(roll);
        Some(match floor {
            Some(floor) => jittered.max(floor.min(RETRY_AFTER_MAX) + jittered.mul_f64(FLOOR_SPREAD)),
            None => jittered,
        })
    }
}

/// Waits between tries to reach a database or a queue again: doubling from the first to the longest, without end.
#[derive(Debug)]
pub struct ReconnectDelays(ExponentialBackoff);

/// The first wait of [`ReconnectDelays`] and the longest.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// The waits of one outage, from its beginning.
#[must_use]
pub fn reconnect_delays() -> ReconnectDelays {
    ReconnectDelays(exponential(RECONNECT_FIRST, 2.0, RECONNECT_MAX))
}

impl ReconnectDelays {
    /// The next wait: half to all of it, so that not all come back at once. `roll` is uniform in `[0, 1)`.
    pub fn next(&mut self, roll: f64) -> Duration {
        let planned = self.0.next_backoff().unwrap_or(RECONNECT_MAX);
        planned / 2 + (planned / 2).mul_f64(roll)
    }
}

fn exponential(base: Duration, factor: f64, cap: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        current_interval: base,
        initial_interval: base,
        randomization_factor: 0.0,
        multiplier: factor,
        max_interval: cap,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self(STANDARD_S.into_iter().map(Duration::from_secs).collect())
    }
}

impl TryFrom<Vec<f64>> for RetrySchedule {
    type Error = RetryScheduleError;
    fn try_from(seconds: Vec<f64>) -> Result<Self, RetryScheduleError> {
        Self::from_seconds(&seconds)
    }
}

impl From<RetrySchedule> for Vec<f64> {
    fn from(schedule: RetrySchedule) -> Self {
        schedule.seconds()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_is_nine_retries_over_three_days() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.max_attempts(), 10);
        assert_eq!(schedule.delay(2, 0.0, None), Some(Duration::from_millis(2500)));
        assert_eq!(schedule.delay(4, 0.0, None), Some(Duration::ZERO));
        assert_eq!(schedule.delay(11, 0.5, None), None);
        assert_eq!(schedule.delay(1, 0.5, None), None);
    }

    #[test]
    fn exponential_delays_grow_to_their_cap() {
        let schedule = RetrySchedule::exponential(Duration::from_secs(1), 2.0, Duration::from_secs(5), 6);
        assert_eq!(schedule.seconds(), [1.0, 2.0, 4.0, 5.0, 5.0]);
    }

    proptest! {
        #[test]
        fn no_wait_is_over_its_delay_nor_under_the_receivers_floor(next in 2u32..11, roll in 0.0..1.0f64, floor in 0u64..200_000) {
            let schedule = RetrySchedule::default();
            let planned = Duration::from_secs(STANDARD_S[next as usize - 2]);
            prop_assert!(schedule.delay(next, roll, None).unwrap() <= planned);
            let floor = Duration::from_secs(floor);
            prop_assert!(schedule.delay(next, roll, Some(floor)).unwrap() >= floor.min(RETRY_AFTER_MAX));
        }
    }
}
