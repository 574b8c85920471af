//! The time zone of a locale: in which a time is read that its publisher wrote without an offset, and in which people of that
//! locale read the clock. What is published says its times in UTC, so that no file depends on it.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Serialize};

use crate::domain::{
    UnixMs,
    quiet_hours::{ClockTime, Day},
};

/// A time zone of the IANA database, UTC where nobody says. The database is the program's own, not the system's, so that all
/// processes read a time alike.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time zone of the IANA database; write one like Europe/Warsaw, America/Sao_Paulo or UTC")]
pub struct ZoneError(String);

/// A text that is no time, neither with an offset nor as a clock in its locale shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a time like 2026-01-31T12:00:00Z (RFC 3339), nor one of {zone} like 2026-01-31T12:00:00, \
    2026-01-31T12:00 or 2026-01-31; or it is too far away"
)]
pub struct ZonedTimeError {
    text: String,
    zone: String,
}

impl Zone {
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A time in RFC 3339; or without an offset, to the second, to the minute, or a date alone, which is its midnight: as clocks
    /// of this zone show it. Of a time that they show twice it is the first; one that they leave out is as much later as they
    /// are put forward (RFC 5545, section 3.3.5).
    ///
    /// # Errors
    /// When `text` is none of these.
    pub fn read(&self, text: &str) -> Result<UnixMs, ZonedTimeError> {
        UnixMs::parse(text).or_else(|_| {
            let refused = || ZonedTimeError { text: text.chars().take(64).collect(), zone: self.name().to_owned() };
            if !is_local(text) {
                return Err(refused());
            }
            let local: DateTime = text.parse().map_err(|_| refused())?;
            let time = self.0.to_ambiguous_timestamp(local).compatible().map_err(|_| refused())?;
            Ok(UnixMs(time.as_millisecond()))
        })
    }

    /// When clocks of this zone show `at`, on the day that is so many after today, and which day of the week that is.
    pub(in crate::domain) fn on_day(&self, day: i64, at: ClockTime, now: UnixMs) -> Option<(UnixMs, Day)> {
        let today = Timestamp::from_millisecond(now.0).ok()?.to_zoned(self.0.clone()).date();
        let date = today.checked_add(jiff::Span::new().days(day)).ok()?;
        let (hour, minute) = at.hour_and_minute();
        let time = self.0.to_ambiguous_timestamp(date.at(hour, minute, 0, 0)).compatible().ok()?;
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
        Some((UnixMs(time.as_millisecond()), *Day::ALL.get(weekday)?))
    }

    /// The next time after now that clocks of this zone show `at`, on one of these days; none: on any.
    #[must_use]
    pub fn next(&self, at: ClockTime, days: &BTreeSet<Day>, now: UnixMs) -> UnixMs {
        let found = (0..=8).filter_map(|day| self.on_day(day, at, now));
        let mut found = found.filter(|(time, day)| *time > now && (days.is_empty() || days.contains(day)));
        found.next().map_or(now, |(time, _)| time)
    }

    /// The time that clocks of this zone show, as in `22 Nov, 21:49`.
    #[must_use]
    pub fn shown(&self, time: UnixMs) -> String {
        let time = Timestamp::from_millisecond(time.0).unwrap_or_default();
        time.to_zoned(self.0.clone()).strftime("%-d %b, %H:%M").to_string()
    }
}

/// Whether it may be a date, or a date and a time, in the extended form of ISO 8601 and without an offset.
fn is_local(text: &str) -> bool {
    let (date, time) = text.split_at_checked(10).unwrap_or((text, ""));
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let is_time = time.is_empty() || time.starts_with(['T', 't', ' ']) && time.contains(':');
    is_date && is_time && time.bytes().skip(1).all(|byte| byte.is_ascii_digit() || b":.".contains(&byte))
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = ZoneError;
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let known = TimeZoneDatabase::bundled().get(text).ok().filter(|zone| zone.iana_name().is_some());
        known.map(Self).ok_or_else(|| ZoneError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;
    fn try_from(text: String) -> Result<Self, ZoneError> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_offset_is_read_as_clocks_of_its_zone_show_it() {
        let table = [
            ("UTC", "2026-11-22T10:00:00", "2026-11-22T10:00:00Z"),
            ("Europe/Warsaw", "2026-11-22T10:00:00", "2026-11-22T09:00:00Z"),
            ("Europe/Warsaw", "2026-07-22T10:00", "2026-07-22T08:00:00Z"),
            ("Europe/Warsaw", "2026-07-22 10:00:00.250", "2026-07-22T08:00:00.250Z"),
            ("Europe/Warsaw", "2026-11-22", "2026-11-21T23:00:00Z"),
            ("Asia/Kolkata", "2026-11-22T10:00:00", "2026-11-22T04:30:00Z"),
            ("America/Sao_Paulo", "2026-11-22T22:00:00", "2026-11-23T01:00:00Z"),
            // With an offset the zone says nothing.
            ("Asia/Tokyo", "2026-11-22T10:00:00+01:00", "2026-11-22T09:00:00Z"),
            ("Asia/Tokyo", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            // Clocks are put forward from 2 to 3, from midnight to 1, and by half an hour.
            ("Europe/Warsaw", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
            ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:45:00Z"),
            // They are put back from 3 to 2, and show this twice.
            ("Europe/Warsaw", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
            // A day that was left out when Samoa changed sides of the date line.
            ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00Z"),
            ("europe/warsaw", "2026-11-22T10:00:00", "2026-11-22T09:00:00Z"),
        ];
        for (zone, text, utc) in table {
            let read = zone.parse::<Zone>().unwrap().read(text);
            assert_eq!(read, Ok(UnixMs::parse(utc).unwrap()), "{text} in {zone}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_is_one() {
        let zone: Zone = "Europe/Warsaw".parse().unwrap();
        for text in [
            "",
            "yesterday",
            "22.11.2026",
            "11/22/2026",
            "2026-02-30",
            "2026-13-01T10:00",
            "2026-11-22T",
            "2026-11-22T10",
            "2026-11-22T10:00:00+25:00",
            "2026-11-22T25:00:00",
            "2026-11-22T10:00:00+30:00",
            "2026-11-22T10:00:00 CET",
            "2026-11-22T10:00:00[Asia/Tokyo]",
            "20261122",
            "1795341600",
            "2026-W47-7",
            "zwölf Uhr",
        ] {
            let refused = zone.read(text).expect_err(text).to_string();
            assert!(refused.contains("RFC 3339") && refused.contains("Europe/Warsaw"), "{refused}");
        }
    }

    #[test]
    fn a_zone_is_known_by_its_name_alone() {
        for (text, name) in [("europe/warsaw", "Europe/Warsaw"), ("UTC", "UTC"), ("Etc/GMT-3", "Etc/GMT-3")] {
            let zone: Zone = text.parse().unwrap();
            assert_eq!(zone.name(), name);
            assert_eq!(serde_json::from_str::<Zone>(&serde_json::to_string(&zone).unwrap()).unwrap(), zone);
        }
        assert_eq!(Zone::default(), "UTC".parse().unwrap());
        for text in ["", "CEST", "Europe/Berln", "+01:00", "UTC+1", "local", "../etc/passwd", "Etc/Unknown"] {
            let refused = text.parse::<Zone>().expect_err(text).to_string();
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
    }

    #[test]
    fn a_clock_of_the_zone_is_shown() {
        let at = UnixMs::parse("2026-11-22T20:49:28Z").unwrap();
        let shown = |zone: &str| zone.parse::<Zone>().unwrap().shown(at);
        assert_eq!((shown("UTC").as_str(), shown("Asia/Tokyo").as_str()), ("22 Nov, 20:49", "23 Nov, 05:49"));
    }
}
