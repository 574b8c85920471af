//! Text within XML 1.0 (fifth edition): escaped, and without the characters that no document may have (section 2.2).

use std::borrow::Cow;

/// Whether a document may have it.
const fn is_allowed(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// The text without what XML forbids, and how many characters that were.
#[must_use]
pub fn cleaned(text: &str) -> (Cow<'_, str>, usize) {
    match text.chars().filter(|char| !is_allowed(*char)).count() {
        0 => (Cow::Borrowed(text), 0),
        removed => (text.chars().filter(|char| is_allowed(*char)).collect::<String>().into(), removed),
    }
}

/// The text as the content of an element or the value of an attribute, without what XML forbids.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    let (text, _) = cleaned(text);
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_removed_and_counted() {
        assert_eq!(cleaned("a\u{8}b\u{fffe}c\t\n"), ("abc\t\n".into(), 2));
        assert!(matches!(cleaned("Zoë 👋"), (Cow::Borrowed(_), 0)));
        assert_eq!(escaped("a<b> & \u{0}\"c\"'"), "a&lt;b&gt; &amp; &quot;c&quot;&apos;");
    }
}
