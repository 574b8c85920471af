//! Text that any XML document may have (XML 1.0, fifth edition, section 2.2).

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_removed_and_counted() {
        assert_eq!(cleaned("a\u{8}b\u{fffe}c\t\n"), ("abc\t\n".into(), 2));
        assert_eq!(cleaned("a\r\nb\rc\u{ffff}"), ("a\nb\nc".into(), 1));
        assert!(matches!(cleaned("Zoë 👋 \u{fffd}"), (Cow::Borrowed(_), 0)));
    }
}
