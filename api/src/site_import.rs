//! `POST /v1/sites/{site}/pages/import`: pages as they come, a line each, for the first million. What was read is stored in
//! groups while the rest still comes, so that neither side needs memory for all of it.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::HeaderMap,
    response::Response,
};
use bytes::BytesMut;
use futures::StreamExt;
use postrider_core::{
    domain::{
        UnixMs,
        nesting::{DEPTH_MAX, too_deep},
        site::settings::Site,
    },
    store::PutPage,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish},
    header::only,
    json::{Object, PAGES_BYTES_MAX, judge_encoding, parse_at},
    path::TextRef,
    problem::{Code, Problem},
    site_pages::{BatchPage, QuarantinedJson},
    sites::find,
    state::ApiState,
    wire::accepted,
};

/// Pages of one commit.
const GROUP_PAGES: usize = 500;
/// Bytes of the lines of one commit, of which there are a few times as many in memory.
const GROUP_BYTES: usize = 2 * 1024 * 1024;
/// Of UTF-8 (RFC 3629, section 6).
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// A body of which nothing comes for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Refused lines, and quarantined translations, that the answer names; all are counted.
const NAMED_MAX: usize = 1_000;

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
    /// Of these, those that are gone, since their lines said so.
    removed: u64,
    refused: u64,
    quarantined: u64,
    /// The first 1,000 lines that are no pages.
    refused_lines: Vec<RefusedLine>,
    /// The first 1,000 translations that are not published.
    quarantined_translations: Vec<QuarantinedOf>,
    /// The first 1,000 sections that pages name and the site's settings do not: they have no feeds until these do.
    unknown_sections: BTreeSet<String>,
}

/// A line that is no page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedLine {
    /// 1 for the first.
    line: u64,
    detail: String,
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
    judge_encoding(&headers)?;
    let given = only(&headers, "Content-Type")?.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !["application/x-ndjson", "application/jsonl", "application/ndjson"]
        .contains(&given.split(';').next().unwrap_or_default().trim())
    {
        let detail = format!("the content-type is {given:?}; send application/x-ndjson, a page a line");
        return Err(Problem::new(Code::WrongType, detail));
    }
    let site = find(&caller, &slug).await?;
    let mut import = Import { caller, site, group: Vec::new(), group_bytes: 0, imported: Imported::default() };
    let mut lines = Lines { body: body.into_data_stream(), kept: BytesMut::new(), line: 0, ended: false };
    while let Some(line) = lines.next().await? {
        match line {
            Line::Whole(line) => import.take(lines.line, &line).await?,
            Line::TooLong => import.refuse(lines.line, format!("it has more than {PAGES_BYTES_MAX} bytes")),
        }
    }
    import.store().await?;
    Ok(accepted(import.imported))
}

/// A body, line by line.
struct Lines {
    body: BodyDataStream,
    kept: BytesMut,
    line: u64,
    ended: bool,
}

enum Line {
    Whole(BytesMut),
    /// Its bytes were passed over.
    TooLong,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Line>, Problem> {
        let (mut searched, mut too_long) = (0, false);
        loop {
            if let Some(at) = self.kept[searched..].iter().position(|byte| *byte == b'\n') {
                self.line += 1;
                let mut line = self.kept.split_to(searched + at + 1);
                line.truncate(searched + at);
                return Ok(Some(if too_long { Line::TooLong } else { Line::Whole(line) }));
            }
            searched = self.kept.len();
            if searched > PAGES_BYTES_MAX {
                self.kept.clear();
                (searched, too_long) = (0, true);
            }
            if self.ended {
                self.line += 1;
                let last = std::mem::take(&mut self.kept);
                return Ok(match (too_long, last.is_empty()) {
                    (true, _) => Some(Line::TooLong),
                    (false, true) => None,
                    (false, false) => Some(Line::Whole(last)),
                });
            }
            match tokio::time::timeout(SILENCE_MAX, self.body.next()).await {
                Ok(Some(Ok(part))) => self.kept.extend_from_slice(&part),
                Ok(Some(Err(_))) => {
                    return Err(Problem::new(Code::BrokenBody, "the body could not be read to its end"));
                }
                Ok(None) => self.ended = true,
                Err(_) => {
                    let detail = format!("nothing came for {} s after line {}", SILENCE_MAX.as_secs(), self.line);
                    return Err(Problem::new(Code::SlowBody, detail));
                }
            }
        }
    }
}

struct Import {
    caller: Caller<Publish>,
    site: Site,
    group: Vec<PutPage>,
    group_bytes: usize,
    imported: Imported,
}

impl Import {
    async fn take(&mut self, number: u64, line: &[u8]) -> Result<(), Problem> {
        let line = match number {
            1 => beginning(line)?,
            _ => line,
        };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match read(&self.site, line) {
            Ok(put) => {
                self.imported.lines += 1;
                self.group.push(put);
            }
            Err(problem) => {
                let words = problem.in_words();
                // A line is all of the JSON.
                self.refuse(number, words.strip_prefix("line 1, ").unwrap_or(&words).to_owned());
            }
        }
        self.group_bytes += line.len();
        if self.group.len() >= GROUP_PAGES || self.group_bytes >= GROUP_BYTES {
            self.store().await?;
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, detail: String) {
        self.imported.lines += 1;
        self.imported.refused += 1;
        if self.imported.refused_lines.len() < NAMED_MAX {
            self.imported.refused_lines.push(RefusedLine { line, detail });
        }
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

/// The first line without what programs write before it, where all of the body may be lines.
fn beginning(line: &[u8]) -> Result<&[u8], Problem> {
    let refused = |what: &str| Err(Problem::new(Code::WrongType, what));
    match line {
        [0x1f, 0x8b, ..] => refused("the body is compressed with gzip; unpack it, and send it as it is"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refused("the body is UTF-16; write it as UTF-8 and send that"),
        _ => Ok(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)),
    }
}

fn read(site: &Site, line: &[u8]) -> Result<PutPage, Problem> {
    let text = std::str::from_utf8(line)
        .map_err(|error| Problem::new(Code::MalformedJson, format_args!("it is not UTF-8: {error}")))?;
    if too_deep(line).is_some() {
        let detail = format!("arrays and objects are nested deeper than {DEPTH_MAX}");
        return Err(Problem::new(Code::MalformedJson, detail));
    }
    let Object(page) = parse_at::<Object<BatchPage>>(text, "")?;
    page.judged(site, "", UnixMs::now())
}
