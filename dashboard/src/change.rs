//! What an audit entry says of before and after, field by field as people read it.

use serde_json::{Map, Value};

use crate::subject::id_path;

/// A field whose own fields say enough without its name.
const ENVELOPE: &str = "what";

/// One field of what was changed.
#[derive(Debug, PartialEq)]
pub(crate) struct Changed {
    /// As in "rate per second".
    pub(crate) name: String,
    pub(crate) how: How,
}

#[derive(Debug, PartialEq)]
pub(crate) enum How {
    /// It became another.
    From(Vec<Item>, Vec<Item>),
    /// Only known of what was there before.
    Was(Vec<Item>),
    /// Only said of what came of it, or the same before and after.
    Is(Vec<Item>),
}

/// One of the values of a field.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) text: String,
    /// The page that it names where it is an id, below the tenant's own.
    pub(crate) path: Option<String>,
}

pub(crate) fn changed(before: Option<Value>, after: Option<Value>) -> Vec<Changed> {
    let (before, mut after) = (before.map(leaves).unwrap_or_default(), after.map(leaves).unwrap_or_default());
    let mut changed = Vec::new();
    for (name, was) in before {
        let how = match after.iter().position(|(other, _)| *other == name).map(|place| after.remove(place).1) {
            Some(is) if is == was => How::Is(is),
            Some(is) => How::From(was, is),
            None => How::Was(was),
        };
        changed.push(Changed { name, how });
    }
    changed.extend(after.into_iter().map(|(name, is)| Changed { name, how: How::Is(is) }));
    changed
}

/// Fields by name, those within others behind the name of the one that they are in.
fn leaves(value: Value) -> Vec<(String, Vec<Item>)> {
    match value {
        Value::Object(members) => within("", members),
        Value::Null => Vec::new(),
        value => vec![("value".to_owned(), items(&value))],
    }
}

fn within(outer: &str, members: Map<String, Value>) -> Vec<(String, Vec<Item>)> {
    let mut leaves = Vec::new();
    for (name, value) in members {
        let name = format!("{outer} {}", name.replace('_', " ")).trim_start().to_owned();
        match value {
            Value::Object(members) if name == ENVELOPE => leaves.extend(within("", members)),
            Value::Object(members) if !members.is_empty() => leaves.extend(within(&name, members)),
            // Of what was asked for, fields that were left open say nothing.
            Value::Null if !outer.is_empty() => {}
            value => leaves.push((name, items(&value))),
        }
    }
    leaves
}

fn items(value: &Value) -> Vec<Item> {
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().flat_map(items).collect(),
        value => vec![item(value)],
    }
}

fn item(value: &Value) -> Item {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Object(members) if members.is_empty() => "none".to_owned(),
        other => other.to_string(),
    };
    let path = value.as_str().and_then(id_path);
    Item { text, path }
}

#[cfg(test)]
mod tests {
    use postrider_core::domain::{Id, job::Job};
    use serde_json::json;

    use super::*;

    fn told(before: Option<Value>, after: Option<Value>) -> Vec<String> {
        let words = |items: &[Item]| items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(", ");
        let line = |field: Changed| match field.how {
            How::From(was, is) => format!("{}: {} → {}", field.name, words(&was), words(&is)),
            How::Was(was) => format!("{}: was {}", field.name, words(&was)),
            How::Is(is) => format!("{}: {}", field.name, words(&is)),
        };
        changed(before, after).into_iter().map(line).collect()
    }

    #[test]
    fn each_field_is_told_with_what_it_was_and_what_it_is() {
        let before = json!({ "attempt": 3, "note": "", "paused": false, "rate_per_second": null, "state": "open" });
        let after = json!({ "note": "", "paused": true, "rate_per_second": 1000, "reason": "old", "state": "open" });
        let lines = told(Some(before), Some(after));
        let expected = ["attempt: was 3", "note: empty", "paused: no → yes", "rate per second: none → 1000"];
        assert_eq!(lines, [expected.as_slice(), &["state: open", "reason: old"]].concat());
        assert_eq!(told(Some(json!({ "state": "open" })), None), ["state: was open"]);
        assert!(told(None, None).is_empty());
    }

    #[test]
    fn what_is_within_another_is_a_field_and_ids_lead_to_their_pages() {
        let job = Id::<Job>::new();
        let after = json!({ "jobs": [job, "x"], "what": { "filter": { "kind": null, "status": 410 } }, "types": [] });
        assert_eq!(
            told(None, Some(after.clone())),
            [format!("jobs: {job}, x"), "types: none".into(), "filter status: 410".into()]
        );
        let jobs = changed(None, Some(after)).remove(0);
        let How::Is(items) = jobs.how else { panic!("{jobs:?}") };
        assert_eq!(
            items.iter().map(|item| item.path.clone()).collect::<Vec<_>>(),
            [Some(format!("/jobs/{job}")), None]
        );
    }
}
