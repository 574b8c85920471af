//! Atom feeds.

use std::io;

use super::{
    Fault,
    elements::{Format, Values, What, out_of_place, read, root_values, values},
    items::{File, Head, Items, Read, once},
    rss::{push_image, said},
    times::rfc_3339_of,
};
use crate::{
    domain::site::permalink::BaseUrl,
    site::feed::{FEED_BYTES_MAX, MEDIA},
};

/// Reads a feed of a locale.
///
/// # Errors
/// The first thing in it that a reader would refuse or misread.
pub(crate) fn judge_atom(file: impl io::Read, base: &BaseUrl) -> Result<u32, Fault> {
    let (head, item) = (Head::default(), Read::default());
    let mut atom = Atom { items: Items::of(base), head, item, id: None, has_author: false };
    read(file, &mut atom)?;
    Ok(atom.items.count)
}

struct Atom<'a> {
    items: Items<'a>,
    head: Head,
    item: Read,
    id: Option<String>,
    has_author: bool,
}

impl Format for Atom<'_> {
    const NAMESPACES: &'static [(&'static str, &'static str)] =
        &[("xmlns", "http://www.w3.org/2005/Atom"), ("xmlns:media", MEDIA)];
    const CDATA: &'static [&'static str] = &["feed/entry/content"];
    const BYTES_MAX: u64 = FEED_BYTES_MAX;

    fn open(&mut self, path: &str, attributes: Values<'_>) -> Result<(), What> {
        match path {
            "feed" => {
                let [language] = root_values(attributes, ["xml:lang"])?;
                self.head.language = said(language)?;
                return Ok(());
            }
            "feed/link" | "feed/entry/link" => return self.link(path == "feed/entry/link", attributes),
            "feed/entry/category" => {
                let [term] = values(attributes, ["term"])?;
                return said(term)?.map(|_| ()).ok_or_else(|| "a category has no term".to_owned());
            }
            "feed/entry/content" => {
                let [kind] = values(attributes, ["type"])?;
                return match said(kind)?.as_deref() {
                    Some("html") => Ok(()),
                    _ => Err("content does not say that it is html".to_owned()),
                };
            }
            "feed/entry/media:content" | "feed/entry/media:thumbnail" => return push_image(&mut self.item, attributes),
            "feed/entry" => self.item = Read::default(),
            "feed/id"
            | "feed/title"
            | "feed/subtitle"
            | "feed/updated"
            | "feed/author"
            | "feed/author/name"
            | "feed/entry/id"
            | "feed/entry/title"
            | "feed/entry/published"
            | "feed/entry/updated"
            | "feed/entry/author"
            | "feed/entry/author/name"
            | "feed/entry/summary" => {}
            _ => return Err(out_of_place(path)),
        }
        let [] = values(attributes, [])?;
        Ok(())
    }

    fn close(&mut self, path: &str, text: &str) -> Result<(), What> {
        let (head, item) = (&mut self.head, &mut self.item);
        match path {
            "feed/id" => once(&mut self.id, "the feed's id", text.to_owned()),
            "feed/title" => once(&mut head.title, "the feed's title", text.to_owned()),
            "feed/updated" => once(&mut head.updated, "updated", rfc_3339_of("updated", text)?),
            "feed/entry/id" => once(&mut item.guid, "an entry's id", text.to_owned()),
            "feed/entry/title" => once(&mut item.title, "an entry's title", text.to_owned()),
            "feed/entry/published" => once(&mut item.published, "published", rfc_3339_of("published", text)?),
            "feed/entry/updated" => once(&mut item.updated, "updated", rfc_3339_of("updated", text)?),
            "feed/author/name" | "feed/entry/author/name" if text.trim().is_empty() => {
                Err("an author has no name".to_owned())
            }
            "feed/author/name" => {
                self.has_author = true;
                Ok(())
            }
            "feed/subtitle" | "feed/entry/author/name" | "feed/entry/summary" | "feed/entry/content" => Ok(()),
            _ if !text.trim_ascii().is_empty() => Err("there is text where none may be".to_owned()),
            "feed/entry" => {
                self.items.judge(item)?;
                self.item = Read::default();
                Ok(())
            }
            "feed" => self.end(),
            _ => Ok(()),
        }
    }

    fn at(&self) -> &str {
        self.item.link.as_deref().unwrap_or_default()
    }
}

impl Atom<'_> {
    fn link(&mut self, is_entrys: bool, attributes: Values<'_>) -> Result<(), What> {
        let [rel, media_type, length, href] = values(attributes, ["rel", "type", "length", "href"])?;
        let (rel, media_type, length) = (said(rel)?.unwrap_or_default(), said(media_type)?, said(length)?);
        if is_entrys && rel == "enclosure" {
            self.item.enclosures.push(File { url: said(href)?, media_type, length });
            return Ok(());
        }
        let href = said(href)?.ok_or("a link has no address")?;
        match (is_entrys, rel.as_str()) {
            (true, "alternate") => once(&mut self.item.link, "an entry's address", href),
            (false, "alternate") => once(&mut self.head.home, "the address of its page", href),
            (false, "self") => once(&mut self.head.own, "its own address", href),
            (false, "hub") => once(&mut self.head.hub, "its hub", href),
            _ => Err(format!("it has a link that is {rel:?} to it")),
        }
    }

    /// What the feed itself has to have (RFC 4287, section 4.1.1).
    fn end(&self) -> Result<(), What> {
        if self.id.as_ref().is_none_or(String::is_empty) {
            return Err("it lacks the feed's id".to_owned());
        }
        if self.head.updated.is_none() {
            return Err("it lacks the time at which the feed was updated".to_owned());
        }
        if !self.has_author {
            return Err("it lacks the feed's author".to_owned());
        }
        self.items.judge_head(&self.head)
    }
}
