//! `POST /v1/sites/{site}/pages/import`: pages as they come, a line each, for the first million. What was read is stored in
//! groups while the rest still comes, so that neither side needs memory for all of it.

use std::collections::BTreeSet;

use axum::{body::Body, http::HeaderMap, response::Response};
use postrider_core::{
    domain::{UnixMs, site::settings::Site},
    store::PutPage,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish},
    json::PAGES_BYTES_MAX,
    ndjson::{Line, Lines, NAMED_MAX, Refusals},
    path::TextRef,
    problem::Problem,
    site_pages::{BatchPage, QuarantinedJson},
    sites::find,
    state::ApiState,
    wire::accepted,
};

/// Pages of one commit.
const GROUP_PAGES: usize = 500;
/// Bytes of the lines of one commit, of which there are a few times as many in memory.
const GROUP_BYTES: usize = 2 * 1024 * 1024;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(import_pages))
}

/// What came of an import.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Imported {
    /// Lines that had something on them.
    lines: u64,
    /// Pages that are not as they were.
    changed: u64,
    /// Pages that are gone since their lines said so, be it that they were published or quarantined.
    removed: u64,
    #[serde(flatten)]
    refusals: Refusals,
    quarantined: u64,
    /// The first 1,000 translations that are not published.
    quarantined_translations: Vec<QuarantinedOf>,
    /// The first 1,000 sections that pages name and the site's settings do not: they have no feeds until these do.
    unknown_sections: BTreeSet<String>,
}

/// A translation that is not published, and its page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantinedOf {
    key: String,
    #[serde(flatten)]
    translation: QuarantinedJson,
}

/// Puts any number of pages in place of what was there, or removes them: one JSON object a line (`application/x-ndjson`), as in a
/// batch. Lines that were stored stay so, whatever becomes of the rest; the same import again changes nothing.
#[utoipa::path(post, path = "/v1/sites/{site}/pages/import", tag = "sites", params(("site" = String, Path)),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 202, body = Imported)))]
async fn import_pages(
    caller: Caller<Publish>,
    TextRef(slug): TextRef,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut lines = Lines::of(&headers, body, "page", PAGES_BYTES_MAX)?;
    let site = find(&caller, &slug).await?;
    let mut import = Import { caller, site, group: Vec::new(), group_bytes: 0, imported: Imported::default() };
    while let Some(line) = lines.next().await? {
        import.take(&line).await?;
    }
    import.store().await?;
    Ok(accepted(import.imported))
}

struct Import {
    caller: Caller<Publish>,
    site: Site,
    group: Vec<PutPage>,
    group_bytes: usize,
    imported: Imported,
}

impl Import {
    async fn take(&mut self, line: &Line) -> Result<(), Problem> {
        self.imported.lines += 1;
        match line.parse::<BatchPage>().and_then(|page| page.judged(&self.site, "", UnixMs::now())) {
            Ok(put) => self.group.push(put),
            Err(problem) => self.imported.refusals.add(line.number, &problem),
        }
        self.group_bytes += line.bytes();
        if self.group.len() >= GROUP_PAGES || self.group_bytes >= GROUP_BYTES {
            self.store().await?;
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<(), Problem> {
        self.group_bytes = 0;
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        let changed = self.caller.scope().import_pages(&self.site, &group, UnixMs::now()).await?;
        self.caller.api.dispatcher().offer(changed.job.as_slice());
        self.imported.changed += changed.changed as u64;
        self.imported.removed += changed.removed as u64;
        for put in group {
            for key in put.page.unknown_sections(&self.site.settings) {
                if self.imported.unknown_sections.len() < NAMED_MAX
                    && !self.imported.unknown_sections.contains(key.as_str())
                {
                    self.imported.unknown_sections.insert(key.as_str().to_owned());
                }
            }
            for one in &put.quarantined {
                self.imported.quarantined += 1;
                if self.imported.quarantined_translations.len() < NAMED_MAX {
                    let (key, translation) = (put.page.key.to_string(), QuarantinedJson::of(one));
                    self.imported.quarantined_translations.push(QuarantinedOf { key, translation });
                }
            }
        }
        Ok(())
    }
}
