//! What of a payload is hidden from those who only look. Owns the pointers and how a text is shown with what they name
//! hidden.

use std::{borrow::Cow, str::FromStr};

use serde_json::Value;

/// Shown in the place of a value.
pub const HIDDEN: &str = "(hidden)";
/// Shown in the place of a payload in which nothing can be pointed at.
pub const HIDDEN_WHOLE: &str = "(hidden: it is no JSON, so the fields to hide cannot be found in it)";

/// An address without the values of its query: they are secrets as often as not.
#[must_use]
pub fn without_query_values(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else { return url.to_owned() };
    let hidden = |part: &str| match part.split_once('=') {
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(hidden).collect();
    format!("{before}?{}", query.join("&"))
}

/// A place in a JSON document (RFC 6901), where `*` stands for every member of an object or item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// A text that is no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has to be a JSON pointer like /customer/email, or /items/*/card for every item")]
pub struct NotAPointer;

impl FromStr for Pointer {
    type Err = NotAPointer;

    fn from_str(text: &str) -> Result<Self, NotAPointer> {
        let path = text.strip_prefix('/').ok_or(NotAPointer)?;
        let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
        Ok(Self(path.split('/').map(unescape).collect()))
    }
}

/// The fields that viewers do not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction(Vec<Pointer>);

impl Redaction {
    #[must_use]
    pub const fn new(pointers: Vec<Pointer>) -> Self {
        Self(pointers)
    }

    /// Whether nothing is hidden.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The payload as text, with the values that the pointers name hidden. What was not UTF-8 is replaced.
    #[must_use]
    pub fn apply<'p>(&self, payload: &'p [u8]) -> Cow<'p, str> {
        let text = String::from_utf8_lossy(payload);
        if self.is_empty() {
            return text;
        }
        let Ok(mut json) = serde_json::from_str::<Value>(&text) else { return Cow::Borrowed(HIDDEN_WHOLE) };
        self.0.iter().for_each(|pointer| hide(&mut json, &pointer.0));
        Cow::Owned(json.to_string())
    }
}

fn hide(json: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        *json = Value::from(HIDDEN);
        return;
    };
    match json {
        Value::Object(members) if first == "*" => members.values_mut().for_each(|member| hide(member, rest)),
        Value::Array(items) if first == "*" => items.iter_mut().for_each(|item| hide(item, rest)),
        Value::Object(members) => {
            if let Some(member) = members.get_mut(first) {
                hide(member, rest);
            }
        }
        Value::Array(items) => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|place| items.get_mut(place)) {
                hide(item, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(pointers: &[&str]) -> Redaction {
        Redaction::new(pointers.iter().map(|pointer| pointer.parse().unwrap()).collect())
    }

    #[test]
    fn what_a_pointer_names_is_hidden_and_nothing_else() {
        let hidden = redaction(&["/who/email", "/items/*/card", "/a~1b", "/none/here", "/list/1"]);
        let payload =
            r#"{"who":{"email":"a@b","name":"c"},"items":[{"card":1},{"card":{"n":2},"x":3}],"a/b":4,"list":[5,6]}"#;
        let json: Value = serde_json::from_str(&hidden.apply(payload.as_bytes())).unwrap();
        let expected = serde_json::json!({ "who": { "email": HIDDEN, "name": "c" },
            "items": [{ "card": HIDDEN }, { "card": HIDDEN, "x": 3 }], "a/b": HIDDEN, "list": [5, HIDDEN] });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_address_is_shown_without_what_its_query_says() {
        for (whole, shown) in [
            ("https://a.example/x", "https://a.example/x"),
            ("https://a.example/?token=s&n=1", "https://a.example/?token=(hidden)&n=(hidden)"),
            ("https://a.example/?s3cret", "https://a.example/?(hidden)"),
            ("https://a.example/?a=b?c=d", "https://a.example/?a=(hidden)"),
        ] {
            assert_eq!(without_query_values(whole), shown);
        }
    }

    #[test]
    fn a_payload_is_shown_as_it_came_where_nothing_is_hidden_and_not_at_all_where_it_is_no_json() {
        assert_eq!(redaction(&[]).apply(b"{ \"a\" : 1 }"), "{ \"a\" : 1 }");
        assert_eq!(redaction(&["/a"]).apply(b"secret=1"), HIDDEN_WHOLE);
        for bad in ["", "a", "a/b"] {
            assert_eq!(bad.parse::<Pointer>(), Err(NotAPointer), "{bad}");
        }
    }
}
