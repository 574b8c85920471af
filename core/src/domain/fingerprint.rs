//! Which failures are one failure: the same kind, error class, status and message, numbers and ids aside.

use std::{fmt, str::FromStr};

use ring::digest;

use super::{attempt::AttemptClass, job::JobKind};

/// Words that hold more digits than this are ids, not words.
const DIGITS_IN_WORD_MAX: usize = 0;
const BYTES: usize = 8;

/// A group of failures, as 16 hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = text.len() == BYTES * 2 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not {} digits of 0-9 and a-f", BYTES * 2))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprint of a failure with this message.
#[must_use]
pub fn of(kind: JobKind, class: AttemptClass, status_code: Option<u16>, error: &str) -> Fingerprint {
    let status = status_code.map(|code| code.to_string()).unwrap_or_default();
    let text = format!("{kind}\n{class}\n{status}\n{}", normalised(error));
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    Fingerprint(hash.as_ref()[..BYTES].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The message with what differs from one failure to the next (numbers, ids, addresses) as `#`.
#[must_use]
pub fn normalised(error: &str) -> String {
    let word = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if digits > DIGITS_IN_WORD_MAX { "#".to_owned() } else { word.to_lowercase() }
    };
    error.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_do_not_part_a_group() {
        let of = |error| of(JobKind::HttpRequest, AttemptClass::Connect, None, error);
        assert_eq!(of("connect to 10.0.0.1:443 refused"), of("connect to 10.0.0.2:8443 Refused"));
        assert_ne!(of("connection refused"), of("connection reset"));
        assert_eq!(of("x").as_str().parse(), Ok(of("x")));
        for text in ["", "0123456789abcde", "0123456789abcdefa", "0123456789ABCDEF", "0123456789abcdeg"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
