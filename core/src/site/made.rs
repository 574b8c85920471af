//! A file that was made of a site, and is not public yet: the gate comes between.

use super::{
    gate::{Fault, judge_atom, judge_index, judge_json_feed, judge_news, judge_rss, judge_urlset},
    news::Publication,
    pack::Packed,
};
use crate::domain::{
    UnixMs,
    site::{change::Target, language::LanguageTag, settings::Locale},
};

#[derive(Debug)]
pub struct Made {
    pub locale: LanguageTag,
    pub target: Target,
    /// Below the locale's base.
    pub name: String,
    /// Addresses, items or sitemaps in it.
    pub urls: u32,
    pub packed: Packed,
}

impl Made {
    /// Reads it again as it will be public, with a parser that is not its writer.
    ///
    /// # Errors
    /// The first thing in it that must not be public.
    pub fn judge(&self, locale: &Locale, now: UnixMs) -> Result<(), Fault> {
        let (file, base) = (self.packed.reader(), &locale.base);
        let judged = match &self.target {
            Target::Shard(_) => judge_urlset(file, base),
            Target::Index => judge_index(file, base),
            Target::News => {
                let publication = Publication { name: &locale.publication_name, language: &locale.tag };
                judge_news(file, base, publication, now)
            }
            Target::Feed | Target::Section(_) if self.name.ends_with(".json") => judge_json_feed(file, base),
            Target::Feed | Target::Section(_) if self.name.starts_with("atom") => judge_atom(file, base),
            Target::Feed | Target::Section(_) => judge_rss(file, base),
        }?;
        match judged.urls == self.urls {
            true => Ok(()),
            false => {
                let what = format!("{} of {} that were written are in it", judged.urls, self.urls);
                Err(Fault { what, at: String::new() })
            }
        }
    }
}
