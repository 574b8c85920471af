//! Collapse keys: of several notifications with the same one, only the newest stands before a person.

use std::{fmt, str::FromStr};

use super::line::is_unseen;

/// Characters of a key.
pub const COLLAPSE_KEY_CHARS_MAX: usize = 64;

/// What notifications have in common of which each takes the place of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollapseKey(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a collapse key has 1 to {COLLAPSE_KEY_CHARS_MAX} visible characters, and no spaces")]
pub struct CollapseKeyError;

impl CollapseKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CollapseKey {
    type Err = CollapseKeyError;
    fn from_str(text: &str) -> Result<Self, CollapseKeyError> {
        let is_visible = |char: char| !char.is_control() && !char.is_whitespace() && !is_unseen(char);
        let fits = (1..=COLLAPSE_KEY_CHARS_MAX).contains(&text.chars().count()) && text.chars().all(is_visible);
        if fits { Ok(Self(text.to_owned())) } else { Err(CollapseKeyError) }
    }
}

impl fmt::Display for CollapseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_few_visible_characters() {
        for good in ["a", "match:42", "Straße/7", "import", &"ü".repeat(64)] {
            assert_eq!(good.parse::<CollapseKey>().unwrap().as_str(), good);
        }
        for bad in ["", "two words", "a\u{200b}", "a\0", &"x".repeat(65)] {
            assert_eq!(bad.parse::<CollapseKey>(), Err(CollapseKeyError), "{bad:?}");
        }
    }
}
