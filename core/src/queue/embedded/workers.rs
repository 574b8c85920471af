//! Who holds leases, and until when. Knows jobs' ids only.

use std::collections::{HashMap, HashSet};

use super::state::Now;
use crate::{
    domain::{Id, UnixMs, job::Job},
    queue::{WorkerAbout, WorkerId, WorkerView},
};

#[derive(Debug, Default)]
pub(super) struct Workers {
    by_id: HashMap<WorkerId, Worker>,
    /// When somebody last looked for those that vanished.
    looked_at_ms: i64,
}

#[derive(Debug, Default)]
struct Worker {
    last_seen_ms: i64,
    expires_at_ms: i64,
    /// It has sent a heartbeat of its own; a claim alone is none.
    registered: bool,
    leases: HashSet<Id<Job>>,
    about: Option<WorkerAbout>,
}

impl Workers {
    /// A sign of life.
    pub(super) fn seen(&mut self, id: &WorkerId, now: Now, lease_ms: i64) {
        let worker = match self.by_id.get_mut(id) {
            Some(worker) => worker,
            None => self.by_id.entry(id.clone()).or_default(),
        };
        worker.last_seen_ms = now.ms();
        worker.expires_at_ms = now.ms().saturating_add(lease_ms);
    }

    /// Whether it was registered before.
    pub(super) fn register(&mut self, id: &WorkerId) -> bool {
        self.by_id.get_mut(id).is_some_and(|worker| std::mem::replace(&mut worker.registered, true))
    }

    pub(super) fn introduce(&mut self, id: &WorkerId, about: &WorkerAbout) {
        if let Some(worker) = self.by_id.get_mut(id) {
            worker.about = Some(about.clone());
        }
    }

    pub(super) fn held_by(&self, id: &WorkerId) -> impl Iterator<Item = Id<Job>> {
        self.by_id.get(id).into_iter().flat_map(|worker| worker.leases.iter().copied())
    }

    pub(super) fn hold(&mut self, id: &WorkerId, job: Id<Job>) {
        if let Some(worker) = self.by_id.get_mut(id) {
            worker.leases.insert(job);
        }
    }

    pub(super) fn let_go(&mut self, id: &WorkerId, job: Id<Job>) {
        if let Some(worker) = self.by_id.get_mut(id) {
            worker.leases.remove(&job);
        }
    }

    /// Forgets a worker; what it held.
    pub(super) fn remove(&mut self, id: &WorkerId) -> Vec<Id<Job>> {
        self.by_id.remove(id).map(|worker| worker.leases.into_iter().collect()).unwrap_or_default()
    }

    /// Those whose leases ran out. While nobody looked, the process may have stood still: then whoever lives is heard
    /// before anybody is taken for lost.
    pub(super) fn expired(&mut self, now: Now, patience_ms: i64) -> Vec<WorkerId> {
        let looked_at_ms = std::mem::replace(&mut self.looked_at_ms, now.ms());
        if now.ms().saturating_sub(looked_at_ms) > patience_ms {
            let patient_ms = now.ms().saturating_add(patience_ms);
            self.by_id.values_mut().for_each(|worker| worker.expires_at_ms = worker.expires_at_ms.max(patient_ms));
        }
        self.by_id.iter().filter(|(_, worker)| worker.expires_at_ms <= now.ms()).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.by_id.values().map(|worker| worker.leases.len() as u64).sum()
    }

    pub(super) fn views(&self) -> Vec<WorkerView> {
        let mut views: Vec<WorkerView> = self
            .by_id
            .iter()
            .map(|(id, worker)| WorkerView {
                id: id.clone(),
                about: worker.about.clone(),
                in_flight: worker.leases.len() as u64,
                last_seen: UnixMs(worker.last_seen_ms),
                expires_at: UnixMs(worker.expires_at_ms),
            })
            .collect();
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }
}
