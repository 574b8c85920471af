//! Atom 1.0 (RFC 4287), with Media RSS and WebSub.

use std::io::{self, Write};

use super::{
    bounded::{Bounded, Full},
    feed::{BOUNDS, Feed, Item, MEDIA},
    rss::push_image,
    xml::{in_attribute, push_cdata, push_element},
};

const FOOT: &str = "</feed>\n";

/// A feed that is being written.
#[derive(Debug)]
pub struct Atom<W> {
    file: Bounded<W>,
    /// One entry, used again.
    one: String,
}

impl<W: Write> Atom<W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, feed: &Feed<'_>) -> io::Result<Self> {
        let mut head = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:media=\"{MEDIA}\" \
             xml:lang=\"{}\">\n",
            feed.language
        );
        push_element(&mut head, "id", feed.id.as_str());
        push_element(&mut head, "title", feed.title);
        push_element(&mut head, "subtitle", feed.description);
        push_element(&mut head, "updated", &feed.updated_at.in_seconds());
        push_link(&mut head, "self", Some("application/atom+xml"), feed.own.as_str());
        push_link(&mut head, "alternate", Some("text/html"), feed.home.as_str());
        if let Some(hub) = feed.hub {
            push_link(&mut head, "hub", None, hub);
        }
        push_author(&mut head, feed.publisher);
        Ok(Self { file: Bounded::begin(out, BOUNDS, &head, FOOT)?, one: String::new() })
    }

    /// Adds an entry, or nothing where the feed is full.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, item: &Item<'_>) -> io::Result<Result<(), Full>> {
        let text = &mut self.one;
        text.clear();
        text.push_str("<entry>\n");
        push_link(text, "alternate", Some("text/html"), item.url.as_str());
        push_element(text, "id", item.guid.as_str());
        push_element(text, "title", item.title);
        push_element(text, "published", &item.published_at.in_seconds());
        push_element(text, "updated", &item.updated_at.in_seconds());
        if let Some(author) = item.author {
            push_author(text, author);
        }
        if let Some(section) = item.section {
            text.push_str(&format!("<category term=\"{}\"/>\n", in_attribute(section)));
        }
        if let Some(summary) = item.summary {
            push_element(text, "summary", summary);
        }
        if let Some(content) = item.content {
            text.push_str("<content type=\"html\">");
            push_cdata(text, content);
            text.push_str("</content>\n");
        }
        if let Some(enclosure) = item.enclosure {
            let (url, media_type) = (in_attribute(enclosure.url), in_attribute(enclosure.media_type));
            let length = enclosure.length_bytes;
            text.push_str(&format!(
                "<link rel=\"enclosure\" type=\"{media_type}\" length=\"{length}\" href=\"{url}\"/>\n"
            ));
        }
        push_image(text, item);
        text.push_str("</entry>\n");
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

fn push_link(text: &mut String, rel: &str, media_type: Option<&str>, url: &str) {
    let of_type = media_type.map(|name| format!(" type=\"{name}\"")).unwrap_or_default();
    text.push_str(&format!("<link rel=\"{rel}\"{of_type} href=\"{}\"/>\n", in_attribute(url)));
}

fn push_author(text: &mut String, name: &str) {
    text.push_str("<author>\n");
    push_element(text, "name", name);
    text.push_str("</author>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::feed::tests::Parts;

    #[test]
    fn a_feed_has_all_that_readers_look_for() {
        let parts = Parts::new();
        let mut atom = Atom::begin(Vec::new(), &parts.feed()).unwrap();
        atom.push(&parts.item()).unwrap().unwrap();
        let (text, bytes) = atom.end().unwrap();
        assert_eq!(bytes, text.len() as u64);
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/" xml:lang="pt-BR">
<id>tag:a.example,2020-09-13:news/de</id>
<title>A &amp; B</title>
<subtitle>News &lt;of&gt; today</subtitle>
<updated>2023-11-14T22:14:20Z</updated>
<link rel="self" type="application/atom+xml" href="https://a.example/feed?a&amp;b"/>
<link rel="alternate" type="text/html" href="https://a.example/"/>
<link rel="hub" href="https://hub.example/"/>
<author>
<name>The Example</name>
</author>
<entry>
<link rel="alternate" type="text/html" href="https://a.example/caf%C3%A9"/>
<id>tag:a.example,2020-09-13:news/de/1%2F2%20%C3%A9</id>
<title>Zoë&apos;s 👋 &amp; more</title>
<published>2023-11-14T22:13:20Z</published>
<updated>2023-11-14T22:14:20Z</updated>
<author>
<name>Ann</name>
</author>
<category term="Arts &quot;&amp;&quot; life"/>
<summary>Short.</summary>
<content type="html"><![CDATA[<p>a &amp; b ]]]]><![CDATA[> c</p>]]></content>
<link rel="enclosure" type="audio/mpeg" length="1234" href="https://i.example/1.mp3"/>
<media:content url="https://i.example/1.jpg?a&amp;b" medium="image" type="image/jpeg"/>
<media:thumbnail url="https://i.example/1.jpg?a&amp;b"/>
</entry>
</feed>
"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
