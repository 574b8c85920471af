//! Points in time as the database keeps them: milliseconds since 1970 in UTC.

use std::{fmt, ops, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z. At the edges it is written as RFC 3339 with milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

/// A text that is not an RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time like 2026-01-31T12:00:00.000Z (RFC 3339), or is too far away")]
pub struct TimeError(String);

impl UnixMs {
    /// The clock's time. `domain` itself never calls it: rules take the time as an argument.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// # Errors
    /// When `text` is not an RFC 3339 time with an offset.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let refused = || TimeError(text.chars().take(64).collect());
        let parsed: jiff::Timestamp = text.parse().map_err(|_| refused())?;
        match offset_hours(text) {
            // The parser takes 25 (RFC 3339, section 5.6: 00 to 23).
            Some(24..) => Err(refused()),
            _ => Ok(Self(parsed.as_millisecond())),
        }
    }

    /// A time as people and fields for date and time write it: RFC 3339, or without an offset in UTC, to the second, to the
    /// minute, or a date alone, which is its midnight.
    ///
    /// # Errors
    /// When `text` is none of these.
    pub fn parse_typed(text: &str) -> Result<Self, TimeError> {
        let refused = || TimeError(text.chars().take(64).collect());
        Self::parse(text).or_else(|_| {
            let civil: jiff::civil::DateTime = text.parse().map_err(|_| refused())?;
            let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| refused())?;
            Ok(Self(zoned.timestamp().as_millisecond()))
        })
    }

    /// RFC 3339 in whole seconds, as in an address that people read.
    #[must_use]
    pub fn in_seconds(self) -> String {
        let time = jiff::Timestamp::from_second(self.0.div_euclid(1000));
        time.map_or_else(|_| self.to_string(), |time| format!("{time:.0}"))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl ops::Add<Duration> for UnixMs {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl ops::Sub<Duration> for UnixMs {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UnixMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn offset_hours(text: &str) -> Option<u8> {
    let (_, time) = text.split_once(['T', 't', ' '])?;
    let (_, offset) = time.rsplit_once(['+', '-'])?;
    offset.get(..2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds_in_utc() {
        assert_eq!(UnixMs(1_700_000_000_000).to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(UnixMs::parse("2023-11-14T23:13:20.5+01:00"), Ok(UnixMs(1_700_000_000_500)));
        for text in ["2023-11-14 22:13", "2023-11-14T22:13:20+25:00", "2023-11-14T22:13:20-24:00"] {
            assert!(UnixMs::parse(text).is_err(), "{text}");
        }
        assert!(UnixMs::parse("2023-11-14T22:13:20-23:59").is_ok());
        assert_eq!(UnixMs(1_700_000_000_999).in_seconds(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_time_is_read_as_people_and_fields_write_it() {
        let midnight = UnixMs::parse("2026-01-31T00:00:00Z").unwrap();
        assert_eq!(UnixMs::parse_typed("2026-01-31"), Ok(midnight));
        for text in [
            "2026-01-31T12:30",
            "2026-01-31 12:30",
            "2026-01-31T12:30:00",
            "2026-01-31T12:30:00.000",
            "2026-01-31T12:30Z",
            "2026-01-31T13:30+01:00",
        ] {
            assert_eq!(UnixMs::parse_typed(text), Ok(midnight + Duration::from_secs(45_000)), "{text}");
        }
        for text in ["", "yesterday", "12:30", "2026-13-01", "2026-02-30", "31.01.2026", "2026-01-31T25:00"] {
            assert!(UnixMs::parse_typed(text).is_err(), "{text}");
        }
    }
}
