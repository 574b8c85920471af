//! RSS feeds.

use std::io;

use super::{
    Fault,
    elements::{Format, Value, Values, What, out_of_place, read, root_values, values},
    items::{File, Head, Items, Read, judge_image_type, once},
    times::{rfc_822_of, rfc_3339_of},
};
use crate::{
    domain::site::permalink::BaseUrl,
    site::feed::{FEED_BYTES_MAX, MEDIA},
};

/// Reads a feed of a locale.
///
/// # Errors
/// The first thing in it that a reader would refuse or misread.
pub(crate) fn judge_rss(file: impl io::Read, base: &BaseUrl) -> Result<u32, Fault> {
    let mut rss = Rss { items: Items::of(base), head: Head::default(), item: Read::default(), is_whole: false };
    read(file, &mut rss)?;
    match rss.is_whole {
        true => Ok(rss.items.count),
        false => Err(Fault { what: "it has no channel".to_owned(), at: String::new() }),
    }
}

struct Rss<'a> {
    items: Items<'a>,
    head: Head,
    item: Read,
    is_whole: bool,
}

/// What an attribute says.
pub(super) fn said(value: Option<Value<'_>>) -> Result<Option<String>, What> {
    value.map(|value| value.text().map(std::borrow::Cow::into_owned)).transpose()
}

impl Format for Rss<'_> {
    const NAMESPACES: &'static [(&'static str, &'static str)] = &[
        ("xmlns:atom", "http://www.w3.org/2005/Atom"),
        ("xmlns:content", "http://purl.org/rss/1.0/modules/content/"),
        ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
        ("xmlns:dcterms", "http://purl.org/dc/terms/"),
        ("xmlns:media", MEDIA),
    ];
    const CDATA: &'static [&'static str] = &["rss/channel/item/content:encoded"];
    const BYTES_MAX: u64 = FEED_BYTES_MAX;

    fn open(&mut self, path: &str, attributes: Values<'_>) -> Result<(), What> {
        match path {
            "rss" => {
                let [version] = root_values(attributes, ["version"])?;
                if said(version)?.as_deref() != Some("2.0") {
                    return Err("it does not say that it is RSS 2.0".to_owned());
                }
                return Ok(());
            }
            "rss/channel/atom:link" => return self.link(attributes),
            "rss/channel/item/guid" => {
                let [is_link] = values(attributes, ["isPermaLink"])?;
                return match said(is_link)?.as_deref() {
                    Some("false") => Ok(()),
                    _ => Err("a guid does not say that it is no address".to_owned()),
                };
            }
            "rss/channel/item/enclosure" => {
                let [url, media_type, length] = values(attributes, ["url", "type", "length"])?;
                let file = File { url: said(url)?, media_type: said(media_type)?, length: said(length)? };
                self.item.enclosures.push(file);
                return Ok(());
            }
            "rss/channel/item/media:content" | "rss/channel/item/media:thumbnail" => {
                return push_image(&mut self.item, attributes);
            }
            "rss/channel/item" => self.item = Read::default(),
            "rss/channel"
            | "rss/channel/title"
            | "rss/channel/link"
            | "rss/channel/description"
            | "rss/channel/language"
            | "rss/channel/lastBuildDate"
            | "rss/channel/item/link"
            | "rss/channel/item/title"
            | "rss/channel/item/pubDate"
            | "rss/channel/item/dcterms:modified"
            | "rss/channel/item/dc:creator"
            | "rss/channel/item/category"
            | "rss/channel/item/description"
            | "rss/channel/item/content:encoded" => {}
            _ => return Err(out_of_place(path)),
        }
        let [] = values(attributes, [])?;
        Ok(())
    }

    fn close(&mut self, path: &str, text: &str) -> Result<(), What> {
        let (head, item) = (&mut self.head, &mut self.item);
        match path {
            "rss/channel/title" => once(&mut head.title, "the feed's title", text.to_owned()),
            "rss/channel/link" => once(&mut head.home, "the address of its page", text.to_owned()),
            "rss/channel/language" => once(&mut head.language, "its language", text.to_owned()),
            "rss/channel/lastBuildDate" => {
                let at = rfc_822_of("lastBuildDate", text)?;
                once(&mut head.updated, "lastBuildDate", at)
            }
            "rss/channel/item/link" => once(&mut item.link, "an item's address", text.to_owned()),
            "rss/channel/item/guid" => once(&mut item.guid, "an item's guid", text.to_owned()),
            "rss/channel/item/title" => once(&mut item.title, "an item's title", text.to_owned()),
            "rss/channel/item/pubDate" => once(&mut item.published, "pubDate", rfc_822_of("pubDate", text)?),
            "rss/channel/item/dcterms:modified" => {
                let at = rfc_3339_of("dcterms:modified", text)?;
                once(&mut item.updated, "dcterms:modified", at)
            }
            "rss/channel/description"
            | "rss/channel/item/dc:creator"
            | "rss/channel/item/category"
            | "rss/channel/item/description"
            | "rss/channel/item/content:encoded" => Ok(()),
            _ if !text.trim_ascii().is_empty() => Err("there is text where none may be".to_owned()),
            "rss/channel/item" => {
                self.items.judge(item)?;
                self.item = Read::default();
                Ok(())
            }
            "rss/channel" if std::mem::replace(&mut self.is_whole, true) => Err("it has two channels".to_owned()),
            "rss/channel" => self.items.judge_head(&self.head),
            _ => Ok(()),
        }
    }

    fn at(&self) -> &str {
        self.item.link.as_deref().unwrap_or_default()
    }
}

impl Rss<'_> {
    fn link(&mut self, attributes: Values<'_>) -> Result<(), What> {
        let [rel, media_type, href] = values(attributes, ["rel", "type", "href"])?;
        let href = said(href)?.ok_or("a link has no address")?;
        match (said(rel)?.as_deref(), said(media_type)?.as_deref()) {
            (Some("self"), Some("application/rss+xml")) => once(&mut self.head.own, "its own address", href),
            (Some("hub"), None) => once(&mut self.head.hub, "its hub", href),
            (rel, _) => Err(format!("it has a link that is {:?} to it", rel.unwrap_or_default())),
        }
    }
}

/// An element of Media RSS.
pub(super) fn push_image(item: &mut Read, attributes: Values<'_>) -> Result<(), What> {
    let [url, medium, media_type] = values(attributes, ["url", "medium", "type"])?;
    if said(medium)?.is_some_and(|medium| medium != "image") {
        return Err("an image says that it is none".to_owned());
    }
    judge_image_type(said(media_type)?.as_deref())?;
    item.images.push(said(url)?.ok_or("an image has no address")?);
    Ok(())
}
