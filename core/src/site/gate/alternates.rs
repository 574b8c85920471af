//! Alternates of a sitemap's entries: every language named once, every address canonical. What was judged is known again by
//! its bytes.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
};

use super::{elements::What, window::Window};
use crate::domain::site::{language::LanguageTag, permalink::Permalink, scan::is_certainly_canonical};

const X_DEFAULT: &str = "x-default";
const BEGINNING: &[u8] = b"<xhtml:link";
/// Where the first one of a page ends sooner, it can be told from those of other pages.
const FIRST_BYTES_MAX: usize = 8 << 10;

/// Whether what comes next in a file is an alternate.
pub(super) fn is_alternate(file: &mut Window<'_>) -> io::Result<bool> {
    Ok(file.ahead(BEGINNING.len())?.starts_with(BEGINNING))
}

/// Alternates of pages that were found good. They mean the same wherever they stand in whichever sitemap: they are whole
/// elements, whose prefix only the root binds, and none of what is asked of them depends on what is around them.
#[derive(Debug, Default)]
pub(crate) struct JudgedAlternates {
    /// By the first one, by which those of one page are told from those of all others.
    runs: HashMap<Box<[u8]>, Run>,
    keys: RandomState,
}

/// The alternates of one page.
#[derive(Debug)]
pub(super) struct Run {
    text: Box<[u8]>,
    /// Addresses of all languages, by hash.
    hrefs: Box<[u64]>,
}

impl JudgedAlternates {
    /// Those which come next up to the last one, where they are known.
    pub(super) fn find(&self, file: &mut Window<'_>) -> io::Result<Option<&Run>> {
        let Some(run) = self.runs.get(first(file.ahead(FIRST_BYTES_MAX)?)) else { return Ok(None) };
        let behind = file.ahead(run.text.len() + BEGINNING.len())?.strip_prefix(&*run.text);
        Ok(behind.is_some_and(|behind| !behind.starts_with(BEGINNING)).then_some(run))
    }

    /// Keeps good ones. `hrefs` are the addresses of all languages, by hash.
    pub(super) fn push(&mut self, text: &[u8], hrefs: &[u64]) {
        self.runs.insert(first(text).into(), Run { text: text.into(), hrefs: hrefs.into() });
    }

    /// An address as it is known here: of 18 no two share one of 64 bits but once in ten thousand million million pages.
    pub(super) fn hash(&self, url: &str) -> u64 {
        self.keys.hash_one(url)
    }
}

impl Run {
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether one of them names the address that has this hash.
    pub(super) fn names(&self, url: u64) -> bool {
        self.hrefs.contains(&url)
    }
}

fn first(rest: &[u8]) -> &[u8] {
    rest.split_inclusive(|byte| *byte == b'>').next().unwrap_or_default()
}

/// The languages of a file. Nearly every entry has the same ones, each at its own host.
#[derive(Debug, Default)]
pub(super) struct Languages {
    known: Vec<Known>,
    entry: u32,
}

#[derive(Debug)]
struct Known {
    tag: String,
    is_default: bool,
    origin: String,
    /// The entry that it was last seen in.
    entry: u32,
}

impl Languages {
    /// Another entry begins.
    pub(super) const fn restart(&mut self) {
        self.entry += 1;
    }

    /// Judges an alternate. Whether it is one of a language, and not of whoever has none of them.
    pub(super) fn judge(&mut self, tag: &str, href: &str) -> Result<bool, What> {
        let place = match self.known.iter().position(|known| known.tag == tag) {
            Some(place) => place,
            None => self.learn(tag)?,
        };
        let known = &mut self.known[place];
        if std::mem::replace(&mut known.entry, self.entry) == self.entry {
            return Err(format!("it has two alternates of {tag}"));
        }
        known.judge(href)?;
        Ok(!known.is_default)
    }

    fn learn(&mut self, tag: &str) -> Result<usize, What> {
        let is_default = tag == X_DEFAULT;
        if !is_default {
            let parsed: LanguageTag = tag.parse().map_err(|error| format!("hreflang {tag:?}: {error}"))?;
            if parsed.as_str() != tag {
                return Err(format!("hreflang {tag:?} is written {parsed}"));
            }
        }
        self.known.push(Known { tag: tag.to_owned(), is_default, origin: String::new(), entry: 0 });
        Ok(self.known.len() - 1)
    }
}

impl Known {
    fn judge(&mut self, href: &str) -> Result<(), What> {
        if self.origin.is_empty() || !is_certainly_canonical(&self.origin, "", href.as_bytes()) {
            let link = Permalink::parse(href).map_err(|error| format!("the alternate {href:?}: {error}"))?;
            if link.as_str() != href {
                return Err(format!("the alternate {href:?} is not canonical; {link} is"));
            }
            link.split().0.clone_into(&mut self.origin);
        }
        Ok(())
    }
}
