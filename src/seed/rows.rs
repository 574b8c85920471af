//! What is kept of a made-up job: its row, its dead letter and what somebody did about that.

use std::time::Duration;

use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        dead_letter::{Cause, DeadLetter, DeadLetterState, PastAttempt},
        event::Event,
        fingerprint::{self, Fingerprint},
        job::{Job, JobKind, JobState, Priority},
        lane::LaneName,
        sent::ShownHeaders,
        tag::Tag,
    },
    store::{AuditEntry, ENDPOINT_DELETED},
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

use super::{
    failures::Failure,
    world::{Place, Receiver},
};

const PEOPLE: [&str; 4] = ["ada", "grace", "alan", "maria@example.com"];
const REASONS: [&str; 4] =
    ["the customer left", "sent again by hand", "a test by the integrator", "older than what came since"];
const LOST_WORDS: &str = "three workers vanished while they ran it";
const HOUR: Duration = Duration::from_secs(3_600);

/// A job to be told, whatever becomes of it.
pub(super) struct Work<'w> {
    pub(super) place: &'w Place,
    pub(super) kind: JobKind,
    pub(super) lane: LaneName,
    pub(super) event: Option<Event>,
    pub(super) receiver: Option<&'w Receiver>,
    pub(super) args: Option<Vec<u8>>,
    /// Seconds before each retry.
    pub(super) delays_s: Vec<f64>,
    pub(super) tags: Vec<Tag>,
    pub(super) habit: Failure,
    pub(super) pace_ms: u32,
}

/// What becomes of it.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    Succeeds {
        failures: usize,
    },
    Dies(Cause),
    Cancelled,
    /// Was never tried.
    Waits {
        until: UnixMs,
    },
    Retries {
        failures: usize,
        at: UnixMs,
    },
}

impl<'w> Work<'w> {
    pub(super) fn delivery(place: &'w Place, receiver: &'w Receiver, kind: JobKind, event: &Event) -> Self {
        Self {
            place,
            kind,
            lane: LaneName::of_endpoint(receiver.endpoint.id),
            event: Some(event.clone()),
            receiver: Some(receiver),
            args: None,
            delays_s: receiver.endpoint.settings.retry_schedule.seconds(),
            tags: Vec::new(),
            habit: receiver.habit,
            pace_ms: receiver.pace_ms,
        }
    }

    /// The headers of the last of its calls.
    fn sent(&self, attempts: &[PastAttempt]) -> Option<ShownHeaders> {
        let (event, own) = (self.event.as_ref()?, &self.receiver?.endpoint.settings.headers);
        let at = PastAttempt::last_tried(attempts)?.started_at;
        Some(ShownHeaders::of_delivery(&event.public_id(), at, own))
    }
}

/// The row, made at this time and perhaps as the replay of a dead letter.
pub(super) fn job(
    work: &Work<'_>,
    id: Id<Job>,
    (at, replay_of): (UnixMs, Option<Id<DeadLetter>>),
    fate: &Fate,
    attempts: &[PastAttempt],
) -> Job {
    let is_lost = |attempt: &&PastAttempt| attempt.outcome == AttemptClass::Lost.as_str();
    let lost = attempts.iter().filter(is_lost).count();
    let ended = attempts.last().map_or(at, |last| UnixMs(last.started_at.0 + i64::from(last.duration_ms)));
    let (state, run_at) = match fate {
        Fate::Succeeds { .. } => (JobState::Succeeded, ended),
        Fate::Dies(_) => (JobState::Dead, ended),
        Fate::Cancelled => (JobState::Cancelled, ended),
        Fate::Waits { until: at } | Fate::Retries { at, .. } => (JobState::Pending, *at),
    };
    let failure = attempts.iter().rfind(|attempt| attempt.error.is_some() && !is_lost(attempt));
    let error = match fate {
        Fate::Cancelled => Some(ENDPOINT_DELETED),
        Fate::Dies(Cause::WorkersLost) => Some(LOST_WORDS),
        _ => failure.and_then(|failure| failure.error.as_deref()),
    };
    Job {
        id,
        tenant_id: work.place.tenant.id,
        kind: work.kind,
        lane: work.lane.clone(),
        state,
        attempt: small(attempts.len() - lost),
        max_attempts: small(work.delays_s.len() + 1),
        priority: Priority::default(),
        run_at,
        event_id: work.event.as_ref().map(|event| event.id),
        endpoint_id: work.receiver.map(|receiver| receiver.endpoint.id),
        unique_key: None,
        lost_workers: small(lost),
        replay_of,
        created_at: at,
        finished_at: (state != JobState::Pending).then_some(ended),
        last_error: error.map(str::to_owned),
        tags: work.tags.clone(),
        fingerprint: failure.and_then(|failure| fingerprint(work.kind, failure)),
    }
}

fn fingerprint(kind: JobKind, failure: &PastAttempt) -> Option<Fingerprint> {
    let class = failure.outcome.parse().ok()?;
    Some(fingerprint::of(kind, class, failure.status_code, failure.error.as_deref()?))
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// An open one, as it is written when a job dies.
pub(super) fn letter(work: &Work<'_>, job: &Job, cause: Cause, attempts: &[PastAttempt], random: u128) -> DeadLetter {
    let died = job.finished_at.unwrap_or(job.created_at);
    let payload = work.event.as_ref().and_then(|event| event.payload.clone());
    DeadLetter {
        id: Id::at(died, random),
        tenant_id: job.tenant_id,
        job_id: job.id,
        kind: job.kind,
        lane: job.lane.clone(),
        cause,
        state: DeadLetterState::Open,
        message_id: work.event.as_ref().map(Event::public_id),
        event_type: work.event.as_ref().map(|event| event.kind.to_string()),
        endpoint_id: job.endpoint_id,
        endpoint_url: work.receiver.map(|receiver| receiver.endpoint.settings.url.as_str().to_owned()),
        request_headers: work.sent(attempts),
        payload: work.args.clone().or(payload).unwrap_or_default(),
        attempts: job.attempt,
        history: attempts.to_vec(),
        first_error: attempts.iter().find_map(|attempt| attempt.error.clone()),
        last_error: job.last_error.clone(),
        status_code: attempts.last().and_then(|attempt| attempt.status_code),
        fingerprint: job.fingerprint.clone(),
        tags: job.tags.clone(),
        replay_of: job.replay_of,
        replayed_as: None,
        created_at: died,
        resolved_at: None,
        resolved_reason: None,
    }
}

/// Has somebody deal with one in five within two days, where that is not in the future: replay it, as long as that may be,
/// or discard it.
pub(super) fn resolve(letter: &mut DeadLetter, now: UnixMs, may_replay: bool, dice: &mut StdRng) {
    let at = letter.created_at + HOUR.mul_f64(dice.random_range(0.1..48.0));
    if at >= now || !dice.random_bool(0.2) {
        return;
    }
    if dice.random_bool(0.3) {
        letter.state = DeadLetterState::Discarded;
        letter.resolved_reason = REASONS.choose(dice).map(|&reason| reason.to_owned());
    } else if may_replay {
        letter.state = DeadLetterState::Replayed;
        letter.replayed_as = Some(Id::at(at, dice.random()));
    } else {
        return;
    }
    letter.resolved_at = Some(at);
}

/// The audit entry of whoever dealt with it; `None` where nobody has.
pub(super) fn deed(letter: &DeadLetter, dice: &mut StdRng) -> Option<AuditEntry> {
    let at = letter.resolved_at?;
    let (action, after) = match letter.replayed_as {
        Some(job) => ("dead_letter.replay", json!({ "state": "replayed", "job": job, "other_payload": false })),
        None => ("dead_letter.discard", json!({ "state": "discarded", "reason": letter.resolved_reason })),
    };
    Some(AuditEntry {
        id: Id::at(at, dice.random()),
        tenant_id: Some(letter.tenant_id),
        actor: PEOPLE.choose(dice)?.to_string(),
        address: format!("198.51.100.{}", dice.random_range(1..255)),
        action: action.to_owned(),
        subject: letter.id.to_string(),
        before: None,
        after: Some(after),
        created_at: at,
    })
}
