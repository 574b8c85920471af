//! `/v1/sites/{site}/lint`, `/check-links` and `/robots`: what partners, redirect rules and search engines' programs would make
//! of a site.

use std::collections::BTreeMap;

use axum::Json as Answer;
use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::Target,
            language::LanguageTag,
            permalink::Permalink,
            preflight::{Finding, Level, judge_page, judge_rules},
            redirects::Redirects,
            settings::{Locale, Site},
        },
    },
    site::{Newest, Partner, Refusal, sitemap_lines},
    store::Store,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    json::Json,
    page::Params,
    path::TextRef,
    problem::{Code, Faults, Problem},
    sites::find,
    state::ApiState,
};

/// Pages, newest first, that are looked at for one locale's newest items.
const LINTED_PAGES: u32 = 1_100;
/// Pages, newest first, whose addresses are tried where none are named, and addresses that may be named.
const TRIED_PAGES: u32 = 1_000;
const ADDRESSES_MAX: usize = 20_000;
/// Rules of one check.
const RULES_MAX: usize = 5_000;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(lint)).routes(routes!(check_links)).routes(routes!(robots))
}

/// Something that a partner would refuse, leave out or take apart.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PartnerRefusal)]
pub(crate) struct RefusalJson {
    rule: &'static str,
    /// The page; null: all of the locale.
    key: Option<String>,
    url: Option<String>,
    what: String,
    /// What to do.
    fix: &'static str,
    /// Where the partner says so.
    source: &'static str,
}

/// All that a partner would refuse of a locale's newest items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartnerRefusals {
    partner: &'static str,
    locale: String,
    data: Vec<RefusalJson>,
}

/// Redirect rules to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkCheck {
    /// Lines of `exact|prefix|regex FROM TO`, in the order in which the server tries them; 5,000 at most.
    redirects: String,
    /// Addresses of pages, 20,000 at most; absent: those of the site's newest 1,000 pages.
    addresses: Option<Vec<String>>,
}

/// A fault of redirect rules.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LinkFinding)]
pub(crate) struct FindingJson {
    /// As in `redirect-loop`.
    code: &'static str,
    /// `error`, `warning` or `note`.
    level: &'static str,
    path: String,
    /// Of the rules, from 1.
    line: Option<usize>,
    message: String,
}

/// What redirect rules do to pages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkReport {
    /// Addresses that were tried.
    pages: usize,
    rules: usize,
    findings: Vec<FindingJson>,
}

/// A host's lines for its `robots.txt`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RobotsLines)]
pub(crate) struct RobotsJson {
    host: String,
    /// To be added to the host's `robots.txt` as they are.
    lines: String,
}

/// The lines of all hosts of a site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Robots)]
pub(crate) struct RobotsList {
    data: Vec<RobotsJson>,
}

impl From<Refusal> for RefusalJson {
    fn from(one: Refusal) -> Self {
        let Refusal { rule, key, url, what, fix, source } = one;
        Self { rule, key, url, what, fix, source }
    }
}

impl From<Finding> for FindingJson {
    fn from(finding: Finding) -> Self {
        let level = match finding.what.level() {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        let (code, message) = (finding.what.code(), finding.what.to_string());
        Self { code, level, path: finding.path, line: finding.line, message }
    }
}

/// Says what a partner would refuse of a locale's newest items, by the rules that it has published.
#[utoipa::path(get, path = "/v1/sites/{site}/lint", tag = "sites", params(("site" = String, Path),
    ("partner" = String, Query, description = "`google-news`, `msn` or `flipboard`."), ("locale" = String, Query)),
    responses((status = 200, body = PartnerRefusals)))]
async fn lint(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    mut params: Params,
) -> Result<Answer<PartnerRefusals>, Problem> {
    let site = find(&caller, &slug).await?;
    let absent = |name: &str| Problem::of_parameter(Code::BadParameter, name, "it is needed");
    let partner: Partner = params.parsed("partner", str::parse)?.ok_or_else(|| absent("partner"))?;
    let tag: LanguageTag = params.parsed("locale", str::parse)?.ok_or_else(|| absent("locale"))?;
    params.end()?;
    let unknown = || Problem::of_parameter(Code::BadParameter, "locale", format!("the site has no locale {tag}"));
    let locale = site.settings.locale(&tag).ok_or_else(unknown)?;
    let refused = refused(caller.api.store(), &site, locale, partner).await?;
    Ok(Answer(PartnerRefusals { partner: partner.as_str(), locale: tag.to_string(), data: refused }))
}

async fn refused(store: &Store, site: &Site, locale: &Locale, partner: Partner) -> Result<Vec<RefusalJson>, Problem> {
    let (pages, _) = store.latest_pages(site.id, None, LINTED_PAGES).await?;
    let own = |one: &&postrider_core::domain::site::page::Translation| one.link.locale == locale.tag;
    let images: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.translations.iter().filter(own))
        .filter_map(|one| one.link.image.as_deref())
        .collect();
    let media = store.site_media(site.id, &images).await?;
    let newest = Newest { locale, pages: &pages, media: &media, now: UnixMs::now() };
    Ok(newest.refused_by(partner).into_iter().map(RefusalJson::from).collect())
}

/// Tries each page's address, in each spelling that browsers and programs make of it, against redirect rules. Nothing is
/// changed. `postrider site check-links` does the same without a server.
#[utoipa::path(post, path = "/v1/sites/{site}/check-links", tag = "sites", params(("site" = String, Path)),
    request_body = LinkCheck, responses((status = 200, body = LinkReport)))]
async fn check_links(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    Json(request): Json<LinkCheck>,
) -> Result<Answer<LinkReport>, Problem> {
    let site = find(&caller, &slug).await?;
    let rules = read_rules(&request.redirects)?;
    let pages = match request.addresses {
        Some(addresses) => read_addresses(&addresses)?,
        None => newest_addresses(caller.api.store(), &site).await?,
    };
    let count = rules.rules().len();
    let judged = tokio::task::spawn_blocking(move || {
        let mut findings = judge_rules(&rules);
        findings.extend(pages.iter().flat_map(|page| judge_page(&rules, page)));
        LinkReport { pages: pages.len(), rules: count, findings: findings.into_iter().map(Into::into).collect() }
    });
    let report = judged.await.map_err(|_| Problem::new(Code::Internal, "the check ended before it was done"))?;
    Ok(Answer(report))
}

fn read_rules(text: &str) -> Result<Redirects, Problem> {
    let mut faults = Faults::default();
    let rules = Redirects::parse(text).unwrap_or_else(|refused| {
        refused.iter().for_each(|refused| faults.add("/redirects", refused));
        Redirects::default()
    });
    let count = rules.rules().len();
    faults.check("/redirects", count <= RULES_MAX, format_args!("{count} rules; there may be {RULES_MAX}"));
    faults.result().map(|()| rules)
}

fn read_addresses(addresses: &[String]) -> Result<Vec<Permalink>, Problem> {
    let (mut faults, count) = (Faults::default(), addresses.len());
    faults.check("/addresses", count <= ADDRESSES_MAX, format_args!("{count} addresses; there may be {ADDRESSES_MAX}"));
    let mut pages = Vec::new();
    for (at, address) in addresses.iter().take(ADDRESSES_MAX).enumerate() {
        pages.extend(faults.keep(&format!("/addresses/{at}"), Permalink::parse(address)));
    }
    faults.result().map(|()| pages)
}

async fn newest_addresses(store: &Store, site: &Site) -> Result<Vec<Permalink>, Problem> {
    let (pages, _) = store.latest_pages(site.id, None, TRIED_PAGES).await?;
    let address = |one: &postrider_core::domain::site::page::Translation| {
        site.settings.locale(&one.link.locale).map(|locale| one.link.permalink(&locale.base))
    };
    Ok(pages.iter().flat_map(|page| &page.translations).filter_map(address).collect())
}

/// Lists the lines for the `robots.txt` of each of a site's hosts: its sitemap indexes that are public.
#[utoipa::path(get, path = "/v1/sites/{site}/robots", tag = "sites", params(("site" = String, Path)),
    responses((status = 200, body = RobotsList)))]
async fn robots(caller: Caller<Read>, TextRef(slug): TextRef) -> Result<Answer<RobotsList>, Problem> {
    let site = find(&caller, &slug).await?;
    let files = caller.api.store().site_files(site.id, &[Target::Index]).await?;
    let mut hosts: BTreeMap<&str, Vec<Permalink>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.gone) {
        let Some(locale) = site.settings.locale(&file.locale) else { continue };
        hosts.entry(locale.base.host()).or_default().push(locale.base.below(&format!("/{}", file.name)));
    }
    let show = |(host, sitemaps): (&str, Vec<Permalink>)| RobotsJson {
        host: host.to_owned(),
        lines: sitemap_lines(&sitemaps),
    };
    Ok(Answer(RobotsList { data: hosts.into_iter().map(show).collect() }))
}
