//! Pages of a site: one *translation group* each, so that alternates are reciprocal by construction.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    language::LanguageTag,
    permalink::{BaseUrl, Permalink},
    settings::{SectionKey, SiteSettings},
};
use crate::domain::UnixMs;

/// Bytes of a page's key.
pub const KEY_BYTES_MAX: usize = 255;

/// What the owner calls a page: 1 to 255 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKey(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a page's key has 1 to {KEY_BYTES_MAX} bytes and no control characters")]
pub struct PageKeyError;

impl PageKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PageKey {
    type Err = PageKeyError;
    fn from_str(text: &str) -> Result<Self, PageKeyError> {
        let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(PageKeyError) }
    }
}

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that goes with an item of a feed, as its owner says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosure {
    pub url: String,
    /// A media type; what the file itself shows is believed before it.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
}

/// A page as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub key: PageKey,
    /// In the order of the site's locales.
    pub translations: Vec<Translation>,
}

impl Page {
    /// Sections that its translations name and the site has not.
    pub fn unknown_sections(&self, site: &SiteSettings) -> impl Iterator<Item = &SectionKey> {
        let named = self.translations.iter().filter_map(|one| one.link.section.as_ref());
        named.filter(|key| !site.has_section(key))
    }
}

/// One language of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    pub link: Link,
    pub text: Text,
}

/// What a sitemap says of a translation. Short names, since a site has millions of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    #[serde(rename = "l")]
    pub locale: LanguageTag,
    /// Canonical, what stands behind the locale's base: it stays when the site moves.
    #[serde(rename = "p")]
    pub path: String,
    #[serde(rename = "t", with = "millis")]
    pub published_at: UnixMs,
    #[serde(rename = "u", with = "millis")]
    pub updated_at: UnixMs,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionKey>,
    /// Search engines are to find it.
    #[serde(rename = "x")]
    pub indexable: bool,
    /// It belongs into the news sitemap.
    #[serde(rename = "n")]
    pub news: bool,
}

/// What only feeds say of a translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclosure: Option<Enclosure>,
}

/// A translation that is not published, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// As it was handed in, so far as it can be shown: it may be none of the site's.
    pub locale: String,
    /// Which member of the translation is at fault.
    pub field: &'static str,
    pub reason: String,
}

impl Link {
    /// Its address under its locale's base.
    #[must_use]
    pub fn permalink(&self, base: &BaseUrl) -> Permalink {
        base.below(&self.path)
    }
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::domain::UnixMs;

    pub(super) fn serialize<S: Serializer>(time: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMs, D::Error> {
        i64::deserialize(deserializer).map(UnixMs)
    }
}
