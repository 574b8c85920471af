//! Rates: how many starts there may be in a second.

/// The part of a second's starts of a lane that may come at once.
const AT_ONCE_PART: u32 = 20;

/// Spends a lane's rate: a token bucket kept as one number, the time at which it will be full again (GCRA).
///
/// The bucket holds as many starts as may come at once: after a rest no second has more than its rate and these, and
/// beyond them starts are spaced evenly. A rate of 0 is read as 1: a lane that must stop is paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RateMark {
    full_at_us: i64,
}

impl RateMark {
    /// As [`Self::next_us`], for a lane: a twentieth of a second's starts may come at once.
    #[must_use]
    pub fn lane_next_us(self, rate_per_second: u32) -> i64 {
        self.next_us(rate_per_second, rate_per_second / AT_ONCE_PART)
    }

    /// When the next start is allowed, in microseconds of the clock given to [`Self::spend`].
    #[must_use]
    pub fn next_us(self, rate_per_second: u32, at_once: u32) -> i64 {
        let interval_us = Self::interval_us(rate_per_second);
        self.full_at_us + interval_us - interval_us * i64::from(at_once.max(1))
    }

    /// The mark after one start at `now_us`.
    #[must_use]
    pub fn spend(self, rate_per_second: u32, now_us: i64) -> Self {
        Self { full_at_us: self.full_at_us.max(now_us) + Self::interval_us(rate_per_second) }
    }

    /// Whether nothing of the bucket is spent any more.
    #[must_use]
    pub const fn is_full(self, now_us: i64) -> bool {
        self.full_at_us <= now_us
    }

    fn interval_us(rate_per_second: u32) -> i64 {
        1_000_000 / i64::from(rate_per_second.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_lane_may_start_a_twentieth_of_its_rate_at_once_and_then_evenly() {
        let now_us = 1_700_000_000_000_000;
        for (rate, at_once, interval_us) in [(1, 1, 1_000_000), (4, 1, 250_000), (39, 1, 25_641), (100, 5, 10_000)] {
            let mut mark = RateMark::default();
            for _ in 0..at_once {
                assert!(mark.lane_next_us(rate) <= now_us, "{rate}");
                mark = mark.spend(rate, now_us);
            }
            assert_eq!(mark.lane_next_us(rate), now_us + interval_us, "{rate}");
            assert!(mark.is_full(now_us + at_once * interval_us), "{rate}");
        }
    }
}
