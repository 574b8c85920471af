//! Text within XML 1.0 (fifth edition): escaped, and without the characters that no document may have (section 2.2).

use std::borrow::Cow;

/// Whether a document may have it, and its readers see it as it is: of line ends they see a line feed (section 2.11).
const fn is_allowed(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// The text without what XML forbids, and how many characters that were. Whatever ends its lines becomes a line feed, which
/// XML's readers make of it anyway.
#[must_use]
pub fn cleaned(text: &str) -> (Cow<'_, str>, usize) {
    // U+FFFE and U+FFFF begin with EF.
    let suspect = text.bytes().any(|byte| byte == 0xef || byte < 0x20 && !matches!(byte, b'\t' | b'\n'));
    if !suspect || text.chars().all(is_allowed) {
        return (Cow::Borrowed(text), 0);
    }
    let (mut out, mut removed) = (String::with_capacity(text.len()), 0);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push('\n');
            }
            allowed if is_allowed(allowed) => out.push(allowed),
            _ => removed += 1,
        }
    }
    (out.into(), removed)
}

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
    fn what_xml_forbids_is_removed_and_counted() {
        assert_eq!(cleaned("a\u{8}b\u{fffe}c\t\n"), ("abc\t\n".into(), 2));
        assert_eq!(cleaned("a\r\nb\rc\u{ffff}"), ("a\nb\nc".into(), 1));
        assert!(matches!(cleaned("Zoë 👋 \u{fffd}"), (Cow::Borrowed(_), 0)));
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
