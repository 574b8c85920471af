//! Addresses in produced files.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use super::elements::What;
use crate::domain::site::permalink::{BaseUrl, URL_CHARS_MAX};

/// Of a page of the locale, in its canonical form.
pub(super) fn judge_of_locale(base: &BaseUrl, text: &str) -> Result<(), What> {
    if base.is_certainly_canonical(text) {
        return Ok(());
    }
    let canonical = base.permalink(text).map_err(|error| format!("{text:?}: {error}"))?;
    match canonical.as_str() == text {
        true => Ok(()),
        false => Err(format!("{text:?} is not canonical; {canonical} is")),
    }
}

/// Of whatever host: absolute, of characters that stand in addresses, not too long.
pub(super) fn judge_absolute(url: &str) -> Result<(), What> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let has_host = rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    match has_host && plain && url.len() <= URL_CHARS_MAX {
        true => Ok(()),
        false => Err(format!("{url:?} is no absolute address of plain characters")),
    }
}

/// What was there before, by its hash: of 50,000 addresses no two share one of 64 bits but once in ten thousand million files.
#[derive(Debug, Default)]
pub(super) struct Seen {
    keys: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    /// Whether it is there for the first time.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        self.hashes.insert(self.keys.hash_one(text))
    }
}
