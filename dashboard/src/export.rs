//! Dead letters as a file, sent as it is read: CSV (RFC 4180) or JSON Lines. Who takes one away is noted.

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, header},
    response::IntoResponse,
    routing::get,
};
use futures::stream;
use postrider_core::{
    domain::{Id, dead_letter::DeadLetter, job::JobKind, tag::Tag},
    store::{DeadLetterFilter, Page},
};
use serde::Serialize;

use crate::{
    Dashboard,
    dead_letters::filter,
    exchange::arguments_shown,
    page::{Refusal, Shown},
    session::is_from_another_site,
    visit::Visit,
};

/// Rows that are in memory at once.
const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/dead-letters/export", get(export))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// One line of the file.
#[derive(Serialize)]
struct Line {
    id: String,
    died_at: String,
    state: &'static str,
    cause: &'static str,
    kind: &'static str,
    event_type: Option<String>,
    event_id: Option<String>,
    endpoint_id: Option<String>,
    endpoint_url: Option<String>,
    lane: String,
    job_id: String,
    attempts: u32,
    status_code: Option<u16>,
    first_error: Option<String>,
    last_error: Option<String>,
    fingerprint: Option<String>,
    tags: Tags,
    /// The dead letter that the dead job had been a replay of.
    replay_of: Option<String>,
    /// The job that replays this one.
    replayed_as: Option<String>,
    resolved_at: Option<String>,
    resolved_reason: Option<String>,
    payload: String,
}

/// A list in JSON; in CSV one field, with blanks between them, which no tag has.
#[derive(Serialize)]
#[serde(untagged)]
enum Tags {
    List(Vec<Tag>),
    Text(String),
}

/// Where the export stands.
struct Place {
    visit: Visit,
    filter: DeadLetterFilter,
    format: Format,
    before: Option<Id<DeadLetter>>,
    is_first: bool,
    is_over: bool,
}

async fn export(visit: Visit, method: Method, headers: HeaderMap) -> Shown {
    if is_from_another_site(&headers) {
        return Err(Refusal::FromElsewhere);
    }
    let format = match visit.query.text("format") {
        Some("csv") => Format::Csv,
        Some("jsonl") => Format::JsonLines,
        _ => return Err(Refusal::Bad("There are two formats, csv and jsonl.".to_owned())),
    };
    let filter = filter(&visit, &visit.query, &["format"])?;
    let (kind, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
    };
    let file = format!("dead-letters-{}.{ending}", visit.tenant.slug);
    let name = format!("attachment; filename=\"{file}\"");
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)];
    if method == Method::HEAD {
        return Ok(headers.into_response());
    }
    // Before the first line of it leaves.
    visit.scope().note_export(&file, &filter).await?;
    let place = Place { visit, filter, format, before: None, is_first: true, is_over: false };
    let body = Body::from_stream(stream::try_unfold(place, next));
    Ok((headers, body).into_response())
}

/// The next part of the file. Where it fails the connection is cut off, so that half a file is not taken for a whole.
async fn next(mut place: Place) -> Result<Option<(Bytes, Place)>, std::io::Error> {
    if place.is_over {
        return Ok(None);
    }
    let page = Page { before: place.before, limit: ROWS };
    let listed = place.visit.scope().whole_dead_letters(&place.filter, &page).await.map_err(std::io::Error::other)?;
    place.before = listed.next;
    place.is_over = listed.next.is_none();
    let lines = listed.rows.into_iter().map(|letter| line(&place.visit, letter));
    let part = match place.format {
        Format::Csv => csv_lines(lines, place.is_first)?,
        Format::JsonLines => json_lines(lines)?,
    };
    place.is_first = false;
    Ok(Some((part.into(), place)))
}

fn line(visit: &Visit, letter: DeadLetter) -> Line {
    Line {
        id: letter.id.to_string(),
        died_at: letter.created_at.to_string(),
        state: letter.state.as_str(),
        cause: letter.cause.as_str(),
        kind: letter.kind.as_str(),
        event_type: letter.event_type,
        event_id: letter.message_id,
        endpoint_id: letter.endpoint_id.map(|id| id.to_string()),
        endpoint_url: letter.endpoint_url.map(|url| visit.url(&url)),
        lane: letter.lane.to_string(),
        job_id: letter.job_id.to_string(),
        attempts: letter.attempts,
        status_code: letter.status_code,
        first_error: letter.first_error,
        last_error: letter.last_error,
        fingerprint: letter.fingerprint.map(|fingerprint| fingerprint.to_string()),
        tags: Tags::List(letter.tags),
        replay_of: letter.replay_of.map(|id| id.to_string()),
        replayed_as: letter.replayed_as.map(|id| id.to_string()),
        resolved_at: letter.resolved_at.map(|at| at.to_string()),
        resolved_reason: letter.resolved_reason,
        payload: match letter.kind {
            JobKind::WebhookDeliver | JobKind::WebhookTest => visit.body(&letter.payload).raw,
            _ => arguments_shown(visit, &letter.payload),
        },
    }
}

fn csv_lines(lines: impl Iterator<Item = Line>, with_names: bool) -> Result<Vec<u8>, std::io::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(with_names).from_writer(Vec::new());
    for mut line in lines {
        let texts = [
            &mut line.event_type,
            &mut line.event_id,
            &mut line.endpoint_url,
            &mut line.first_error,
            &mut line.last_error,
            &mut line.resolved_reason,
        ];
        for text in texts {
            *text = text.take().map(no_formula);
        }
        if let Tags::List(tags) = &line.tags {
            line.tags = Tags::Text(no_formula(tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" ")));
        }
        line.lane = no_formula(line.lane);
        line.payload = no_formula(line.payload);
        writer.serialize(line).map_err(std::io::Error::other)?;
    }
    writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
}

/// Spreadsheets run what begins like a formula, whoever wrote it.
fn no_formula(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

fn json_lines(lines: impl Iterator<Item = Line>) -> Result<Vec<u8>, std::io::Error> {
    let mut part = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut part, &line)?;
        part.push(b'\n');
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for formula in ["=1+1", "+1", "-1", "@x", "\tx"] {
            assert!(no_formula(formula.to_owned()).starts_with('\''), "{formula}");
        }
        assert_eq!(no_formula("{\"a\": 1}".to_owned()), "{\"a\": 1}");
    }
}
