//! Retries: a schedule as it is stored, and what a receiver says in `Retry-After`.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use postrider_core::domain::retry::{DELAY_MAX, RETRY_AFTER_MAX, RetrySchedule};

/// The worker's own parser, which is no part of its interface.
#[path = "../../../worker/src/egress/retry_after.rs"]
mod retry_after;

fuzz_target!(|input: (&str, &str, i64, u32)| {
    let (header, schedule, second, roll) = input;
    let now = Timestamp::from_second(second).unwrap_or_default();
    let asked = retry_after::parse(header, now);
    assert!(asked.is_none_or(|wait| !wait.is_zero() && wait <= RETRY_AFTER_MAX));
    let Ok(schedule) = serde_json::from_str::<RetrySchedule>(schedule) else { return };
    let roll = f64::from(roll) / (f64::from(u32::MAX) + 1.0);
    for next in 2..=schedule.max_attempts() {
        let delay = schedule.delay(next, roll, asked).expect("a delay before each attempt");
        assert!(delay >= asked.unwrap_or_default() && delay <= DELAY_MAX.max(RETRY_AFTER_MAX * 2));
        assert!(schedule.delay(next, roll, None) <= Some(DELAY_MAX + Duration::from_millis(1)));
    }
    assert_eq!(schedule.delay(schedule.max_attempts() + 1, roll, asked), None);
});
