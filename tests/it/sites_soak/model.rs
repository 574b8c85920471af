//! Pages of the test, and how they change.

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng, seq::IteratorRandom};
use serde_json::{Value, json};

pub(super) const LOCALES: [&str; 3] = ["de", "fr", "pl"];
pub(super) const X_DEFAULT: &str = "fr";
/// Beginnings of addresses as they are handed in, and in their canonical form.
const SLUGS: [(&str, &str); 4] = [
    ("/żółw-", "/%C5%BC%C3%B3%C5%82w-"),
    ("/cafe\u{301}-", "/caf%C3%A9-"),
    ("/a&b'-", "/a&b'-"),
    ("/news/plain-", "/news/plain-"),
];
const HOUR_MS: i64 = 3_600_000;
/// News is younger than 48 hours; nothing of the test crosses that.
const NEWS_HOURS: i64 = 40;
const OLD_HOURS: std::ops::Range<i64> = 60..100 * 24;

/// A translation group; without any the page is not there.
pub(super) type Page = BTreeMap<&'static str, Translation>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Translation {
    /// Which slug, and the number behind it.
    slug: (usize, usize),
    pub(super) title: usize,
    pub(super) published_at: jiff::Timestamp,
    pub(super) indexable: bool,
    pub(super) news: bool,
}

/// A change of one page.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Page),
    Delete,
    DeleteTranslation(&'static str),
}

impl Translation {
    fn new(rng: &mut StdRng, n: usize, published_at: jiff::Timestamp) -> Self {
        let news = published_at > hours_ago(NEWS_HOURS);
        Self {
            slug: (rng.random_range(0..SLUGS.len()), n),
            title: n,
            published_at,
            indexable: rng.random_bool(0.85),
            news,
        }
    }

    /// What stands behind the base in its canonical address.
    pub(super) fn path(&self) -> String {
        format!("{}{}", SLUGS[self.slug.0].1, self.slug.1)
    }

    pub(super) fn title(&self) -> String {
        format!("Title & <{}>", self.title)
    }

    fn json(&self) -> Value {
        let url = format!("{}{}", SLUGS[self.slug.0].0, self.slug.1);
        let Self { published_at, indexable, news, .. } = self;
        json!({ "url": url, "title": self.title(), "published_at": published_at.to_string(), "indexable": indexable, "news": news })
    }
}

impl Change {
    /// What becomes of a page by it.
    pub(super) fn of(&self, before: &Page) -> Page {
        match self {
            Self::Put(page) => page.clone(),
            Self::Delete => Page::new(),
            Self::DeleteTranslation(tag) => {
                before.iter().filter(|(other, _)| *other != tag).map(|(tag, one)| (*tag, one.clone())).collect()
            }
        }
    }

    /// Some change of a page that is there or not; `n` is new for all pages.
    pub(super) fn any(rng: &mut StdRng, before: &Page, n: usize) -> Self {
        if before.is_empty() {
            return Self::Put(page(rng, n));
        }
        let mut after = before.clone();
        let (tag, one) = after.iter_mut().choose(rng).expect("a translation");
        match rng.random_range(0..100) {
            0..40 => one.title = n,
            40..60 => one.slug = (rng.random_range(0..SLUGS.len()), n),
            60..70 => one.indexable = !one.indexable,
            70..80 => {
                let tag = LOCALES.into_iter().choose(rng).expect("a locale");
                let published_at = one.published_at;
                if after.remove(tag).is_none() || after.is_empty() {
                    after.insert(tag, Translation::new(rng, n, published_at));
                }
            }
            80..84 => return Self::DeleteTranslation(tag),
            84..90 => return Self::Delete,
            90..95 => {
                let published_at = some_time(rng);
                after.values_mut().for_each(|one| (one.published_at, one.title) = (published_at, n));
            }
            _ => (one.news, one.title) = (!one.news, n),
        }
        Self::Put(after)
    }
}

/// A page as it may be handed in.
pub(super) fn page(rng: &mut StdRng, n: usize) -> Page {
    let published_at = some_time(rng);
    let mut page: Page = LOCALES.iter().map(|tag| (*tag, Translation::new(rng, n, published_at))).collect();
    if rng.random_bool(0.3) {
        page.remove(LOCALES[rng.random_range(0..LOCALES.len())]);
    }
    page
}

/// The only page of a month of long ago, and so of a sitemap.
pub(super) fn lonely_page(rng: &mut StdRng, n: usize, month: usize) -> Page {
    let month_begins = format!("{}-{:02}-01T00:00:00Z", 1980 + month / 12, month % 12 + 1);
    let published_at = month_begins.parse::<jiff::Timestamp>().expect("a time");
    LOCALES
        .iter()
        .map(|tag| (*tag, Translation { indexable: true, ..Translation::new(rng, n, published_at) }))
        .collect()
}

pub(super) fn in_batch(key: &str, page: &Page) -> Value {
    json!({ "key": key, "translations": translations(page) })
}

pub(super) fn translations(page: &Page) -> Value {
    page.iter().map(|(tag, one)| ((*tag).to_owned(), one.json())).collect()
}

/// In the last months, and often of the last hours. To the millisecond, so that hardly two are the same.
fn some_time(rng: &mut StdRng) -> jiff::Timestamp {
    let hours = if rng.random_bool(0.15) { 0..NEWS_HOURS } else { OLD_HOURS };
    let ms = rng.random_range(hours.start * HOUR_MS + 1..hours.end * HOUR_MS);
    jiff::Timestamp::from_millisecond(jiff::Timestamp::now().as_millisecond() - ms).expect("a time")
}

fn hours_ago(hours: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)
}
