//! JSON feeds.

use std::io::{self, Read as _};

use serde::Deserialize;

use super::{
    Fault,
    elements::What,
    items::{File, Head, Items, Read},
    times::rfc_3339_of,
};
use crate::{
    domain::site::{permalink::BaseUrl, text::cleaned},
    site::{feed::FEED_BYTES_MAX, json_feed::VERSION},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feed {
    version: String,
    title: Option<String>,
    #[serde(default)]
    description: String,
    home_page_url: Option<String>,
    feed_url: Option<String>,
    language: Option<String>,
    #[serde(default)]
    authors: Vec<Author>,
    #[serde(default)]
    hubs: Vec<Hub>,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Author {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hub {
    r#type: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: Option<String>,
    url: Option<String>,
    title: Option<String>,
    date_published: Option<String>,
    date_modified: Option<String>,
    language: Option<String>,
    #[serde(default)]
    authors: Vec<Author>,
    #[serde(default)]
    tags: Vec<String>,
    summary: Option<String>,
    content_html: Option<String>,
    content_text: Option<String>,
    image: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attachment {
    url: Option<String>,
    mime_type: Option<String>,
    size_in_bytes: Option<u64>,
}

/// Reads a feed of a locale.
///
/// # Errors
/// The first thing in it that a reader would refuse or misread.
pub(crate) fn judge_json_feed(file: impl io::Read, base: &BaseUrl) -> Result<u32, Fault> {
    let whole = |what: String| Fault { what, at: String::new() };
    let mut text = Vec::new();
    let read = file.take(FEED_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| whole(format!("it cannot be unpacked: {error}")))?;
    if text.len() as u64 > FEED_BYTES_MAX {
        return Err(whole(format!("it has more than {FEED_BYTES_MAX} bytes")));
    }
    let feed: Feed = serde_json::from_slice(&text).map_err(|error| whole(format!("it is no JSON Feed: {error}")))?;
    let mut items = Items::of(base);
    for item in &feed.items {
        let judged = judge(&mut items, item, feed.language.as_deref());
        judged.map_err(|what| Fault { what, at: item.url.clone().unwrap_or_default() })?;
    }
    judge_head(&items, &feed).map_err(whole)?;
    Ok(items.count)
}

fn judge(items: &mut Items<'_>, item: &Item, language: Option<&str>) -> Result<(), What> {
    let time = |name: &str, text: Option<&String>| text.map(|text| rfc_3339_of(name, text)).transpose();
    let enclosure = |file: &Attachment| File {
        url: file.url.clone(),
        media_type: file.mime_type.clone(),
        length: file.size_in_bytes.map(|bytes| bytes.to_string()),
    };
    items.judge(&Read {
        link: item.url.clone(),
        guid: item.id.clone(),
        title: item.title.clone(),
        published: time("date_published", item.date_published.as_ref())?,
        updated: time("date_modified", item.date_modified.as_ref())?,
        images: item.image.iter().cloned().collect(),
        enclosures: item.attachments.iter().map(enclosure).collect(),
    })?;
    let content = item.content_html.as_ref().or(item.content_text.as_ref());
    let content = content.ok_or("an item has neither content_html nor content_text")?;
    let texts = item.authors.iter().map(|author| &author.name).chain(&item.tags).chain(&item.summary);
    texts.chain(&item.title).chain([content]).try_for_each(|text| judge_text(text))?;
    match item.language.as_deref() == language {
        true => Ok(()),
        false => Err("an item is not in the feed's language".to_owned()),
    }
}

fn judge_head(items: &Items<'_>, feed: &Feed) -> Result<(), What> {
    if feed.version != VERSION {
        return Err(format!("its version is {:?} in place of {VERSION:?}", feed.version));
    }
    if feed.hubs.len() > 1 || feed.hubs.iter().any(|hub| hub.r#type != "WebSub") {
        return Err("it has more than one hub of WebSub".to_owned());
    }
    judge_text(&feed.description)?;
    feed.authors.iter().try_for_each(|author| judge_text(&author.name))?;
    items.judge_head(&Head {
        title: feed.title.clone(),
        home: feed.home_page_url.clone(),
        own: feed.feed_url.clone(),
        hub: feed.hubs.first().map(|hub| hub.url.clone()),
        language: feed.language.clone(),
        updated: None,
    })
}

/// What XML forbids is in no text here either.
fn judge_text(text: &str) -> Result<(), What> {
    match cleaned(text) {
        (_, 0) => Ok(()),
        (_, count) => Err(format!("a text has {count} characters that XML forbids")),
    }
}
