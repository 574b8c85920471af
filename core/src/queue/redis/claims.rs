//! Claims that were sent and not answered: their leases belong to a live worker that does not know of them, so no
//! lost heartbeat would ever free them.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::super::WorkerId;

/// Remembered at most; the oldest go first. One is added each time the server fails a claim.
const UNANSWERED_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Claims {
    /// Tells this process's claims from others'.
    process: String,
    count: AtomicU64,
    unanswered: Mutex<Vec<Unanswered>>,
}

#[derive(Debug)]
struct Unanswered {
    worker: WorkerId,
    shard: usize,
    name: String,
    since: Instant,
}

/// A claim on its way. Dropped without an answer, it is remembered.
pub(super) struct Pending<'a> {
    claims: &'a Claims,
    claim: Option<Unanswered>,
    name: String,
}

impl Default for Claims {
    fn default() -> Self {
        let process = Uuid::now_v7().simple().to_string();
        Self { process, count: AtomicU64::new(0), unanswered: Mutex::default() }
    }
}

impl Claims {
    pub(super) fn begin(&self, worker: &WorkerId, shard: usize) -> Pending<'_> {
        let name = format!("{}-{}", self.process, self.count.fetch_add(1, Ordering::Relaxed));
        let claim = Unanswered { worker: worker.clone(), shard, name: name.clone(), since: Instant::now() };
        Pending { claims: self, claim: Some(claim), name }
    }

    /// What a worker's heartbeat gives back. A claim may reach the server late, by a connection that was given up,
    /// so each is told for as long as `kept`.
    pub(super) fn unanswered(&self, worker: &WorkerId, shard: usize, kept: Duration) -> Vec<String> {
        let mut unanswered = self.lock();
        unanswered.retain(|claim| claim.since.elapsed() < kept);
        let own = unanswered.iter().filter(|claim| claim.worker == *worker && claim.shard == shard);
        own.map(|claim| claim.name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Unanswered>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending<'_> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn answered(mut self) {
        self.claim = None;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else { return };
        let mut unanswered = self.claims.lock();
        if unanswered.len() >= UNANSWERED_MAX {
            unanswered.remove(0);
        }
        unanswered.push(claim);
    }
}
