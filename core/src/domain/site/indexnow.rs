//! IndexNow (indexnow.org/documentation): search engines are told which addresses changed, one call for each host, with a key
//! that lies on it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::settings::Locale;
use crate::domain::{egress::EndpointUrl, http_request::HttpRequest, retry::RetrySchedule};

/// Addresses of one call.
pub const URLS_MAX: usize = 10_000;
/// Bytes of one call's addresses: calls of jobs are kept in their rows.
const BYTES_MAX: usize = 512 * 1024;
/// The engine that tells all others, when nobody names one.
pub const ENDPOINT: &str = "https://api.indexnow.org/indexnow";
const TIMEOUT_MS: u32 = 30_000;
/// Seconds. A key that is not found, or addresses that are not the host's, are put right by people; too many calls end soon.
const RETRIES: [f64; 5] = [30.0, 120.0, 600.0, 3_600.0, 14_400.0];

/// How a site's addresses are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexNow {
    pub key: IndexNowKey,
    pub endpoint: EndpointUrl,
}

/// 8 to 128 of `a-z`, `A-Z`, `0-9` and `-`. It is no secret: it is public on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IndexNowKey(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 8 to 128 of a-z, A-Z, 0-9 and -")]
pub struct IndexNowKeyError;

impl IndexNowKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its file below a locale's base.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{self}.txt")
    }
}

impl FromStr for IndexNowKey {
    type Err = IndexNowKeyError;
    fn from_str(text: &str) -> Result<Self, IndexNowKeyError> {
        let fits =
            (8..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(IndexNowKeyError) }
    }
}

impl TryFrom<String> for IndexNowKey {
    type Error = IndexNowKeyError;
    fn try_from(text: String) -> Result<Self, IndexNowKeyError> {
        text.parse()
    }
}

impl From<IndexNowKey> for String {
    fn from(key: IndexNowKey) -> Self {
        key.0
    }
}

impl fmt::Display for IndexNowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl IndexNow {
    /// The calls that tell of changed addresses of a locale, by their paths below its base.
    #[must_use]
    pub fn calls(&self, locale: &Locale, paths: &[String]) -> Vec<HttpRequest> {
        let mut calls = Vec::new();
        let (mut urls, mut bytes) = (Vec::new(), 0);
        for path in paths {
            let url = locale.base.below(path).to_string();
            if urls.len() == URLS_MAX || bytes + url.len() > BYTES_MAX {
                calls.push(self.call(locale, &std::mem::take(&mut urls)));
                bytes = 0;
            }
            bytes += url.len();
            urls.push(url);
        }
        if !urls.is_empty() {
            calls.push(self.call(locale, &urls));
        }
        calls
    }

    fn call(&self, locale: &Locale, urls: &[String]) -> HttpRequest {
        let location = format!("{}/{}", locale.base, self.key.file_name());
        let body = json!({ "host": locale.base.host(), "key": self.key, "keyLocation": location, "urlList": urls });
        HttpRequest {
            method: "POST".to_owned(),
            url: self.endpoint.clone(),
            headers: vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())],
            body: Some(body.to_string()),
            timeout_ms: TIMEOUT_MS,
            retry_schedule: RetrySchedule::from_seconds(&RETRIES).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::permalink::BaseUrl;

    #[test]
    fn a_call_has_as_many_addresses_as_it_may() {
        let locale = Locale {
            tag: "de".parse().unwrap(),
            base: BaseUrl::parse("https://a.example/de").unwrap(),
            publication_name: "A".to_owned(),
            time_zone: Default::default(),
            x_default: false,
        };
        let indexnow =
            IndexNow { key: "12345678".parse().unwrap(), endpoint: EndpointUrl::stored(ENDPOINT.to_owned()) };
        let paths: Vec<String> = (0..URLS_MAX + 1).map(|n| format!("/{n}")).collect();
        let bodies: Vec<serde_json::Value> = indexnow
            .calls(&locale, &paths)
            .iter()
            .map(|call| serde_json::from_str(call.body.as_deref().unwrap()).unwrap())
            .collect();
        let lengths: Vec<usize> = bodies.iter().map(|body| body["urlList"].as_array().unwrap().len()).collect();
        assert_eq!(lengths, [URLS_MAX, 1]);
        assert_eq!(bodies[1]["urlList"][0], "https://a.example/de/10000");
        assert_eq!(bodies[0]["keyLocation"], "https://a.example/de/12345678.txt");
        let long: Vec<String> = (0..600).map(|n| format!("/{n:0>1000}")).collect();
        assert_eq!(indexnow.calls(&locale, &long).len(), 2);
        assert!(indexnow.calls(&locale, &[]).is_empty());
    }

    #[test]
    fn a_key_is_what_engines_take() {
        assert!("1234567".parse::<IndexNowKey>().is_err());
        assert!("../etc/passwd".parse::<IndexNowKey>().is_err());
        assert!("aB3-5678".parse::<IndexNowKey>().is_ok());
    }
}
