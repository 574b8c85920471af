//! How a channel of a type tells people, beside what it says: whether it waits for them to look into their inbox, how often it may
//! tell one person, and whether it gathers what there is into one message.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    UnixMs,
    id::Identified,
    quiet_hours::{ClockTime, Day},
    site::zone::Zone,
};

/// Seconds that anything waits or counts at most: 30 days.
pub const WINDOW_S_MAX: u32 = 30 * 24 * 3600;
/// Messages to one person in a window.
pub const THROTTLE_LIMIT_MAX: u32 = 10_000;
/// Notifications that one digest shows; of more it has the newest, and says how many there are.
pub const DIGEST_SHOWN_MAX: u32 = 100;
/// Bytes of the path by which digests are divided.
const PATH_BYTES_MAX: usize = 200;
/// Bytes of what is found there; of what is longer its hash stands for it.
const DIGEST_KEY_BYTES_MAX: usize = 200;

/// How a channel of a type tells people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflow {
    /// They are told when they have not seen it in their inbox for so long.
    pub only_if_unseen_for_s: Option<u32>,
    pub throttle: Option<Throttle>,
    pub digest: Option<Gathering>,
}

/// How often one person is told by a channel of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// So often at most …
    pub limit: u32,
    /// … in so many seconds from the first.
    pub window_s: u32,
}

/// What is gathered into one message, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    #[serde(flatten)]
    pub window: Window,
    /// What has the same there is gathered together; `None`: all of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<DataPath>,
}

/// Until when something is gathered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Window {
    /// So many seconds from the first.
    Lasting { window_s: u32 },
    /// The next time that their clock shows.
    Until {
        at: ClockTime,
        /// None: on each.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        days: BTreeSet<Day>,
    },
}

/// Where in data something stands: `post.id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataPath(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path is names with dots between them, as in post.id, and has {PATH_BYTES_MAX} bytes at most")]
pub struct DataPathError;

/// What is gathered for one person, until it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {}

impl Identified for Digest {
    const PREFIX: &'static str = "dig";
}

impl Window {
    /// When that is over which begins now, for somebody in this zone.
    #[must_use]
    pub fn end(&self, now: UnixMs, zone: &Zone) -> UnixMs {
        match self {
            Self::Lasting { window_s } => now + std::time::Duration::from_secs(u64::from(*window_s)),
            Self::Until { at, days } => zone.next(*at, days, now),
        }
    }
}

impl Gathering {
    /// What those have in common that are gathered together with this.
    #[must_use]
    pub fn key(&self, data: &Map<String, Value>) -> String {
        let found = self.by.as_ref().and_then(|path| path.find(data));
        let text = match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        // PostgreSQL takes no NUL.
        if text.len() <= DIGEST_KEY_BYTES_MAX && !text.contains('\0') {
            return text;
        }
        let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl DataPath {
    #[must_use]
    pub fn find<'d>(&self, data: &'d Map<String, Value>) -> Option<&'d Value> {
        let mut names = self.0.split('.');
        let first = data.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_object()?.get(name))
    }
}

impl TryFrom<String> for DataPath {
    type Error = DataPathError;
    fn try_from(text: String) -> Result<Self, DataPathError> {
        let fits = (1..=PATH_BYTES_MAX).contains(&text.len()) && text.split('.').all(|name| !name.is_empty());
        if fits { Ok(Self(text)) } else { Err(DataPathError) }
    }
}

impl From<DataPath> for String {
    fn from(path: DataPath) -> Self {
        path.0
    }
}

impl std::fmt::Display for DataPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gathering(given: Value) -> Gathering {
        serde_json::from_value(given).unwrap()
    }

    #[test]
    fn what_has_the_same_at_a_path_is_gathered_together() {
        let data = |value: Value| value.as_object().unwrap().clone();
        let by_post = gathering(json!({ "window_s": 60, "by": "post.id" }));
        assert_eq!(by_post.key(&data(json!({ "post": { "id": 7 } }))), "7");
        assert_eq!(by_post.key(&data(json!({ "post": { "id": "x" } }))), "x");
        for absent in [json!({}), json!({ "post": 1 }), json!({ "post": { "id": null } })] {
            assert_eq!(by_post.key(&data(absent)), "");
        }
        assert_eq!(by_post.key(&data(json!({ "post": { "id": "x".repeat(201) } }))).len(), 64);
        assert_eq!(by_post.key(&data(json!({ "post": { "id": "a\0b" } }))).len(), 64);
        assert_eq!(gathering(json!({ "window_s": 60 })).key(&data(json!({ "post": 1 }))), "");
        for bad in ["", ".a", "a..b", "a.", &"x".repeat(201)] {
            assert!(DataPath::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_window_ends_after_its_time_or_when_their_clock_shows_it() {
        let at = |text: &str| UnixMs::parse(text).unwrap();
        let warsaw: Zone = "Europe/Warsaw".parse().unwrap();
        let hour = gathering(json!({ "window_s": 3600 })).window;
        assert_eq!(hour.end(at("2026-11-23T10:00:00Z"), &warsaw), at("2026-11-23T11:00:00Z"));
        let daily = gathering(json!({ "at": "08:00" })).window;
        assert_eq!(daily.end(at("2026-11-23T06:59:00Z"), &warsaw), at("2026-11-23T07:00:00Z"));
        assert_eq!(daily.end(at("2026-11-23T07:00:00Z"), &warsaw), at("2026-11-24T07:00:00Z"));
        // Clocks were put forward in between.
        assert_eq!(daily.end(at("2026-03-28T12:00:00Z"), &warsaw), at("2026-03-29T06:00:00Z"));
        let weekly = gathering(json!({ "at": "08:00", "days": ["mon"] })).window;
        assert_eq!(weekly.end(at("2026-11-23T07:00:00Z"), &warsaw), at("2026-11-30T07:00:00Z"));
        let text = serde_json::to_string(&gathering(json!({ "at": "08:00", "by": "a" }))).unwrap();
        assert_eq!(text, r#"{"at":"08:00","by":"a"}"#);
    }
}
