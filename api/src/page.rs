//! Lists: their query parameters, cursors and the answer's form. Paging is by key.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postrider_core::{
    domain::{
        Id, UnixMs,
        fingerprint::Fingerprint,
        id::Identified,
        limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX},
    },
    store::{KeyPage, Listed, Page},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Code, Problem};

const CURSOR_VERSION: u8 = 1;
const FINGERPRINT_HEX: usize = 16;
/// Characters of a parameter that its refusal repeats, so that what is allowed is always said.
const SHOWN_CHARS_MAX: usize = 64;

/// Part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    pub(crate) data: Vec<T>,
    /// For `?cursor=`; null at the end.
    pub(crate) next_cursor: Option<String>,
}

impl<T> Listing<T> {
    pub(crate) fn of<R, N: Identified>(listed: Listed<R, N>, show: impl FnMut(R) -> T) -> Self {
        let next_cursor = listed.next.map(write_cursor);
        Self { data: listed.rows.into_iter().map(show).collect(), next_cursor }
    }
}

/// The parameters that every list takes, as the document has them; [`Params`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document alone is made of it")]
pub(crate) struct Paging {
    /// Rows at most; absent: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The query's parameters, each to be taken once; what nobody takes is refused.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if value.contains('\0') {
                return Err(Problem::of_parameter(Code::BadParameter, &name, "it has a NUL character"));
            }
            if params.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Problem::of_parameter(Code::BadParameter, &name, "it is there twice"));
            }
        }
        Ok(Self(params))
    }
}

impl Params {
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// # Errors
    /// 400 when the parameter is there and `parse` refuses it.
    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let refuse = |error| Problem::of_parameter(Code::BadParameter, name, error);
        self.text(name).map(|value| parse(&value).map_err(refuse)).transpose()
    }

    /// # Errors
    /// 400 when the limit is out of its bounds, the cursor is not one of this list, or a parameter is unknown.
    pub(crate) fn page<T: Identified>(mut self) -> Result<Page<T>, Problem> {
        let limit = self.limit()?;
        let before = self.text("cursor").map(|text| read_cursor(&text)).transpose()?;
        self.end()?;
        Ok(Page { before, limit })
    }

    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn failures_page(mut self) -> Result<(Option<(UnixMs, Fingerprint)>, u32), Problem> {
        let limit = self.limit()?;
        let before = self.text("cursor").map(|text| read_failure_cursor(&text)).transpose()?;
        self.end()?;
        Ok((before, limit))
    }

    /// Of a list whose rows are told by so many texts: after which of them, and how many.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn keys_page<const N: usize>(mut self) -> Result<(Option<[String; N]>, u32), Problem> {
        let limit = self.limit()?;
        let after = self.text("cursor").map(|text| read_keys_cursor(&text)).transpose()?;
        self.end()?;
        Ok((after, limit))
    }

    /// Of a list in the order of keys.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn key_page(self) -> Result<KeyPage, Problem> {
        let (after, limit) = self.keys_page::<1>()?;
        Ok(KeyPage { after: after.map(|[key]| key), limit })
    }

    /// # Errors
    /// 400 when the parameter is there and is no whole number within `bounds`.
    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        bounds: &RangeInclusive<T>,
    ) -> Result<Option<T>, Problem> {
        let refused = |text: &str| {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            format!("{shown:?} is not a number from {} to {}", bounds.start(), bounds.end())
        };
        let within = |text: &str| text.parse().ok().filter(|number| bounds.contains(number));
        self.parsed(name, |text| within(text).ok_or_else(|| refused(text)))
    }

    fn limit(&mut self) -> Result<u32, Problem> {
        Ok(self.number("limit", &(1..=PAGE_ROWS_MAX))?.unwrap_or(PAGE_ROWS_DEFAULT))
    }

    /// # Errors
    /// 400 when there is a parameter that nobody has taken.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            Some(name) => Err(Problem::of_parameter(Code::BadParameter, &name, "this call has no such parameter")),
            None => Ok(()),
        }
    }
}

fn bad_cursor() -> Problem {
    let detail = "it is not a cursor of this list; use next_cursor as it was given, or leave it out";
    Problem::of_parameter(Code::BadCursor, "cursor", detail)
}

pub(crate) fn write_cursor<T: Identified>(id: Id<T>) -> String {
    let kind = T::PREFIX.as_bytes();
    URL_SAFE_NO_PAD.encode([&[CURSOR_VERSION], kind, id.uuid().as_bytes()].concat())
}

fn read_cursor<T: Identified>(text: &str) -> Result<Id<T>, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad_cursor())?;
    let id = bytes.strip_prefix(&[CURSOR_VERSION]).and_then(|rest| rest.strip_prefix(T::PREFIX.as_bytes()));
    let id: [u8; 16] = id.and_then(|id| id.try_into().ok()).ok_or_else(bad_cursor)?;
    Ok(Id::from_uuid(uuid::Uuid::from_bytes(id)))
}

/// The cursor after a group of failures.
pub(crate) fn write_failure_cursor(seen: UnixMs, fingerprint: &Fingerprint) -> String {
    let parts = [&[CURSOR_VERSION], b"f".as_slice(), &seen.0.to_be_bytes(), fingerprint.as_str().as_bytes()];
    URL_SAFE_NO_PAD.encode(parts.concat())
}

fn read_failure_cursor(text: &str) -> Result<(UnixMs, Fingerprint), Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad_cursor())?;
    let rest = bytes.strip_prefix(&[CURSOR_VERSION, b'f']).ok_or_else(bad_cursor)?;
    let (time, fingerprint) = rest.split_first_chunk::<8>().ok_or_else(bad_cursor)?;
    let fingerprint = std::str::from_utf8(fingerprint).map_err(|_| bad_cursor())?;
    let hex = fingerprint.len() == FINGERPRINT_HEX && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex {
        return Err(bad_cursor());
    }
    Ok((UnixMs(i64::from_be_bytes(*time)), Fingerprint::stored(fingerprint.to_owned())))
}

/// The cursor after a row that is told by texts without NUL.
pub(crate) fn write_keys_cursor<const N: usize>(keys: [&str; N]) -> String {
    URL_SAFE_NO_PAD.encode([&[CURSOR_VERSION, b'k'], keys.join("\0").as_bytes()].concat())
}

fn read_keys_cursor<const N: usize>(text: &str) -> Result<[String; N], Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad_cursor())?;
    let rest = bytes.strip_prefix(&[CURSOR_VERSION, b'k']).ok_or_else(bad_cursor)?;
    let keys = std::str::from_utf8(rest).map_err(|_| bad_cursor())?.split('\0').map(str::to_owned);
    keys.collect::<Vec<_>>().try_into().map_err(|_| bad_cursor())
}

#[cfg(test)]
mod tests {
    use postrider_core::domain::{endpoint::Endpoint, event::Event};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_by_its_own_list_only(bits in any::<u128>()) {
            let id = Id::<Event>::from_uuid(uuid::Uuid::from_u128(bits));
            let cursor = write_cursor(id);
            prop_assert_eq!(read_cursor::<Event>(&cursor).unwrap(), id);
            prop_assert!(read_cursor::<Endpoint>(&cursor).is_err());
            prop_assert!(read_failure_cursor(&cursor).is_err());
        }

        #[test]
        fn a_failure_cursor_is_read_back(ms in any::<i64>(), fingerprint in "[0-9a-f]{16}") {
            let fingerprint = Fingerprint::stored(fingerprint);
            let cursor = write_failure_cursor(UnixMs(ms), &fingerprint);
            prop_assert_eq!(read_failure_cursor(&cursor).unwrap(), (UnixMs(ms), fingerprint));
        }

        #[test]
        fn a_cursor_of_texts_is_read_back(key in "\\PC{0,20}", locale in "\\PC{0,20}") {
            let cursor = write_keys_cursor([key.as_str(), &locale]);
            prop_assert_eq!(read_keys_cursor::<2>(&cursor).unwrap(), [key, locale]);
            prop_assert!(read_keys_cursor::<1>(&cursor).is_err());
        }

        #[test]
        fn any_other_text_is_no_cursor(text in "\\PC{0,40}") {
            prop_assert!(read_cursor::<Event>(&text).is_err());
        }
    }
}
