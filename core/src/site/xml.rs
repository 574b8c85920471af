//! Text within XML 1.0 (fifth edition): escaped, and without the characters that no document may have (section 2.2).

use std::borrow::Cow;

use crate::domain::site::text::cleaned;

/// The text as the content of an element or the value of an attribute, without what XML forbids.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    let (text, _) = cleaned(text);
    if !text.bytes().any(|byte| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'')) {
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

/// The text as the value of an attribute, in which XML's readers see spaces alone (section 3.3.3).
pub(super) fn in_attribute(text: &str) -> String {
    escaped(text).replace(['\t', '\n'], " ")
}

/// An element with a text in it, on a line of its own.
pub(super) fn push_element(out: &mut String, name: &str, text: &str) {
    out.extend(["<", name, ">", &escaped(text), "</", name, ">\n"]);
}

/// Markup of another language as one CDATA section, or as several where it has what would end it.
pub(super) fn push_cdata(out: &mut String, text: &str) {
    out.extend(["<![CDATA[", &cleaned(text).0.replace("]]>", "]]]]><![CDATA[>"), "]]>"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_cleaned_too() {
        assert_eq!(escaped("a<b> & \u{0}\"c\"'"), "a&lt;b&gt; &amp; &quot;c&quot;&apos;");
        assert_eq!(in_attribute("a\r\nb\t\"c\""), "a b &quot;c&quot;");
    }

    #[test]
    fn a_section_does_not_end_where_its_text_says_so() {
        let mut out = String::new();
        push_cdata(&mut out, "<p>a]]>b</p>\u{8}");
        assert_eq!(out, "<![CDATA[<p>a]]]]><![CDATA[>b</p>]]>");
    }
}
