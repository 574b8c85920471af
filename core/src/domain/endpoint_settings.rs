//! What an endpoint's owner sets: the bounds of each setting, a change of some of them, and how they are told where no
//! secret may stand.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    egress::EndpointUrl,
    event::{Channel, TypePattern},
    limits::{DESCRIPTION_CHARS_MAX, FILTERS_MAX, METADATA_BYTES_MAX},
    line::{LineRefused, judge_seen},
    retry::RetrySchedule,
};

/// Delivery time-outs, in milliseconds.
pub const TIMEOUT_MS: RangeInclusive<u32> = 100..=60_000;
pub const TIMEOUT_MS_DEFAULT: u32 = 15_000;
/// Deliveries a second at most.
pub const RATE_PER_SECOND: RangeInclusive<u32> = 1..=10_000;
/// Deliveries in flight at most.
pub const CONCURRENCY: RangeInclusive<u32> = 1..=1_000;

/// What an endpoint's owner sets. Kept as one JSON text in SQL, so that a new setting is no new column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointSettings {
    pub url: EndpointUrl,
    pub description: String,
    /// Empty: all types.
    pub event_types: Vec<TypePattern>,
    /// Empty: all channels.
    pub channels: Vec<Channel>,
    pub headers: Vec<(String, String)>,
    pub rate_per_second: Option<u32>,
    pub concurrency_max: Option<u32>,
    pub ordered: bool,
    pub timeout_ms: u32,
    pub retry_schedule: RetrySchedule,
    pub metadata: Map<String, Value>,
}

/// Settings that keep the rules; `None` is unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsChange {
    pub url: Option<EndpointUrl>,
    pub description: Option<String>,
    pub event_types: Option<Vec<TypePattern>>,
    pub channels: Option<Vec<Channel>>,
    pub headers: Option<Vec<(String, String)>>,
    pub rate_per_second: Option<Option<u32>>,
    pub concurrency_max: Option<Option<u32>>,
    pub ordered: Option<bool>,
    pub timeout_ms: Option<u32>,
    pub retry_schedule: Option<RetrySchedule>,
    pub metadata: Option<Map<String, Value>>,
}

impl EndpointSettings {
    /// Those of an endpoint whose owner says no more than where it is.
    #[must_use]
    pub fn new(url: EndpointUrl, retry_schedule: RetrySchedule) -> Self {
        Self {
            url,
            description: String::new(),
            event_types: Vec::new(),
            channels: Vec::new(),
            headers: Vec::new(),
            rate_per_second: None,
            concurrency_max: None,
            ordered: false,
            timeout_ms: TIMEOUT_MS_DEFAULT,
            retry_schedule,
            metadata: Map::new(),
        }
    }

    /// By name, as they may be read by many: headers often carry secrets, so only their names are told.
    #[must_use]
    pub fn told(&self) -> Map<String, Value> {
        let mut told = self.by_name();
        let names = self.headers.iter().map(|(name, _)| Value::from(name.as_str())).collect();
        told.insert("headers".to_owned(), Value::Array(names));
        told
    }

    /// What differs from `other`, told of both; `None` where nothing does.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Option<(Map<String, Value>, Map<String, Value>)> {
        let (from, to) = (self.by_name(), other.by_name());
        let differs = |name: &String| from.get(name) != to.get(name);
        let kept = |told: Map<String, Value>| told.into_iter().filter(|(name, _)| differs(name)).collect();
        let (before, after): (Map<_, _>, Map<_, _>) = (kept(self.told()), kept(other.told()));
        (!after.is_empty()).then_some((before, after))
    }

    fn by_name(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(settings)) => settings,
            _ => Map::new(),
        }
    }
}

impl SettingsChange {
    pub fn apply(self, settings: &mut EndpointSettings) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        set(&mut settings.url, self.url);
        set(&mut settings.description, self.description);
        set(&mut settings.event_types, self.event_types);
        set(&mut settings.channels, self.channels);
        set(&mut settings.headers, self.headers);
        set(&mut settings.rate_per_second, self.rate_per_second);
        set(&mut settings.concurrency_max, self.concurrency_max);
        set(&mut settings.ordered, self.ordered);
        set(&mut settings.timeout_ms, self.timeout_ms);
        set(&mut settings.retry_schedule, self.retry_schedule);
        set(&mut settings.metadata, self.metadata);
    }
}

/// # Errors
/// When it is too long or has a control character, other than those of lines, or one that nobody sees, in words.
pub fn judge_description(text: &str) -> Result<(), String> {
    let is_of_lines = |char: &char| matches!(char, '\t' | '\n' | '\r');
    if let Some(control) = text.chars().find(|char| char.is_control() && !is_of_lines(char)) {
        return Err(format!("a description {}", LineRefused::Control(control)));
    }
    judge_seen(text).map_err(|refused| format!("a description {refused}"))?;
    let fits = text.chars().count() <= DESCRIPTION_CHARS_MAX;
    if fits { Ok(()) } else { Err(format!("a description has at most {DESCRIPTION_CHARS_MAX} characters")) }
}

/// How many event types, or channels, there are.
///
/// # Errors
/// When there are too many, in words.
pub fn judge_filters(count: usize) -> Result<(), String> {
    if count <= FILTERS_MAX { Ok(()) } else { Err(format!("there may be at most {FILTERS_MAX} of them")) }
}

/// # Errors
/// When it is out of its bounds, in words.
pub fn judge_number(number: u32, bounds: &RangeInclusive<u32>) -> Result<(), String> {
    let fits = bounds.contains(&number);
    if fits { Ok(()) } else { Err(format!("{number} is not from {} to {}", bounds.start(), bounds.end())) }
}

/// # Errors
/// When it is too large, or has the character that PostgreSQL keeps in no text, in words.
pub fn judge_metadata(metadata: &Map<String, Value>) -> Result<(), String> {
    if metadata.iter().any(|(name, value)| name.contains('\0') || has_nul(value)) {
        return Err(format!("the metadata {}", LineRefused::Control('\0')));
    }
    let bytes = serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len());
    let fits = bytes <= METADATA_BYTES_MAX;
    if fits { Ok(()) } else { Err(format!("the metadata has {bytes} bytes as JSON; it may have {METADATA_BYTES_MAX}")) }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_by_what_differs_and_without_headers_values() {
        let url = EndpointUrl::stored("https://a.example/".to_owned());
        let settings = EndpointSettings::new(url, RetrySchedule::default());
        let headers = vec![("authorization".to_owned(), "Bearer secret".to_owned())];
        let mut other = settings.clone();
        let change = SettingsChange { headers: Some(headers), timeout_ms: Some(500), ..SettingsChange::default() };
        change.apply(&mut other);
        let (before, after) = settings.changed(&other).unwrap();
        assert_eq!(Value::Object(before), json!({ "headers": [], "timeout_ms": 15_000 }));
        assert_eq!(Value::Object(after), json!({ "headers": ["authorization"], "timeout_ms": 500 }));
        assert!(!Value::Object(other.told()).to_string().contains("secret"));
        assert_eq!(settings.changed(&settings.clone()), None);
        let mut rotated = other.clone();
        rotated.headers[0].1 = "Bearer other".to_owned();
        assert!(other.changed(&rotated).is_some_and(|(_, after)| after.contains_key("headers")));
    }

    #[test]
    fn numbers_and_texts_keep_their_bounds() {
        assert!(judge_number(1, &CONCURRENCY).is_ok() && judge_number(0, &CONCURRENCY).is_err());
        assert_eq!(judge_number(10_001, &RATE_PER_SECOND), Err("10001 is not from 1 to 10000".to_owned()));
        assert!(judge_description(&"ä".repeat(1024)).is_ok() && judge_description(&"ä".repeat(1025)).is_err());
        assert!(judge_description("a\0b").is_err() && judge_description("a\u{1b}[2Jb").is_err());
        assert!(judge_description("two\nlines").is_ok() && judge_description("a\u{202e}b").is_err());
        assert!(judge_filters(100).is_ok() && judge_filters(101).is_err());
    }

    #[test]
    fn metadata_is_refused_with_a_nul_wherever_it_stands() {
        let judged = |value: Value| judge_metadata(value.as_object().unwrap());
        for bad in
            [json!({ "a\0": 1 }), json!({ "a": "\0" }), json!({ "a": [{ "b": ["c\0"] }] }), json!({ "a": { "\0": 1 } })]
        {
            let words = "the metadata has the control character '\\0'; leave it out";
            assert_eq!(judged(bad), Err(words.to_owned()));
        }
        assert_eq!(judged(json!({ "a": ["\t\n\u{1b}", "\\u0000", 0, null, true] })), Ok(()));
    }
}
