//! When the attempts of one made-up job were, and what each met.

use std::time::Duration;

use postrider_core::domain::{
    UnixMs,
    attempt::{AttemptClass, AttemptReport},
    dead_letter::PastAttempt,
};
use rand::{Rng, rngs::StdRng};

use super::failures::{self, Failure};

const WORKERS: [&str; 3] = ["app-1-4711-5f0c2a91", "app-2-4702-b81d3e07", "app-3-4698-0d94c6fe"];

/// How a job's attempts go.
pub(super) struct Course<'a> {
    pub(super) from: UnixMs,
    /// None ends after this.
    pub(super) until: UnixMs,
    /// Seconds before each retry.
    pub(super) delays_s: &'a [f64],
    /// Milliseconds that a good answer takes at least.
    pub(super) pace_ms: u32,
    pub(super) habit: Failure,
}

impl Course<'_> {
    /// So many failures, and a success after them where it is asked for.
    pub(super) fn attempts(&self, failures: usize, succeeds: bool, dice: &mut StdRng) -> Vec<PastAttempt> {
        let met = (0..failures).map(|_| Some(failures::meet(self.habit, dice))).collect::<Vec<_>>();
        let met = met.into_iter().chain(succeeds.then_some(None));
        let mut at_ms = dice.random_range(1.0..200.0);
        let mut attempts = Vec::new();
        for (place, failure) in met.enumerate() {
            if let Some(delay) = place.checked_sub(1).and_then(|retry| self.delays_s.get(retry)) {
                at_ms += delay * 1_000.0 * dice.random_range(0.5..1.0);
            }
            let attempt = self.attempt(place, at_ms, failure, dice);
            at_ms += f64::from(attempt.duration_ms);
            attempts.push(attempt);
        }
        self.squeeze(&mut attempts, at_ms);
        attempts
    }

    /// Three workers that vanished, one after the other.
    pub(super) fn lost(&self, dice: &mut StdRng) -> Vec<PastAttempt> {
        let mut attempts = Vec::new();
        for (place, worker) in WORKERS.iter().enumerate() {
            let at_ms = 16_000.0 * (place + 1) as f64 + dice.random_range(0.0..900.0);
            let missed = AttemptReport::lost(worker, self.from);
            let attempt = self.attempt(0, at_ms, None, dice);
            attempts.push(PastAttempt {
                duration_ms: 0,
                outcome: AttemptClass::Lost.as_str().to_owned(),
                error: missed.error,
                address: None,
                response_body: None,
                status_code: None,
                worker: Some(missed.worker),
                ..attempt
            });
        }
        self.squeeze(&mut attempts, 50_000.0);
        attempts
    }

    fn attempt(&self, place: usize, at_ms: f64, failure: Option<Failure>, dice: &mut StdRng) -> PastAttempt {
        let least = failure.map_or(self.pace_ms, |failure| failure.duration_ms);
        let worker = WORKERS[dice.random_range(0..WORKERS.len())].to_owned();
        // Addresses for documentation (RFC 5737).
        let address = format!("203.0.113.{}:443", dice.random_range(1..255));
        let dialled = failure.is_none_or(|failure| !matches!(failure.class, AttemptClass::Dns | AttemptClass::Invalid));
        // Some take far longer than most.
        let long = if dice.random_bool(0.02) { 12 } else { 1 };
        let duration_ms = match failure {
            Some(Failure { class: AttemptClass::Timeout, .. }) => least + dice.random_range(0..4),
            _ => least + dice.random_range(0..=least) * long,
        };
        PastAttempt {
            n: u32::try_from(place + 1).unwrap_or(u32::MAX),
            started_at: self.from + Duration::from_secs_f64(at_ms / 1_000.0),
            duration_ms,
            outcome: failure.map_or(AttemptClass::Succeeded, |failure| failure.class).as_str().to_owned(),
            status_code: failure.map_or(Some(200), |failure| failure.status_code),
            error: failure.map(|failure| failure.error.to_owned()),
            response_body: failure.map_or(Some("ok"), |failure| failure.response).map(str::to_owned),
            address: dialled.then_some(address),
            worker: Some(worker),
            late: false,
        }
    }

    /// Has what began a moment ago end in time.
    fn squeeze(&self, attempts: &mut [PastAttempt], took_ms: f64) {
        let room = self.until.since(self.from).as_millis() as f64;
        if took_ms <= room {
            return;
        }
        let part = room / took_ms;
        for attempt in attempts {
            attempt.started_at = self.from + attempt.started_at.since(self.from).mul_f64(part);
            let duration = Duration::from_millis(attempt.duration_ms.into()).mul_f64(part);
            attempt.duration_ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        }
    }
}
