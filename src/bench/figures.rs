//! The figures of a run, for people and for machines.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use crate::logs;

/// Percentiles of times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct TimesMs {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl TimesMs {
    /// Of times in microseconds, in order.
    pub(super) fn of(sorted_us: &[u64]) -> Self {
        let at = |per_mille: usize| {
            let place = (sorted_us.len() * per_mille).div_ceil(1000);
            sorted_us.get(place.saturating_sub(1)).map_or(0.0, |us| *us as f64 / 1000.0)
        };
        Self { p50: at(500), p99: at(990), max: at(1000) }
    }
}

/// Prints figures as one JSON object, or one below the other, each under its name with its unit at the name's end.
pub(super) fn print(figures: &impl Serialize, json: bool) -> anyhow::Result<()> {
    let text = serde_json::to_string(figures)?;
    if json {
        return logs::say(&text);
    }
    let Members(members) = serde_json::from_str(&text)?;
    let line = |(name, value): &(String, Value)| format!("{:<40} {}", name.replace('_', " "), words(value));
    logs::say(&members.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// An object's members in their order.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "not measured".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(fraction) if !number.is_u64() => rounded(fraction),
            _ => number.to_string(),
        },
        // Percentiles, which the alphabet would put max first.
        Value::Object(parts) => ["p50", "p99", "max"]
            .into_iter()
            .filter_map(|name| Some(format!("{name} {}", words(parts.get(name)?))))
            .collect::<Vec<_>>()
            .join("  "),
        other => other.to_string(),
    }
}

fn rounded(number: f64) -> String {
    match number.abs() {
        0.0..1.0 => format!("{number:.3}"),
        1.0..100.0 => format!("{number:.2}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let us: Vec<u64> = (1..=1000).map(|ms| ms * 1000).collect();
        assert_eq!(TimesMs::of(&us), TimesMs { p50: 500.0, p99: 990.0, max: 1000.0 });
        assert_eq!(TimesMs::of(&[7000]), TimesMs { p50: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(TimesMs::of(&[]), TimesMs { p50: 0.0, p99: 0.0, max: 0.0 });
    }
}
