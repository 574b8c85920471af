//! Web push: a text to one browser, by way of the push service that it chose (RFC 8030). Owns what is said to push services and what
//! their answers mean; must not know notifications, chunks or jobs.

mod encrypt;
mod report;
mod token;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use moka::future::Cache;
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        endpoint::TIMEOUT_MS_DEFAULT,
        notification_type::Urgency,
        push::{PUSH_TEXT_BYTES_MAX, PushSubscription, PushTopic},
        vapid::Vapid,
    },
    store::Store,
};
use ring::rand::SystemRandom;
use url::Url;

pub use self::report::PushReport;
use crate::egress::{Call, EgressClient, Exchange};

/// How long a push service may take: as long as an endpoint whose owner says nothing.
const TIMEOUT: Duration = Duration::from_millis(TIMEOUT_MS_DEFAULT as u64);
/// Longer than any push service keeps anything; some refuse more.
const TTL_MAX: Duration = Duration::from_secs(28 * 24 * 3600);
/// Tokens that are kept: of each tenant one for each push service, of which browsers have four or five.
const TOKENS_MAX: u64 = 4_096;

/// What is pushed to a browser.
#[derive(Clone, Debug)]
pub struct PushMessage<'a> {
    text: &'a [u8],
    ttl: Duration,
    urgency: Urgency,
    topic: Option<&'a PushTopic>,
}

/// A text that no push service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text has {bytes} bytes; a push may have {PUSH_TEXT_BYTES_MAX}")]
pub struct PushTooLarge {
    pub bytes: usize,
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum PushEnd {
    /// The push service has it. Whether and when the browser shows it, nobody is told.
    Accepted,
    /// There is no such browser any more: its subscription is to be forgotten.
    Gone,
    /// It may be accepted later; where the push service says when, not before.
    Retry { after: Option<Duration>, report: PushReport },
    /// It is refused, however often it is tried.
    Refused { report: PushReport },
}

/// Pushes. Clones share what they know.
#[derive(Clone)]
pub struct PushSender(Arc<Inner>);

struct Inner {
    store: Store,
    egress: EgressClient,
    /// By key and origin of the push service. What another key or subject signs has another id.
    tokens: Cache<(Id<Vapid>, String), Arc<str>>,
    random: SystemRandom,
}

impl<'a> PushMessage<'a> {
    /// A text, and how long a push service keeps it for a browser that is away; with 0 it is for browsers that are there.
    ///
    /// # Errors
    /// When the text is too large.
    pub const fn new(text: &'a [u8], ttl: Duration, urgency: Urgency) -> Result<Self, PushTooLarge> {
        match text.len() {
            0..=PUSH_TEXT_BYTES_MAX => Ok(Self { text, ttl, urgency, topic: None }),
            bytes => Err(PushTooLarge { bytes }),
        }
    }

    /// Takes the place of what was pushed with the same topic and has not reached its browser.
    #[must_use]
    pub const fn with_topic(self, topic: &'a PushTopic) -> Self {
        Self { topic: Some(topic), ..self }
    }

    /// RFC 8030, section 5, and RFC 8291, section 2.
    fn headers(&self, authorization: &str) -> Vec<(String, String)> {
        let mut headers = vec![
            ("authorization", authorization),
            ("content-encoding", "aes128gcm"),
            ("content-type", "application/octet-stream"),
            ("urgency", self.urgency.as_str()),
        ];
        headers.extend(self.topic.map(|topic| ("topic", topic.as_str())));
        let mut headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        headers.push(("ttl".to_owned(), self.ttl.min(TTL_MAX).as_secs().to_string()));
        headers
    }
}

impl PushSender {
    #[must_use]
    pub fn new(store: Store, egress: EgressClient) -> Self {
        let tokens = Cache::builder().max_capacity(TOKENS_MAX).time_to_live(token::USED).build();
        Self(Arc::new(Inner { store, egress, tokens, random: SystemRandom::new() }))
    }

    /// Pushes a text to a browser, once.
    pub async fn push(&self, to: &PushSubscription, message: &PushMessage<'_>) -> PushEnd {
        let started_at = UnixMs::now();
        if to.expires_at.is_some_and(|end| end <= started_at) {
            return PushEnd::Gone;
        }
        let vapid = match self.0.store.vapid(to.tenant_id).await {
            Ok(vapid) => vapid,
            Err(error) => {
                tracing::warn!(%error, tenant = %to.tenant_id, "the key for web push cannot be had; a push waits");
                let report = PushReport::unsent(started_at, "the key for web push cannot be read now");
                return PushEnd::Retry { after: None, report };
            }
        };
        let authorization = match self.authorization(&vapid, to.endpoint.as_str(), started_at).await {
            Ok(authorization) => authorization,
            Err(words) => return PushEnd::Retry { after: None, report: PushReport::unsent(started_at, words) },
        };
        let Ok(body) = encrypt::encrypt(&to.keys, message.text, &self.0.random) else {
            let report = PushReport::unsent(started_at, "the text could not be encrypted for this subscription");
            return PushEnd::Refused { report };
        };
        let headers = message.headers(&authorization);
        let call =
            Call { method: "POST", url: &to.endpoint, headers: &headers, body: Bytes::from(body), timeout: TIMEOUT };
        let exchange = self.0.egress.send(call).await;
        if exchange.error != exchange.tenant_error {
            let (error, address) = (exchange.error.as_deref(), exchange.address.as_deref());
            tracing::warn!(tenant = %to.tenant_id, subscription = %to.id, error, address, "a push was not made");
        }
        end_of(exchange, started_at, vapid.subject.is_some())
    }

    async fn authorization(&self, vapid: &Vapid, endpoint: &str, now: UnixMs) -> Result<Arc<str>, &'static str> {
        let origin = Url::parse(endpoint).map_err(|_| "the endpoint cannot be read")?.origin().ascii_serialization();
        let sign = async { token::authorization(vapid, &origin, now, &self.0.random).map(Arc::from) };
        self.0.tokens.try_get_with((vapid.id, origin.clone()), sign).await.map_err(|words| *words)
    }
}

impl fmt::Debug for PushSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushSender").field("egress", &self.0.egress).finish_non_exhaustive()
    }
}

/// What an answer means, or that there was none (RFC 8030, sections 5 and 7.3).
fn end_of(exchange: Exchange, started_at: UnixMs, has_subject: bool) -> PushEnd {
    let after = exchange.retry_after;
    match (exchange.status_code, exchange.class) {
        (Some(200..=299), _) => PushEnd::Accepted,
        (Some(404 | 410), _) => PushEnd::Gone,
        (Some(408 | 429 | 500..=599), _) => PushEnd::Retry { after, report: PushReport::of(exchange, started_at) },
        (Some(status), _) => {
            PushEnd::Refused { report: PushReport::of(exchange, started_at).advised(advice(status, has_subject)) }
        }
        (None, AttemptClass::Egress | AttemptClass::Invalid) => {
            PushEnd::Refused { report: PushReport::of(exchange, started_at) }
        }
        (None, _) => PushEnd::Retry { after, report: PushReport::of(exchange, started_at) },
    }
}

/// What is to be done about a refusal.
const fn advice(status: u16, has_subject: bool) -> Option<&'static str> {
    match (status, has_subject) {
        (400 | 401 | 403, false) => Some(
            "the push service does not take the key: a page has to subscribe with the public_key that GET /v1/push shows, and some \
            push services want a subject, which PUT /v1/push sets",
        ),
        (401 | 403, true) => Some(
            "the push service does not take the key: the subscription was made with another one than GET /v1/push shows, so the page \
            has to subscribe again",
        ),
        (400, true) => Some("the push service does not understand the push; its answer says why"),
        (413, _) => Some("the text is too large for this push service; shorten the push templates of the type"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
