//! Bodies: how JSON is taken in, and what is said of JSON that is not what a call takes.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use postrider_core::domain::{
    limits::body_bytes_max,
    nesting::{DEPTH_MAX, too_deep},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::Segment;

use crate::{
    header::only,
    problem::{Code, Problem},
    state::ApiState,
};

/// A body that takes longer than this is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A body of the call's own form.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// The body of a call that takes none: nothing, or an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A body of pages, whose texts need more room than all else.
#[derive(Debug)]
pub(crate) struct PagesJson<T>(pub(crate) T);

/// Bytes of a body of pages, or of a page in a stream of them.
pub(crate) const PAGES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A body that is JSON text by its type, size and encoding.
#[derive(Debug)]
pub(crate) struct RawJson {
    bytes: Bytes,
}

impl RawJson {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// # Errors
    /// 400 when it is not JSON, 422 when it is not a `T`.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        let text = std::str::from_utf8(&self.bytes)
            .map_err(|error| Problem::new(Code::MalformedJson, format_args!("the body is not UTF-8: {error}")))?;
        parse_at(text, "")
    }
}

/// Reads a part of a body that is at `base`.
///
/// # Errors
/// 400 when it is not JSON, 422 with the fault's pointer when it is not a `T`.
pub(crate) fn parse_at<'a, T: Deserialize<'a>>(text: &'a str, base: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = format!("{base}{}", pointer(error.path()));
        refuse(error.inner(), pointer)
    })?;
    deserializer.end().map_err(|error| refuse(&error, base.to_owned()))?;
    Ok(value)
}

fn refuse(error: &serde_json::Error, pointer: String) -> Problem {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = &in_numbers(text.strip_suffix(&place).unwrap_or(&text));
    if !error.is_data() {
        let detail = format!("line {}, column {}: {what}", error.line(), error.column());
        return Problem::new(Code::MalformedJson, detail);
    }
    // The object is where such a fault is found; its member is where it is.
    let member_after = |words: &str| what.strip_prefix(words).and_then(|rest| rest.strip_suffix('`')).map(escape);
    if let Some(missing) = member_after("missing field `") {
        let pointer = format!("{pointer}/{missing}");
        let detail = format!("{pointer} is required");
        return Problem::at(Code::InvalidBody, pointer, detail);
    }
    if let Some(twice) = member_after("duplicate field `") {
        let pointer = format!("{pointer}/{twice}");
        let detail = format!("{pointer} is there twice; leave one of the two out");
        return Problem::at(Code::InvalidBody, pointer, detail);
    }
    // What may be null is read as such, so null stands here for what is not there.
    if !pointer.is_empty() && what.starts_with("invalid type: null,") {
        let detail = format!("{pointer} is required; null is no value for it");
        return Problem::at(Code::InvalidBody, pointer, detail);
    }
    Problem::at(Code::InvalidBody, pointer, what)
}

/// The names of Rust's integers, which say nothing to whoever writes JSON, as what they take.
fn in_numbers(what: &str) -> String {
    let Some((before, name)) = what.rsplit_once("expected ") else { return what.to_owned() };
    let largest = match name {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => u64::MAX,
        _ => return what.to_owned(),
    };
    format!("{before}expected a whole number from 0 to {largest}")
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

/// A key as part of a pointer, RFC 6901 §3.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl FromRequest<ApiState> for RawJson {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        judge_type(&parts.headers)?;
        read(body, bytes_max(api)).await
    }
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        RawJson::from_request(request, api).await?.parse().map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let raw = read(body, bytes_max(api)).await?;
        if raw.bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        judge_type(&parts.headers)?;
        raw.parse().map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<ApiState> for PagesJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        judge_type(&parts.headers)?;
        read(body, PAGES_BYTES_MAX).await?.parse().map(Self)
    }
}

fn bytes_max(api: &ApiState) -> usize {
    body_bytes_max(api.settings().payload_bytes_max)
}

async fn read(body: Body, bytes_max: usize) -> Result<RawJson, Problem> {
    let bytes = tokio::time::timeout(READ_TIMEOUT, gather(body, bytes_max)).await.map_err(|_| {
        Problem::new(Code::SlowBody, format_args!("the body did not come within {} s", READ_TIMEOUT.as_secs()))
    })??;
    match too_deep(&bytes) {
        Some(offset) => Err(malformed_at(&bytes, offset)),
        None => Ok(RawJson { bytes }),
    }
}

/// The whole body. One whose length is told to be too large is not asked for.
async fn gather(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(Code::BodyTooLarge, format_args!("a body may have {bytes_max} bytes; send less at once"));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let (mut chunks, mut kept) = (body.into_data_stream(), BytesMut::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::BrokenBody, "the body could not be read to its end"))?;
        if kept.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept.freeze())
}

fn malformed_at(bytes: &[u8], offset: usize) -> Problem {
    let before = &bytes[..offset];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    let detail = format!("line {line}, column {column}: arrays and objects are nested deeper than {DEPTH_MAX}");
    Problem::new(Code::MalformedJson, detail)
}

/// # Errors
/// 415 where a body is said to be compressed.
pub(crate) fn judge_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let as_it_is = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get_all(header::CONTENT_ENCODING).iter().all(as_it_is) {
        true => Ok(()),
        false => Err(Problem::new(Code::WrongType, "there is a content-encoding; send the body as it is")),
    }
}

fn judge_type(headers: &HeaderMap) -> Result<(), Problem> {
    judge_encoding(headers)?;
    let given = only(headers, "Content-Type")?.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json {
        return Ok(());
    }
    Err(Problem::new(Code::WrongType, format_args!("the content-type is {given:?}; send application/json")))
}

/// An object, and no list: a derived reader alone takes a list of members in their order as well. Every body is read
/// as one; an object within a body has to be declared as one.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// A member of a body that may be absent, null or there: unchanged, back to its default, or set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Patch<T> {
    #[default]
    Absent,
    Null,
    Set(T),
}

impl<T> Patch<T> {
    pub(crate) fn set(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Null, Self::Set))
    }
}

/// Reads a member whose null is a value, for `#[serde(default, deserialize_with)]`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a member whose null means what its absence does, for `#[serde(default, deserialize_with)]`.
pub(crate) fn or_absent<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A member of what is shown that nobody sets: taken as it comes, so that what was shown can be sent back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Headers as an object of names and values. A name that is there twice stays so, to be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderList(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for HeaderList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = HeaderList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of header names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<HeaderList, A::Error> {
                let mut list = Vec::new();
                while let Some(member) = members.next_entry()? {
                    list.push(member);
                }
                Ok(HeaderList(list))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl serde::Serialize for HeaderList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
