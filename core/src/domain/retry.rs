//! When a failed attempt is tried again. Owns the schedule and its jitter; knows no clock and no queue.

use std::{ops::RangeInclusive, time::Duration};

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

/// The first delay of a backoff and its cap, in seconds; the cap is no less than the first delay.
pub const BACKOFF_SECONDS: RangeInclusive<f64> = 0.001..=604_800.0;
/// What each delay of a backoff is multiplied by for the next.
pub const BACKOFF_FACTOR: RangeInclusive<f64> = 1.0..=100.0;
/// Retries of a backoff.
pub const BACKOFF_RETRIES_MAX: u32 = ATTEMPTS_MAX - 1;

/// Delays between attempts, in order. The attempt after the last delay is a dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RetrySchedule {
    delays: Vec<Duration>,
    /// What the delays were made of, where they were not named one by one.
    backoff: Option<RetryBackoff>,
}

/// Delays of `base × factorⁿ`, each at most the cap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryBackoff {
    pub base_seconds: f64,
    pub factor: f64,
    pub cap_seconds: f64,
    pub retries: u32,
}

/// A schedule as it is kept: as it was given.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Delays(Vec<f64>),
    Backoff(RetryBackoff),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryScheduleError {
    #[error("a schedule has at most {max} delays, this one has {0}", max = ATTEMPTS_MAX - 1)]
    TooLong(usize),
    #[error("the delay at place {0} (the first is 0) is not between 0 and {max_s} seconds", max_s = DELAY_MAX.as_secs())]
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

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RetryBackoffError {
    #[error("{0} is not from {min} to {max}", min = BACKOFF_SECONDS.start(), max = BACKOFF_SECONDS.end())]
    Base(f64),
    #[error("{0} is not from {min} to {max}", min = BACKOFF_FACTOR.start(), max = BACKOFF_FACTOR.end())]
    Factor(f64),
    #[error("{cap} is not from base_seconds, which is {base}, to {max}", max = BACKOFF_SECONDS.end())]
    Cap { cap: f64, base: f64 },
    #[error("{0} is not from 0 to {max}", max = BACKOFF_RETRIES_MAX)]
    Retries(u32),
}

impl RetryBackoffError {
    /// Which part of the backoff is at fault.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        match self {
            Self::Base(_) => "base_seconds",
            Self::Factor(_) => "factor",
            Self::Cap { .. } => "cap_seconds",
            Self::Retries(_) => "retries",
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
        let delays = seconds.iter().enumerate().map(delay).collect::<Result<_, _>>()?;
        Ok(Self { delays, backoff: None })
    }

    /// # Errors
    /// When a part of the backoff is out of its bounds.
    pub fn exponential(backoff: RetryBackoff) -> Result<Self, RetryBackoffError> {
        let RetryBackoff { base_seconds: base, factor, cap_seconds: cap, retries } = backoff;
        if !BACKOFF_SECONDS.contains(&base) {
            return Err(RetryBackoffError::Base(base));
        }
        if !BACKOFF_FACTOR.contains(&factor) {
            return Err(RetryBackoffError::Factor(factor));
        }
        if !(base..=*BACKOFF_SECONDS.end()).contains(&cap) {
            return Err(RetryBackoffError::Cap { cap, base });
        }
        if retries > BACKOFF_RETRIES_MAX {
            return Err(RetryBackoffError::Retries(retries));
        }
        let mut delays = exponential(Duration::from_secs_f64(base), factor, Duration::from_secs_f64(cap));
        let delays = (0..retries).map_while(|_| delays.next_backoff()).map(whole_ms).collect();
        Ok(Self { delays, backoff: Some(backoff) })
    }

    /// The same delays for at most `max_attempts` attempts. Where they are too few, a backoff grows on, and the last
    /// delay of others repeats.
    #[must_use]
    pub fn with_max_attempts(&self, max_attempts: u32) -> Self {
        let retries = max_attempts.clamp(1, ATTEMPTS_MAX) - 1;
        let grown = self.backoff.and_then(|backoff| Self::exponential(RetryBackoff { retries, ..backoff }).ok());
        grown.unwrap_or_else(|| {
            let last = self.delays.last().copied().unwrap_or(Duration::from_secs(STANDARD_S[0]));
            let delays = self.delays.iter().copied().chain(std::iter::repeat(last)).take(retries as usize).collect();
            Self { delays, backoff: None }
        })
    }

    /// Attempts in all, the first included.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.delays.len()).map_or(ATTEMPTS_MAX, |retries| retries + 1)
    }

    #[must_use]
    pub fn seconds(&self) -> Vec<f64> {
        self.delays.iter().map(Duration::as_secs_f64).collect()
    }

    /// What the delays were made of; `None` where they were named one by one.
    #[must_use]
    pub const fn backoff(&self) -> Option<RetryBackoff> {
        self.backoff
    }

    /// The wait before attempt `next` (2 is the first retry), or `None` when the schedule is spent.
    ///
    /// `roll` is uniform in `[0, 1)`: callers own the randomness, so a test can name the wait it expects.
    /// The receiver's `floor` (Retry-After, RFC 9110 §10.2.3) is never undercut: jitter only adds to it.
    #[must_use]
    pub fn delay(&self, next: u32, roll: f64, floor: Option<Duration>) -> Option<Duration> {
        let planned = *self.delays.get(next.checked_sub(2)? as usize)?;
        let spread = if next <= EQUAL_JITTER_UNTIL { planned / 2 } else { Duration::ZERO };
        let jittered = spread + (planned - spread).mul_f64(roll);
        Some(match floor {
            Some(floor) => jittered.max(floor.min(RETRY_AFTER_MAX) + jittered.mul_f64(FLOOR_SPREAD)),
            None => jittered,
        })
    }
}

impl RetrySchedule {
    /// The shortest and the longest wait before attempt `next`, where the receiver asks for none.
    #[must_use]
    pub fn bounds(&self, next: u32) -> Option<(Duration, Duration)> {
        Some((self.delay(next, 0.0, None)?, self.delay(next, 1.0, None)?))
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

/// The crate's random share of one nanosecond is cut off, so that the same backoff is the same schedule everywhere.
fn whole_ms(delay: Duration) -> Duration {
    let ms = (delay + Duration::from_micros(500)).as_millis();
    u64::try_from(ms).map_or(DELAY_MAX, Duration::from_millis)
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
        Self { delays: STANDARD_S.into_iter().map(Duration::from_secs).collect(), backoff: None }
    }
}

impl TryFrom<Written> for RetrySchedule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Delays(seconds) => Self::from_seconds(&seconds).map_err(|error| error.to_string()),
            Written::Backoff(backoff) => Self::exponential(backoff).map_err(|error| error.to_string()),
        }
    }
}

impl From<RetrySchedule> for Written {
    fn from(schedule: RetrySchedule) -> Self {
        schedule.backoff.map_or_else(|| Self::Delays(schedule.seconds()), Self::Backoff)
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

    const fn backoff(base_seconds: f64, factor: f64, cap_seconds: f64, retries: u32) -> RetryBackoff {
        RetryBackoff { base_seconds, factor, cap_seconds, retries }
    }

    #[test]
    fn a_backoff_grows_by_its_factor_to_its_cap() {
        for (given, expected) in [
            (backoff(1.0, 2.0, 5.0, 5), &[1.0, 2.0, 4.0, 5.0, 5.0][..]),
            (backoff(0.1, 3.0, 60.0, 5), &[0.1, 0.3, 0.9, 2.7, 8.1]),
            (backoff(1.0, 1.5, 604_800.0, 4), &[1.0, 1.5, 2.25, 3.375]),
            (backoff(7.0, 1.0, 7.0, 3), &[7.0, 7.0, 7.0]),
            (backoff(0.001, 100.0, 604_800.0, 6), &[0.001, 0.1, 10.0, 1000.0, 100_000.0, 604_800.0]),
            (backoff(5.0, 2.0, 5.0, 0), &[]),
            (backoff(604_800.0, 1.0, 604_800.0, 49), &[604_800.0; 49]),
        ] {
            assert_eq!(RetrySchedule::exponential(given).unwrap().seconds(), expected, "{given:?}");
        }
    }

    #[test]
    fn a_backoff_out_of_its_bounds_is_refused_by_its_part() {
        for (given, part) in [
            (backoff(0.0, 2.0, 5.0, 5), "base_seconds"),
            (backoff(604_801.0, 2.0, 604_802.0, 5), "base_seconds"),
            (backoff(f64::NAN, 2.0, 5.0, 5), "base_seconds"),
            (backoff(1.0, 0.5, 5.0, 5), "factor"),
            (backoff(1.0, 101.0, 5.0, 5), "factor"),
            (backoff(5.0, 2.0, 4.0, 5), "cap_seconds"),
            (backoff(5.0, 2.0, 604_801.0, 5), "cap_seconds"),
            (backoff(1.0, 2.0, 5.0, 50), "retries"),
        ] {
            assert_eq!(RetrySchedule::exponential(given).unwrap_err().part(), part, "{given:?}");
        }
    }

    #[test]
    fn the_bounds_of_a_wait_are_those_of_its_jitter() {
        let schedule = RetrySchedule::from_seconds(&[4.0, 8.0, 10.0]).unwrap();
        let seconds = |next| schedule.bounds(next).map(|(least, most)| (least.as_secs(), most.as_secs()));
        assert_eq!([1, 2, 3, 4, 5].map(seconds), [None, Some((2, 4)), Some((4, 8)), Some((0, 10)), None]);
    }

    #[test]
    fn a_schedule_is_kept_as_it_was_given() {
        for text in [
            "[]",
            "[0.5,60.0]",
            r#"{"base_seconds":0.1,"factor":3.0,"cap_seconds":60.0,"retries":4}"#,
            r#"{"base_seconds":474512.99567910004,"factor":1.0,"cap_seconds":474512.99567910004,"retries":0}"#,
        ] {
            let schedule: RetrySchedule = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
        }
    }

    #[test]
    fn other_attempts_cut_a_schedule_or_carry_it_on() {
        let grown = RetrySchedule::exponential(backoff(1.0, 2.0, 5.0, 2)).unwrap();
        assert_eq!(grown.with_max_attempts(5).seconds(), [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(grown.with_max_attempts(1).backoff(), Some(backoff(1.0, 2.0, 5.0, 0)));
        let named = RetrySchedule::from_seconds(&[1.0, 2.0]).unwrap();
        assert_eq!(named.with_max_attempts(4).seconds(), [1.0, 2.0, 2.0]);
        assert_eq!(named.with_max_attempts(2).seconds(), [1.0]);
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

        #[test]
        fn any_schedule_keeps_its_bounds_ends_and_is_read_back(
            seconds in prop::collection::vec(0.0..=604_800.0_f64, 0..50), roll in 0.0..1.0_f64,
            floor in prop::option::of(any::<Duration>()), attempts in 0..100_u32,
        ) {
            let schedule = RetrySchedule::from_seconds(&seconds).unwrap();
            prop_assert_eq!(schedule.max_attempts() as usize, seconds.len() + 1);
            for next in 0..60 {
                let delay = schedule.delay(next, roll, floor);
                prop_assert_eq!(delay.is_some(), (2..=schedule.max_attempts()).contains(&next));
                let most = DELAY_MAX.max(RETRY_AFTER_MAX + DELAY_MAX.mul_f64(FLOOR_SPREAD));
                prop_assert!(delay.is_none_or(|delay| delay <= most));
            }
            let other = schedule.with_max_attempts(attempts);
            prop_assert_eq!(other.max_attempts(), attempts.clamp(1, ATTEMPTS_MAX));
            for kept in [schedule, other] {
                let text = serde_json::to_string(&kept).unwrap();
                prop_assert_eq!(serde_json::from_str::<RetrySchedule>(&text).unwrap().max_attempts(), kept.max_attempts());
            }
        }

        #[test]
        fn any_backoff_rises_to_its_cap_and_is_the_same_when_it_is_read_back(
            base in BACKOFF_SECONDS, factor in BACKOFF_FACTOR, above in 0.0..=604_800.0_f64, retries in 0..=BACKOFF_RETRIES_MAX,
        ) {
            let cap = (base + above).min(*BACKOFF_SECONDS.end());
            let schedule = RetrySchedule::exponential(backoff(base, factor, cap, retries)).unwrap();
            let seconds = schedule.seconds();
            prop_assert_eq!(seconds.len(), retries as usize);
            prop_assert!(seconds.is_sorted(), "{seconds:?}");
            prop_assert!(seconds.iter().all(|one| *one <= cap + 0.001), "{seconds:?}");
            let text = serde_json::to_string(&schedule).unwrap();
            prop_assert_eq!(serde_json::from_str::<RetrySchedule>(&text).unwrap(), schedule);
        }
    }
}
