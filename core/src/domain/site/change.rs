//! What a change of a page makes stale. Pages lie in *shards*, by month of publication; a shard is one sitemap of each
//! locale.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use super::{
    language::LanguageTag,
    page::{Link, Translation},
    settings::SectionKey,
};
use crate::domain::{
    UnixMs,
    retry::{RetryBackoff, RetrySchedule},
};

/// Pages of one shard; the next one of its month begins then.
pub const SHARD_PAGES: u32 = 1_000;
/// How long a site waits for more changes after the last one,
pub const QUIET: Duration = Duration::from_secs(2);
/// and how long after the first one at most.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long a site is left alone of which a second regeneration has ended the processes that made it; twice as long after the
/// next, and so on,
const DEATH_REST: Duration = Duration::from_secs(60);
/// so long at most: people mend it and wait for the next one.
const DEATH_REST_MAX: Duration = Duration::from_secs(600);

/// When a publication that failed is tried again: soon at first, since people wait, and then every three minutes, since a disk or
/// a store is mended at any moment. After two hours a new job begins.
#[must_use]
pub fn publishing_retries() -> RetrySchedule {
    let backoff = RetryBackoff { base_seconds: 5.0, factor: 1.5, cap_seconds: 180.0, retries: 45 };
    RetrySchedule::exponential(backoff).unwrap_or_default()
}

/// How long a site is left alone of which so many regenerations in a row have ended all processes that made them. After the first
/// it is not: it may have been the machines.
#[must_use]
pub fn rest_after_deaths(deaths: u32) -> Duration {
    match deaths.checked_sub(2) {
        None => Duration::ZERO,
        Some(more) => DEATH_REST.saturating_mul(2_u32.saturating_pow(more)).min(DEATH_REST_MAX),
    }
}

/// How long an article is news (Google Search Central, "Create a News sitemap").
pub const NEWS_AGE: Duration = Duration::from_secs(48 * 3600);

/// Some pages of one month: its number, and which of the month's shards it is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    /// As in 202611.
    month: u32,
    number: u32,
}

/// In SQL a shard is one number: its month, and five digits.
const NUMBERS: i64 = 100_000;

impl Shard {
    /// The first of the month of a time, in UTC.
    #[must_use]
    pub fn first_of(time: UnixMs) -> Self {
        let date =
            jiff::Timestamp::from_millisecond(time.0).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        let (year, month) = (u32::try_from(date.year()).unwrap_or(0), u32::try_from(date.month()).unwrap_or(1));
        Self { month: year * 100 + month, number: 1 }
    }

    /// The next one of its month.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    #[must_use]
    pub const fn is_of_month(self, other: Self) -> bool {
        self.month == other.month
    }

    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::from(self.month) * NUMBERS + i64::from(self.number)
    }

    /// The numbers in SQL of the month's shards.
    #[must_use]
    pub fn month_in_sql(self) -> (i64, i64) {
        (i64::from(self.month) * NUMBERS, (i64::from(self.month) + 1) * NUMBERS - 1)
    }

    #[must_use]
    pub fn of_sql(number: i64) -> Self {
        let part = |number: i64| u32::try_from(number).unwrap_or(0);
        Self { month: part(number / NUMBERS), number: part(number % NUMBERS) }
    }
}

/// As in `2026-11-1`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{}", self.month / 100, self.month % 100, self.number)
    }
}

/// What is made again of one locale.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    Shard(Shard),
    /// The news sitemap.
    News,
    /// The feeds of the whole locale.
    Feed,
    /// The feeds of a section.
    Section(SectionKey),
    /// The sitemap index.
    Index,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that a site publishes")]
pub struct TargetError(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => write!(f, "shard/{}", shard.to_sql()),
            Self::News => f.write_str("news"),
            Self::Feed => f.write_str("feed"),
            Self::Section(key) => write!(f, "section/{}", key.as_str()),
            Self::Index => f.write_str("index"),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refused = || TargetError(text.to_owned());
        Ok(match text.split_once('/') {
            Some(("shard", number)) => Self::Shard(Shard::of_sql(number.parse().map_err(|_| refused())?)),
            Some(("section", key)) => Self::Section(key.parse().map_err(|_| refused())?),
            None if text == "news" => Self::News,
            None if text == "feed" => Self::Feed,
            None if text == "index" => Self::Index,
            _ => return Err(refused()),
        })
    }
}

/// What is stale of one locale.
pub type Mark = (LanguageTag, Target);

/// A page in its shard, before or after a change.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub shard: Shard,
    pub translations: &'a [Translation],
}

/// What is stale after a change of a page. An alternate that came, went or changed is named by all of the page's
/// translations, so all their sitemaps are; else only those of the translations that changed.
#[must_use]
pub fn stale(before: Option<Placed<'_>>, after: Option<Placed<'_>>, now: UnixMs) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    let of = |placed: Option<Placed<'_>>| placed.map_or(&[][..], |placed| placed.translations).to_vec();
    let (old, new) = (of(before), of(after));
    let all = named(&old) != named(&new) || before.map(|one| one.shard) != after.map(|one| one.shard);
    for (placed, own, others) in [(before, &old, &new), (after, &new, &old)] {
        let Some(Placed { shard, .. }) = placed else { continue };
        for one in own {
            let tag = &one.link.locale;
            let other = others.iter().find(|other| other.link.locale == *tag);
            if all || other.is_none_or(|other| other.link != one.link) {
                marks.insert((tag.clone(), Target::Shard(shard)));
            }
            if other == Some(one) {
                continue;
            }
            marks.insert((tag.clone(), Target::Feed));
            marks.extend(one.link.section.clone().map(|key| (tag.clone(), Target::Section(key))));
            if one.link.news && one.link.published_at + NEWS_AGE > now {
                marks.insert((tag.clone(), Target::News));
            }
        }
    }
    marks
}

/// What alternates name: where which translation is.
fn named(translations: &[Translation]) -> Vec<(&LanguageTag, &str)> {
    let shown = translations.iter().map(|one| &one.link).filter(|link| link.indexable);
    shown.map(|Link { locale, path, .. }| (locale, path.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::page::Text;

    fn one(tag: &str, path: &str) -> Translation {
        let text = Text { title: "T".to_owned(), summary: None, content: None, author: None, enclosure: None };
        let link = Link {
            locale: tag.parse().unwrap(),
            path: path.to_owned(),
            published_at: UnixMs(1_700_000_000_000),
            updated_at: UnixMs(1_700_000_000_000),
            image: None,
            section: None,
            indexable: true,
            news: false,
        };
        Translation { link, text }
    }

    fn marks(before: &[Translation], after: &[Translation]) -> Vec<String> {
        let shard = Shard::first_of(UnixMs(1_700_000_000_000));
        let placed = |translations| Some(Placed { shard, translations }).filter(|one| !one.translations.is_empty());
        let marks = stale(placed(before), placed(after), UnixMs(1_700_000_001_000));
        marks.into_iter().map(|(tag, target)| format!("{tag} {target}")).collect()
    }

    #[test]
    fn a_renamed_translation_makes_the_sitemaps_of_all_its_siblings_stale() {
        let (de, fr) = (one("de", "/a"), one("fr", "/a"));
        let shard = |tag: &str| format!("{tag} shard/20231100001");
        let feed = |tag: &str| format!("{tag} feed");
        let both = [de.clone(), fr.clone()];
        assert_eq!(marks(&both, &both), Vec::<String>::new());
        assert_eq!(marks(&both, &[one("de", "/b"), fr.clone()]), [shard("de"), feed("de"), shard("fr")]);
        assert_eq!(marks(std::slice::from_ref(&de), &both), [shard("de"), shard("fr"), feed("fr")]);
        assert_eq!(marks(&both, std::slice::from_ref(&de)), [shard("de"), shard("fr"), feed("fr")]);
        assert_eq!(marks(&both, &[]), [shard("de"), feed("de"), shard("fr"), feed("fr")]);
        let mut titled = de.clone();
        titled.text.title = "U".to_owned();
        assert_eq!(marks(&both, &[titled, fr.clone()]), [feed("de")]);
        let mut updated = de;
        updated.link.updated_at = UnixMs(1_700_000_009_000);
        assert_eq!(marks(&both, &[updated, fr]), [shard("de"), feed("de")]);
    }

    #[test]
    fn news_and_sections_are_stale_where_a_page_is_or_was_in_them() {
        let mut old = one("de", "/a");
        (old.link.news, old.link.section) = (true, Some("sport".parse().unwrap()));
        let mut new = old.clone();
        new.link.section = Some("culture".parse().unwrap());
        let expected = ["de shard/20231100001", "de news", "de feed", "de section/culture", "de section/sport"];
        assert_eq!(marks(&[old], &[new]), expected);
    }

    #[test]
    fn targets_and_shards_read_back() {
        let shard = Shard::first_of(UnixMs(1_700_000_000_000)).next();
        assert_eq!((shard.to_string().as_str(), Shard::of_sql(shard.to_sql())), ("2023-11-2", shard));
        let targets =
            [Target::Shard(shard), Target::News, Target::Feed, Target::Index, Target::Section("a".parse().unwrap())];
        for target in targets {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }
}
