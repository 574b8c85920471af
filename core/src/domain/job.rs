//! Jobs: one piece of accepted work, its states, and what an execution makes of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    Id, UnixMs,
    attempt::AttemptReport,
    dead_letter::{Cause, DeadLetter},
    endpoint::Endpoint,
    event::Event,
    fingerprint::Fingerprint,
    id::Identified,
    lane::{LaneKey, LaneName},
    limits::{LOST_WORKERS_MAX, LOST_WORKERS_OF_CHUNKS_MAX},
    retry::RetrySchedule,
    tag::Tag,
    tenant::Tenant,
};

/// Accepted work. Its row is the truth; the queue holds at most a ticket for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: Id<Job>,
    pub tenant_id: Id<Tenant>,
    pub kind: JobKind,
    pub lane: LaneName,
    pub state: JobState,
    /// Attempts that have ended; the next one is `attempt + 1`.
    pub attempt: u32,
    pub max_attempts: u32,
    pub priority: Priority,
    /// When the next attempt is due.
    pub run_at: UnixMs,
    pub event_id: Option<Id<Event>>,
    pub endpoint_id: Option<Id<Endpoint>>,
    pub unique_key: Option<String>,
    /// Workers that vanished while they ran it.
    pub lost_workers: u32,
    /// The dead letter that this job replays.
    pub replay_of: Option<Id<DeadLetter>>,
    pub created_at: UnixMs,
    pub finished_at: Option<UnixMs>,
    pub last_error: Option<String>,
    pub fingerprint: Option<Fingerprint>,
    pub tags: Vec<Tag>,
}

impl Identified for Job {
    const PREFIX: &'static str = "job";
}

impl Job {
    #[must_use]
    pub fn lane_key(&self) -> LaneKey {
        LaneKey { tenant: self.tenant_id, name: self.lane.clone() }
    }
}

macro_rules! named {
    ($name:ident, $what:literal, { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
                    let known: Vec<&str> = Self::ALL.iter().map(|known| known.as_str()).collect();
                    format!("{text:?} is not {}: {}", $what, known.join(", "))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The registry of what can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// One event to one endpoint, signed.
    WebhookDeliver,
    /// One event to one endpoint, signed, once, for somebody who waits for what comes of it.
    WebhookTest,
    /// Any HTTP call.
    HttpRequest,
    /// All that is stale of a site is made again and published.
    SiteRegenerate,
    /// What was published of a locale is read back, and told to those who want to know.
    SiteAnnounce,
    /// What an image or an enclosure of a site's feeds really is.
    SiteProbe,
    /// Whom a notification is for, in chunks; those whom it names are told.
    NotificationPlan,
    /// The recipients of one chunk of a notification are told in their inboxes.
    NotificationChunk,
    /// The recipients of one chunk are reached on a channel, one after the other.
    NotificationBatch,
    /// One recipient is tried again on a channel.
    NotificationMessage,
    /// What was gathered for one recipient is sent to them.
    NotificationDigest,
    /// Nothing: accepted, queued and recorded as others are, to measure all of it but the work.
    Noop,
}
named!(JobKind, "a kind of job", {
    WebhookDeliver => "webhook.deliver", WebhookTest => "webhook.test", HttpRequest => "http.request",
    SiteRegenerate => "site.regenerate", SiteAnnounce => "site.announce", SiteProbe => "site.probe",
    NotificationPlan => "notification.plan", NotificationChunk => "notification.chunk",
    NotificationBatch => "notification.batch", NotificationMessage => "notification.message",
    NotificationDigest => "notification.digest",
    Noop => "noop",
});

/// What a job of a kind is handed, for people who look at it and edit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A payload that is sent as it is.
    Payload,
    /// What is called, as [`super::http_request::HttpRequest`] says.
    Call,
    /// Nothing, or what is of use to the job alone.
    Own,
}

impl JobKind {
    #[must_use]
    pub const fn input(self) -> Input {
        match self {
            Self::WebhookDeliver | Self::WebhookTest => Input::Payload,
            Self::HttpRequest => Input::Call,
            Self::SiteRegenerate
            | Self::SiteAnnounce
            | Self::SiteProbe
            | Self::NotificationPlan
            | Self::NotificationChunk
            | Self::NotificationBatch
            | Self::NotificationMessage
            | Self::NotificationDigest
            | Self::Noop => Input::Own,
        }
    }

    /// Lost workers after which a job is dead without running again. Those of a fan-out are of a thousand people each and bounded in
    /// what they do, and a batch goes on where it was: whatever ends their workers is hardly they, and all of them would be told nothing.
    #[must_use]
    pub const fn lost_workers_max(self) -> u32 {
        match self {
            Self::NotificationPlan | Self::NotificationChunk | Self::NotificationBatch => LOST_WORKERS_OF_CHUNKS_MAX,
            Self::WebhookDeliver
            | Self::WebhookTest
            | Self::HttpRequest
            | Self::SiteRegenerate
            | Self::SiteAnnounce
            | Self::SiteProbe
            | Self::NotificationMessage
            | Self::NotificationDigest
            | Self::Noop => LOST_WORKERS_MAX,
        }
    }
}

/// What SQL knows of a job. While it is `Pending`, see [`JobView`] for what it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    Pending,
    Succeeded,
    Dead,
    Cancelled,
}
named!(JobState, "a job's stored state", { Pending => "pending", Succeeded => "succeeded", Dead => "dead", Cancelled => "cancelled" });

/// A job's state as people see it; the first four are `Pending` jobs told apart by time and attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobView {
    Scheduled,
    Queued,
    Running,
    Retrying,
    Succeeded,
    Dead,
    Cancelled,
}
named!(JobView, "a job's state", {
    Scheduled => "scheduled", Queued => "queued", Running => "running", Retrying => "retrying",
    Succeeded => "succeeded", Dead => "dead", Cancelled => "cancelled",
});

impl JobView {
    #[must_use]
    pub fn of(job: &Job, running: bool, now: UnixMs) -> Self {
        Self::derived(job.state, job.attempt, job.run_at, running, now)
    }

    /// As [`Self::of`], for what shows a job in a line.
    #[must_use]
    pub fn derived(state: JobState, attempt: u32, run_at: UnixMs, running: bool, now: UnixMs) -> Self {
        match state {
            JobState::Succeeded => Self::Succeeded,
            JobState::Dead => Self::Dead,
            JobState::Cancelled => Self::Cancelled,
            JobState::Pending if running => Self::Running,
            JobState::Pending if attempt > 0 => Self::Retrying,
            JobState::Pending if run_at > now => Self::Scheduled,
            JobState::Pending => Self::Queued,
        }
    }
}

/// Which of a lane's due jobs goes first: 9 before 0; 4 when nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    pub const MAX: Self = Self(9);

    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(4)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;
    fn try_from(level: u8) -> Result<Self, String> {
        if level <= 9 { Ok(Self(level)) } else { Err(format!("a priority is 0 to 9, not {level}")) }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// How one execution ended, for the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// Failed, and due again.
    Retry {
        at: UnixMs,
    },
    Dead {
        cause: Cause,
    },
    Cancelled {
        reason: String,
    },
    /// Its worker vanished; spends no retry.
    Lost,
}

impl Outcome {
    /// What a failed attempt means: a retry by the schedule, or the end.
    #[must_use]
    pub fn of_failure(next: &NextTry<'_>) -> Self {
        let attempts = next.attempt + 1;
        if attempts >= next.max_attempts {
            return Self::Dead { cause: Cause::AttemptsSpent };
        }
        match next.schedule.delay(attempts + 1, next.roll, next.report.retry_after) {
            Some(delay) => Self::Retry { at: next.now + delay },
            None => Self::Dead { cause: Cause::AttemptsSpent },
        }
    }

    /// What an outcome means for a test: one that failed has told whoever sent it, and leaves nothing to be dealt with.
    #[must_use]
    pub fn of_test(self) -> Self {
        match self {
            Self::Retry { .. } | Self::Dead { .. } => Self::Cancelled { reason: "the test failed".to_owned() },
            Self::Succeeded | Self::Cancelled { .. } | Self::Lost => self,
        }
    }

    /// What a vanished worker means for a job that has lost `lost_workers` of them now.
    #[must_use]
    pub const fn of_lost_worker(kind: JobKind, lost_workers: u32) -> Self {
        if lost_workers >= kind.lost_workers_max() { Self::Dead { cause: Cause::WorkersLost } } else { Self::Lost }
    }
}

/// What the decision about a failed attempt rests on.
#[derive(Clone, Debug)]
pub struct NextTry<'a> {
    /// Attempts that had ended before this one.
    pub attempt: u32,
    pub max_attempts: u32,
    pub schedule: &'a RetrySchedule,
    pub report: &'a AttemptReport,
    /// Uniform in `[0, 1)`.
    pub roll: f64,
    pub now: UnixMs,
}
