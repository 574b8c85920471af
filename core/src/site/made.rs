//! A file that was made of a site, and is not public yet: the gate comes between.

use super::{
    gate::{Fault, JudgedAlternates, judge_atom, judge_index, judge_json_feed, judge_news, judge_rss, judge_urlset},
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

/// Files that were made together on their way to the public.
#[derive(Debug, Default)]
pub struct Gate {
    alternates: JudgedAlternates,
}

impl Gate {
    /// Reads a file again as it will be public, with a parser that is not its writer.
    ///
    /// # Errors
    /// The first thing in it that must not be public.
    pub fn judge(&mut self, made: &Made, locale: &Locale, now: UnixMs) -> Result<(), Fault> {
        let whole = |what| Fault { what, at: String::new() };
        let (file, base) = (made.packed.reader(), &locale.base);
        let urls = match &made.target {
            Target::Shard(_) => judge_urlset(file, base, &mut self.alternates),
            Target::Index => judge_index(file, base),
            Target::News => {
                let publication = Publication { name: &locale.publication_name, language: &locale.tag };
                judge_news(file, base, publication, now)
            }
            Target::Feed | Target::Section(_) if made.name.ends_with(".json") => judge_json_feed(file, base),
            Target::Feed | Target::Section(_) if made.name.starts_with("atom") => judge_atom(file, base),
            Target::Feed | Target::Section(_) => judge_rss(file, base),
        }?;
        match urls == made.urls {
            true => Ok(()),
            false => Err(whole(format!("{urls} of {} that were written are in it", made.urls))),
        }
    }
}
