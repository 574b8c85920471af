//! What is told of a push that was not accepted.

use std::time::Duration;

use postrider_core::domain::{
    UnixMs,
    attempt::{AttemptClass, AttemptReport},
};

use crate::egress::Exchange;

/// A push that came to nothing, as its tenant may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushReport {
    pub started_at: UnixMs,
    pub duration: Duration,
    pub class: AttemptClass,
    pub status_code: Option<u16>,
    /// In stable words, with what is to be done about it where that is known.
    pub error: String,
    /// The first 4 KiB of the push service's answer.
    pub response_body: Option<Vec<u8>>,
    /// The address that was dialled, with its port.
    pub address: Option<String>,
    /// On 429 and 503, when the push service wants it tried again.
    pub retry_after: Option<Duration>,
    /// This machine had no socket: nothing was sent, and it says nothing of the push service.
    pub starved: bool,
}

impl PushReport {
    pub(super) fn of(exchange: Exchange, started_at: UnixMs) -> Self {
        let may_show = exchange.class != AttemptClass::Egress;
        Self {
            started_at,
            duration: exchange.duration,
            class: exchange.class,
            status_code: exchange.status_code,
            error: exchange.tenant_error.unwrap_or_default(),
            response_body: exchange.response_body,
            address: exchange.address.filter(|_| may_show),
            retry_after: exchange.retry_after,
            starved: exchange.starved,
        }
    }

    /// That of a push that met nobody.
    pub(super) fn unsent(started_at: UnixMs, error: &str) -> Self {
        Self {
            started_at,
            duration: Duration::ZERO,
            class: AttemptClass::Invalid,
            status_code: None,
            error: error.to_owned(),
            response_body: None,
            address: None,
            retry_after: None,
            starved: false,
        }
    }

    pub(super) fn advised(mut self, advice: Option<&str>) -> Self {
        if let Some(advice) = advice {
            self.error = format!("{}: {advice}", self.error);
        }
        self
    }

    /// As attempts of jobs keep it.
    #[must_use]
    pub fn attempt(&self, worker: &str) -> AttemptReport {
        AttemptReport {
            started_at: self.started_at,
            duration_ms: u32::try_from(self.duration.as_millis()).unwrap_or(u32::MAX),
            class: self.class,
            status_code: self.status_code,
            error: Some(self.error.clone()),
            response_body: self.response_body.clone(),
            address: self.address.clone(),
            worker: worker.to_owned(),
            retry_after: self.retry_after,
        }
    }
}
