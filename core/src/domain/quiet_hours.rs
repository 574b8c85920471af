//! When a person is left alone, as the clocks of their time zone show it.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{UnixMs, site::zone::Zone};

const MINUTES_OF_DAY: u16 = 24 * 60;

/// A time of day to the minute, as in `22:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime {
    minutes: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of day from 00:00 to 23:59")]
pub struct ClockTimeError(String);

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// From one time of day to another; on the next day where that is the earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    from: ClockTime,
    to: ClockTime,
    /// On which days they begin; none: on each.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    days: BTreeSet<Day>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quiet hours end at another time than they begin; to be told nothing at all, set preferences")]
pub struct EmptyQuietHours;

impl QuietHours {
    /// # Errors
    /// When they end as they begin: nobody could tell whether that is a day or no time at all.
    pub fn new(from: ClockTime, to: ClockTime, days: BTreeSet<Day>) -> Result<Self, EmptyQuietHours> {
        if from == to { Err(EmptyQuietHours) } else { Ok(Self { from, to, days }) }
    }

    #[must_use]
    pub const fn from(&self) -> ClockTime {
        self.from
    }

    #[must_use]
    pub const fn to(&self) -> ClockTime {
        self.to
    }

    /// On which days they begin; none: on each.
    #[must_use]
    pub const fn days(&self) -> &BTreeSet<Day> {
        &self.days
    }

    /// When they end for somebody in this zone; `None`: they are not now.
    #[must_use]
    pub fn until(&self, now: UnixMs, zone: &Zone) -> Option<UnixMs> {
        let ends_later = if self.to > self.from { 0 } else { 1 };
        // Those of yesterday may not be over.
        [0, -1].into_iter().find_map(|day| {
            let (begin, weekday) = zone.on_day(day, self.from, now)?;
            let (end, _) = zone.on_day(day + ends_later, self.to, now)?;
            let begins = self.days.is_empty() || self.days.contains(&weekday);
            (begins && (begin..end).contains(&now)).then_some(end)
        })
    }
}

impl Day {
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

impl ClockTime {
    #[must_use]
    pub(super) fn hour_and_minute(self) -> (i8, i8) {
        let part = |minutes: u16| i8::try_from(minutes).unwrap_or(0);
        (part(self.minutes / 60), part(self.minutes % 60))
    }
}

impl FromStr for Day {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|day| day.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no day: mon, tue, wed, thu, fri, sat or sun"))
    }
}

impl FromStr for ClockTime {
    type Err = ClockTimeError;
    fn from_str(text: &str) -> Result<Self, ClockTimeError> {
        let refused = || ClockTimeError(text.chars().take(16).collect());
        let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let (hours, minutes) = text.split_once(':').ok_or_else(refused)?;
        if !two_digits(hours) || !two_digits(minutes) {
            return Err(refused());
        }
        let (hours, minutes): (u16, u16) =
            (hours.parse().map_err(|_| refused())?, minutes.parse().map_err(|_| refused())?);
        let time = Self { minutes: hours * 60 + minutes };
        if minutes < 60 && time.minutes < MINUTES_OF_DAY { Ok(time) } else { Err(refused()) }
    }
}

impl TryFrom<String> for ClockTime {
    type Error = ClockTimeError;
    fn try_from(text: String) -> Result<Self, ClockTimeError> {
        text.parse()
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> Self {
        time.to_string()
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_hours_and_minutes() {
        for good in ["00:00", "07:05", "23:59"] {
            assert_eq!(good.parse::<ClockTime>().unwrap().to_string(), good);
        }
        for bad in ["", "7:05", "24:00", "12:60", "12", "12:5", "+1:00", "12:00:00", "noon", "1２:00"] {
            assert!(bad.parse::<ClockTime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn quiet_hours_may_pass_midnight_and_are_not_empty() {
        let at = |text: &str| text.parse::<ClockTime>().unwrap();
        let night = QuietHours::new(at("22:00"), at("07:00"), BTreeSet::from([Day::Sat, Day::Fri])).unwrap();
        let text = serde_json::to_string(&night).unwrap();
        assert_eq!(text, r#"{"from":"22:00","to":"07:00","days":["fri","sat"]}"#);
        assert_eq!(serde_json::from_str::<QuietHours>(&text).unwrap(), night);
        assert_eq!(QuietHours::new(at("22:00"), at("22:00"), BTreeSet::new()), Err(EmptyQuietHours));
    }

    #[test]
    fn quiet_hours_end_as_clocks_of_their_zone_show_it() {
        let at = |text: &str| UnixMs::parse(text).unwrap();
        let hours = |json: &str| serde_json::from_str::<QuietHours>(json).unwrap();
        let warsaw: Zone = "Europe/Warsaw".parse().unwrap();
        let night = hours(r#"{"from":"22:00","to":"07:00"}"#);
        let weekend = hours(r#"{"from":"22:00","to":"07:00","days":["fri"]}"#);
        let noon = hours(r#"{"from":"12:00","to":"13:00"}"#);
        for (quiet, now, until) in [
            (&night, "2026-11-23T20:59:59Z", None),
            (&night, "2026-11-23T21:00:00Z", Some("2026-11-24T06:00:00Z")),
            (&night, "2026-11-24T05:59:59Z", Some("2026-11-24T06:00:00Z")),
            (&night, "2026-11-24T06:00:00Z", None),
            // Clocks are put forward, and back, in that night.
            (&night, "2026-03-28T22:00:00Z", Some("2026-03-29T05:00:00Z")),
            (&night, "2026-10-24T22:00:00Z", Some("2026-10-25T06:00:00Z")),
            // From Friday to Saturday, and in no other night.
            (&weekend, "2026-11-27T22:00:00Z", Some("2026-11-28T06:00:00Z")),
            (&weekend, "2026-11-28T05:00:00Z", Some("2026-11-28T06:00:00Z")),
            (&weekend, "2026-11-28T22:00:00Z", None),
            (&weekend, "2026-11-27T05:00:00Z", None),
            (&noon, "2026-11-23T11:30:00Z", Some("2026-11-23T12:00:00Z")),
            (&noon, "2026-11-23T12:00:00Z", None),
        ] {
            assert_eq!(quiet.until(at(now), &warsaw), until.map(at), "{now}");
        }
        assert_eq!(night.until(at("2026-11-23T21:30:00Z"), &Zone::default()), None);
    }
}
