//! How callers write and read retries: a list of delays, or a backoff that makes one.

use postrider_core::domain::retry::{RetryBackoff, RetrySchedule, RetryScheduleError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Faults;

const SCHEDULE: &str = "/retry_schedule_seconds";
const BACKOFF: &str = "/retry_backoff";

/// Delays of `base_seconds` × `factor`ⁿ, each at most `cap_seconds`; in place of `retry_schedule_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryBackoff)]
pub(crate) struct RetryBackoffJson {
    /// Seconds before the first retry.
    #[schema(minimum = 0.001, maximum = 604_800)]
    base_seconds: f64,
    #[schema(minimum = 1, maximum = 100)]
    factor: f64,
    /// No less than `base_seconds`.
    #[schema(minimum = 0.001, maximum = 604_800)]
    cap_seconds: f64,
    #[schema(maximum = 49)]
    retries: u32,
}

impl From<RetryBackoff> for RetryBackoffJson {
    fn from(backoff: RetryBackoff) -> Self {
        let RetryBackoff { base_seconds, factor, cap_seconds, retries } = backoff;
        Self { base_seconds, factor, cap_seconds, retries }
    }
}

/// Retries as a body gives them: one of the two, or neither.
#[derive(Debug)]
pub(crate) struct RetriesGiven {
    pub(crate) seconds: Option<Vec<f64>>,
    pub(crate) backoff: Option<RetryBackoffJson>,
}

impl RetriesGiven {
    /// The schedule, or its faults noted. Both forms may be there where they say the same, so that what was read can be
    /// written back.
    pub(crate) fn keep(self, default: &RetrySchedule, faults: &mut Faults) -> Option<RetrySchedule> {
        match (self.seconds, self.backoff) {
            (None, None) => Some(default.clone()),
            (Some(seconds), None) => keep_delays(&seconds, faults),
            (None, Some(backoff)) => keep_backoff(backoff, faults),
            (Some(seconds), Some(backoff)) => {
                let schedule = keep_backoff(backoff, faults)?;
                let same = schedule.seconds() == seconds;
                faults.check(
                    BACKOFF,
                    same,
                    "there is a retry_schedule_seconds that says otherwise; give one of the two",
                );
                Some(schedule)
            }
        }
    }
}

fn keep_delays(seconds: &[f64], faults: &mut Faults) -> Option<RetrySchedule> {
    let refused = |error: RetryScheduleError| {
        let place = error.place().map(|place| format!("/{place}")).unwrap_or_default();
        faults.add(&format!("{SCHEDULE}{place}"), error);
    };
    RetrySchedule::from_seconds(seconds).map_err(refused).ok()
}

fn keep_backoff(backoff: RetryBackoffJson, faults: &mut Faults) -> Option<RetrySchedule> {
    let RetryBackoffJson { base_seconds, factor, cap_seconds, retries } = backoff;
    let made = RetrySchedule::exponential(RetryBackoff { base_seconds, factor, cap_seconds, retries });
    made.map_err(|error| faults.add(&format!("{BACKOFF}/{}", error.part()), error)).ok()
}

#[cfg(test)]
mod tests {
    use postrider_core::domain::retry::{BACKOFF_FACTOR, BACKOFF_RETRIES_MAX, BACKOFF_SECONDS};
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_document_has_the_bounds_of_the_domain() {
        let schema = serde_json::to_value(RetryBackoffJson::schema()).unwrap();
        let bounds = |name: &str| {
            let property = &schema["properties"][name];
            (property["minimum"].as_f64().unwrap(), property["maximum"].as_f64().unwrap())
        };
        for (name, min, max) in [
            ("base_seconds", *BACKOFF_SECONDS.start(), *BACKOFF_SECONDS.end()),
            ("cap_seconds", *BACKOFF_SECONDS.start(), *BACKOFF_SECONDS.end()),
            ("factor", *BACKOFF_FACTOR.start(), *BACKOFF_FACTOR.end()),
            ("retries", 0.0, f64::from(BACKOFF_RETRIES_MAX)),
        ] {
            assert_eq!(bounds(name), (min, max), "{name}");
        }
    }
}
