//! Whether an address is in its canonical form already, told by one walk over its bytes and without allocating. It may
//! doubt one that is, which costs a call of the parser; it trusts none that is not.

use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::permalink::{BaseUrl, URL_CHARS_MAX};

const NONE: u8 = 0;
const PATH: u8 = 1;
const QUERY: u8 = 2;

/// Where a byte stands for itself (RFC 3986, sections 3.3 and 3.4).
const PLAIN: [u8; 256] = {
    let mut plain = [NONE; 256];
    let (marks, mut place) = (b"-._~!$&'()*+,;=:@/", 0);
    while place < marks.len() {
        plain[marks[place] as usize] = PATH | QUERY;
        place += 1;
    }
    let mut byte = 0;
    while byte < 128_u8 {
        if byte.is_ascii_alphanumeric() {
            plain[byte as usize] = PATH | QUERY;
        }
        byte += 1;
    }
    plain[b'?' as usize] = QUERY;
    plain
};

impl BaseUrl {
    /// Whether the text is the canonical address of a page of this locale for certain. Where this is false, `permalink` says.
    #[must_use]
    pub fn is_certainly_canonical(&self, text: &str) -> bool {
        is_certainly_canonical(self.origin(), self.path(), text.as_bytes())
    }
}

/// The same for an origin in its canonical form, and a path that the address is below.
#[must_use]
pub fn is_certainly_canonical(origin: &str, base: &str, text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(origin.as_bytes()).filter(|rest| rest.starts_with(b"/")) else { return false };
    let below = rest.strip_prefix(base.as_bytes());
    let below = below.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')));
    below && text.len() <= URL_CHARS_MAX && is_canonical_rest(rest)
}

/// The same of what stands behind an origin and begins with a slash.
fn is_canonical_rest(rest: &[u8]) -> bool {
    let (mut part, mut place, mut all_alone) = (PATH, 0, true);
    while let Some(&byte) = rest.get(place) {
        if PLAIN[usize::from(byte)] & part != 0 {
            place += 1;
            if byte == b'.' && part == PATH && rest[place - 2] == b'/' && is_dots(&rest[place..]) {
                return false;
            }
            continue;
        }
        match byte {
            b'?' => (part, place) = (QUERY, place + 1),
            b'%' => {
                let Some(code) = code(rest, place) else { return false };
                if code.is_ascii() && !is_needed(code, rest.get(place + 3..place + 5)) {
                    return false;
                }
                let char = if code.is_ascii() { None } else { char_at(rest, place, code) };
                all_alone &= code.is_ascii() || char.is_some_and(is_composed_alone);
                place += 3 * char.map_or(1, char::len_utf8);
            }
            _ => return false,
        }
    }
    all_alone || is_composed(rest)
}

/// Whether what follows the first dot of a segment makes it `.` or `..`.
fn is_dots(rest: &[u8]) -> bool {
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    matches!(rest.first(), None | Some(b'/' | b'?'))
}

/// The byte that is coded at a place, in upper case.
fn code(rest: &[u8], place: usize) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(*rest.get(place + 1)?)? << 4 | digit(*rest.get(place + 2)?)?)
}

/// Whether a character of ASCII is one that has to be coded, and only once.
fn is_needed(code: u8, next: Option<&[u8]>) -> bool {
    let twice = code == b'%' && next.is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit));
    let plain = code.is_ascii_alphanumeric() || matches!(code, b'-' | b'.' | b'_' | b'~');
    !twice && !plain && !code.is_ascii_control()
}

/// The character beyond ASCII whose codes begin at a place with this one.
fn char_at(rest: &[u8], place: usize, first: u8) -> Option<char> {
    let length = usize::try_from(first.leading_ones()).ok().filter(|length| (2..=4).contains(length))?;
    let mut bytes = [first, 0, 0, 0];
    for (index, byte) in bytes.iter_mut().enumerate().take(length).skip(1) {
        let at = place + 3 * index;
        *byte = if rest.get(at) == Some(&b'%') { code(rest, at)? } else { return None };
    }
    str::from_utf8(&bytes[..length]).ok()?.chars().next()
}

/// Whether its codes are UTF-8 of characters that may stand in an address, and all of it is NFC. Whatever is NFC is it in its
/// parts too, so it does no harm that codes of ASCII, which divide a text, are read as characters here.
fn is_composed(rest: &[u8]) -> bool {
    let mut decoded = [0; URL_CHARS_MAX];
    let (mut length, mut place) = (0, 0);
    while let (Some(&byte), Some(to)) = (rest.get(place), decoded.get_mut(length)) {
        let coded = if byte == b'%' { code(rest, place) } else { None };
        *to = coded.unwrap_or(byte);
        (length, place) = (length + 1, place + if coded.is_some() { 3 } else { 1 });
    }
    let Ok(text) = str::from_utf8(&decoded[..length]) else { return false };
    let stands = |char: char| !char.is_control() && (!char.is_whitespace() || char == ' ');
    text.chars().all(stands) && is_nfc_quick(text.chars()) == IsNormalized::Yes
}

/// Characters of the most common scripts beyond ASCII that are NFC beside whichever others of them and of ASCII, and are no spaces.
const fn is_composed_alone(char: char) -> bool {
    matches!(char,
        '\u{a1}'..='\u{2ff}' | '\u{388}'..='\u{3ff}' | '\u{400}'..='\u{482}' | '\u{5d0}'..='\u{5ea}'
        | '\u{621}'..='\u{64a}' | '\u{1e00}'..='\u{1eff}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::char::canonical_combining_class;

    use super::*;

    #[test]
    fn the_most_common_characters_are_composed_alone() {
        for char in ('\0'..=char::MAX).filter(|char| is_composed_alone(*char)) {
            let quick = is_nfc_quick(std::iter::once(char));
            assert_eq!((quick, canonical_combining_class(char)), (IsNormalized::Yes, 0), "{char:?}");
            assert!(!char.is_control() && !char.is_whitespace(), "{char:?}");
        }
    }

    #[test]
    fn what_stands_in_a_sitemap_is_trusted_at_once() {
        let base = BaseUrl::parse("https://a.example/de").unwrap();
        for path in [
            "/",
            "/a.b/c..d/.e",
            "/café/новости-дня",
            "/a%2Fb?q=/../%26&r=ü",
            "/記事/기사?",
            "/über straße",
            "/tiếng-việt",
        ] {
            let link = base.permalink(path).unwrap();
            assert!(base.is_certainly_canonical(link.as_str()), "{link}");
        }
        for text in [
            "",
            "https://a.example",
            "https://a.example/deutsch",
            "https://a.example.org/de/",
            "https://a.example/de/..",
            "https://a.example/de/./a",
            "https://a.example/de/../a?b",
            "https://a.example/de/a#b",
            "https://a.example/de/caf%c3%a9",
            "https://a.example/de/caf%C3%A",
            "https://a.example/de/caf%E9",
            "https://a.example/de/cafe%CC%81",
            "https://a.example/de/caf%25C3%25A9",
            "https://a.example/de/%63",
            "https://a.example/de/é",
            "https://a.example/de/%0A",
            "https://a.example/de/a%E2%80%A8b",
            "https://a.example/de/%C2%A0",
            "https://a.example/de/a b",
            "https://a.example/de/%",
        ] {
            assert!(!base.is_certainly_canonical(text), "{text}");
        }
        assert!(!base.is_certainly_canonical(&format!("https://a.example/de/{}", "a".repeat(URL_CHARS_MAX))));
    }

    proptest! {
        #[test]
        fn what_is_trusted_is_what_the_parser_gives_back(rest in "(/|\\.|%|%25|%C3%A9|%CC%81|%D0%B1|%E2%80%A8|%2F|%3C|%2e|[0-9A-Fa-f~ ?#é<]){0,12}") {
            let base = BaseUrl::parse("https://a.example/de").unwrap();
            let text = format!("https://a.example/de{rest}");
            if base.is_certainly_canonical(&text) {
                let link = base.permalink(&text);
                prop_assert_eq!(link.as_ref().map(|link| link.as_str()), Ok(text.as_str()));
            }
        }
    }
}
