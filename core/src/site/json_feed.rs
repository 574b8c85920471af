//! JSON Feed 1.1 (jsonfeed.org). Its texts are cleaned as those of the other formats are, so that all of them say the same.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::Serialize;

use super::{
    bounded::{Bounded, Full},
    feed::{BOUNDS, Feed, Item},
};
use crate::domain::site::text::cleaned;

/// What its `version` says.
pub(super) const VERSION: &str = "https://jsonfeed.org/version/1.1";
const FOOT: &str = "\n]}\n";

/// A feed that is being written.
#[derive(Debug)]
pub struct JsonFeed<W> {
    file: Bounded<W>,
    language: String,
}

#[derive(Serialize)]
struct Head<'a> {
    version: &'a str,
    title: Text<'a>,
    description: Text<'a>,
    home_page_url: &'a str,
    feed_url: &'a str,
    language: &'a str,
    authors: [Author<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    hubs: Option<[Hub<'a>; 1]>,
}

type Text<'a> = Cow<'a, str>;

#[derive(Serialize)]
struct Hub<'a> {
    r#type: &'a str,
    url: &'a str,
}

#[derive(Serialize)]
struct Author<'a> {
    name: Text<'a>,
}

#[derive(Serialize)]
struct Entry<'a> {
    url: &'a str,
    id: &'a str,
    title: Text<'a>,
    date_published: String,
    date_modified: String,
    language: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authors: Option<[Author<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<[Text<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_html: Option<Text<'a>>,
    /// An item has to have one of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<[Attachment<'a>; 1]>,
}

#[derive(Serialize)]
struct Attachment<'a> {
    url: Text<'a>,
    mime_type: Text<'a>,
    size_in_bytes: u64,
}

impl<W: Write> JsonFeed<W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, feed: &Feed<'_>) -> io::Result<Self> {
        let head = Head {
            version: VERSION,
            title: cleaned(feed.title).0,
            description: cleaned(feed.description).0,
            home_page_url: feed.home.as_str(),
            feed_url: feed.own.as_str(),
            language: feed.language.as_str(),
            authors: [Author { name: cleaned(feed.publisher).0 }],
            hubs: feed.hub.map(|hub| [Hub { r#type: "WebSub", url: hub }]),
        };
        let head = serde_json::to_string(&head)?;
        let head = format!("{},\"items\":[", head.strip_suffix('}').unwrap_or(&head));
        Ok(Self { file: Bounded::begin(out, BOUNDS, &head, FOOT)?, language: feed.language.to_string() })
    }

    /// Adds an item, or nothing where the feed is full.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, item: &Item<'_>) -> io::Result<Result<(), Full>> {
        let entry = Entry {
            url: item.url.as_str(),
            id: item.guid.as_str(),
            title: cleaned(item.title).0,
            date_published: item.published_at.in_seconds(),
            date_modified: item.updated_at.in_seconds(),
            language: &self.language,
            authors: item.author.map(|name| [Author { name: cleaned(name).0 }]),
            tags: item.section.map(|name| [cleaned(name).0]),
            summary: item.summary.map(|text| cleaned(text).0),
            content_html: item.content.map(|text| cleaned(text).0),
            content_text: match item.content {
                None => Some(cleaned(item.summary.unwrap_or(item.title)).0),
                Some(_) => None,
            },
            image: item.image.map(|image| cleaned(image.url).0),
            attachments: item.enclosure.map(|enclosure| {
                let (url, mime_type) = (cleaned(enclosure.url).0, cleaned(enclosure.media_type).0);
                [Attachment { url, mime_type, size_in_bytes: enclosure.length_bytes }]
            }),
        };
        let comma = if self.file.entries() == 0 { "\n" } else { ",\n" };
        self.file.push(&format!("{comma}{}", serde_json::to_string(&entry)?))
    }

    /// How many are in it.
    #[must_use]
    pub const fn items(&self) -> u32 {
        self.file.entries()
    }

    /// What it was written to, and how many bytes it has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(self) -> io::Result<(W, u64)> {
        self.file.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::feed::tests::Parts;

    #[test]
    fn a_feed_has_all_that_readers_look_for() {
        let parts = Parts::new();
        let mut feed = JsonFeed::begin(Vec::new(), &parts.feed()).unwrap();
        feed.push(&parts.item()).unwrap().unwrap();
        let bare = Item { content: None, summary: None, author: None, section: None, image: None, ..parts.item() };
        feed.push(&Item { enclosure: None, ..bare }).unwrap().unwrap();
        let (text, bytes) = feed.end().unwrap();
        assert_eq!(bytes, text.len() as u64);
        let expected = r#"{"version":"https://jsonfeed.org/version/1.1","title":"A & B","description":"News <of> today","home_page_url":"https://a.example/","feed_url":"https://a.example/feed?a&b","language":"pt-BR","authors":[{"name":"The Example"}],"hubs":[{"type":"WebSub","url":"https://hub.example/"}],"items":[
{"url":"https://a.example/caf%C3%A9","id":"tag:a.example,2020-09-13:news/de/1%2F2%20%C3%A9","title":"Zoë's 👋 & more","date_published":"2023-11-14T22:13:20Z","date_modified":"2023-11-14T22:14:20Z","language":"pt-BR","authors":[{"name":"Ann"}],"tags":["Arts \"&\" life"],"summary":"Short.","content_html":"<p>a &amp; b ]]> c</p>","image":"https://i.example/1.jpg?a&b","attachments":[{"url":"https://i.example/1.mp3","mime_type":"audio/mpeg","size_in_bytes":1234}]},
{"url":"https://a.example/caf%C3%A9","id":"tag:a.example,2020-09-13:news/de/1%2F2%20%C3%A9","title":"Zoë's 👋 & more","date_published":"2023-11-14T22:13:20Z","date_modified":"2023-11-14T22:14:20Z","language":"pt-BR","content_text":"Zoë's 👋 & more"}
]}
"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
