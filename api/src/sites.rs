//! `/v1/sites`: sites whose sitemaps and feeds are made here, and what is public of them.

use std::time::Duration;

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        site::settings::{Site, SiteSettings, SiteSlug},
    },
    store::{Clock, Waited},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Needs, Operate, Read},
    json::{Json, OptionalJson, or_absent},
    page::{Listing, Paging, Params},
    path::TextRef,
    problem::{Code, Problem},
    site_alerts, site_files,
    site_holds::{self, HeldJson},
    site_import, site_lint, site_media, site_pages, site_publications, site_quarantine,
    site_settings::{AlertsJson, IndexNowJson, LocaleJson, NewSite, SectionJson, SiteRequest},
    state::ApiState,
    wire::{Time, accepted, created},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, put, delete))
        .routes(routes!(regenerate))
        .merge(site_holds::router())
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
    /// Of a single site only: what waits to be made again and published, without what is held.
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

/// The clock of a locale: how long changes wait from being accepted to being read back in public.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteClock)]
pub(crate) struct ClockJson {
    locale: String,
    /// When the oldest change was accepted that is not known to be public, what is held included; null: none waits.
    waiting_since: Option<Time>,
    /// When something was read back last.
    last_read_at: Option<Time>,
    /// Milliseconds, of the last 200 publications that were read back; null before the first.
    p50_ms: Option<u64>,
    p95_ms: Option<u64>,
    max_ms: Option<u64>,
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
    /// The job that will; null where one waited already that is about to run.
    job_id: Option<String>,
}

impl From<Site> for SiteJson {
    fn from(site: Site) -> Self {
        let SiteSettings { locales, sections, freshness_seconds, read_back, hub, indexnow, alerts, .. } = site.settings;
        Self {
            id: site.id,
            slug: site.slug.to_string(),
            locales: locales.into_iter().map(LocaleJson::from).collect(),
            sections: sections.into_iter().map(SectionJson::from).collect(),
            freshness_seconds,
            read_back,
            hub: hub.map(|hub| hub.as_str().to_owned()),
            indexnow: indexnow.map(IndexNowJson::from),
            alerts: alerts.into(),
            created_at: Time(site.created_at),
            updated_at: Time(site.updated_at),
            stale: None,
            held: None,
            clocks: None,
        }
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
    let (slug, settings) = request.check(&caller.api.settings().egress)?;
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
    let held = caller.api.store().site_holds(site.id).await?.into_iter().map(HeldJson::from).collect();
    let clocks = caller.api.store().site_clocks(&site, UnixMs::now()).await?;
    let clocks = clocks.into_iter().map(ClockJson::from).collect();
    Ok(Answer(SiteJson { stale: Some(stale), held: Some(held), clocks: Some(clocks), ..SiteJson::from(site) }))
}

/// Replaces what is set for a site, or creates it. All of it is made again. Where a locale is set to another base, its files are
/// found at the former one as well, until another locale is set there.
///
/// A locale that is left out has its files no more, at once; where it has any, that has to be said in `remove_locales`.
#[utoipa::path(put, path = "/v1/sites/{site}", tag = "sites",
    params(("site" = String, Path),
        ("remove_locales" = Option<String>, Query, description = "Tags, with commas between: left out on purpose.")),
    request_body = SiteRequest, responses((status = 200, body = SiteJson), (status = 201, body = SiteJson)))]
async fn put(
    caller: Caller<Operate>,
    TextRef(slug): TextRef,
    mut params: Params,
    Json(request): Json<SiteRequest>,
) -> Result<Response, Problem> {
    let meant = params.text("remove_locales").unwrap_or_default();
    params.end()?;
    let slug: SiteSlug = slug
        .parse()
        .map_err(|error| Problem::new(Code::BadParameter, format_args!("{slug:?} is no site's: {error}")))?;
    let settings = request.check(&caller.api.settings().egress)?;
    let (scope, now) = (caller.scope(), UnixMs::now());
    let Some(site) = scope.site(&slug).await? else {
        return Ok(created(SiteJson::from(scope.create_site(&slug, &settings, now).await?)));
    };
    let left_out = site.settings.locales.iter().map(|locale| &locale.tag);
    let left_out = left_out
        .filter(|tag| settings.locale(tag).is_none() && !meant.split(',').any(|one| one.trim() == tag.as_str()));
    if let Some((tag, files)) = scope.public_locales(&site, &left_out.collect::<Vec<_>>()).await?.first() {
        let detail = format!(
            "the locale {tag} is left out, and {files} files of it are public, which would be gone at once; keep it among the \
            locales, or say that it is meant with ?remove_locales={tag}"
        );
        return Err(Problem::at(Code::LocaleIsPublic, "/locales", detail));
    }
    let settings = SiteSettings { guid_host: site.settings.guid_host.clone(), ..settings };
    let job = scope.update_site(&site, &settings, now).await?;
    caller.api.dispatcher().offer(job.as_slice());
    let site = Site { settings, updated_at: now, ..site };
    Ok(axum::response::IntoResponse::into_response(Answer(SiteJson::from(site))))
}

/// Removes a site with its pages. From then on 404 is answered for its files here. They stay in the folder or bucket of
/// `sites_url`, below the site's `id` and below `.before/` and its `id`, and whoever reads them there still does: remove both by
/// hand. With `remove_locales` of `PUT /v1/sites/{site}` a locale's files go by themselves.
#[utoipa::path(delete, path = "/v1/sites/{site}", tag = "sites", params(("site" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Operate>, TextRef(slug): TextRef) -> Result<axum::http::StatusCode, Problem> {
    let site = find(&caller, &slug).await?;
    caller.scope().delete_site(&site).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Makes all of a site again, at once, though it be left alone after regenerations that ended their processes. What comes out as
/// it was is not published again, unless `rewrite` is true.
#[utoipa::path(post, path = "/v1/sites/{site}/regenerate", tag = "sites", params(("site" = String, Path)),
    request_body = Regenerate, responses((status = 202, body = Regenerating)))]
async fn regenerate(
    caller: Caller<Operate>,
    TextRef(slug): TextRef,
    OptionalJson(how): OptionalJson<Regenerate>,
) -> Result<Response, Problem> {
    let site = find(&caller, &slug).await?;
    let asked = caller.scope().regenerate_site(&site, how.rewrite, UnixMs::now()).await?;
    caller.api.dispatcher().regenerate(&asked).await;
    Ok(accepted(Regenerating { job_id: asked.job().map(|job| job.id.to_string()) }))
}
