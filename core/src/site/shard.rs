//! The sitemaps of a shard: of each locale one, or more where one would be too large. A page's alternates are written out
//! once for all of them.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    io,
};

use super::{
    bounded::Full,
    made::Made,
    pack::Packer,
    sitemap::{Alternates, Sitemap, SitemapUrl},
};
use crate::domain::{
    UnixMs,
    site::{
        change::{Shard, Target},
        language::LanguageTag,
        page::Link,
        permalink::Permalink,
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

/// Makes a shard's sitemaps of some locales, of the links of each of its pages that were published by now.
///
/// # Errors
/// When memory cannot be written, which does not happen.
pub fn make_sitemaps(
    site: &SiteSettings,
    shard: Shard,
    pages: &[Vec<Link>],
    wanted: &[LanguageTag],
    now: UnixMs,
) -> io::Result<Vec<Made>> {
    let is_shown = |link: &Link| link.indexable && link.published_at <= now;
    let locales = site.locales.iter().filter(|locale| wanted.contains(&locale.tag));
    let mut files: Vec<File<'_>> = locales.map(|locale| File::new(locale, shard)).collect();
    let mut seen = Seen::default();
    for links in pages {
        let shown: Vec<(&Link, Permalink)> = site
            .locales
            .iter()
            .filter_map(|locale| {
                links.iter().find(|link| link.locale == locale.tag && is_shown(link)).zip(Some(locale))
            })
            .filter(|(link, _)| seen.is_first(link))
            .map(|(link, locale)| (link, link.permalink(&locale.base)))
            .collect();
        let default = site.locales.iter().find(|locale| locale.x_default);
        let default = default.and_then(|locale| shown.iter().find(|(link, _)| link.locale == locale.tag));
        let alternates = match shown.len() {
            0 => continue,
            // A page in one language alone is no translation of anything.
            1 => Alternates::default(),
            _ => {
                let all = shown.iter().map(|(link, url)| (&link.locale, url));
                Alternates::of(all, default.map(|(_, url)| url))
            }
        };
        for file in &mut files {
            if let Some((link, loc)) = shown.iter().find(|(link, _)| link.locale == file.locale.tag) {
                let image = link.image.as_deref();
                file.push(SitemapUrl { loc, updated_at: Some(link.updated_at), alternates: &alternates, image })?;
            }
        }
    }
    let mut made = Vec::new();
    for file in files {
        made.extend(file.end()?);
    }
    Ok(made)
}

/// Where pages of the shard are, by hash: of two pages at one address only the first is named.
#[derive(Default)]
struct Seen {
    keys: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    fn is_first(&mut self, link: &Link) -> bool {
        let is_first = self.hashes.insert(self.keys.hash_one((link.locale.as_str(), link.path.as_str())));
        if !is_first {
            tracing::warn!(locale = %link.locale, path = link.path, "two pages have one address; the sitemap names the first");
        }
        is_first
    }
}

/// The sitemaps of one locale.
struct File<'a> {
    locale: &'a Locale,
    shard: Shard,
    open: Option<Sitemap<Packer>>,
    made: Vec<Made>,
}

impl<'a> File<'a> {
    const fn new(locale: &'a Locale, shard: Shard) -> Self {
        Self { locale, shard, open: None, made: Vec::new() }
    }

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
            locale: self.locale.tag.clone(),
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
    use crate::domain::site::permalink::BaseUrl;

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
        let tags: Vec<LanguageTag> = site.locales.iter().map(|locale| locale.tag.clone()).collect();
        let shard = Shard::first_of(UnixMs(1_700_000_000_000));
        let made = make_sitemaps(&site, shard, &pages, &tags, NOW).unwrap();
        let names: Vec<_> = made.iter().map(|one| (one.locale.as_str(), one.name.as_str(), one.urls)).collect();
        assert_eq!(names, [("en", "sitemap-2023-11-1.xml.gz", 1), ("de", "sitemap-2023-11-1.xml.gz", 2)]);
        for one in &made {
            one.judge(site.locale(&one.locale).unwrap(), NOW).unwrap();
        }
        let links = "<xhtml:link rel=\"alternate\" hreflang=\"en\" href=\"https://en.example/n/b\"/>\
            <xhtml:link rel=\"alternate\" hreflang=\"de\" href=\"https://de.example/n/a\"/>\
            <xhtml:link rel=\"alternate\" hreflang=\"x-default\" href=\"https://en.example/n/b\"/>";
        assert!(made.iter().all(|one| text(one).contains(links)), "{}", text(&made[0]));
        assert!(!text(&made[1]).contains("/c") && text(&made[1]).contains("<loc>https://de.example/n/d</loc>"));
    }

    #[test]
    fn of_two_pages_at_one_address_only_the_first_is_named() {
        let site = site();
        let pages = [vec![link("de", "/a"), link("en", "/b")], vec![link("de", "/a"), link("fr", "/c")]];
        let shard = Shard::first_of(UnixMs(1_700_000_000_000));
        let tags: Vec<LanguageTag> = site.locales.iter().map(|locale| locale.tag.clone()).collect();
        let made = make_sitemaps(&site, shard, &pages, &tags, NOW).unwrap();
        assert_eq!(made.iter().map(|one| one.urls).collect::<Vec<_>>(), [1, 1, 1]);
        for one in &made {
            one.judge(site.locale(&one.locale).unwrap(), NOW).unwrap();
        }
        assert!(!text(&made[2]).contains("/n/a"), "{}", text(&made[2]));
    }

    #[test]
    fn a_locale_whose_addresses_do_not_fit_into_one_file_gets_more() {
        let site = site();
        let long = "a".repeat(1_900);
        let pages: Vec<Vec<Link>> =
            (0..8_000).map(|at| ["en", "de", "fr"].map(|tag| link(tag, &format!("/{at}{long}"))).into()).collect();
        let shard = Shard::first_of(UnixMs(1_700_000_000_000));
        let made = make_sitemaps(&site, shard, &pages, &["de".parse().unwrap()], NOW).unwrap();
        let names: Vec<&str> = made.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["sitemap-2023-11-1.xml.gz", "sitemap-2023-11-1.2.xml.gz"]);
        assert_eq!(made.iter().map(|one| one.urls).sum::<u32>(), 8_000);
        made.iter().for_each(|one| one.judge(&site.locales[1], NOW).unwrap());
    }
}
