//! Sites: how soon their changes are public in each language, what was published, and what waits for somebody.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        site::{alert::Cause, media::MediaState, settings::Site},
    },
    store::{Clock, Hold, MediaFilter, MediaPage, Page, PublishedFile, QuarantinePage, SiteAlert, SitePublication},
};

use crate::{
    Dashboard, filters,
    moment::{Moment, exactly, length},
    page::{Frame, Refusal, Section, Shown, base, show},
    pager::Pager,
    site_holds::{HoldLine, seen},
    site_quarantine::QuarantineLine,
    visit::{Deed, Visit},
};

/// Sites of one page, and publications of one.
const ROWS: u32 = 50;
/// Rows of the other lists on a site's page.
const SOME: u32 = 20;
/// Sitemaps that are held, of which a large site may have thousands.
const HOLDS: usize = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/sites", get(sites))
        .route("/sites/{site}", get(site))
        .route("/sites/{site}/regenerate", post(regenerate))
        .route("/sites/{site}/rewrite", post(rewrite))
        .route("/sites/{site}/publications/{id}", get(publication))
}

#[derive(Template)]
#[template(path = "sites.html")]
struct SitesPage {
    frame: Frame,
    rows: Vec<Line>,
    pager: Pager,
}

/// A site in the list.
struct Line {
    slug: String,
    locales: usize,
    state: State,
    waits: Option<Moment>,
    alerts: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "site.html")]
struct SitePage {
    frame: Frame,
    slug: String,
    promised: String,
    read_back: bool,
    has_pages: bool,
    stale: u64,
    clocks: Vec<ClockLine>,
    /// The first of them.
    holds: Vec<HoldLine>,
    more_holds: usize,
    all_confirmed: bool,
    /// What a confirmation is of: all of them.
    seen: String,
    alerts: Vec<AlertLine>,
    publications: Vec<PublicationLine>,
    pager: Pager,
    quarantined: Vec<QuarantineLine>,
    more_quarantined: bool,
    media: Vec<(String, String)>,
    more_media: bool,
}

#[derive(Template)]
#[template(path = "site_publication.html")]
struct PublicationPage {
    frame: Frame,
    slug: String,
    line: PublicationLine,
    read_back: bool,
    files: Vec<FileLine>,
}

/// How a locale, or a site, keeps its promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    InTime,
    Waits,
    /// A person is asked first.
    Held,
    /// Half of the time is over.
    Soon,
    Late,
}

struct ClockLine {
    locale: String,
    zone: String,
    state: State,
    waits: Option<There>,
    last_read: Option<There>,
    /// Half of all changes, 95 of 100, and the slowest.
    waited: Option<[String; 3]>,
}

/// A time, and what clocks of a locale showed then.
struct There {
    moment: Moment,
    clock: String,
}

struct AlertLine {
    cause: &'static str,
    detail: String,
    raised: Moment,
    over: Option<Moment>,
}

pub(crate) struct PublicationLine {
    pub(crate) id: String,
    locale: String,
    files: u64,
    urls: u64,
    bytes: u64,
    pub(crate) published: Option<Moment>,
    /// From the oldest change until it was in its place, and until it was read back.
    pub(crate) placed_after: Option<String>,
    pub(crate) read_after: Option<String>,
}

struct FileLine {
    name: String,
    bytes: u64,
    urls: u32,
    gone: bool,
}

impl State {
    fn of(waits: Option<UnixMs>, is_held: bool, site: &Site, now: UnixMs) -> Self {
        let promised = i64::from(site.settings.freshness_seconds) * 1_000;
        match waits.map(|since| now.0 - since.0) {
            None => Self::InTime,
            Some(waited) if waited >= promised => Self::Late,
            Some(_) if is_held => Self::Held,
            Some(waited) if waited >= promised / 2 => Self::Soon,
            Some(_) => Self::Waits,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::InTime => "all public",
            Self::Waits => "changes on their way",
            Self::Held => "held until somebody confirms",
            Self::Soon => "half of the time is over",
            Self::Late => "late",
        }
    }

    /// As jobs that stand alike look.
    const fn class(self) -> &'static str {
        match self {
            Self::InTime => "succeeded",
            Self::Waits => "running",
            Self::Soon | Self::Held => "retrying",
            Self::Late => "dead",
        }
    }
}

impl ClockLine {
    fn of(clock: &Clock, holds: &[Hold], site: &Site, now: UnixMs) -> Self {
        let waited = clock.waited;
        let zone = site.settings.locale(&clock.locale).map(|locale| locale.time_zone.clone()).unwrap_or_default();
        let there = |at: UnixMs| There { moment: Moment::of(at, now), clock: zone.shown(at) };
        let is_held = holds.iter().any(|hold| !hold.confirmed && hold.mark.0 == clock.locale);
        let shown = |time: std::time::Duration| length(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Self {
            locale: clock.locale.to_string(),
            zone: zone.to_string(),
            state: State::of(clock.waiting_since, is_held, site, now),
            waits: clock.waiting_since.map(there),
            last_read: clock.last_read_at.map(there),
            waited: (waited.publications > 0).then(|| [waited.p50, waited.p95, waited.max].map(shown)),
        }
    }
}

impl PublicationLine {
    pub(crate) fn of(one: &SitePublication, now: UnixMs) -> Self {
        let after = |at: UnixMs| length(u64::try_from(at.0 - one.accepted_at.0).unwrap_or(0));
        Self {
            id: one.id.to_string(),
            locale: one.locale.to_string(),
            files: one.files,
            urls: one.urls,
            bytes: one.bytes,
            published: one.published_at.map(|at| Moment::of(at, now)),
            placed_after: one.published_at.map(after),
            read_after: one.read_at.map(after),
        }
    }
}

impl AlertLine {
    fn of(alert: SiteAlert, now: UnixMs) -> Self {
        Self {
            cause: alert.cause.as_str(),
            detail: alert.detail,
            raised: Moment::of(alert.raised_at, now),
            over: alert.recovered_at.map(|at| Moment::of(at, now)),
        }
    }
}

impl From<PublishedFile> for FileLine {
    fn from(file: PublishedFile) -> Self {
        Self { name: file.name, bytes: file.bytes, urls: file.urls, gone: file.gone }
    }
}

async fn sites(visit: Visit) -> Shown {
    let before = visit.query.before::<Id<Site>>()?;
    let (scope, store) = (visit.scope(), &visit.dashboard.store);
    let listed = scope.sites(&Page { before, limit: ROWS }).await?;
    let pager = Pager::of(&visit.query, &listed);
    let mut rows = Vec::new();
    for site in &listed.rows {
        let waits = store.site_waiting(site.id, visit.now).await?.into_values().min();
        let alerts = scope.site_alerts(site, &Page { before: None, limit: SOME }).await?.rows;
        let open: Vec<Cause> =
            alerts.iter().filter(|alert| alert.recovered_at.is_none()).map(|alert| alert.cause).collect();
        rows.push(Line {
            slug: site.slug.to_string(),
            locales: site.settings.locales.len(),
            state: State::of(waits, open.contains(&Cause::Held), site, visit.now),
            waits: waits.map(|at| Moment::of(at, visit.now)),
            alerts: open.into_iter().map(Cause::as_str).collect(),
        });
    }
    show(&SitesPage { frame: Frame::of(&visit, Section::Sites, "Sites"), rows, pager })
}

pub(crate) async fn find(visit: &Visit, slug: &str) -> Result<Site, Refusal> {
    let slug = slug.parse().map_err(|_| Refusal::NotFound("site"))?;
    visit.scope().site(&slug).await?.ok_or(Refusal::NotFound("site"))
}

async fn site(visit: Visit, Path((_, slug)): Path<(String, String)>) -> Shown {
    let site = find(&visit, &slug).await?;
    let (scope, store, now) = (visit.scope(), &visit.dashboard.store, visit.now);
    let before = visit.query.before::<Id<SitePublication>>()?;
    let listed = scope.site_publications(&site, None, &Page { before, limit: ROWS }).await?;
    let clocks = store.site_clocks(&site, now).await?;
    let holds = store.site_holds(site.id).await?;
    let alerts = scope.site_alerts(&site, &Page { before: None, limit: SOME }).await?.rows;
    let quarantine = QuarantinePage { locale: None, field: None, after: None, limit: SOME };
    let (quarantined, more) = scope.quarantined(&site, &quarantine).await?;
    let bad = MediaPage { filter: Some(MediaFilter::State(MediaState::Bad)), after: None, limit: SOME };
    let (media, more_media) = scope.site_media_list(&site, &bad).await?;
    let quarantined = quarantined.into_iter().map(|one| QuarantineLine::of(one, now));
    show(&SitePage {
        frame: Frame::of(&visit, Section::Sites, format!("Site {}", site.slug)),
        slug: site.slug.to_string(),
        promised: exactly(u64::from(site.settings.freshness_seconds) * 1_000),
        read_back: site.settings.read_back,
        has_pages: store.has_site_pages(site.id).await?,
        stale: store.site_stale_count(site.id).await?,
        clocks: clocks.iter().map(|clock| ClockLine::of(clock, &holds, &site, now)).collect(),
        holds: holds.iter().take(HOLDS).map(|hold| HoldLine::of(hold, now)).collect(),
        more_holds: holds.len().saturating_sub(HOLDS),
        all_confirmed: holds.iter().all(|hold| hold.confirmed),
        seen: seen(&holds),
        alerts: alerts.into_iter().map(|alert| AlertLine::of(alert, now)).collect(),
        pager: Pager::of(&visit.query, &listed),
        publications: listed.rows.iter().map(|one| PublicationLine::of(one, now)).collect(),
        quarantined: quarantined.collect(),
        more_quarantined: more.is_some(),
        media: media.into_iter().map(|one| (one.url, one.fault.unwrap_or_default())).collect(),
        more_media,
    })
}

async fn publication(visit: Visit, Path((_, slug, id)): Path<(String, String, String)>) -> Shown {
    let site = find(&visit, &slug).await?;
    let id: Id<SitePublication> = id.parse().map_err(|_| Refusal::NotFound("publication"))?;
    let store = &visit.dashboard.store;
    let found = store.site_publication(id).await?.filter(|(of, _)| *of == site.id);
    let (_, publication) = found.ok_or(Refusal::NotFound("publication"))?;
    let files = store.published_files(id).await?;
    show(&PublicationPage {
        frame: Frame::of(&visit, Section::Sites, "Publication"),
        slug: site.slug.to_string(),
        line: PublicationLine::of(&publication, visit.now),
        read_back: site.settings.read_back,
        files: files.into_iter().map(FileLine::from).collect(),
    })
}

async fn regenerate(Path((_, slug)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    make_again(&visit, &slug, false).await
}

async fn rewrite(Path((_, slug)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    make_again(&visit, &slug, true).await
}

async fn make_again(visit: &Visit, slug: &str, rewrite: bool) -> Shown {
    let site = find(visit, slug).await?;
    let asked = visit.scope().regenerate_site(&site, rewrite, visit.now).await?;
    visit.dashboard.dispatcher.regenerate(&asked).await;
    Ok(Redirect::to(&format!("{}/sites/{}", base(&visit.tenant), site.slug)).into_response())
}
