//! The sitemaps of a shard: of each locale one, or more where one would be too large. A page's alternates are written out
//! once for all of them.

use std::{io, iter, ops::Range};

use super::{
    bounded::Full,
    made::Made,
    pack::Packer,
    sitemap::{Sitemap, SitemapUrl, push_alternates},
    xml::escaped,
};
use crate::domain::{
    UnixMs,
    site::{
        change::{Shard, Target},
        language::LanguageTag,
        page::Link,
        permalink::{BaseUrl, Permalink},
        settings::{Locale, SiteSettings},
    },
};

/// The name below its locale's base of a shard's sitemap; `part` counts from 1.
#[must_use]
pub fn sitemap_name(shard: Shard, part: u32) -> String {
    match part {
        1 => format!("sitemap-{shard}.xml.gz"),
        part => format!("sitemap-{shard}.{part}.xml.gz"),
    }
}

/// What the sitemaps of a shard name, of which each locale's are made when they are wanted.
#[derive(Debug)]
pub struct ShardPages {
    shard: Shard,
    now: UnixMs,
    locales: Vec<OfLocale>,
    /// Addresses, alternates and images as XML, of one page after the other.
    text: String,
}

#[derive(Debug)]
struct OfLocale {
    tag: LanguageTag,
    base: BaseUrl,
    is_default: bool,
    entries: Vec<Entry>,
}

/// One translation of one page, by where its parts stand in the text.
#[derive(Debug)]
struct Entry {
    loc: Range<usize>,
    alternates: Range<usize>,
    image: Option<Range<usize>>,
    updated_at: UnixMs,
}

impl ShardPages {
    /// Of no page yet; those that were published by `now` are named. `text_bytes` is how much they will have to say, roughly: text that
    /// grows leaves as much again behind.
    #[must_use]
    pub fn new(site: &SiteSettings, shard: Shard, now: UnixMs, text_bytes: usize) -> Self {
        let of = |locale: &Locale| OfLocale {
            tag: locale.tag.clone(),
            base: locale.base.clone(),
            is_default: locale.x_default,
            entries: Vec::new(),
        };
        let locales = site.locales.iter().map(of).collect();
        Self { shard, now, locales, text: String::with_capacity(text_bytes) }
    }

    /// Adds a page by its links.
    pub fn push(&mut self, links: &[Link]) {
        let is_shown = |link: &&Link| link.indexable && link.published_at <= self.now;
        let shown: Vec<(usize, &Link, Permalink)> = (self.locales.iter().enumerate())
            .filter_map(|(at, locale)| {
                let link = links.iter().find(|link| link.locale == locale.tag).filter(is_shown)?;
                Some((at, link, link.permalink(&locale.base)))
            })
            .collect();
        let from = self.text.len();
        let (locs, alternates) = match shown.as_slice() {
            [] => return,
            // A page in one language alone is no translation of anything.
            [(_, _, url)] => {
                self.text.push_str(&escaped(url.as_str()));
                (iter::once(from..self.text.len()).collect(), 0..0)
            }
            all => {
                let default = all.iter().find(|(at, ..)| self.locales[*at].is_default).map(|(_, _, url)| url);
                let links = all.iter().map(|(_, link, url)| (&link.locale, url));
                let locs = push_alternates(&mut self.text, links, default);
                (locs, from..self.text.len())
            }
        };
        let mut last: Option<(&str, Range<usize>)> = None;
        for ((at, link, _), loc) in shown.iter().zip(locs) {
            let (alternates, updated_at) = (alternates.clone(), link.updated_at);
            let image = link.image.as_deref().map(|image| match &last {
                Some((before, place)) if *before == image => place.clone(),
                _ => {
                    let from = self.text.len();
                    self.text.push_str(&escaped(image));
                    last.insert((image, from..self.text.len())).1.clone()
                }
            });
            self.locales[*at].entries.push(Entry { loc, alternates, image, updated_at });
        }
    }

    /// How many addresses the sitemaps of a locale name.
    #[must_use]
    pub fn urls(&self, locale: &LanguageTag) -> u32 {
        self.of(locale).map_or(0, |of| u32::try_from(of.entries.len()).unwrap_or(u32::MAX))
    }

    /// Makes the sitemaps of a locale; none where they would name nothing.
    ///
    /// # Errors
    /// When memory cannot be written, which does not happen.
    pub fn sitemaps(&self, locale: &LanguageTag) -> io::Result<Vec<Made>> {
        let Some(of) = self.of(locale) else { return Ok(Vec::new()) };
        let mut files = Files { locale, shard: self.shard, open: None, made: Vec::new() };
        for Entry { loc, alternates, image, updated_at } in &of.entries {
            files.push(SitemapUrl {
                loc: &self.text[loc.clone()],
                alternates: &self.text[alternates.clone()],
                image: image.clone().map(|image| &self.text[image]),
                updated_at: Some(*updated_at),
            })?;
        }
        files.end()
    }

    fn of(&self, locale: &LanguageTag) -> Option<&OfLocale> {
        self.locales.iter().find(|of| of.tag == *locale)
    }
}

/// The sitemaps of one locale.
struct Files<'a> {
    locale: &'a LanguageTag,
    shard: Shard,
    open: Option<Sitemap<Packer>>,
    made: Vec<Made>,
}

impl Files<'_> {
    fn push(&mut self, url: SitemapUrl<'_>) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Sitemap::begin(Packer::default())?,
        };
        if open.push(url)? == Err(Full) {
            self.close(open)?;
            open = Sitemap::begin(Packer::default())?;
            // An empty sitemap takes any address: one has some kilobytes.
            let _taken: Result<(), Full> = open.push(url)?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn close(&mut self, open: Sitemap<Packer>) -> io::Result<()> {
        let urls = open.urls();
        let (packer, _) = open.end()?;
        let part = u32::try_from(self.made.len()).unwrap_or(u32::MAX - 1) + 1;
        let name = sitemap_name(self.shard, part);
        self.made.push(Made {
            locale: self.locale.clone(),
            target: Target::Shard(self.shard),
            name,
            urls,
            packed: packer.end()?,
        });
        Ok(())
    }

    fn end(mut self) -> io::Result<Vec<Made>> {
        if let Some(open) = self.open.take() {
            self.close(open)?;
        }
        Ok(self.made)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{domain::site::permalink::BaseUrl, site::made::Gate};

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn site() -> SiteSettings {
        let locale = |tag: &str, x_default| Locale {
            tag: tag.parse().unwrap(),
            base: BaseUrl::parse(&format!("https://{tag}.example/n")).unwrap(),
            publication_name: "The News".to_owned(),
            time_zone: Default::default(),
            x_default,
        };
        let locales = vec![locale("en", true), locale("de", false), locale("fr", false)];
        SiteSettings::new(locales)
    }

    fn link(tag: &str, path: &str) -> Link {
        Link {
            locale: tag.parse().unwrap(),
            path: path.to_owned(),
            published_at: UnixMs(1_700_000_000_000),
            updated_at: UnixMs(1_700_000_000_000),
            image: None,
            section: None,
            indexable: true,
            news: false,
        }
    }

    fn made(site: &SiteSettings, pages: &[Vec<Link>]) -> Vec<Made> {
        let mut shard = ShardPages::new(site, Shard::first_of(UnixMs(1_700_000_000_000)), NOW, 0);
        pages.iter().for_each(|links| shard.push(links));
        let made = |locale: &Locale| {
            let made = shard.sitemaps(&locale.tag).unwrap();
            assert_eq!(made.iter().map(|one| one.urls).sum::<u32>(), shard.urls(&locale.tag));
            made
        };
        site.locales.iter().flat_map(made).collect()
    }

    fn text(made: &Made) -> String {
        let mut text = String::new();
        made.packed.reader().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn alternates_are_reciprocal_and_name_what_search_engines_may_find() {
        let site = site();
        let hidden = Link { indexable: false, ..link("fr", "/c") };
        let pages = [vec![link("de", "/a"), link("en", "/b"), hidden], vec![link("de", "/d")]];
        let made = made(&site, &pages);
        let names: Vec<_> = made.iter().map(|one| (one.locale.as_str(), one.name.as_str(), one.urls)).collect();
        assert_eq!(names, [("en", "sitemap-2023-11-1.xml.gz", 1), ("de", "sitemap-2023-11-1.xml.gz", 2)]);
        let mut gate = Gate::default();
        for one in &made {
            gate.judge(one, site.locale(&one.locale).unwrap(), NOW).unwrap();
        }
        let links = "<xhtml:link rel=\"alternate\" hreflang=\"en\" href=\"https://en.example/n/b\"/>\
            <xhtml:link rel=\"alternate\" hreflang=\"de\" href=\"https://de.example/n/a\"/>\
            <xhtml:link rel=\"alternate\" hreflang=\"x-default\" href=\"https://en.example/n/b\"/>";
        assert!(made.iter().all(|one| text(one).contains(links)), "{}", text(&made[0]));
        assert!(!text(&made[1]).contains("/c") && text(&made[1]).contains("<loc>https://de.example/n/d</loc>"));
    }

    #[test]
    fn a_locale_whose_addresses_do_not_fit_into_one_file_gets_more() {
        let site = site();
        let long = "a".repeat(1_900);
        let pages: Vec<Vec<Link>> =
            (0..8_000).map(|at| ["en", "de", "fr"].map(|tag| link(tag, &format!("/{at}{long}"))).into()).collect();
        let made: Vec<Made> = made(&site, &pages).into_iter().filter(|one| one.locale.as_str() == "de").collect();
        let names: Vec<&str> = made.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["sitemap-2023-11-1.xml.gz", "sitemap-2023-11-1.2.xml.gz"]);
        assert_eq!(made.iter().map(|one| one.urls).sum::<u32>(), 8_000);
        let mut gate = Gate::default();
        made.iter().for_each(|one| gate.judge(one, &site.locales[1], NOW).unwrap());
    }
}
