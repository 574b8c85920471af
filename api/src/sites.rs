//! `/v1/sites`: sites whose sitemaps and feeds are made here, and what is public of them.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        egress::{EgressPolicy, EndpointUrl},
        site::{
            alert::{AlertSettings, EMAILS_MAX, EmailAddress},
            indexnow::{ENDPOINT, IndexNow, IndexNowKey},
            language::LanguageTag,
            permalink::BaseUrl,
            settings::{Locale, Section, SectionKey, Site, SiteSettings, SiteSlug},
            zone::Zone,
        },
    },
    store::{Clock, Hold, Waited},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Needs, Operate, Read},
    json::{Json, Nothing, Object, OptionalJson, or_absent},
    page::{Listing, Paging, Params},
    path::TextRef,
    problem::{Faults, Problem},
    site_alerts, site_files, site_import, site_lint, site_media, site_pages, site_publications, site_quarantine,
    state::ApiState,
    wire::{Time, accepted, created},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, put, delete))
        .routes(routes!(regenerate))
        .routes(routes!(confirm))
        .merge(site_files::router())
        .merge(site_pages::router())
        .merge(site_import::router())
        .merge(site_publications::router())
        .merge(site_alerts::router())
        .merge(site_media::router())
        .merge(site_quarantine::router())
        .merge(site_lint::router())
}

/// A site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Site)]
pub(crate) struct SiteJson {
    #[schema(value_type = String)]
    id: Id<Site>,
    slug: String,
    locales: Vec<LocaleJson>,
    sections: Vec<SectionJson>,
    freshness_seconds: u32,
    read_back: bool,
    hub: Option<String>,
    indexnow: Option<IndexNowJson>,
    alerts: AlertsJson,
    created_at: Time,
    updated_at: Time,
    /// Of a single site only: what waits to be made again and published.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<u64>,
    /// Of a single site only: sitemaps that lost more than a fifth of their addresses at once. What was public stays so until
    /// `/confirm` says that it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Vec<HeldJson>>,
    /// Of a single site only.
    #[serde(skip_serializing_if = "Option::is_none")]
    clocks: Option<Vec<ClockJson>>,
}

/// Sitemaps that wait for a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Held)]
pub(crate) struct HeldJson {
    locale: String,
    target: String,
    /// Addresses that are public.
    urls_before: u32,
    /// Addresses that would be.
    urls_after: u32,
    since: Time,
}

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

/// The clock of a locale: how long changes wait from being accepted to being read back in public.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteClock)]
pub(crate) struct ClockJson {
    locale: String,
    /// When the oldest change was accepted that is not known to be public; null: none waits.
    waiting_since: Option<Time>,
    /// When something was read back last.
    last_read_at: Option<Time>,
    /// Milliseconds, of the last 200 publications that were read back; null before the first.
    p50_ms: Option<u64>,
    p95_ms: Option<u64>,
    max_ms: Option<u64>,
}

/// What is set for a site.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteRequest {
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

/// A site to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSite {
    /// 1 to 63 of a-z, 0-9 and `-`.
    slug: String,
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

/// What was held and is not any more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Confirmed {
    confirmed: usize,
}

/// How a site is made again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Regenerate {
    /// Publishes also what comes out as it was: for files that are not where they were, since `sites_url` has changed or
    /// somebody removed them.
    #[serde(default, deserialize_with = "or_absent")]
    #[schema(value_type = Option<bool>)]
    rewrite: bool,
}

/// What will be made again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Regenerating {
    /// The job that will; null where one waited already.
    job_id: Option<String>,
}

fn utc() -> String {
    Zone::default().into()
}

impl From<Site> for SiteJson {
    fn from(site: Site) -> Self {
        let locale = |locale: Locale| LocaleJson {
            tag: locale.tag.to_string(),
            base_url: locale.base.to_string(),
            publication_name: locale.publication_name,
            time_zone: locale.time_zone.into(),
            x_default: locale.x_default,
        };
        let section = |section: Section| SectionJson {
            key: section.key.into(),
            names: section.names.into_iter().map(|(tag, name)| (tag.to_string(), name)).collect(),
        };
        Self {
            id: site.id,
            slug: site.slug.to_string(),
            locales: site.settings.locales.into_iter().map(locale).collect(),
            sections: site.settings.sections.into_iter().map(section).collect(),
            freshness_seconds: site.settings.freshness_seconds,
            read_back: site.settings.read_back,
            hub: site.settings.hub.map(|hub| hub.as_str().to_owned()),
            indexnow: site.settings.indexnow.map(|indexnow| IndexNowJson {
                key: indexnow.key.to_string(),
                endpoint: Some(indexnow.endpoint.as_str().to_owned()),
            }),
            alerts: AlertsJson {
                emails: site.settings.alerts.emails.into_iter().map(String::from).collect(),
                slack_url: site.settings.alerts.slack_url.map(|url| url.as_str().to_owned()),
            },
            created_at: Time(site.created_at),
            updated_at: Time(site.updated_at),
            stale: None,
            held: None,
            clocks: None,
        }
    }
}

impl SiteRequest {
    fn read(self, egress: &EgressPolicy, faults: &mut Faults) -> Option<SiteSettings> {
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
                let place = format!("/sections/{at}/names/{}", crate::json::escape(&tag));
                names.extend(faults.keep(&place, tag.parse::<LanguageTag>()).zip(Some(name)));
            }
            sections.extend(key.map(|key| Section { key, names }));
        }
        let hub = self.hub.and_then(|hub| faults.keep("/hub", EndpointUrl::parse(&hub, egress)));
        let indexnow = self.indexnow.and_then(|Object(asked)| asked.read(egress, faults));
        let alerts = self.alerts.map(|Object(asked)| asked.read(egress, faults)).unwrap_or_default();
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
        Some(settings)
    }
}

impl IndexNowJson {
    fn read(self, egress: &EgressPolicy, faults: &mut Faults) -> Option<IndexNow> {
        let key = faults.keep("/indexnow/key", self.key.parse::<IndexNowKey>());
        let endpoint = self.endpoint.as_deref().unwrap_or(ENDPOINT);
        let endpoint = faults.keep("/indexnow/endpoint", EndpointUrl::parse(endpoint, egress));
        key.zip(endpoint).map(|(key, endpoint)| IndexNow { key, endpoint })
    }
}

impl AlertsJson {
    fn read(self, egress: &EgressPolicy, faults: &mut Faults) -> AlertSettings {
        faults.check("/alerts/emails", self.emails.len() <= EMAILS_MAX, format!("a site has at most {EMAILS_MAX}"));
        let emails = faults.keep_all("/alerts/emails", self.emails, |text| text.parse::<EmailAddress>());
        let slack_url =
            self.slack_url.and_then(|url| faults.keep("/alerts/slack_url", EndpointUrl::parse(&url, egress)));
        AlertSettings { emails, slack_url }
    }
}

impl From<Clock> for ClockJson {
    fn from(clock: Clock) -> Self {
        let Waited { p50, p95, max, publications } = clock.waited;
        let known =
            |waited: Duration| (publications > 0).then(|| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        Self {
            locale: clock.locale.to_string(),
            waiting_since: clock.waiting_since.map(Time),
            last_read_at: clock.last_read_at.map(Time),
            p50_ms: known(p50),
            p95_ms: known(p95),
            max_ms: known(max),
        }
    }
}

pub(crate) fn missing() -> Problem {
    Problem::not_found("site")
}

/// The caller's site of this slug.
///
/// # Errors
/// 404 where there is none.
pub(crate) async fn find<N: Needs>(caller: &Caller<N>, slug: &str) -> Result<Site, Problem> {
    let slug: SiteSlug = slug.parse().map_err(|_| missing())?;
    caller.scope().site(&slug).await?.ok_or_else(missing)
}

/// Creates a site.
#[utoipa::path(post, path = "/v1/sites", tag = "sites", request_body = NewSite,
    responses((status = 201, body = SiteJson)))]
async fn create(caller: Caller<Operate>, Json(request): Json<NewSite>) -> Result<Response, Problem> {
    let NewSite { slug, locales, sections, freshness_seconds, read_back, hub, indexnow, alerts } = request;
    let mut faults = Faults::default();
    let slug = faults.keep("/slug", slug.parse::<SiteSlug>());
    let request = SiteRequest { locales, sections, freshness_seconds, read_back, hub, indexnow, alerts };
    let settings = request.read(&caller.api.settings().egress, &mut faults);
    faults.result()?;
    let Some((slug, settings)) = slug.zip(settings) else { return Err(missing()) };
    let site = caller.scope().create_site(&slug, &settings, UnixMs::now()).await?;
    Ok(created(SiteJson::from(site)))
}

/// Lists sites, newest first.
#[utoipa::path(get, path = "/v1/sites", tag = "sites", params(Paging),
    responses((status = 200, body = Listing<SiteJson>)))]
async fn list(caller: Caller<Read>, params: Params) -> Result<Answer<Listing<SiteJson>>, Problem> {
    let listed = caller.scope().sites(&params.page()?).await?;
    Ok(Answer(Listing::of(listed, SiteJson::from)))
}

/// Shows a site.
#[utoipa::path(get, path = "/v1/sites/{site}", tag = "sites", params(("site" = String, Path)),
    responses((status = 200, body = SiteJson)))]
async fn get(caller: Caller<Read>, TextRef(slug): TextRef) -> Result<Answer<SiteJson>, Problem> {
    let site = find(&caller, &slug).await?;
    let stale = caller.api.store().site_stale_count(site.id).await?;
    let show = |hold: Hold| HeldJson {
        locale: hold.mark.0.to_string(),
        target: hold.mark.1.to_string(),
        urls_before: hold.urls_before,
        urls_after: hold.urls_after,
        since: Time(hold.since),
    };
    let held = caller.api.store().site_holds(site.id).await?.into_iter().map(show).collect();
    let clocks = caller.api.store().site_clocks(&site, UnixMs::now()).await?;
    let clocks = clocks.into_iter().map(ClockJson::from).collect();
    Ok(Answer(SiteJson { stale: Some(stale), held: Some(held), clocks: Some(clocks), ..SiteJson::from(site) }))
}

/// Replaces what is set for a site, or creates it. All of it is made again.
#[utoipa::path(put, path = "/v1/sites/{site}", tag = "sites", params(("site" = String, Path)),
    request_body = SiteRequest, responses((status = 200, body = SiteJson), (status = 201, body = SiteJson)))]
async fn put(
    caller: Caller<Operate>,
    TextRef(slug): TextRef,
    Json(request): Json<SiteRequest>,
) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let settings = request.read(&caller.api.settings().egress, &mut faults);
    faults.result()?;
    let (slug, settings) = slug.parse::<SiteSlug>().ok().zip(settings).ok_or_else(missing)?;
    let (scope, now) = (caller.scope(), UnixMs::now());
    let Some(site) = scope.site(&slug).await? else {
        return Ok(created(SiteJson::from(scope.create_site(&slug, &settings, now).await?)));
    };
    let settings = SiteSettings { guid_host: site.settings.guid_host.clone(), ..settings };
    let job = scope.update_site(&site, &settings, now).await?;
    caller.api.dispatcher().offer(job.as_slice());
    let site = Site { settings, updated_at: now, ..site };
    Ok(axum::response::IntoResponse::into_response(Answer(SiteJson::from(site))))
}

/// Removes a site with its pages. What is public stays where it is.
#[utoipa::path(delete, path = "/v1/sites/{site}", tag = "sites", params(("site" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Operate>, TextRef(slug): TextRef) -> Result<axum::http::StatusCode, Problem> {
    let site = find(&caller, &slug).await?;
    caller.scope().delete_site(&site).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Makes all of a site again. What comes out as it was is not published again, unless `rewrite` is true.
#[utoipa::path(post, path = "/v1/sites/{site}/regenerate", tag = "sites", params(("site" = String, Path)),
    request_body = Regenerate, responses((status = 202, body = Regenerating)))]
async fn regenerate(
    caller: Caller<Operate>,
    TextRef(slug): TextRef,
    OptionalJson(how): OptionalJson<Regenerate>,
) -> Result<Response, Problem> {
    let site = find(&caller, &slug).await?;
    let job = caller.scope().regenerate_site(&site, how.rewrite, UnixMs::now()).await?;
    caller.api.dispatcher().offer(job.as_slice());
    Ok(accepted(Regenerating { job_id: job.map(|job| job.id.to_string()) }))
}

/// Says that what is held of a site is right: it is made again and published.
#[utoipa::path(post, path = "/v1/sites/{site}/confirm", tag = "sites", params(("site" = String, Path)),
    responses((status = 202, body = Confirmed)))]
async fn confirm(
    caller: Caller<Operate>,
    TextRef(slug): TextRef,
    _: OptionalJson<Nothing>,
) -> Result<Response, Problem> {
    let site = find(&caller, &slug).await?;
    let (confirmed, job) = caller.scope().confirm_site(&site, UnixMs::now()).await?;
    caller.api.dispatcher().offer(job.as_slice());
    Ok(accepted(Confirmed { confirmed }))
}
