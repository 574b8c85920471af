//! Web push: where somebody's browser is reached, and what a push carries beside its text. Knows neither ciphers nor HTTP.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Id, UnixMs,
    collapse::CollapseKey,
    egress::{EgressPolicy, EndpointUrl, UrlRefused},
    id::Identified,
    recipient::Recipient,
    tenant::Tenant,
    vapid::{PublicPoint, PushKeyRefused, decode, sized},
};

/// Subscriptions of one recipient; beyond them the one that was not handed in for the longest goes.
pub const SUBSCRIPTIONS_MAX: u32 = 20;
/// Bytes of a text: with what encryption adds, a body has the 4,096 that every push service takes (RFC 8030, section 7.2).
pub const PUSH_TEXT_BYTES_MAX: usize = 3_993;
/// Bytes of a subscription's secret (RFC 8291, section 3.2).
pub const AUTH_BYTES: usize = 16;
/// Characters of a topic.
const TOPIC_CHARS_MAX: usize = 32;

/// One browser of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushSubscription {
    pub id: Id<PushSubscription>,
    pub tenant_id: Id<Tenant>,
    pub recipient_id: Id<Recipient>,
    /// At a push service, which its browser has chosen. Whoever knows it and has the tenant's key reaches the browser.
    pub endpoint: EndpointUrl,
    pub keys: PushKeys,
    /// When it ends, where the browser says so.
    pub expires_at: Option<UnixMs>,
    pub created_at: UnixMs,
    /// When it was last handed in.
    pub updated_at: UnixMs,
}

impl Identified for PushSubscription {
    const PREFIX: &'static str = "psh";
}

/// A subscription as a browser hands it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPushSubscription {
    pub endpoint: EndpointUrl,
    pub keys: PushKeys,
    pub expires_at: Option<UnixMs>,
}

/// What texts for a browser are encrypted with (RFC 8291, section 3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct PushKeys {
    p256dh: PublicPoint,
    auth: [u8; AUTH_BYTES],
}

/// Why an address is none of a push service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushEndpointRefused {
    #[error(transparent)]
    Url(#[from] UrlRefused),
    #[error("the scheme is http; push services are at https addresses")]
    Plain,
}

/// Of two pushes with the same topic, a browser that was away gets the later one alone (RFC 8030, section 5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTopic(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a topic has 1 to {TOPIC_CHARS_MAX} characters of A-Z, a-z, 0-9, - and _")]
pub struct PushTopicError;

impl PushKeys {
    #[must_use]
    pub const fn new(p256dh: PublicPoint, auth: [u8; AUTH_BYTES]) -> Self {
        Self { p256dh, auth }
    }

    pub(crate) fn stored(p256dh: &[u8], auth: &[u8]) -> Result<Self, PushKeyRefused> {
        Ok(Self { p256dh: PublicPoint::stored(p256dh)?, auth: sized(auth)? })
    }

    /// The browser's public key.
    #[must_use]
    pub const fn p256dh(&self) -> &PublicPoint {
        &self.p256dh
    }

    /// What only the browser and who pushes to it know.
    #[must_use]
    pub const fn auth(&self) -> &[u8; AUTH_BYTES] {
        &self.auth
    }
}

/// Reads a subscription's secret.
///
/// # Errors
/// When `text` is not base64url of 16 bytes.
pub fn parse_auth(text: &str) -> Result<[u8; AUTH_BYTES], PushKeyRefused> {
    decode(text)
}

/// Reads a push service's address, by the rules for all receivers. One without TLS is only of a service within a private network that
/// the operator opened.
///
/// # Errors
/// When it may not be called.
pub fn parse_push_endpoint(text: &str, policy: &EgressPolicy) -> Result<EndpointUrl, PushEndpointRefused> {
    let url = EndpointUrl::parse(text, policy)?;
    let is_plain = url.as_str().starts_with("http:");
    if is_plain && policy.allow.is_empty() { Err(PushEndpointRefused::Plain) } else { Ok(url) }
}

impl fmt::Debug for PushKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushKeys").field("p256dh", &self.p256dh).finish_non_exhaustive()
    }
}

impl PushTopic {
    /// That of a tenant's pushes with this collapse key: its hash, since push services read topics, and keys may have any characters.
    #[must_use]
    pub fn of(tenant: Id<Tenant>, key: &CollapseKey) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(tenant.uuid().as_bytes());
        context.update(key.as_str().as_bytes());
        let mut text = URL_SAFE_NO_PAD.encode(context.finish());
        text.truncate(TOPIC_CHARS_MAX);
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PushTopic {
    type Err = PushTopicError;
    fn from_str(text: &str) -> Result<Self, PushTopicError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (1..=TOPIC_CHARS_MAX).contains(&text.len()) && text.bytes().all(known);
        if fits { Ok(Self(text.to_owned())) } else { Err(PushTopicError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notification::Notification;

    #[test]
    fn a_push_service_has_an_https_address_unless_private_networks_are_open() {
        let policy = |allow: &[&str]| EgressPolicy {
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
            ports_allowed: Vec::new(),
        };
        let parsed =
            |text, allow: &[&str]| parse_push_endpoint(text, &policy(allow)).map(|url| url.as_str().to_owned());
        assert_eq!(parsed("https://push.example/1", &[]).as_deref(), Ok("https://push.example/1"));
        assert_eq!(parsed("http://push.example/1", &[]), Err(PushEndpointRefused::Plain));
        assert!(matches!(parsed("http://127.0.0.1:9/1", &[]), Err(PushEndpointRefused::Url(_))));
        assert!(parsed("http://127.0.0.1:9000/1", &["127.0.0.0/8"]).is_ok());
        assert!(matches!(parsed("https://push.example:6379/", &[]), Err(PushEndpointRefused::Url(_))));
    }

    #[test]
    fn a_topic_has_characters_of_base64url_and_a_notification_s_id_is_one() {
        for good in ["a", "upd-1_A", &"t".repeat(32), &Id::<Notification>::new().to_string()] {
            assert_eq!(good.parse::<PushTopic>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a=", "ü", &"t".repeat(33)] {
            assert_eq!(bad.parse::<PushTopic>(), Err(PushTopicError), "{bad}");
        }
    }

    #[test]
    fn a_collapse_key_is_a_topic_of_its_tenant_alone() {
        let (tenant, key): (Id<Tenant>, CollapseKey) = (Id::new(), "match:42/Köln".parse().unwrap());
        let topic = PushTopic::of(tenant, &key);
        assert_eq!(topic.as_str().parse::<PushTopic>(), Ok(topic.clone()));
        assert_eq!(topic, PushTopic::of(tenant, &key));
        assert_ne!(topic, PushTopic::of(Id::new(), &key));
        assert_ne!(topic, PushTopic::of(tenant, &"match:43".parse().unwrap()));
    }

    #[test]
    fn a_secret_has_sixteen_bytes_and_never_shows() {
        let auth = parse_auth("BTBZMqHH6r4Tts7J_aSIgg").unwrap();
        assert_eq!(auth, parse_auth("BTBZMqHH6r4Tts7J_aSIgg==").unwrap());
        assert_eq!(parse_auth("BTBZ"), Err(PushKeyRefused::Length { bytes: 3, expected: 16 }));
        let point = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let shown = format!("{:?}", PushKeys::new(point.parse().unwrap(), auth));
        assert!(shown.contains(point) && !shown.contains("auth"), "{shown}");
    }
}
