//! Bodies of any number of JSON objects, a line each (NDJSON), read while they come: how lines are found and read, and what is said
//! of those that are refused. Neither side needs memory for all of it.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::HeaderMap,
};
use bytes::{Buf, BytesMut};
use futures::StreamExt;
use postrider_core::domain::nesting::{DEPTH_MAX, too_deep};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    header::only,
    json::{Object, judge_encoding, parse_at},
    problem::{Code, Problem},
};

/// Of UTF-8 (RFC 3629, section 6).
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// A body of which nothing comes for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Refused lines that an answer names; all are counted.
pub(crate) const NAMED_MAX: usize = 1_000;
const MEDIA_TYPES: [&str; 3] = ["application/x-ndjson", "application/jsonl", "application/ndjson"];

/// A body, line by line.
pub(crate) struct Lines {
    body: BodyDataStream,
    kept: BytesMut,
    line: u64,
    ended: bool,
    bytes_max: usize,
}

/// A line that has something on it.
pub(crate) struct Line {
    /// 1 for the first.
    pub(crate) number: u64,
    text: Result<BytesMut, TooLong>,
}

/// A line that has more than so many bytes, which were passed over.
struct TooLong(usize);

/// Lines that were not taken.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Refusals {
    refused: u64,
    /// The first 1,000 lines that were refused.
    refused_lines: Vec<RefusedLine>,
}

/// A line that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedLine {
    /// 1 for the first.
    line: u64,
    detail: String,
}

impl Lines {
    /// The lines of a body, each of which is a `noun` of so many bytes at most.
    ///
    /// # Errors
    /// 415 where the body is not said to be NDJSON, or is compressed.
    pub(crate) fn of(headers: &HeaderMap, body: Body, noun: &str, bytes_max: usize) -> Result<Self, Problem> {
        judge_encoding(headers)?;
        let given = only(headers, "Content-Type")?.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !MEDIA_TYPES.contains(&given.split(';').next().unwrap_or_default().trim()) {
            let detail = format!("the content-type is {given:?}; send application/x-ndjson, a {noun} a line");
            return Err(Problem::new(Code::WrongType, detail));
        }
        Ok(Self { body: body.into_data_stream(), kept: BytesMut::new(), line: 0, ended: false, bytes_max })
    }

    /// The next line that has something on it.
    ///
    /// # Errors
    /// When the body breaks off or stands still, or is no text in UTF-8 from its first bytes on.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Problem> {
        while let Some(mut text) = self.read().await? {
            if let (1, Ok(first)) = (self.line, &mut text) {
                judge_beginning(first)?;
            }
            if text.as_ref().map_or(true, |text| !text.trim_ascii().is_empty()) {
                return Ok(Some(Line { number: self.line, text }));
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<Option<Result<BytesMut, TooLong>>, Problem> {
        let (mut searched, mut too_long) = (0, false);
        loop {
            if let Some(at) = self.kept[searched..].iter().position(|byte| *byte == b'\n') {
                self.line += 1;
                let mut line = self.kept.split_to(searched + at + 1);
                line.truncate(searched + at);
                too_long |= line.len() > self.bytes_max;
                return Ok(Some(if too_long { Err(TooLong(self.bytes_max)) } else { Ok(line) }));
            }
            searched = self.kept.len();
            if searched > self.bytes_max {
                self.kept.clear();
                (searched, too_long) = (0, true);
            }
            if self.ended {
                self.line += 1;
                let last = std::mem::take(&mut self.kept);
                return Ok(match (too_long, last.is_empty()) {
                    (true, _) => Some(Err(TooLong(self.bytes_max))),
                    (false, true) => None,
                    (false, false) => Some(Ok(last)),
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

impl Line {
    /// Bytes that are kept of it.
    pub(crate) fn bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.len())
    }

    /// # Errors
    /// When it is too long, no JSON, or no object that is a `T`.
    pub(crate) fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Problem> {
        let line = self.text.as_ref().map_err(|TooLong(bytes_max)| {
            Problem::new(Code::BodyTooLarge, format_args!("it has more than {bytes_max} bytes"))
        })?;
        let text = std::str::from_utf8(line)
            .map_err(|error| Problem::new(Code::MalformedJson, format_args!("it is not UTF-8: {error}")))?;
        if too_deep(line).is_some() {
            let detail = format!("arrays and objects are nested deeper than {DEPTH_MAX}");
            return Err(Problem::new(Code::MalformedJson, detail));
        }
        let Object(value) = parse_at::<Object<T>>(text, "")?;
        Ok(value)
    }
}

impl Refusals {
    pub(crate) fn add(&mut self, line: u64, problem: &Problem) {
        self.refused += 1;
        if self.refused_lines.len() < NAMED_MAX {
            let words = problem.in_words();
            // A line is all of the JSON.
            let detail = words.strip_prefix("line 1, ").unwrap_or(&words).to_owned();
            self.refused_lines.push(RefusedLine { line, detail });
        }
    }
}

/// Takes from the first line what programs write before it, where all of the body may be lines.
fn judge_beginning(line: &mut BytesMut) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::new(Code::WrongType, what));
    match line.as_ref() {
        [0x1f, 0x8b, ..] => return refused("the body is compressed with gzip; unpack it, and send it as it is"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return refused("the body is UTF-16; write it as UTF-8 and send that");
        }
        first if first.starts_with(BYTE_ORDER_MARK) => line.advance(BYTE_ORDER_MARK.len()),
        _ => {}
    }
    Ok(())
}
