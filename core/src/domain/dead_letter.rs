//! Dead letters: whole snapshots of work that ended without success, kept until a person has dealt with them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    Id, UnixMs,
    attempt::AttemptClass,
    endpoint::Endpoint,
    fingerprint::Fingerprint,
    id::Identified,
    job::{Job, JobKind},
    lane::LaneName,
    sent::ShownHeaders,
    tag::Tag,
    tenant::Tenant,
};

/// A snapshot that needs neither the job, the event nor the endpoint that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: Id<DeadLetter>,
    pub tenant_id: Id<Tenant>,
    pub job_id: Id<Job>,
    pub kind: JobKind,
    pub lane: LaneName,
    pub cause: Cause,
    pub state: DeadLetterState,
    /// The event's id as its receiver knows it (`webhook-id`); `None` for other kinds.
    pub message_id: Option<String>,
    pub event_type: Option<String>,
    pub endpoint_id: Option<Id<Endpoint>>,
    /// Where its last call went; of a delivery that died without one: where its endpoint was.
    pub endpoint_url: Option<String>,
    /// Of a delivery's last call, where they are known.
    pub request_headers: Option<ShownHeaders>,
    /// The bytes that were to be sent, or the job's arguments.
    pub payload: Vec<u8>,
    /// Attempts that ended.
    pub attempts: u32,
    /// The attempts as they were recorded, oldest first.
    pub history: Vec<PastAttempt>,
    pub first_error: Option<String>,
    pub last_error: Option<String>,
    pub status_code: Option<u16>,
    pub fingerprint: Option<Fingerprint>,
    /// The dead letter that the dead job had been a replay of.
    pub replay_of: Option<Id<DeadLetter>>,
    /// The job that replays this one.
    pub replayed_as: Option<Id<Job>>,
    pub created_at: UnixMs,
    pub resolved_at: Option<UnixMs>,
    pub resolved_reason: Option<String>,
    /// The job's.
    pub tags: Vec<Tag>,
}

impl Identified for DeadLetter {
    const PREFIX: &'static str = "dl";
}

/// An attempt inside a snapshot, and as the API shows attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// 1 for the first.
    pub n: u32,
    pub started_at: UnixMs,
    pub duration_ms: u32,
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worker: Option<String>,
    /// Its outcome came too late and changed nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub late: bool,
}

impl PastAttempt {
    /// The last attempt that may have called somebody, of a history from the oldest on.
    #[must_use]
    pub fn last_tried(history: &[Self]) -> Option<&Self> {
        history.iter().rev().find(|attempt| !attempt.late && attempt.outcome != AttemptClass::Lost.as_str())
    }
}

/// Why work ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The retry schedule is spent.
    AttemptsSpent,
    /// The receiver answered 410.
    Gone,
    /// The endpoint was disabled while the delivery was pending.
    EndpointDisabled,
    /// Three workers vanished while they ran it.
    WorkersLost,
    /// It cannot be run as it is, however often.
    Invalid,
}

impl Cause {
    pub const ALL: [Self; 5] =
        [Self::AttemptsSpent, Self::Gone, Self::EndpointDisabled, Self::WorkersLost, Self::Invalid];

    /// As people read it.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::AttemptsSpent => "all attempts failed",
            Self::Gone => "its receiver is gone (410)",
            Self::EndpointDisabled => "its endpoint was disabled",
            Self::WorkersLost => "three workers vanished with it",
            Self::Invalid => "it cannot be run",
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsSpent => "attempts_spent",
            Self::Gone => "gone",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::WorkersLost => "workers_lost",
            Self::Invalid => "invalid",
        }
    }
}

impl FromStr for Cause {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or_else(|| format!("{text:?} is not a cause"))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether somebody has dealt with a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    Open,
    Replayed,
    Discarded,
}

impl DeadLetterState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Replayed, Self::Discarded];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

impl FromStr for DeadLetterState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not open, replayed or discarded"))
    }
}
