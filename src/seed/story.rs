//! What happened in a made-up past, in order of time: events, the jobs that came of them, and what became of those.

use std::time::Duration;

use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::{Cause, DeadLetter, PastAttempt},
        egress::EndpointUrl,
        endpoint::{EndpointState, TIMEOUT_MS_DEFAULT},
        event::{Event, OwnId},
        http_request::HttpRequest,
        job::{Job, JobKind},
        retry::RetrySchedule,
    },
    store::{Past, PastJob},
};
use rand::{Rng, distr::weighted::WeightedIndex, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

use super::{
    failures, payloads,
    rows::{self, Fate, Work},
    timeline::Course,
    world::{Place, Receiver, World},
};

const DAY_S: f64 = 24.0 * 3_600.0;
/// How much more comes by day than by night: 0 is evenly, 1 nothing by night.
const WAVE: f64 = 0.6;
/// The last part of the jobs, some of which are not over yet.
const RECENT: f64 = 0.01;
const CALL_DELAYS_S: [f64; 2] = [5.0, 300.0];

/// What the past has to come to.
pub(super) struct Wanted {
    pub(super) jobs: u32,
    pub(super) dead: u32,
    pub(super) from: UnixMs,
    pub(super) now: UnixMs,
}

pub(super) struct Story<'w> {
    world: &'w World,
    wanted: Wanted,
    dice: StdRng,
    shares: Option<WeightedIndex<f64>>,
    told: u32,
    dead: u32,
}

impl<'w> Story<'w> {
    pub(super) fn new(world: &'w World, wanted: Wanted, dice: StdRng) -> Self {
        let shares = WeightedIndex::new(world.places.iter().map(|place| place.share)).ok();
        Self { world, wanted, dice, shares, told: 0, dead: 0 }
    }

    pub(super) fn goes_on(&self) -> bool {
        self.left() > 0
    }

    /// Adds the next event with its deliveries, or another job.
    pub(super) fn tell_event(&mut self, batch: &mut Past) {
        let at = self.moment();
        let place = self.shares.as_ref().map_or(0, |shares| self.dice.sample(shares));
        let Some(place) = self.world.places.get(place) else { return };
        match self.dice.random_range(0..1_000) {
            // Neither of these dies.
            0..4 if self.may_live() => self.test(place, at, batch),
            4..8 if self.may_live() => self.noop(place, at, batch),
            8..150 => self.call(place, at, batch),
            _ => self.publish(place, at, batch),
        }
    }

    const fn left(&self) -> u32 {
        self.wanted.jobs - self.told
    }

    const fn dead_left(&self) -> u32 {
        self.wanted.dead - self.dead
    }

    const fn may_live(&self) -> bool {
        self.dead_left() < self.left()
    }

    /// Evenly by jobs, but for the wave of days and nights.
    fn moment(&mut self) -> UnixMs {
        let span = self.wanted.now.since(self.wanted.from);
        let part = (f64::from(self.told) + self.dice.random::<f64>()) / f64::from(self.wanted.jobs);
        let turn = std::f64::consts::TAU * (span.as_secs_f64() / DAY_S).max(1.0);
        let bent = part + WAVE * (turn * part).sin() / turn;
        self.wanted.from + span.mul_f64(bent.clamp(0.0, 1.0))
    }

    fn publish(&mut self, place: &'w Place, at: UnixMs, batch: &mut Past) {
        let projects = place.receivers.len().div_ceil(2);
        // The first projects are the busiest.
        let project = self.dice.random_range(0..projects).min(self.dice.random_range(0..projects));
        let open = |receiver: &&Receiver| {
            let Receiver { endpoint, .. } = receiver;
            endpoint.state != EndpointState::Disabled || at < endpoint.state_since
        };
        let receivers: Vec<&Receiver> = place.receivers.iter().skip(project * 2).take(2).filter(open).collect();
        let (Some(first), Some(kind)) = (receivers.first(), payloads::kind(&mut self.dice)) else { return };
        let own_id: Option<OwnId> =
            self.dice.random_bool(0.1).then(|| format!("op-{:08x}", self.dice.random::<u32>()).parse().ok()).flatten();
        let event = Event {
            id: Id::at(at, self.dice.random()),
            tenant_id: place.tenant.id,
            own_id,
            channels: first.endpoint.settings.channels.clone(),
            payload: Some(payloads::payload(&kind, at, &mut self.dice)),
            kind,
            deliver_at: at,
            created_at: at,
        };
        for receiver in receivers {
            if self.left() > 0 {
                let work = Work::delivery(place, receiver, JobKind::WebhookDeliver, &event);
                let id = Id::at(at, self.dice.random());
                self.tell(&work, id, (at, None), batch);
            }
        }
        batch.events.push(event);
    }

    fn test(&mut self, place: &'w Place, at: UnixMs, batch: &mut Past) {
        let (Some(receiver), Ok(kind)) = (place.receivers.first(), "postrider.test".parse()) else { return };
        let event = Event {
            id: Id::at(at, self.dice.random()),
            tenant_id: place.tenant.id,
            own_id: None,
            channels: Vec::new(),
            payload: Some(payloads::payload(&kind, at, &mut self.dice)),
            kind,
            deliver_at: at,
            created_at: at,
        };
        let work = Work { delays_s: Vec::new(), ..Work::delivery(place, receiver, JobKind::WebhookTest, &event) };
        let id = Id::at(at, self.dice.random());
        self.write(&work, id, (at, None), Fate::Succeeds { failures: 0 }, batch);
        batch.events.push(event);
    }

    fn noop(&mut self, place: &'w Place, at: UnixMs, batch: &mut Past) {
        let Ok(lane) = "noop".parse() else { return };
        let work = Work {
            place,
            kind: JobKind::Noop,
            lane,
            event: None,
            receiver: None,
            args: None,
            delays_s: Vec::new(),
            tags: Vec::new(),
            habit: failures::GONE,
            pace_ms: 0,
        };
        let id = Id::at(at, self.dice.random());
        self.write(&work, id, (at, None), Fate::Succeeds { failures: 0 }, batch);
    }

    fn call(&mut self, place: &'w Place, at: UnixMs, batch: &mut Past) {
        let tasks = ["sitemap/rebuild", "feed/refresh", "search/reindex", "thumbnails/render"];
        let task = tasks.choose(&mut self.dice).copied().unwrap_or_default();
        let (Ok(lane), Ok(retry_schedule)) =
            (format!("host:{}", place.host).parse(), RetrySchedule::from_seconds(&CALL_DELAYS_S))
        else {
            return;
        };
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: EndpointUrl::stored(format!("https://{}/tasks/{task}", place.host)),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Some(json!({ "site": self.dice.random_range(1..500), "full": false }).to_string()),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            retry_schedule,
        };
        let work = Work {
            place,
            kind: JobKind::HttpRequest,
            lane,
            event: None,
            receiver: None,
            args: serde_json::to_vec(&request).ok(),
            delays_s: CALL_DELAYS_S.to_vec(),
            tags: ["nightly", task].into_iter().filter_map(|tag| tag.parse().ok()).collect(),
            habit: failures::habit(&mut self.dice),
            pace_ms: 300,
        };
        let id = Id::at(at, self.dice.random());
        self.tell(&work, id, (at, None), batch);
    }

    fn tell(&mut self, work: &Work<'w>, id: Id<Job>, begin: (UnixMs, Option<Id<DeadLetter>>), batch: &mut Past) {
        let fate = self.fate(work, begin.0);
        self.write(work, id, begin, fate, batch);
    }

    /// As many die as are wanted, more of them where it fails often.
    fn fate(&mut self, work: &Work<'_>, at: UnixMs) -> Fate {
        let now = self.wanted.now;
        let later = |dice: &mut StdRng| now + Duration::from_secs(dice.random_range(24 * 3_600..6 * 24 * 3_600));
        let since = |state| {
            let endpoint = work.receiver.map(|receiver| &receiver.endpoint);
            endpoint.is_some_and(|endpoint| endpoint.state == state && at >= endpoint.state_since)
        };
        if self.may_live() && since(EndpointState::Paused) {
            return Fate::Waits { until: at };
        }
        let part = f64::from(self.dead_left()) / f64::from(self.left().max(1));
        let badness = work.receiver.map_or(0.7, |receiver| receiver.badness);
        if !self.may_live() || self.dice.random_bool((part * badness).min(1.0)) {
            return Fate::Dies(self.cause(work));
        }
        let retries = work.delays_s.len();
        if since(EndpointState::Failing) {
            return Fate::Retries { failures: self.dice.random_range(1..=retries), at: later(&mut self.dice) };
        }
        let recent = f64::from(self.told) > f64::from(self.wanted.jobs) * (1.0 - RECENT);
        match self.dice.random_range(0..1_000) {
            0..150 if recent => Fate::Waits { until: later(&mut self.dice) },
            150..300 if recent => {
                Fate::Retries { failures: self.dice.random_range(1..=retries), at: later(&mut self.dice) }
            }
            900..910 => Fate::Cancelled,
            910.. => Fate::Succeeds { failures: self.dice.random_range(1..=retries) },
            _ => Fate::Succeeds { failures: 0 },
        }
    }

    fn cause(&mut self, work: &Work<'_>) -> Cause {
        match (self.dice.random_range(0..100), work.receiver) {
            (0..4, Some(_)) => Cause::Gone,
            (0..4, None) => Cause::Invalid,
            (4, _) => Cause::WorkersLost,
            _ => Cause::AttemptsSpent,
        }
    }

    fn write(
        &mut self,
        work: &Work<'w>,
        id: Id<Job>,
        (at, replay_of): (UnixMs, Option<Id<DeadLetter>>),
        fate: Fate,
        batch: &mut Past,
    ) {
        self.told += 1;
        let attempts = self.attempts(work, at, &fate);
        let job = rows::job(work, id, (at, replay_of), &fate, &attempts);
        let mut letter = match fate {
            Fate::Dies(cause) => Some(rows::letter(work, &job, cause, &attempts, self.dice.random())),
            _ => None,
        };
        if let Some(letter) = &mut letter {
            self.dead += 1;
            // A replay is a job of its own, for which there has to be room.
            rows::resolve(letter, self.wanted.now, self.may_live(), &mut self.dice);
        }
        let replayed = letter.as_ref().and_then(|letter| Some((letter.replayed_as?, letter.resolved_at?, letter.id)));
        batch.audit.extend(letter.as_ref().and_then(|letter| rows::deed(letter, &mut self.dice)));
        batch.jobs.push(PastJob { job, args: work.args.clone(), attempts, letter });
        if let Some((next, resolved_at, letter)) = replayed {
            self.tell(work, next, (resolved_at, Some(letter)), batch);
        }
    }

    fn attempts(&mut self, work: &Work<'_>, at: UnixMs, fate: &Fate) -> Vec<PastAttempt> {
        let habit = match fate {
            Fate::Dies(Cause::Gone) => failures::GONE,
            Fate::Dies(Cause::Invalid) => failures::INVALID,
            _ => work.habit,
        };
        let course =
            Course { from: at, until: self.wanted.now, delays_s: &work.delays_s, pace_ms: work.pace_ms, habit };
        match *fate {
            Fate::Succeeds { failures } => course.attempts(failures, true, &mut self.dice),
            Fate::Retries { failures, .. } => course.attempts(failures, false, &mut self.dice),
            Fate::Dies(Cause::WorkersLost) => course.lost(&mut self.dice),
            Fate::Dies(Cause::AttemptsSpent) => course.attempts(work.delays_s.len() + 1, false, &mut self.dice),
            // What a receiver says for good it says at once.
            Fate::Dies(_) => course.attempts(1, false, &mut self.dice),
            Fate::Cancelled | Fate::Waits { .. } => Vec::new(),
        }
    }
}
