//! What a site is: its locales, each with an address of its own, its sections and what is promised of it.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    alert::AlertSettings, change::Target, indexnow::IndexNow, language::LanguageTag, permalink::BaseUrl, zone::Zone,
};
use crate::domain::{
    Id, UnixMs,
    egress::EndpointUrl,
    id::Identified,
    line::is_blank,
    tenant::{SlugError, Tenant, TenantSlug},
};

/// Locales of one site.
pub const LOCALES_MAX: usize = 64;
/// Sections of one site.
pub const SECTIONS_MAX: usize = 200;
/// Characters of a name that people read.
pub const NAME_CHARS_MAX: usize = 200;
/// Within how long a change is to be public, when nobody says.
pub const FRESHNESS_DEFAULT: Duration = Duration::from_secs(300);

/// A site whose sitemaps and feeds are made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub id: Id<Site>,
    pub tenant_id: Id<Tenant>,
    pub slug: SiteSlug,
    pub settings: SiteSettings,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

impl Identified for Site {
    const PREFIX: &'static str = "site";
}

/// A site's short name within its tenant, by the rule of a tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteSlug(TenantSlug);

impl SiteSlug {
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for SiteSlug {
    type Err = SlugError;
    fn from_str(text: &str) -> Result<Self, SlugError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SiteSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a site's owner sets. Kept as one JSON text in SQL, so that a new setting is no new column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSettings {
    /// In the order in which alternates name them.
    pub locales: Vec<Locale>,
    pub sections: Vec<Section>,
    /// Within how many seconds a change is to be public.
    pub freshness_seconds: u32,
    /// What is published is read back from its public address before it counts as public.
    pub read_back: bool,
    /// Whom readers of feeds ask for news of them, and who is told of it (WebSub).
    pub hub: Option<EndpointUrl>,
    /// What search engines are told of changed pages with.
    pub indexnow: Option<IndexNow>,
    pub alerts: AlertSettings,
    /// The host that items of feeds are known by for good: that of the first locale when the site was made.
    pub guid_host: String,
}

/// One language of a site, at an address of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    pub tag: LanguageTag,
    pub base: BaseUrl,
    /// As the news sitemap and the feeds name it.
    pub publication_name: String,
    /// In which its pages' times are read where they name no offset.
    #[serde(default)]
    pub time_zone: Zone,
    /// Where whoever has none of the site's languages is sent.
    pub x_default: bool,
}

/// A part of a site with feeds of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub key: SectionKey,
    /// As people read it; the key where a locale has none.
    pub names: BTreeMap<LanguageTag, String>,
}

/// A section's name in addresses of its feeds: 1 to 63 of `a-z`, `0-9` and `-`, not first or last a `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SectionKey(String);

impl SectionKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SectionKey {
    type Err = SlugError;
    fn from_str(text: &str) -> Result<Self, SlugError> {
        text.parse::<TenantSlug>().map(|slug| Self(slug.into()))
    }
}

impl TryFrom<String> for SectionKey {
    type Error = SlugError;
    fn try_from(text: String) -> Result<Self, SlugError> {
        text.parse()
    }
}

impl From<SectionKey> for String {
    fn from(key: SectionKey) -> Self {
        key.0
    }
}

impl SiteSettings {
    /// What holds where only the locales are said.
    #[must_use]
    pub fn new(locales: Vec<Locale>) -> Self {
        Self {
            guid_host: locales.first().map(|locale| locale.base.host().to_owned()).unwrap_or_default(),
            locales,
            sections: Vec::new(),
            freshness_seconds: u32::try_from(FRESHNESS_DEFAULT.as_secs()).unwrap_or(u32::MAX),
            read_back: true,
            hub: None,
            indexnow: None,
            alerts: AlertSettings::default(),
        }
    }

    #[must_use]
    pub fn locale(&self, tag: &LanguageTag) -> Option<&Locale> {
        self.locales.iter().find(|locale| locale.tag == *tag)
    }

    /// Whether it is for all of the site, or for a section that is one of the site's.
    #[must_use]
    pub fn has(&self, target: &Target) -> bool {
        match target {
            Target::Section(key) => self.has_section(key),
            Target::Shard(_) | Target::News | Target::Feed | Target::Index => true,
        }
    }

    #[must_use]
    pub fn has_section(&self, key: &SectionKey) -> bool {
        self.sections.iter().any(|section| section.key == *key)
    }

    /// A section's name as people of a locale read it.
    #[must_use]
    pub fn section_name<'a>(&'a self, key: &'a SectionKey, tag: &LanguageTag) -> &'a str {
        let section = self.sections.iter().find(|section| section.key == *key);
        section.and_then(|section| section.names.get(tag)).map_or(key.as_str(), String::as_str)
    }

    /// What is wrong with it: where, as a JSON pointer, and what.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.locales.is_empty() || self.locales.len() > LOCALES_MAX {
            faults.push(("/locales".to_owned(), format!("a site has 1 to {LOCALES_MAX} locales")));
        }
        let (mut tags, mut bases) = (HashSet::new(), HashSet::new());
        for (at, locale) in self.locales.iter().enumerate() {
            if !tags.insert(&locale.tag) {
                faults.push((format!("/locales/{at}/tag"), format!("{} is there twice", locale.tag)));
            }
            if !bases.insert(locale.base.place()) {
                let words = format!("{} is there twice; each locale has a host or a path of its own", locale.base);
                faults.push((format!("/locales/{at}/base_url"), words));
            }
            if let Err(words) = judge_name(&locale.publication_name) {
                faults.push((format!("/locales/{at}/publication_name"), words));
            }
        }
        if self.locales.iter().filter(|locale| locale.x_default).count() > 1 {
            faults.push(("/locales".to_owned(), "one locale at most is x_default".to_owned()));
        }
        faults.extend(self.section_faults());
        if !(10..=86_400).contains(&self.freshness_seconds) {
            let words = format!("{} is not from 10 to 86400", self.freshness_seconds);
            faults.push(("/freshness_seconds".to_owned(), words));
        }
        faults
    }

    fn section_faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.sections.len() > SECTIONS_MAX {
            faults.push(("/sections".to_owned(), format!("a site has {SECTIONS_MAX} sections at most")));
        }
        let mut keys = HashSet::new();
        for (at, section) in self.sections.iter().enumerate() {
            if !keys.insert(&section.key) {
                faults.push((format!("/sections/{at}/key"), format!("{} is there twice", section.key.as_str())));
            }
            for (tag, name) in &section.names {
                let place = format!("/sections/{at}/names/{tag}");
                match (self.locale(tag), judge_name(name)) {
                    (None, _) => faults.push((place, format!("the site has no locale {tag}"))),
                    (Some(_), Err(words)) => faults.push((place, words)),
                    (Some(_), Ok(())) => {}
                }
            }
        }
        faults
    }
}

fn judge_name(name: &str) -> Result<(), String> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    match fits && !is_blank(name) {
        true => Ok(()),
        false => Err(format!("a name has 1 to {NAME_CHARS_MAX} characters that are seen")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(tag: &str, base: &str) -> Locale {
        Locale {
            tag: tag.parse().unwrap(),
            base: BaseUrl::parse(base).unwrap(),
            publication_name: "The News".to_owned(),
            time_zone: Zone::default(),
            x_default: false,
        }
    }

    #[test]
    fn a_site_whose_locales_cannot_be_told_apart_is_refused() {
        let (de, fr) = (locale("de", "https://a.example/de"), locale("fr", "https://a.example/fr/"));
        let good = SiteSettings::new(vec![de.clone(), fr.clone()]);
        assert_eq!(good.faults(), []);
        let faults = |locales: Vec<Locale>| {
            let faults = SiteSettings { locales, ..good.clone() }.faults();
            faults.into_iter().map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(faults(Vec::new()), ["/locales"]);
        assert_eq!(faults(vec![de.clone(), locale("de", "https://b.example")]), ["/locales/1/tag"]);
        assert_eq!(faults(vec![de.clone(), locale("en", "https://a.example/de/")]), ["/locales/1/base_url"]);
        let default = |locale: &Locale| Locale { x_default: true, ..locale.clone() };
        assert_eq!(faults(vec![default(&de), default(&fr)]), ["/locales"]);
        for unseen in [" ", "\u{200b}"] {
            let locale = Locale { publication_name: unseen.to_owned(), ..de.clone() };
            assert_eq!(faults(vec![locale]), ["/locales/0/publication_name"]);
        }
        let section = |key: &str, tag: &str| Section {
            key: key.parse().unwrap(),
            names: BTreeMap::from([(tag.parse().unwrap(), "Sport".to_owned())]),
        };
        let site = SiteSettings { sections: vec![section("sport", "fr"), section("sport", "en")], ..good };
        let places: Vec<String> = site.faults().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["/sections/1/key", "/sections/1/names/en"]);
    }
}
