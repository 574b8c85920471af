//! How an endpoint does, by its recent attempts. Owns what counts as one and how many are looked at.

use super::attempt::AttemptClass;

/// Attempts of an endpoint that its health is told by, the newest of them.
pub const HEALTH_ATTEMPTS: u32 = 100;

/// What the newest attempts of an endpoint came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    succeeded: u32,
    /// Of all of them, shortest first, in milliseconds.
    durations_ms: Vec<u32>,
}

impl Health {
    /// Of attempts by class and duration in milliseconds. One whose worker vanished says nothing of the receiver.
    pub fn of<'a>(attempts: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut health = Self::default();
        for (class, duration_ms) in attempts.filter(|(class, _)| *class != AttemptClass::Lost.as_str()) {
            health.succeeded += u32::from(class == AttemptClass::Succeeded.as_str());
            health.durations_ms.push(duration_ms);
        }
        health.durations_ms.sort_unstable();
        health
    }

    #[must_use]
    pub fn attempts(&self) -> usize {
        self.durations_ms.len()
    }

    /// From 0 to 1; `None` without attempts.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let attempts = u32::try_from(self.attempts()).ok().filter(|attempts| *attempts > 0)?;
        Some(f64::from(self.succeeded) / f64::from(attempts))
    }

    /// The duration in milliseconds that this many percent of the attempts stayed within; `None` without attempts.
    #[must_use]
    pub fn percentile_ms(&self, percent: usize) -> Option<u32> {
        let rank = (self.attempts() * percent).div_ceil(100).max(1);
        self.durations_ms.get(rank - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_by_what_the_receiver_did() {
        let attempts = (1..=20).map(|n| if n <= 15 { ("succeeded", n) } else { ("timeout", n * 100) });
        let health = Health::of(attempts.chain([("lost", 9_999)]));
        assert_eq!((health.attempts(), health.success_rate()), (20, Some(0.75)));
        assert_eq!([50, 95, 100].map(|percent| health.percentile_ms(percent)), [Some(10), Some(1_900), Some(2_000)]);
        assert_eq!((Health::default().success_rate(), Health::default().percentile_ms(50)), (None, None));
    }
}
