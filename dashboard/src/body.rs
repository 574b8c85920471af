//! A payload, or what a receiver answered, as pages show it: as it came, and laid out where it is JSON.

use serde_json::value::RawValue;

/// Bytes up to which JSON is laid out: a page is to stay light.
const LAID_OUT_BYTES_MAX: usize = 64 * 1024;
const INDENT: &str = "  ";
/// Beyond these it is not laid out: a few brackets would make a page of megabytes.
const DEPTH_MAX: usize = 40;
const GROWTH_MAX: usize = 6;

pub(crate) struct Body {
    /// What was not UTF-8 is replaced, and what may not be seen is hidden.
    pub(crate) raw: String,
    /// The same JSON on lines of its own; `None` where it is no JSON, is too long or looks like this anyway.
    pub(crate) laid_out: Option<String>,
    pub(crate) bytes: usize,
}

impl Body {
    pub(crate) fn of(raw: String, bytes: usize) -> Self {
        let laid_out = lay_out(&raw).filter(|laid_out| laid_out.trim_end() != raw.trim_end());
        Self { raw, laid_out, bytes }
    }

    /// A text that is all that came.
    pub(crate) fn of_text(text: String) -> Self {
        let bytes = text.len();
        Self::of(text, bytes)
    }
}

/// JSON with a line for each member and item. Only blanks are changed: numbers, names and their order are as they came.
pub(crate) fn lay_out(json: &str) -> Option<String> {
    if json.len() > LAID_OUT_BYTES_MAX || serde_json::from_str::<&RawValue>(json).is_err() {
        return None;
    }
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&INDENT.repeat(depth));
    };
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_ascii_whitespace() => continue,
            '"' => {
                out.push(c);
                copy_string(&mut chars, &mut out);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return None;
                    }
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(c),
        }
        if out.len() > json.len() * GROWTH_MAX + LAID_OUT_BYTES_MAX {
            return None;
        }
    }
    Some(out)
}

/// The rest of a string, whose first quote is read.
fn copy_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '"' => return,
            '\\' => out.extend(chars.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_without_a_change_but_of_blanks() {
        let json = r#" {"b":1.10,"a":[ ],"s":"x, {\"y\": [1]}\\","l":[1,{"z":null}] , "e":{}}"#;
        let laid_out = lay_out(json).unwrap();
        let expected = "{\n  \"b\": 1.10,\n  \"a\": [],\n  \"s\": \"x, {\\\"y\\\": [1]}\\\\\",\n  \"l\": [\n    1,\n    {\n      \"z\": null\n    }\n  ],\n  \"e\": {}\n}";
        assert_eq!(laid_out, expected);
        assert_eq!(lay_out(&laid_out).unwrap(), laid_out);
        assert_eq!(lay_out(&format!("{}{}", "[".repeat(2_000), "]".repeat(2_000))), None);
        assert_eq!((lay_out("1").as_deref(), lay_out("no").as_deref()), (Some("1"), None));
    }

    #[test]
    fn what_looks_laid_out_is_not_shown_twice() {
        assert!(Body::of("{\n  \"a\": 1\n}\n".to_owned(), 13).laid_out.is_none());
        assert!(Body::of("{\"a\":1}".to_owned(), 7).laid_out.is_some());
        assert!(Body::of("plain".to_owned(), 5).laid_out.is_none());
    }
}
