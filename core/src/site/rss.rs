//! RSS 2.0 (RSS Advisory Board, 2.0.11; RSS Best Practices Profile), with the whole text, Media RSS and WebSub.

use std::io::{self, Write};

use super::{
    bounded::{Bounded, Full},
    feed::{BOUNDS, Feed, Item, MEDIA},
    xml::{in_attribute, push_cdata, push_element},
};
use crate::domain::UnixMs;

const FOOT: &str = "</channel>\n</rss>\n";

/// A feed that is being written.
#[derive(Debug)]
pub struct Rss<W> {
    file: Bounded<W>,
    /// One item, used again.
    one: String,
}

impl<W: Write> Rss<W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, feed: &Feed<'_>) -> io::Result<Self> {
        let mut head = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\" xmlns:atom=\"http://www.w3.org/2005/Atom\" \
             xmlns:content=\"http://purl.org/rss/1.0/modules/content/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
             xmlns:dcterms=\"http://purl.org/dc/terms/\" xmlns:media=\"{MEDIA}\">\n<channel>\n"
        );
        push_element(&mut head, "title", feed.title);
        push_element(&mut head, "link", feed.home.as_str());
        push_element(&mut head, "description", feed.description);
        let own = in_attribute(feed.own.as_str());
        head.push_str(&format!("<atom:link rel=\"self\" type=\"application/rss+xml\" href=\"{own}\"/>\n"));
        if let Some(hub) = feed.hub {
            head.push_str(&format!("<atom:link rel=\"hub\" href=\"{}\"/>\n", in_attribute(hub)));
        }
        push_element(&mut head, "language", feed.language.as_str());
        push_element(&mut head, "lastBuildDate", &rfc_822(feed.updated_at));
        Ok(Self { file: Bounded::begin(out, BOUNDS, &head, FOOT)?, one: String::new() })
    }

    /// Adds an item, or nothing where the feed is full.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, item: &Item<'_>) -> io::Result<Result<(), Full>> {
        let text = &mut self.one;
        text.clear();
        text.push_str("<item>\n");
        push_element(text, "link", item.url.as_str());
        text.push_str(&format!("<guid isPermaLink=\"false\">{}</guid>\n", item.guid.as_str()));
        push_element(text, "title", item.title);
        push_element(text, "pubDate", &rfc_822(item.published_at));
        push_element(text, "dcterms:modified", &item.updated_at.in_seconds());
        for (name, value) in [("dc:creator", item.author), ("category", item.section), ("description", item.summary)] {
            if let Some(value) = value {
                push_element(text, name, value);
            }
        }
        if let Some(content) = item.content {
            text.push_str("<content:encoded>");
            push_cdata(text, content);
            text.push_str("</content:encoded>\n");
        }
        if let Some(enclosure) = item.enclosure {
            let (url, media_type) = (in_attribute(enclosure.url), in_attribute(enclosure.media_type));
            let length = enclosure.length_bytes;
            text.push_str(&format!("<enclosure url=\"{url}\" length=\"{length}\" type=\"{media_type}\"/>\n"));
        }
        push_image(text, item);
        text.push_str("</item>\n");
        self.file.push(text)
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

/// An item's image (Media RSS 1.5.1), in RSS and Atom alike.
pub(super) fn push_image(text: &mut String, item: &Item<'_>) {
    let Some(image) = item.image else { return };
    let url = in_attribute(image.url);
    let of_type = image.media_type.map(|name| format!(" type=\"{}\"", in_attribute(name))).unwrap_or_default();
    text.push_str(&format!(
        "<media:content url=\"{url}\" medium=\"image\"{of_type}/>\n<media:thumbnail url=\"{url}\"/>\n"
    ));
}

/// As RFC 822 with the years of RFC 1123, in UTC.
pub(super) fn rfc_822(at: UnixMs) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::fmt::strtime::format("%a, %d %b %Y %H:%M:%S GMT", time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::feed::tests::Parts;

    #[test]
    fn a_feed_has_all_that_readers_look_for() {
        let parts = Parts::new();
        let mut rss = Rss::begin(Vec::new(), &parts.feed()).unwrap();
        rss.push(&parts.item()).unwrap().unwrap();
        let (text, bytes) = rss.end().unwrap();
        assert_eq!(bytes, text.len() as u64);
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" xmlns:media="http://search.yahoo.com/mrss/">
<channel>
<title>A &amp; B</title>
<link>https://a.example/</link>
<description>News &lt;of&gt; today</description>
<atom:link rel="self" type="application/rss+xml" href="https://a.example/feed?a&amp;b"/>
<atom:link rel="hub" href="https://hub.example/"/>
<language>pt-BR</language>
<lastBuildDate>Tue, 14 Nov 2023 22:14:20 GMT</lastBuildDate>
<item>
<link>https://a.example/caf%C3%A9</link>
<guid isPermaLink="false">tag:a.example,2020-09-13:news/de/1%2F2%20%C3%A9</guid>
<title>Zoë&apos;s 👋 &amp; more</title>
<pubDate>Tue, 14 Nov 2023 22:13:20 GMT</pubDate>
<dcterms:modified>2023-11-14T22:14:20Z</dcterms:modified>
<dc:creator>Ann</dc:creator>
<category>Arts &quot;&amp;&quot; life</category>
<description>Short.</description>
<content:encoded><![CDATA[<p>a &amp; b ]]]]><![CDATA[> c</p>]]></content:encoded>
<enclosure url="https://i.example/1.mp3" length="1234" type="audio/mpeg"/>
<media:content url="https://i.example/1.jpg?a&amp;b" medium="image" type="image/jpeg"/>
<media:thumbnail url="https://i.example/1.jpg?a&amp;b"/>
</item>
</channel>
</rss>
"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
