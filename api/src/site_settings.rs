//! What a body says of a site's settings, and the rules it has to keep.

use std::collections::BTreeMap;

use postrider_core::domain::{
    egress::{EgressPolicy, EndpointUrl},
    email::EmailAddress,
    site::{
        alert::{AlertSettings, EMAILS_MAX},
        indexnow::{ENDPOINT, IndexNow, IndexNowKey},
        language::LanguageTag,
        permalink::BaseUrl,
        settings::{Locale, Section, SectionKey, SiteSettings, SiteSlug},
        zone::Zone,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    json::{Object, Patch, escape, or_absent},
    openapi::changed,
    problem::{Code, Faults, Problem},
};

/// One language of a site.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Locale)]
pub(crate) struct LocaleJson {
    /// BCP 47, as `hreflang` takes it: `pt-BR`.
    tag: String,
    /// A host or a path of its own, as in `https://example.com/pt`.
    base_url: String,
    publication_name: String,
    /// Of the IANA database, as in `Europe/Warsaw`: in it the times of pages are read that name no offset; absent: UTC. What is
    /// published says its times in UTC.
    #[serde(default = "utc")]
    time_zone: String,
    /// Where whoever has none of the site's languages is sent; one locale at most.
    #[serde(default)]
    x_default: bool,
}

/// A part of a site with feeds of its own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Section)]
pub(crate) struct SectionJson {
    /// 1 to 63 of a-z, 0-9 and `-`.
    key: String,
    /// By locale, as people read it; absent: the key.
    #[serde(default, deserialize_with = "or_absent")]
    names: BTreeMap<String, String>,
}

/// What search engines are told of changed pages with (IndexNow).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IndexNow)]
pub(crate) struct IndexNowJson {
    /// 8 to 128 of a-z, A-Z, 0-9 and `-`; public below each locale's base as `KEY.txt`.
    key: String,
    /// Absent: `https://api.indexnow.org/indexnow`, which tells all engines.
    endpoint: Option<String>,
}

/// Whom a site's alerts go to, beside endpoints that subscribe to `site.alert`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SiteAlertSettings)]
pub(crate) struct AlertsJson {
    /// Up to 20; they go by the mail server of the setting `smtp_url`.
    #[serde(default, deserialize_with = "or_absent")]
    emails: Vec<String>,
    /// An incoming webhook of Slack's, or of what takes the same.
    slack_url: Option<String>,
}

/// What a body may say of a site. [`NewSite`] and [`SiteRequest`] say which of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Given {
    /// 1 to 63 of a-z, 0-9 and `-`.
    #[serde(default)]
    #[schema(value_type = String)]
    slug: Patch<String>,
    #[schema(value_type = Vec<LocaleJson>)]
    locales: Vec<Object<LocaleJson>>,
    #[serde(default, deserialize_with = "or_absent")]
    #[schema(value_type = Option<Vec<SectionJson>>)]
    sections: Vec<Object<SectionJson>>,
    /// Within how many seconds a change is to be public, 10 to 86,400; absent: 300.
    freshness_seconds: Option<u32>,
    /// Whether what is published is read back from its public address before it counts as public; absent: true.
    read_back: Option<bool>,
    /// A WebSub hub: feeds name it, and it is told when they change.
    hub: Option<String>,
    #[schema(value_type = Option<IndexNowJson>)]
    indexnow: Option<Object<IndexNowJson>>,
    #[schema(value_type = Option<AlertsJson>)]
    alerts: Option<Object<AlertsJson>>,
}

/// The body that makes a site.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct NewSite(Given);

/// The body that replaces what is set for a site. Its slug is in the address.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct SiteRequest(Given);

fn utc() -> String {
    Zone::default().into()
}

impl From<Locale> for LocaleJson {
    fn from(Locale { tag, base, publication_name, time_zone, x_default }: Locale) -> Self {
        let (tag, base_url) = (tag.to_string(), base.to_string());
        Self { tag, base_url, publication_name, time_zone: time_zone.into(), x_default }
    }
}

impl From<Section> for SectionJson {
    fn from(Section { key, names }: Section) -> Self {
        Self { key: key.into(), names: names.into_iter().map(|(tag, name)| (tag.to_string(), name)).collect() }
    }
}

impl From<IndexNow> for IndexNowJson {
    fn from(IndexNow { key, endpoint }: IndexNow) -> Self {
        Self { key: key.to_string(), endpoint: Some(endpoint.as_str().to_owned()) }
    }
}

impl From<AlertSettings> for AlertsJson {
    fn from(AlertSettings { emails, slack_url }: AlertSettings) -> Self {
        let emails = emails.into_iter().map(String::from).collect();
        Self { emails, slack_url: slack_url.map(|url| url.as_str().to_owned()) }
    }
}

impl NewSite {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(self, egress: &EgressPolicy) -> Result<(SiteSlug, SiteSettings), Problem> {
        let Self(mut given) = self;
        let required = |detail: &str| Problem::at(Code::InvalidBody, "/slug".to_owned(), detail);
        let slug = match std::mem::take(&mut given.slug) {
            Patch::Set(slug) => slug,
            Patch::Null => return Err(required("/slug is required; null is no value for it")),
            Patch::Absent => return Err(required("/slug is required")),
        };
        let mut faults = Faults::default();
        let slug = faults.keep("/slug", slug.parse::<SiteSlug>());
        let settings = given.check(egress, &mut faults);
        slug.zip(settings).ok_or_else(|| faults.problem())
    }
}

impl SiteRequest {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(self, egress: &EgressPolicy) -> Result<SiteSettings, Problem> {
        let Self(given) = self;
        let mut faults = Faults::default();
        if given.slug != Patch::Absent {
            faults.add("/slug", "a site's slug is in the address of the call; leave it out");
        }
        let settings = given.check(egress, &mut faults);
        settings.ok_or_else(|| faults.problem())
    }
}

impl PartialSchema for NewSite {
    fn schema() -> RefOr<Schema> {
        changed::<Given>(|object| {
            object.description = Some("A site to be made.".to_owned());
            object.required.insert(0, "slug".to_owned());
        })
    }
}

impl PartialSchema for SiteRequest {
    fn schema() -> RefOr<Schema> {
        changed::<Given>(|object| {
            object.description = Some("What is set for a site.".to_owned());
            object.properties.remove("slug");
        })
    }
}

impl ToSchema for NewSite {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Given::schemas(schemas);
    }
}

impl ToSchema for SiteRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Given::schemas(schemas);
    }
}

impl Given {
    fn check(self, egress: &EgressPolicy, faults: &mut Faults) -> Option<SiteSettings> {
        let mut locales = Vec::new();
        for (at, Object(locale)) in self.locales.into_iter().enumerate() {
            let tag = faults.keep(&format!("/locales/{at}/tag"), locale.tag.parse::<LanguageTag>());
            let base = faults.keep(&format!("/locales/{at}/base_url"), BaseUrl::parse(&locale.base_url));
            let zone = faults.keep(&format!("/locales/{at}/time_zone"), locale.time_zone.parse::<Zone>());
            let LocaleJson { publication_name, x_default, .. } = locale;
            let places = tag.zip(base).zip(zone);
            locales.extend(places.map(|((tag, base), time_zone)| Locale {
                tag,
                base,
                publication_name,
                time_zone,
                x_default,
            }));
        }
        let mut sections = Vec::new();
        for (at, Object(section)) in self.sections.into_iter().enumerate() {
            let key = faults.keep(&format!("/sections/{at}/key"), section.key.parse::<SectionKey>());
            let mut names = BTreeMap::new();
            for (tag, name) in section.names {
                let place = format!("/sections/{at}/names/{}", escape(&tag));
                names.extend(faults.keep(&place, tag.parse::<LanguageTag>()).zip(Some(name)));
            }
            sections.extend(key.map(|key| Section { key, names }));
        }
        let hub = self.hub.and_then(|hub| faults.keep("/hub", EndpointUrl::parse(&hub, egress)));
        let indexnow = self.indexnow.and_then(|Object(asked)| asked.check(egress, faults));
        let alerts = self.alerts.map(|Object(asked)| asked.check(egress, faults)).unwrap_or_default();
        if !faults.is_empty() {
            return None;
        }
        let usual = SiteSettings::new(locales);
        let settings = SiteSettings {
            sections,
            freshness_seconds: self.freshness_seconds.unwrap_or(usual.freshness_seconds),
            read_back: self.read_back.unwrap_or(usual.read_back),
            hub,
            indexnow,
            alerts,
            ..usual
        };
        for (place, words) in settings.faults() {
            faults.add(&place, words);
        }
        faults.is_empty().then_some(settings)
    }
}

impl IndexNowJson {
    fn check(self, egress: &EgressPolicy, faults: &mut Faults) -> Option<IndexNow> {
        let key = faults.keep("/indexnow/key", self.key.parse::<IndexNowKey>());
        let endpoint = self.endpoint.as_deref().unwrap_or(ENDPOINT);
        let endpoint = faults.keep("/indexnow/endpoint", EndpointUrl::parse(endpoint, egress));
        key.zip(endpoint).map(|(key, endpoint)| IndexNow { key, endpoint })
    }
}

impl AlertsJson {
    fn check(self, egress: &EgressPolicy, faults: &mut Faults) -> AlertSettings {
        faults.check("/alerts/emails", self.emails.len() <= EMAILS_MAX, format!("a site has at most {EMAILS_MAX}"));
        let emails = faults.keep_all("/alerts/emails", self.emails, |text| text.parse::<EmailAddress>());
        let slack_url =
            self.slack_url.and_then(|url| faults.keep("/alerts/slack_url", EndpointUrl::parse(&url, egress)));
        AlertSettings { emails, slack_url }
    }
}
