//! `/v1/sites/{site}/files`: what is public of a site, how it stands, and what changed in a file with its last publication.

use axum::{
    Json as Answer,
    extract::{Path, rejection::PathRejection},
};
use postrider_core::{
    domain::site::{language::LanguageTag, settings::Site},
    site::{Compared, EntryDiff, FileDiff, LineDiff},
    store::{FilePage, FileState, PublicFile, SiteFile},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    page::{Listing, Paging, Params, write_keys_cursor},
    path::TextRef,
    problem::{Code, Problem},
    sites::find,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(files)).routes(routes!(changes))
}

/// A file that is public.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteFile)]
pub(crate) struct FileJson {
    locale: String,
    url: String,
    /// Before compression.
    bytes: u64,
    /// Addresses or items in it.
    urls: u32,
    /// When its bytes changed.
    changed_at: Time,
    /// When the oldest change was accepted that is not in it; null: none waits.
    stale_since: Option<Time>,
    /// Since when it waits for `POST /v1/sites/{site}/confirm`, since it would lose too many addresses; null: it does not.
    held_since: Option<Time>,
    /// No index names it any more, and it is about to be removed.
    gone: bool,
}

/// What changed in a file with its last publication, by the addresses of its entries. Their order is no change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteFileChanges)]
pub(crate) struct ChangesJson {
    /// When each of both versions was made, in whole seconds.
    before_at: Time,
    after_at: Time,
    added: u32,
    removed: u32,
    changed: u32,
    /// Of what stands before the entries, as a feed's title.
    head: LinesJson,
    /// The first 200.
    entries: Vec<EntryJson>,
}

/// An entry that is in one version alone, or not the same in both.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteFileEntry)]
pub(crate) struct EntryJson {
    /// `changed`, `added` or `removed`.
    change: &'static str,
    /// Of its page; of an index, of its sitemap.
    url: String,
    /// Of one that changed.
    #[serde(flatten)]
    lines: LinesJson,
}

/// Lines of an entry, an element or a member in each, that are in one version alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteFileLines)]
pub(crate) struct LinesJson {
    /// The first 20, each with a sign before it: `-` it was there, `+` it is there now.
    lines: Vec<String>,
    /// How many there are beyond these.
    more_lines: usize,
}

impl From<Compared> for ChangesJson {
    fn from(compared: Compared) -> Self {
        let Compared { before_at, after_at, diff } = compared;
        let FileDiff { added, removed, changed, head, entries } = diff;
        let entry = |EntryDiff { became, address, lines }| EntryJson {
            change: became.as_str(),
            url: address,
            lines: lines.into(),
        };
        Self {
            before_at: Time(before_at),
            after_at: Time(after_at),
            added,
            removed,
            changed,
            head: head.into(),
            entries: entries.into_iter().map(entry).collect(),
        }
    }
}

impl From<LineDiff> for LinesJson {
    fn from(LineDiff { lines, more }: LineDiff) -> Self {
        let sign = |is_new| if is_new { '+' } else { '-' };
        let lines = lines.into_iter().map(|line| format!("{}{}", sign(line.is_new), line.text));
        Self { lines: lines.collect(), more_lines: more }
    }
}

/// Lists what is public of a site, by locale, and in each by name from the last: the newest months first. What no index names any
/// more is listed where `state` asks for it alone.
#[utoipa::path(get, path = "/v1/sites/{site}/files", tag = "sites",
    params(("site" = String, Path), ("locale" = Option<String>, Query), ("state" = Option<String>, Query, description =
        "`stale`: a change waits that is not in it; `held`: it waits for a confirmation; `gone`: it is about to be removed. \
        Absent: all but these last"), Paging),
    responses((status = 200, body = Listing<FileJson>)))]
async fn files(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    mut params: Params,
) -> Result<Answer<Listing<FileJson>>, Problem> {
    let site = find(&caller, &slug).await?;
    let locale = params.parsed("locale", str::parse::<LanguageTag>)?;
    let state = params.parsed("state", str::parse::<FileState>)?;
    let (after, limit) = params.keys_page::<2>()?;
    let page = FilePage { locale, state, is_public: true, after, limit };
    let (found, more) = caller.scope().site_file_list(&site, &page).await?;
    let next_cursor =
        found.last().filter(|_| more).map(|last| write_keys_cursor([last.file.locale.as_str(), &last.file.name]));
    let data = found.into_iter().filter_map(|file| shown(&site, file)).collect();
    Ok(Answer(Listing { data, next_cursor }))
}

/// A file with its address; `None` where the site has its locale no more.
fn shown(site: &Site, SiteFile { file, stale_since, held_since }: SiteFile) -> Option<FileJson> {
    let PublicFile { locale, name, bytes, urls, changed_at, gone, .. } = file;
    let base = &site.settings.locale(&locale)?.base;
    Some(FileJson {
        locale: locale.to_string(),
        url: format!("{base}/{name}"),
        bytes,
        urls,
        changed_at: Time(changed_at),
        stale_since: stale_since.map(Time),
        held_since: held_since.map(Time),
        gone,
    })
}

/// Shows what changed in a public file with its last publication. 404 also where it has replaced nothing yet.
#[utoipa::path(get, path = "/v1/sites/{site}/files/{locale}/{name}/changes", tag = "sites",
    params(("site" = String, Path), ("locale" = String, Path),
        ("name" = String, Path, description = "As the file's address ends: `sitemap-2026-11-1.xml.gz`")),
    responses((status = 200, body = ChangesJson)))]
async fn changes(
    caller: Caller<Read>,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Answer<ChangesJson>, Problem> {
    let missing = || Problem::not_found("file");
    let Path((slug, locale, name)) = path.map_err(|_| missing())?;
    let site = find(&caller, &slug).await?;
    let locale: LanguageTag = locale.parse().map_err(|_| missing())?;
    caller.scope().site_file(&site, &locale, &name).await?.ok_or_else(missing)?;
    let compared = caller.api.versions().compare(site.id, &locale, &name).await;
    let compared = compared.map_err(|error| {
        let mut problem =
            Problem::new(Code::Internal, "the file's versions cannot be read here; the log has the reason");
        problem.cause = Some(error.to_string());
        problem
    })?;
    let first =
        || Problem::new(Code::NotFound, "the file has replaced no version that is kept; it has not changed since");
    Ok(Answer(compared.ok_or_else(first)?.into()))
}
