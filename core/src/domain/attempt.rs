//! Attempts: what one try of a job met.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    Id, UnixMs, fingerprint,
    fingerprint::Fingerprint,
    id::Identified,
    job::{Job, JobKind},
};

/// One recorded try of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: Id<Attempt>,
    pub job_id: Id<Job>,
    /// 1 for the first.
    pub n: u32,
    pub report: AttemptReport,
    /// Its outcome came after another worker had already taken the job on; it changed nothing.
    pub late: bool,
}

impl Identified for Attempt {
    const PREFIX: &'static str = "att";
}

/// What an executor saw of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Of a lost one: when it was missed.
    pub started_at: UnixMs,
    pub duration_ms: u32,
    pub class: AttemptClass,
    pub status_code: Option<u16>,
    /// In words for operators; `None` on success.
    pub error: Option<String>,
    /// The first 4 KiB of the receiver's answer.
    pub response_body: Option<Vec<u8>>,
    /// The address that was dialled, with its port.
    pub address: Option<String>,
    /// The worker that ran it.
    pub worker: String,
    /// The receiver's `Retry-After` on 429 and 503.
    pub retry_after: Option<Duration>,
}

impl AttemptReport {
    /// What is known of a try whose worker vanished: that it did, and by `noticed_at`.
    #[must_use]
    pub fn lost(worker: &str, noticed_at: UnixMs) -> Self {
        Self {
            started_at: noticed_at,
            duration_ms: 0,
            class: AttemptClass::Lost,
            status_code: None,
            error: Some("its worker vanished".to_owned()),
            response_body: None,
            address: None,
            worker: worker.to_owned(),
            retry_after: None,
        }
    }

    /// The group of failures that this one belongs to, or `None` for a success.
    #[must_use]
    pub fn fingerprint(&self, kind: JobKind) -> Option<Fingerprint> {
        let error = self.error.as_deref()?;
        Some(fingerprint::of(kind, self.class, self.status_code, error))
    }
}

/// How a try ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptClass {
    Succeeded,
    /// An answer that is neither 2xx nor a redirect.
    HttpStatus,
    /// A reply of a mail server that is neither 2yz nor 3yz (RFC 5321, section 4.2.1).
    MailRefused,
    /// A 3xx; redirects are not followed.
    Redirect,
    Timeout,
    Dns,
    /// Nobody listens, or the connection broke.
    Connect,
    Tls,
    /// The address may not be reached by deliveries.
    Egress,
    /// The answer was not HTTP, or broke off.
    Protocol,
    /// The job itself cannot be run as it is.
    Invalid,
    /// What was made of a site could not be made public.
    Publish,
    /// Postrider's own code panicked.
    Panic,
    /// Its worker vanished.
    Lost,
}

impl AttemptClass {
    pub const ALL: [Self; 14] = [
        Self::Succeeded,
        Self::HttpStatus,
        Self::MailRefused,
        Self::Redirect,
        Self::Timeout,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Egress,
        Self::Protocol,
        Self::Invalid,
        Self::Publish,
        Self::Panic,
        Self::Lost,
    ];

    /// As people read it; what a status code stands behind.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::HttpStatus => "HTTP status",
            Self::MailRefused => "mail refused",
            Self::Redirect => "redirected",
            Self::Timeout => "timed out",
            Self::Dns => "DNS lookup failed",
            Self::Connect => "connection failed",
            Self::Tls => "TLS handshake failed",
            Self::Egress => "address not allowed",
            Self::Protocol => "broken answer",
            Self::Invalid => "cannot be run",
            Self::Publish => "not published",
            Self::Panic => "fault in Postrider",
            Self::Lost => "worker lost",
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::HttpStatus => "http_status",
            Self::MailRefused => "mail_refused",
            Self::Redirect => "redirect",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Egress => "egress",
            Self::Protocol => "protocol",
            Self::Invalid => "invalid",
            Self::Publish => "publish",
            Self::Panic => "panic",
            Self::Lost => "lost",
        }
    }
}

impl FromStr for AttemptClass {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not an attempt's outcome"))
    }
}

impl fmt::Display for AttemptClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
