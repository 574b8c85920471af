//! Tags: words that whoever makes a job puts on it, so that it is found again by them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Tags of one job.
pub const TAGS_MAX: usize = 10;
/// Characters of a tag.
pub const TAG_CHARS_MAX: usize = 64;

/// One word. In lower case, so that it is found however a database compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to {TAG_CHARS_MAX} characters of a-z, 0-9, _ . : / @ + and -")]
pub struct TagError;

impl Tag {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;
    fn try_from(text: String) -> Result<Self, TagError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:/@+-".contains(&byte);
        let fits = (1..=TAG_CHARS_MAX).contains(&text.len()) && text.bytes().all(known);
        if fits { Ok(Self(text)) } else { Err(TagError) }
    }
}

impl FromStr for Tag {
    type Err = TagError;
    fn from_str(text: &str) -> Result<Self, TagError> {
        text.to_owned().try_into()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_short_word_in_lower_case() {
        for good in ["a", "nightly", "team:billing", "v1.2/eu-west_1", "a@b+c", &"x".repeat(64)] {
            assert_eq!(good.parse::<Tag>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "Team", "two words", "a,b", "\"", "%", "é", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Tag>(), Err(TagError), "{bad}");
        }
    }
}
