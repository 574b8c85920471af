//! What every format of feeds has to say, whatever it is read from.

use super::{
    address::{Seen, judge_absolute, judge_of_locale},
    elements::What,
};
use crate::{
    domain::{
        UnixMs,
        site::{language::LanguageTag, media_type::judge_media_type, permalink::BaseUrl},
    },
    site::feed::ITEMS_MAX,
};

/// What a feed says of itself, as far as it is read.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) title: Option<String>,
    pub(super) home: Option<String>,
    pub(super) own: Option<String>,
    pub(super) hub: Option<String>,
    pub(super) language: Option<String>,
    pub(super) updated: Option<UnixMs>,
}

/// One item, as far as it is read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) link: Option<String>,
    pub(super) guid: Option<String>,
    pub(super) title: Option<String>,
    pub(super) published: Option<UnixMs>,
    pub(super) updated: Option<UnixMs>,
    pub(super) images: Vec<String>,
    pub(super) enclosures: Vec<File>,
}

/// A file as it is named beside an item.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) url: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) length: Option<String>,
}

/// The items of a feed.
#[derive(Debug)]
pub(super) struct Items<'a> {
    base: &'a BaseUrl,
    links: Seen,
    guids: Seen,
    pub(super) count: u32,
    newest: Option<UnixMs>,
}

/// Keeps what may be there once.
pub(super) fn once<T>(kept: &mut Option<T>, name: &str, value: T) -> Result<(), What> {
    match kept.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("it has {name} twice")),
    }
}

/// What has to be there, and to say something.
fn there<'a>(kept: Option<&'a String>, name: &str) -> Result<&'a str, What> {
    let text = kept.map(|text| text.trim()).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("it lacks {name}"))
}

impl<'a> Items<'a> {
    pub(super) fn of(base: &'a BaseUrl) -> Self {
        Self { base, links: Seen::default(), guids: Seen::default(), count: 0, newest: None }
    }

    pub(super) fn judge(&mut self, item: &Read) -> Result<(), What> {
        let link = there(item.link.as_ref(), "an item's address")?;
        judge_of_locale(self.base, link)?;
        let guid = there(item.guid.as_ref(), "an item's id")?;
        judge_guid(guid)?;
        there(item.title.as_ref(), "an item's title")?;
        item.published.ok_or("it lacks the time at which an item was published")?;
        let updated = item.updated.ok_or("it lacks the time at which an item was updated")?;
        self.newest = self.newest.max(Some(updated));
        for image in &item.images {
            judge_absolute(image).map_err(|what| format!("an image: {what}"))?;
        }
        match item.enclosures.as_slice() {
            [] => {}
            [enclosure] => judge_enclosure(enclosure).map_err(|what| format!("the enclosure: {what}"))?,
            _ => return Err("it has more than one enclosure".to_owned()),
        }
        if !self.links.insert(link) {
            return Err("it is there twice".to_owned());
        }
        if !self.guids.insert(guid) {
            return Err(format!("another item has its id, {guid}"));
        }
        self.count += 1;
        match self.count > ITEMS_MAX {
            true => Err(format!("it has more than {ITEMS_MAX} items")),
            false => Ok(()),
        }
    }

    /// The feed itself, when its items are read.
    pub(super) fn judge_head(&self, head: &Head) -> Result<(), What> {
        there(head.title.as_ref(), "the feed's title")?;
        judge_of_locale(self.base, there(head.home.as_ref(), "the address of the feed's page")?)?;
        judge_absolute(there(head.own.as_ref(), "the feed's own address")?)?;
        if let Some(hub) = &head.hub {
            judge_absolute(hub).map_err(|what| format!("the hub: {what}"))?;
        }
        let language = there(head.language.as_ref(), "the feed's language")?;
        let parsed: LanguageTag = language.parse().map_err(|error| format!("the feed's language: {error}"))?;
        if parsed.as_str() != language {
            return Err(format!("the feed's language {language:?} is written {parsed}"));
        }
        match (head.updated, self.newest) {
            (Some(updated), Some(newest)) if updated != newest => {
                Err(format!("the feed says that it was updated at {updated}, and its newest item was at {newest}"))
            }
            _ => Ok(()),
        }
    }
}

/// An id that is nobody's address (RFC 4151, RFC 8141).
fn judge_guid(guid: &str) -> Result<(), What> {
    let plain = guid.bytes().all(|byte| byte.is_ascii_graphic());
    match plain && (guid.starts_with("tag:") || guid.starts_with("urn:")) {
        true => Ok(()),
        false => Err(format!("the id {guid:?} is no URI that begins with tag: or urn:")),
    }
}

fn judge_enclosure(file: &File) -> Result<(), What> {
    judge_absolute(there(file.url.as_ref(), "its address")?)?;
    let media_type = file.media_type.as_ref().ok_or("it lacks its type")?;
    judge_media_type(media_type).map_err(|error| error.to_string())?;
    let length = file.length.as_ref().ok_or("it lacks its length")?;
    match length.parse::<u64>() {
        Ok(0) => Err("its length is zero".to_owned()),
        Ok(bytes) if bytes.to_string() == *length => Ok(()),
        _ => Err(format!("its length {length:?} is no number of bytes")),
    }
}

/// An image's type, which may be left out.
pub(super) fn judge_image_type(media_type: Option<&str>) -> Result<(), What> {
    let Some(media_type) = media_type else { return Ok(()) };
    judge_media_type(media_type).map_err(|error| format!("an image: {error}"))?;
    match media_type.starts_with("image/") {
        true => Ok(()),
        false => Err(format!("an image: {media_type} is the type of no image")),
    }
}
