//! `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use postrider_core::domain::retry::RETRY_AFTER_MAX;

/// The three forms of an HTTP-date (RFC 9110 §5.6.7), all in UTC.
const DATE_FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The wait that the receiver asks for, at most `RETRY_AFTER_MAX`. `None` where the value is neither form, or a
/// date that has passed.
pub(super) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long wait, not a mistake.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = DATE_FORMS.iter().find_map(|form| DateTime::strptime(form, value).ok())?;
        // Not by way of a timestamp: jiff's end before the last day of 9999, a favourite for "never".
        Duration::try_from(date.duration_since(TimeZone::UTC.to_datetime(now))).ok()?
    };
    (!asked.is_zero()).then_some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_all_three_forms_of_dates_are_read_and_nonsense_is_not() {
        let now: Timestamp = "1994-11-06T08:48:37Z".parse().unwrap();
        let minute = Some(Duration::from_secs(60));
        for (value, expected) in [
            ("60", minute),
            (" 60 ", minute),
            ("Sun, 06 Nov 1994 08:49:37 GMT", minute),
            ("Sunday, 06-Nov-94 08:49:37 GMT", minute),
            ("Sun Nov  6 08:49:37 1994", minute),
            ("86401", Some(RETRY_AFTER_MAX)),
            ("99999999999999999999999999", Some(RETRY_AFTER_MAX)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(RETRY_AFTER_MAX)),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:47:37 GMT", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(parse(value, now), expected, "{value:?}");
        }
    }
}
