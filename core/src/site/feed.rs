//! A feed and its items, as every format of feeds takes them. Whatever time is in a feed comes from its items, so that equal
//! content makes equal bytes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::bounded::Bounds;
use crate::domain::{
    UnixMs,
    site::{language::LanguageTag, permalink::Permalink},
};

/// Bytes of one feed. No format has a limit; this one is far above what readers take in time.
pub const FEED_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Items of one feed.
pub const ITEMS_MAX: u32 = 1_000;
pub(super) const BOUNDS: Bounds = Bounds { entries_max: ITEMS_MAX, bytes_max: FEED_BYTES_MAX };
/// Media RSS, whose elements RSS and Atom both take.
pub(super) const MEDIA: &str = "http://search.yahoo.com/mrss/";
const TAG_PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a feed says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    pub id: &'a Guid,
    pub title: &'a str,
    pub description: &'a str,
    /// Whoever stands for what has no author of its own.
    pub publisher: &'a str,
    pub language: &'a LanguageTag,
    /// The page that the feed is of.
    pub home: &'a Permalink,
    /// Its own address.
    pub own: &'a Permalink,
    /// Whom to ask for news of it (WebSub).
    pub hub: Option<&'a str>,
    /// When the newest of its items was updated.
    pub updated_at: UnixMs,
}

/// A page in a feed.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pub guid: &'a Guid,
    pub url: &'a Permalink,
    pub title: &'a str,
    pub summary: Option<&'a str>,
    /// HTML.
    pub content: Option<&'a str>,
    pub author: Option<&'a str>,
    pub published_at: UnixMs,
    pub updated_at: UnixMs,
    /// The section's name.
    pub section: Option<&'a str>,
    pub image: Option<Image<'a>>,
    pub enclosure: Option<Enclosure<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    pub url: &'a str,
    pub media_type: Option<&'a str>,
}

/// A file that readers fetch with the item.
#[derive(Clone, Copy, Debug)]
pub struct Enclosure<'a> {
    pub url: &'a str,
    pub media_type: &'a str,
    pub length_bytes: u64,
}

/// What an item is known by for good: a tag URI (RFC 4151), which no change of a slug changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guid(String);

impl Guid {
    /// Of a host that its owner had at that time, and names that are never given to anything else: of a site, its locale, a
    /// page's key.
    #[must_use]
    pub fn new(host: &str, since: UnixMs, names: &[&str]) -> Self {
        let since = since.in_seconds();
        let names: Vec<_> = names.iter().map(|name| utf8_percent_encode(name, TAG_PLAIN).to_string()).collect();
        Self(format!("tag:{host},{}:{}", since.get(..10).unwrap_or("1970-01-01"), names.join("/")))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the example feed is made of.
    pub(in crate::site) struct Parts {
        id: Guid,
        pub(in crate::site) guid: Guid,
        language: LanguageTag,
        home: Permalink,
        own: Permalink,
        hub: &'static str,
        pub(in crate::site) url: Permalink,
    }

    impl Parts {
        pub(in crate::site) fn new() -> Self {
            let link = |text: &str| Permalink::parse(text).unwrap();
            let guid = |names: &[&str]| Guid::new("a.example", UnixMs(1_600_000_000_000), names);
            Self {
                id: guid(&["news", "de"]),
                guid: guid(&["news", "de", "1/2 é"]),
                language: "pt-BR".parse().unwrap(),
                home: link("https://a.example/"),
                own: link("https://a.example/feed?a&b"),
                hub: "https://hub.example/",
                url: link("https://a.example/café"),
            }
        }

        pub(in crate::site) fn feed(&self) -> Feed<'_> {
            Feed {
                id: &self.id,
                title: "A & B",
                description: "News <of> today",
                publisher: "The Example",
                language: &self.language,
                home: &self.home,
                own: &self.own,
                hub: Some(self.hub),
                updated_at: UnixMs(1_700_000_060_000),
            }
        }

        pub(in crate::site) fn item(&self) -> Item<'_> {
            Item {
                guid: &self.guid,
                url: &self.url,
                title: "Zoë's 👋 \u{8}& more",
                summary: Some("Short."),
                content: Some("<p>a &amp; b ]]> c</p>"),
                author: Some("Ann"),
                published_at: UnixMs(1_700_000_000_999),
                updated_at: UnixMs(1_700_000_060_000),
                section: Some("Arts \"&\" life"),
                image: Some(Image { url: "https://i.example/1.jpg?a&b", media_type: Some("image/jpeg") }),
                enclosure: Some(Enclosure {
                    url: "https://i.example/1.mp3",
                    media_type: "audio/mpeg",
                    length_bytes: 1_234,
                }),
            }
        }
    }

    #[test]
    fn an_item_is_known_by_names_and_not_by_its_address() {
        let parts = Parts::new();
        assert_eq!(parts.guid.as_str(), "tag:a.example,2020-09-13:news/de/1%2F2%20%C3%A9");
    }
}
