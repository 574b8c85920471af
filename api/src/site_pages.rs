//! `/v1/sites/{site}/pages`: pages as translation groups, one at a time or many.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json as Answer, extract::FromRequestParts, http::request::Parts, response::Response};
use postrider_core::{
    domain::{
        UnixMs,
        site::{
            draft::{Draft, judge},
            page::{Enclosure, Page, PageKey, PageKeyError, Quarantined, Translation},
            settings::Site,
        },
    },
    store::PutPage,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish, ReadPublished},
    json::{Object, PagesJson, or_absent},
    problem::{Code, Problem},
    sites::find,
    state::ApiState,
    wire::accepted,
};

/// Pages of one batch.
const BATCH_PAGES_MAX: usize = 1_000;
const NO_TRANSLATION: &str = "a page has a translation at least";

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(put_page, get_page, delete_page))
        .routes(routes!(delete_translation))
        .routes(routes!(put_pages))
}

/// A page: all of its translations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageRequest {
    /// By locale; one at least.
    #[schema(value_type = BTreeMap<String, TranslationJson>)]
    translations: BTreeMap<String, Object<TranslationJson>>,
}

/// A page of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchPage {
    /// 1 to 255 bytes.
    key: String,
    /// By locale; one at least, but of a page that is removed, which has none.
    #[serde(default, deserialize_with = "or_absent")]
    #[schema(value_type = Option<BTreeMap<String, TranslationJson>>)]
    translations: BTreeMap<String, Object<TranslationJson>>,
    /// The page goes, with all of its translations; where there is no such page, nothing changes. Absent: false.
    #[serde(default, deserialize_with = "or_absent")]
    #[schema(value_type = Option<bool>)]
    removed: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageBatch {
    #[schema(value_type = Vec<BatchPage>, max_items = 1000)]
    pages: Vec<Object<BatchPage>>,
}

/// One language of a page. Of `summary`, `content`, `author`, `updated_at`, `section` and `image`, a text that is empty or blank is
/// taken for one that was left out.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Translation)]
pub(crate) struct TranslationJson {
    /// Absolute, or a path below the locale's base; in whatever spelling, kept in its canonical one, and as a path: where the
    /// locale moves to another base, its pages do.
    url: String,
    title: String,
    summary: Option<String>,
    /// HTML.
    content: Option<String>,
    author: Option<String>,
    /// RFC 3339; or without an offset, as in `2026-01-31T12:00:00`, `2026-01-31T12:00` or `2026-01-31`, in the locale's time zone.
    published_at: String,
    /// In the same forms; absent: as it was published. One that is still to come is taken for now, and of a page that is published
    /// later for when that is.
    updated_at: Option<String>,
    /// A section's key. It has feeds where the site's settings have it.
    section: Option<String>,
    /// An absolute address.
    image: Option<String>,
    #[schema(value_type = Option<EnclosureJson>)]
    enclosure: Option<Object<EnclosureJson>>,
    /// Search engines are to find it; absent: true.
    #[serde(default = "yes")]
    indexable: bool,
    /// It belongs into the news sitemap; absent: false.
    #[serde(default)]
    news: bool,
}

/// A file that goes with an item of a feed.
#[derive(Debug, Serialize, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Enclosure)]
pub(crate) struct EnclosureJson {
    url: String,
    /// A media type.
    r#type: Option<String>,
    /// In bytes.
    length: Option<u64>,
}

/// A page as it is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub(crate) struct PageJson {
    key: String,
    translations: BTreeMap<String, TranslationJson>,
}

/// What came of a page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageAccepted {
    key: String,
    /// Translations that are not published, and why. All others are.
    quarantined: Vec<QuarantinedJson>,
    /// Sections that its translations name and the site's settings do not: they have no feeds until these do.
    unknown_sections: BTreeSet<String>,
}

/// A translation that is not published.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantined)]
pub(crate) struct QuarantinedJson {
    locale: String,
    field: &'static str,
    reason: String,
}

/// What came of many pages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAccepted {
    /// Pages that are not as they were.
    changed: usize,
    /// In the order of the batch.
    results: Vec<PageAccepted>,
}

const fn yes() -> bool {
    true
}

impl From<TranslationJson> for Draft {
    fn from(json: TranslationJson) -> Self {
        let TranslationJson { url, title, summary, content, author, published_at, updated_at, section, .. } = json;
        let enclosure = json.enclosure.map(|Object(enclosure)| Enclosure {
            url: enclosure.url,
            media_type: enclosure.r#type,
            length: enclosure.length,
        });
        let TranslationJson { image, indexable, news, .. } = json;
        Self {
            url,
            title,
            summary,
            content,
            author,
            published_at,
            updated_at,
            section,
            image,
            enclosure,
            indexable,
            news,
        }
    }
}

impl TranslationJson {
    fn of(site: &Site, translation: Translation) -> Option<(String, Self)> {
        let Translation { link, text } = translation;
        let locale = site.settings.locale(&link.locale)?;
        let enclosure = text.enclosure.map(|enclosure| {
            Object(EnclosureJson { url: enclosure.url, r#type: enclosure.media_type, length: enclosure.length })
        });
        let json = Self {
            url: link.permalink(&locale.base).to_string(),
            title: text.title,
            summary: text.summary,
            content: text.content,
            author: text.author,
            published_at: link.published_at.to_string(),
            updated_at: Some(link.updated_at.to_string()),
            section: link.section.map(String::from),
            image: link.image,
            enclosure,
            indexable: link.indexable,
            news: link.news,
        };
        Some((link.locale.to_string(), json))
    }
}

impl PageAccepted {
    fn of(site: &Site, put: &PutPage) -> Self {
        Self {
            key: put.page.key.to_string(),
            quarantined: put.quarantined.iter().map(QuarantinedJson::of).collect(),
            unknown_sections: put.page.unknown_sections(&site.settings).map(|key| key.as_str().to_owned()).collect(),
        }
    }

    const fn gone(key: String) -> Self {
        Self { key, quarantined: Vec::new(), unknown_sections: BTreeSet::new() }
    }
}

impl QuarantinedJson {
    pub(crate) fn of(one: &Quarantined) -> Self {
        Self { locale: one.locale.clone(), field: one.field, reason: one.reason.clone() }
    }
}

/// A page's place: its site's slug, its key, and a locale where one is named.
pub(crate) struct PagePath {
    site: String,
    key: PageKey,
    locale: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for PagePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let axum::extract::Path(mut path) =
            path.map_err(|_| Problem::new(Code::NotFound, "the path is not understood"))?;
        let key = path.remove("key").unwrap_or_default();
        let key = key.parse().map_err(|error| Problem::of_parameter(Code::BadParameter, "key", error))?;
        Ok(Self { site: path.remove("site").unwrap_or_default(), key, locale: path.remove("locale") })
    }
}

impl BatchPage {
    /// The page as it can be put in place of what was there; `place` is where it stands in the body.
    ///
    /// # Errors
    /// 422 for a key that is none, and where it is not said whether the page is put or removed, or both is.
    pub(crate) fn judged(self, site: &Site, place: &str, now: UnixMs) -> Result<PutPage, Problem> {
        let refused = |member, detail: String| Problem::at(Code::InvalidBody, format!("{place}/{member}"), detail);
        let key = self.key.parse().map_err(|error: PageKeyError| refused("key", error.to_string()))?;
        match (self.removed, self.translations.is_empty()) {
            (true, true) => Ok(PutPage::removal(key)),
            (true, false) => Err(refused("removed", "a page that is removed has no translations".to_owned())),
            (false, true) => Err(refused("translations", format!("{NO_TRANSLATION}; \"removed\": true removes it"))),
            (false, false) => Ok(put(site, key, self.translations, now)),
        }
    }
}

fn put(site: &Site, key: PageKey, translations: BTreeMap<String, Object<TranslationJson>>, now: UnixMs) -> PutPage {
    let drafts = translations.into_iter().map(|(tag, Object(json))| (tag, Draft::from(json))).collect();
    let (page, quarantined) = judge(&site.settings, key, drafts, now);
    PutPage { page, quarantined }
}

/// Puts a page in place of what was there. Answers once it is durable; what of it cannot be published is in the answer.
#[utoipa::path(put, path = "/v1/sites/{site}/pages/{key}", tag = "sites",
    params(("site" = String, Path), ("key" = String, Path)), request_body = PageRequest,
    responses((status = 202, body = PageAccepted)))]
async fn put_page(
    caller: Caller<Publish>,
    path: PagePath,
    PagesJson(request): PagesJson<PageRequest>,
) -> Result<Response, Problem> {
    let site = find(&caller, &path.site).await?;
    if request.translations.is_empty() {
        let detail = format!("{NO_TRANSLATION}; DELETE /v1/sites/{{site}}/pages/{{key}} removes it");
        return Err(Problem::at(Code::InvalidBody, "/translations", detail));
    }
    let now = UnixMs::now();
    let put = put(&site, path.key, request.translations, now);
    let answer = PageAccepted::of(&site, &put);
    let changed = caller.scope().put_pages(&site, &[put], now).await?;
    caller.api.dispatcher().offer(changed.job.as_slice());
    Ok(accepted(answer))
}

/// Shows a page as it is kept.
#[utoipa::path(get, path = "/v1/sites/{site}/pages/{key}", tag = "sites",
    params(("site" = String, Path), ("key" = String, Path)), responses((status = 200, body = PageJson)))]
async fn get_page(caller: Caller<ReadPublished>, path: PagePath) -> Result<Answer<PageJson>, Problem> {
    let site = find(&caller, &path.site).await?;
    let Some(Page { key, translations }) = caller.scope().page(&site, &path.key).await? else {
        return Err(Problem::not_found("page"));
    };
    let translations = translations.into_iter().filter_map(|one| TranslationJson::of(&site, one)).collect();
    Ok(Answer(PageJson { key: key.to_string(), translations }))
}

/// Removes a page.
#[utoipa::path(delete, path = "/v1/sites/{site}/pages/{key}", tag = "sites",
    params(("site" = String, Path), ("key" = String, Path)), responses((status = 202, body = PageAccepted)))]
async fn delete_page(caller: Caller<Publish>, path: PagePath) -> Result<Response, Problem> {
    let site = find(&caller, &path.site).await?;
    let removed = caller.scope().delete_page(&site, &path.key, UnixMs::now()).await?;
    let Some(changed) = removed else { return Err(Problem::not_found("page")) };
    caller.api.dispatcher().offer(changed.job.as_slice());
    Ok(accepted(PageAccepted::gone(path.key.to_string())))
}

/// Removes one translation of a page; the page with its last one.
#[utoipa::path(delete, path = "/v1/sites/{site}/pages/{key}/translations/{locale}", tag = "sites",
    params(("site" = String, Path), ("key" = String, Path), ("locale" = String, Path)),
    responses((status = 202, body = PageAccepted)))]
async fn delete_translation(caller: Caller<Publish>, path: PagePath) -> Result<Response, Problem> {
    let site = find(&caller, &path.site).await?;
    let locale = path.locale.unwrap_or_default();
    let removed = caller.scope().delete_translation(&site, &path.key, &locale, UnixMs::now()).await?;
    let Some(changed) = removed else { return Err(Problem::not_found("translation")) };
    caller.api.dispatcher().offer(changed.job.as_slice());
    Ok(accepted(PageAccepted::gone(path.key.to_string())))
}

/// Puts up to 1,000 pages in place of what was there, or removes them, in one commit. Of the same key the last one counts.
#[utoipa::path(post, path = "/v1/sites/{site}/pages/batch", tag = "sites", params(("site" = String, Path)),
    request_body = PageBatch, responses((status = 202, body = BatchAccepted)))]
async fn put_pages(
    caller: Caller<Publish>,
    crate::path::TextRef(slug): crate::path::TextRef,
    PagesJson(request): PagesJson<PageBatch>,
) -> Result<Response, Problem> {
    let site = find(&caller, &slug).await?;
    if request.pages.len() > BATCH_PAGES_MAX {
        let detail = format!("a batch has at most {BATCH_PAGES_MAX} pages, not {}", request.pages.len());
        return Err(Problem::at(Code::BatchTooLarge, "/pages", detail));
    }
    let (mut pages, now) = (Vec::with_capacity(request.pages.len()), UnixMs::now());
    for (at, Object(page)) in request.pages.into_iter().enumerate() {
        pages.push(page.judged(&site, &format!("/pages/{at}"), now)?);
    }
    let changed = caller.scope().put_pages(&site, &pages, now).await?;
    caller.api.dispatcher().offer(changed.job.as_slice());
    let results = pages.iter().map(|put| PageAccepted::of(&site, put)).collect();
    Ok(accepted(BatchAccepted { changed: changed.changed, results }))
}
