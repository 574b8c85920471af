//! What the newest pages of a site come to: news sitemaps, and feeds of locales and of their sections in three formats.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
};

use super::{
    atom::Atom,
    bounded::Full,
    feed::{Enclosure, Feed, Guid, Image, Item},
    json_feed::JsonFeed,
    made::Made,
    news::{ARTICLES_MAX, Article, NewsSitemap, Publication},
    pack::Packer,
    rss::Rss,
};
use crate::domain::{
    UnixMs,
    egress::EndpointUrl,
    site::{
        change::{Mark, NEWS_AGE, Target},
        media::{Media, MediaState, MediaUse, Said},
        page::{Page, PageKey, Translation},
        permalink::Permalink,
        settings::{Locale, Site},
    },
};

/// Items of a feed.
pub const FEED_ITEMS: usize = 50;
/// Pages that are looked at for feeds and news; what is older than so many is in none.
pub const PAGES_MAX: usize = 20_000;

/// Files of the newest pages, for which pages are being gathered.
#[derive(Debug)]
pub struct Latest<'a> {
    site: &'a Site,
    now: UnixMs,
    lists: Vec<List<'a>>,
}

/// What came of them.
#[derive(Debug)]
pub struct MadeLatest {
    pub made: Vec<Made>,
    /// When the oldest article of each news sitemap is news no more.
    pub ends: Vec<(Mark, UnixMs)>,
}

/// The newest translations of a locale that belong into one target's files.
#[derive(Debug)]
struct List<'a> {
    locale: &'a Locale,
    target: Target,
    /// Newest first, once they are cut.
    items: Vec<(PageKey, Translation)>,
}

impl<'a> Latest<'a> {
    /// Of these marks those that are made of the newest pages.
    #[must_use]
    pub fn new(site: &'a Site, marks: &[Mark], now: UnixMs) -> Self {
        let list = |(tag, target): &Mark| {
            let locale = site.settings.locale(tag)?;
            let latest = matches!(target, Target::News | Target::Feed | Target::Section(_));
            // A page may name a section that is none of the site's: it has no feeds.
            (latest && site.settings.has(target)).then(|| List { locale, target: target.clone(), items: Vec::new() })
        };
        Self { site, now, lists: marks.iter().filter_map(list).collect() }
    }

    /// Takes some pages, each of which was published last before those that were taken earlier. Answers whether older ones can
    /// still belong into one of the files: none is newer than `published_at`.
    pub fn take(&mut self, pages: &[Page], published_at: UnixMs) -> bool {
        for list in &mut self.lists {
            for page in pages {
                let own = page.translations.iter().find(|one| one.link.locale == list.locale.tag);
                if let Some(own) = own.filter(|own| list.wants(own, self.now)) {
                    list.items.push((page.key.clone(), own.clone()));
                }
            }
            list.cut();
        }
        self.lists.iter().any(|list| list.may_get(published_at, self.now))
    }

    /// The images and enclosures that feeds name, newest first.
    #[must_use]
    pub fn media(&self) -> Vec<MediaUse> {
        let (mut uses, mut places): (Vec<MediaUse>, HashMap<&str, usize>) = (Vec::new(), HashMap::new());
        let feeds = self.lists.iter().filter(|list| list.target != Target::News);
        let items: BTreeMap<(i64, usize), (&List<'_>, &Translation)> = feeds
            .flat_map(|list| list.items.iter().map(move |(_, one)| (list, one)))
            .enumerate()
            .map(|(at, (list, one))| ((-one.link.published_at.0, at), (list, one)))
            .collect();
        for (list, one) in items.into_values() {
            let image = one.link.image.as_deref().map(|url| (url, None));
            let enclosure = one.text.enclosure.as_ref().map(|enclosure| (enclosure.url.as_str(), Some(enclosure)));
            for (url, enclosure) in image.into_iter().chain(enclosure) {
                let place = *places.entry(url).or_insert_with(|| {
                    uses.push(MediaUse {
                        url: url.to_owned(),
                        is_image: false,
                        said: Said::default(),
                        marks: Vec::new(),
                    });
                    uses.len() - 1
                });
                let mark = (list.locale.tag.clone(), list.target.clone());
                uses[place].is_image |= enclosure.is_none();
                if let Some(enclosure) = enclosure
                    && uses[place].said == Said::default()
                {
                    let media_type = enclosure.media_type.clone();
                    uses[place].said = Said { media_type, length_bytes: enclosure.length };
                }
                if !uses[place].marks.contains(&mark) {
                    uses[place].marks.push(mark);
                }
            }
        }
        uses
    }

    /// The files. Those that would be empty are made where some of the target are public: whoever reads them is to find that what
    /// they had is gone. Of `media`, what is known of images and enclosures: an enclosure that nobody has looked at is left out until
    /// somebody has, and what is known to be no image is left out.
    ///
    /// # Errors
    /// When memory cannot be written, which does not happen.
    pub fn make(self, media: &HashMap<String, Media>, public: &HashSet<Mark>) -> io::Result<MadeLatest> {
        let (mut made, mut ends) = (Vec::new(), Vec::new());
        let wanted = |list: &&List<'_>| {
            let is_read = public.contains(&(list.locale.tag.clone(), list.target.clone()));
            !list.items.is_empty() || is_read
        };
        for list in self.lists.iter().filter(wanted) {
            match &list.target {
                Target::News => {
                    made.push(list.news(self.now)?);
                    let oldest = list.items.last().map(|(_, one)| one.link.published_at + NEWS_AGE);
                    ends.extend(oldest.map(|end| ((list.locale.tag.clone(), Target::News), end)));
                }
                target => made.extend(list.feeds(self.site, target, media)?),
            }
        }
        Ok(MadeLatest { made, ends })
    }
}

impl List<'_> {
    const fn items_max(&self) -> usize {
        match self.target {
            Target::News => ARTICLES_MAX as usize,
            _ => FEED_ITEMS,
        }
    }

    fn wants(&self, one: &Translation, now: UnixMs) -> bool {
        let is_out = one.link.published_at <= now;
        is_out
            && match &self.target {
                Target::News => one.link.news && one.link.indexable && one.link.published_at + NEWS_AGE > now,
                Target::Section(key) => one.link.section.as_ref() == Some(key),
                _ => true,
            }
    }

    fn cut(&mut self) {
        let newest_first = |(key, one): &(PageKey, Translation)| (-one.link.published_at.0, key.clone());
        self.items.sort_by_cached_key(newest_first);
        // Of two with one address the older one has it, as in sitemaps.
        let mut seen = HashSet::new();
        let mut is_double: Vec<bool> =
            self.items.iter().rev().map(|(_, one)| !seen.insert(one.link.path.as_str())).collect();
        if is_double.contains(&true) {
            self.items.retain(|_| is_double.pop() == Some(false));
        }
        self.items.truncate(self.items_max());
    }

    /// Whether what was published by then may still be one of its items.
    fn may_get(&self, published_at: UnixMs, now: UnixMs) -> bool {
        let last = self.items.last().filter(|_| self.items.len() == self.items_max());
        let is_full = last.is_some_and(|(_, last)| last.link.published_at >= published_at);
        let is_old = self.target == Target::News && published_at + NEWS_AGE <= now;
        !is_full && !is_old
    }

    fn made(&self, name: String, urls: u32, packer: Packer) -> io::Result<Made> {
        Ok(Made { locale: self.locale.tag.clone(), target: self.target.clone(), name, urls, packed: packer.end()? })
    }

    fn news(&self, now: UnixMs) -> io::Result<Made> {
        let publication = Publication { name: &self.locale.publication_name, language: &self.locale.tag };
        let mut news = NewsSitemap::begin(Packer::default(), publication, now)?;
        for (_, one) in &self.items {
            let loc = one.link.permalink(&self.locale.base);
            let article = Article { loc: &loc, title: &one.text.title, published_at: one.link.published_at };
            if let Err(why) = news.push(article)? {
                tracing::debug!(%loc, ?why, "an article is not in the news sitemap");
            }
        }
        let articles = news.articles();
        self.made(NEWS_NAME.to_owned(), articles, news.end()?.0)
    }

    fn feeds(&self, site: &Site, target: &Target, media: &HashMap<String, Media>) -> io::Result<[Made; 3]> {
        let parts = Parts::of(site, self.locale, target);
        let updated_at = self.items.iter().map(|(_, one)| one.link.updated_at).max().unwrap_or(site.created_at);
        let feed = |own| Feed {
            id: &parts.id,
            title: &parts.title,
            description: &parts.title,
            publisher: &self.locale.publication_name,
            language: &self.locale.tag,
            home: &parts.home,
            own,
            hub: site.settings.hub.as_ref().map(EndpointUrl::as_str),
            updated_at,
        };
        let [rss, atom, json] = parts.own.each_ref().map(feed);
        let (mut rss, mut atom, mut json) = (
            Rss::begin(Packer::default(), &rss)?,
            Atom::begin(Packer::default(), &atom)?,
            JsonFeed::begin(Packer::default(), &json)?,
        );
        for (key, one) in &self.items {
            let guid = parts.guid(site, self.locale, key);
            let url = one.link.permalink(&self.locale.base);
            let item = Item {
                guid: &guid,
                url: &url,
                title: &one.text.title,
                summary: one.text.summary.as_deref(),
                content: one.text.content.as_deref(),
                author: one.text.author.as_deref(),
                published_at: one.link.published_at,
                updated_at: one.link.updated_at,
                section: one.link.section.as_ref().map(|key| site.settings.section_name(key, &self.locale.tag)),
                image: one.link.image.as_deref().and_then(|url| image(url, media)),
                enclosure: enclosure(one, media),
            };
            push(&item, |item| rss.push(item))?;
            push(&item, |item| atom.push(item))?;
            push(&item, |item| json.push(item))?;
        }
        let [rss_name, atom_name, json_name] = feed_names(target);
        Ok([
            self.made(rss_name, rss.items(), rss.end()?.0)?,
            self.made(atom_name, atom.items(), atom.end()?.0)?,
            self.made(json_name, json.items(), json.end()?.0)?,
        ])
    }
}

/// Adds an item to a feed. Where its whole text does not fit any more, readers are told of the page all the same.
fn push(item: &Item<'_>, mut to: impl FnMut(&Item<'_>) -> io::Result<Result<(), Full>>) -> io::Result<()> {
    if to(item)?.is_err() {
        let _full: Result<(), Full> = to(&Item { content: None, ..*item })?;
    }
    Ok(())
}

fn image<'a>(url: &'a str, media: &'a HashMap<String, Media>) -> Option<Image<'a>> {
    match media.get(url) {
        Some(media) if media.state == MediaState::Bad => None,
        known => Some(Image { url, media_type: known.and_then(|media| media.media_type.as_deref()) }),
    }
}

fn enclosure<'a>(one: &'a Translation, media: &'a HashMap<String, Media>) -> Option<Enclosure<'a>> {
    let said = one.text.enclosure.as_ref()?;
    let known = media.get(&said.url)?;
    // Where its host does not tell how long it is, whoever named it may have.
    let length_bytes = known.length_bytes.or(said.length).filter(|bytes| *bytes > 0)?;
    Some(Enclosure { url: &said.url, media_type: known.media_type.as_deref()?, length_bytes })
}

/// The name of a locale's news sitemap below its base.
const NEWS_NAME: &str = "sitemap-news.xml";

/// The names of a target's feeds below the locale's base: RSS, Atom, JSON Feed.
fn feed_names(target: &Target) -> [String; 3] {
    let of = match target {
        Target::Section(key) => format!("-{}", key.as_str()),
        _ => String::new(),
    };
    [format!("feed{of}.xml"), format!("atom{of}.xml"), format!("feed{of}.json")]
}

/// What feeds of one target have in common.
struct Parts {
    id: Guid,
    title: String,
    home: Permalink,
    own: [Permalink; 3],
    host: String,
}

impl Parts {
    fn of(site: &Site, locale: &Locale, target: &Target) -> Self {
        let (name, kind) = match target {
            Target::Section(key) => (Some(site.settings.section_name(key, &locale.tag)), key.as_str()),
            _ => (None, ""),
        };
        let title = match name {
            Some(name) => format!("{} – {name}", locale.publication_name),
            None => locale.publication_name.clone(),
        };
        let host = site.settings.guid_host.clone();
        Self {
            id: Guid::new(&host, site.created_at, &[site.slug.as_str(), locale.tag.as_str(), "feed", kind]),
            title,
            home: locale.base.below("/"),
            own: feed_names(target).map(|name| locale.base.below(&format!("/{name}"))),
            host,
        }
    }

    fn guid(&self, site: &Site, locale: &Locale, key: &PageKey) -> Guid {
        Guid::new(&self.host, site.created_at, &[site.slug.as_str(), locale.tag.as_str(), "page", key.as_str()])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::{
        domain::{
            Id,
            site::{
                page::{Link, Text},
                permalink::BaseUrl,
                settings::SiteSettings,
            },
        },
        site::{feed::FEED_BYTES_MAX, made::Gate},
    };

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn page(at: i64, content: &str) -> Page {
        let published_at = UnixMs(NOW.0 - at);
        let link = Link {
            locale: "de".parse().unwrap(),
            path: format!("/{at}"),
            published_at,
            updated_at: published_at,
            image: None,
            section: None,
            indexable: true,
            news: false,
        };
        let content = Some(content.to_owned());
        let text = Text { title: format!("T{at}"), summary: None, content, author: None, enclosure: None };
        Page { key: format!("k{at}").parse().unwrap(), translations: vec![Translation { link, text }] }
    }

    #[test]
    fn what_does_not_fit_into_a_feed_any_more_is_told_without_its_text() {
        let locale = Locale {
            tag: "de".parse().unwrap(),
            base: BaseUrl::parse("https://a.example").unwrap(),
            publication_name: "A".to_owned(),
            time_zone: Default::default(),
            x_default: true,
        };
        let settings = SiteSettings::new(vec![locale.clone()]);
        let (id, tenant_id) = (Id::new(), Id::new());
        let site =
            Site { id, tenant_id, slug: "news".parse().unwrap(), settings, created_at: UnixMs(0), updated_at: NOW };
        let marks = [(locale.tag.clone(), Target::Feed)];
        let mut latest = Latest::new(&site, &marks, NOW);
        let pages: Vec<Page> = (0..13).map(|at| page(at, &"<p>x</p>".repeat(125_000))).collect();
        latest.take(&pages, UnixMs(NOW.0 - 12));
        for made in latest.make(&HashMap::new(), &HashSet::new()).unwrap().made {
            Gate::default().judge(&made, &locale, NOW).unwrap();
            let mut text = String::new();
            made.packed.reader().read_to_string(&mut text).unwrap();
            let (whole, name) = (text.matches(&"<p>x</p>".repeat(125_000)).count(), &made.name);
            assert_eq!((whole, made.urls), (10, 13), "{name}");
            assert!(made.packed.bytes <= FEED_BYTES_MAX && text.contains("https://a.example/12"), "{name}");
        }
    }
}
