//! What a delivery is sent with, and how that is kept for people to read: the names of its headers, and the values that are
//! no secret.

use serde::{Deserialize, Serialize};

use super::{UnixMs, signature::SignedHeaders};

/// `User-Agent` of this version.
const USER_AGENT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));
/// Headers whose values are shown: any other may be what a receiver knows us by.
const PLAIN_NAMES: [&str; 7] =
    ["accept", "content-type", "host", "traceparent", "user-agent", "webhook-id", "webhook-timestamp"];

/// The headers of a delivery; one of its endpoint's own takes the place of ours.
#[must_use]
pub fn delivery_headers(signed: SignedHeaders, user_agent: &str, own: &[(String, String)]) -> Vec<(String, String)> {
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("user-agent".to_owned(), user_agent.to_owned()),
        ("webhook-id".to_owned(), signed.id),
        ("webhook-timestamp".to_owned(), signed.timestamp),
        ("webhook-signature".to_owned(), signed.signature),
    ];
    headers.retain(|(name, _)| !own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    headers.extend_from_slice(own);
    headers
}

/// Headers as anybody may read them, in their order; `None` is a value that is, or may be, secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShownHeaders(Vec<(String, Option<String>)>);

impl ShownHeaders {
    #[must_use]
    pub fn of(headers: &[(String, String)]) -> Self {
        let plain = |name: &str| PLAIN_NAMES.iter().any(|plain| plain.eq_ignore_ascii_case(name));
        let shown = |(name, value): &(String, String)| (name.clone(), plain(name).then(|| value.clone()));
        Self(headers.iter().map(shown).collect())
    }

    /// Those of a delivery at this time, by an endpoint with these of its own.
    #[must_use]
    pub fn of_delivery(message_id: &str, at: UnixMs, own: &[(String, String)]) -> Self {
        let signed = SignedHeaders::unsigned(message_id, at);
        Self::of(&delivery_headers(signed, USER_AGENT, own))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

/// The call that was a delivery's last, for its dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub url: String,
    pub headers: ShownHeaders,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_header_takes_the_place_of_ours_and_what_may_be_secret_is_not_kept() {
        let own = [("Authorization", "Bearer abc"), ("User-Agent", "It's")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let shown = ShownHeaders::of_delivery("evt_1", UnixMs(1_700_000_000_999), &own);
        assert_eq!(
            serde_json::to_string(&shown).unwrap(),
            r#"[["content-type","application/json"],["webhook-id","evt_1"],["webhook-timestamp","1700000000"],"#
                .to_owned()
                + r#"["webhook-signature",null],["Authorization",null],["User-Agent","It's"]]"#
        );
    }
}
