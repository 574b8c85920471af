//! Work that was stored a moment ago, kept in memory so that whoever claims it need not read it back.
//!
//! Only for a database that one process has alone. It is kept before it is committed, so that it is there when it is claimed
//! first, which takes it: until then nothing happens to a job, but for a person who cancels it: whoever changes a row forgets its copy first.
//! Beside another process, which may claim it first, it would be given out as it was before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Item, NewJob, Publication, work::Work};
use crate::domain::{
    Id, UnixMs,
    event::{OwnId, public_id},
    job::{Job, JobState},
    tenant::Tenant,
};

/// Work is kept for half as long at least.
const AGE_MAX: Duration = Duration::from_millis(1_000);
/// Jobs of one generation, and the bytes of their payloads.
const JOBS_MAX: usize = 4_096;
const BYTES_MAX: usize = 4 << 20;

/// Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Fresh(Arc<Mutex<Generations>>);

#[derive(Debug)]
struct Generations {
    young: Generation,
    old: Generation,
    turned_at: Instant,
}

#[derive(Debug, Default)]
struct Generation {
    work: HashMap<Id<Job>, Box<Work>>,
    bytes: usize,
}

impl Default for Fresh {
    fn default() -> Self {
        let (young, old) = Default::default();
        Self(Arc::new(Mutex::new(Generations { young, old, turned_at: Instant::now() })))
    }
}

impl Fresh {
    /// Keeps what is due of a publication that is about to be stored. What is not stored in the end nobody claims.
    pub(super) fn keep(&self, publication: &Publication) {
        let mut generations = self.lock();
        for item in &publication.items {
            for job in item.jobs.iter().filter(|job| job.run_at <= publication.now) {
                if !generations.young.has_room() {
                    return;
                }
                if let Some(work) = new_work(publication.tenant(), item, job, publication.now) {
                    generations.young.insert(work);
                }
            }
        }
    }

    /// Forgets jobs whose rows are about to be changed.
    pub(super) fn forget(&self, jobs: &[Id<Job>]) {
        self.take(&mut jobs.to_vec());
    }

    /// Takes what is kept of these jobs; the others are left in `jobs`.
    pub(super) fn take(&self, jobs: &mut Vec<Id<Job>>) -> Vec<Work> {
        let mut generations = self.lock();
        let Generations { young, old, .. } = &mut *generations;
        let mut taken = Vec::new();
        jobs.retain(|id| {
            let found = young.work.remove(id).or_else(|| old.work.remove(id));
            let is_left = found.is_none();
            taken.extend(found.map(|work| *work));
            is_left
        });
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = generations.turned_at.elapsed();
        if age >= AGE_MAX / 2 {
            let young = std::mem::take(&mut generations.young);
            generations.old = if age < AGE_MAX { young } else { Generation::default() };
            generations.turned_at = Instant::now();
        }
        generations
    }
}

impl Generation {
    fn has_room(&self) -> bool {
        self.work.len() < JOBS_MAX && self.bytes < BYTES_MAX
    }

    fn insert(&mut self, work: Work) {
        self.bytes += work.payload.as_ref().map_or(0, Vec::len);
        self.work.insert(work.job.id, Box::new(work));
    }
}

/// A job as [`super::Store::load_work`] reads it once it is stored. `None` where it is of an event that was stored before.
fn new_work(tenant: Id<Tenant>, item: &Item, job: &NewJob, now: UnixMs) -> Option<Work> {
    let event = item.event.as_ref().filter(|event| Some(event.id) == job.event_id);
    if event.is_none() && job.event_id.is_some() {
        return None;
    }
    let own_id = job.message_id.as_deref().or(event.and_then(|event| event.own_id.as_ref().map(OwnId::as_str)));
    Some(Work {
        job: Job {
            id: job.id,
            tenant_id: tenant,
            kind: job.kind,
            lane: job.lane.clone(),
            state: JobState::Pending,
            attempt: 0,
            max_attempts: job.max_attempts,
            priority: job.priority,
            run_at: job.run_at,
            event_id: job.event_id,
            endpoint_id: job.endpoint_id,
            unique_key: job.unique_key.clone(),
            lost_workers: 0,
            replay_of: job.replay_of,
            created_at: now,
            finished_at: None,
            last_error: None,
            fingerprint: None,
            tags: job.tags.clone(),
        },
        payload: job.args.clone().or_else(|| event.map(|event| event.payload.clone())),
        message_id: job.event_id.map(|id| public_id(id, own_id)),
        event_type: event.map(|event| event.kind.clone()),
        trace: job.trace.clone().or_else(|| event.and_then(|event| event.trace.clone())),
    })
}
