//! Claims tickets, reads their rows, and hands the work over. Claims only for slots that are free, so that leases
//! are not taken long before their jobs can start.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use postrider_core::{
    domain::{
        Id, UnixMs,
        job::{Job, Outcome},
    },
    queue::{Claimed, LEASE, Next, Queue, Rest},
    store::{Store, Work},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    backend::Assignment,
    leases::{Leases, Slot},
    outcomes::{Ended, Execution, Recorder, later, lost_too_often},
    pace::{Outage, rest},
};

/// Tickets of one claim.
const BATCH: u32 = 256;
/// Where there is more than the last claim could take, the next one waits for so many free slots, but not for longer than
/// that: each claim, each read of rows and each commit costs much more than a ticket in it.
const WAVE: u32 = 128;
const WAVE_PATIENCE: Duration = Duration::from_millis(5);
/// By then their rows are read, well before a lease runs out.
const BELIEVED: Duration = Duration::from_secs(LEASE.as_secs() / 2);
/// How long the claimer sleeps when nothing wakes it: a pull is the guarantee.
const POLL: Duration = Duration::from_secs(1);
/// A row may be due this much later than its ticket, since the queue and the hosts have clocks of their own.
const EARLY_MAX: Duration = Duration::from_secs(2);
/// Reads of the rows that may fail before their tickets go back.
const READS_MAX: u32 = 8;
/// How long a job waits whose row cannot be read.
const UNREADABLE_REST: Duration = Duration::from_secs(300);

/// The task that claims.
#[derive(Debug)]
pub(crate) struct Claimer {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) leases: Leases,
    pub(crate) recorder: Recorder,
    pub(crate) assignments: mpsc::Sender<Assignment>,
    pub(crate) stop: CancellationToken,
}

impl Claimer {
    pub(crate) async fn run(self) {
        let mut outage = Outage::none();
        let mut wanted = 1;
        loop {
            let claimed = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                claimed = self.claim(wanted, &mut outage) => claimed,
            };
            let Some(Taken { slots, claimed_at, rest }) = claimed else { continue };
            wanted = if rest == Rest::More { WAVE } else { 1 };
            if !slots.is_empty() {
                self.assign(slots, claimed_at).await;
            }
            if rest != Rest::More {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = self.queue.wait(POLL) => {}
                    () = self.leases.freed(), if rest == Rest::HeldBack => {}
                }
            }
        }
    }

    /// One claim for the slots that are free. Dropped while it waits for the queue, what it was given all the same
    /// goes back when the worker retires.
    async fn claim(&self, wanted: u32, outage: &mut Outage) -> Option<Taken> {
        let mut permits = self.leases.free_slots(wanted, WAVE_PATIENCE, BATCH).await?;
        let (worker, claimed_at) = (self.leases.worker(), Instant::now());
        let Claimed { leases, rest } = match self.queue.claim(&worker, self.leases.room(&permits)).await {
            Ok(claimed) => claimed,
            Err(error) => {
                if outage.failures() == 0 {
                    tracing::warn!(%error, "nothing can be claimed; trying again until the queue answers");
                }
                drop(permits);
                outage.wait(&self.stop).await;
                return None;
            }
        };
        let mut slots = Vec::with_capacity(leases.len());
        for lease in leases {
            let Some(permit) = permits.split(1) else { break };
            slots.extend(self.leases.hold(lease, &worker, permit));
        }
        if outage.over() {
            tracing::info!("the queue answers again");
            self.leases.doubt();
        }
        Some(Taken { slots, claimed_at, rest })
    }

    /// Reads the rows of claimed tickets and hands over those that are to be run.
    async fn assign(&self, slots: Vec<Slot>, claimed_at: Instant) {
        let ids: Vec<Id<Job>> = slots.iter().map(Slot::job).collect();
        let Some(work) = self.load(&ids).await else {
            tracing::warn!(tickets = slots.len(), "the rows of claimed tickets cannot be read; they go back");
            slots.into_iter().for_each(|slot| self.recorder.settler.put_back(slot, Next::Release));
            return;
        };
        // It may be that this process was frozen since: then these are another's by now, and rows read after that do not tell.
        if claimed_at.elapsed() >= BELIEVED {
            slots.into_iter().for_each(|slot| self.recorder.settler.put_back(slot, Next::Release));
            return;
        }
        let mut work: HashMap<Id<Job>, Option<Work>> = work.into_iter().collect();
        for slot in slots {
            match work.remove(&slot.job()) {
                Some(Some(work)) => self.hand_over(slot, work).await,
                Some(None) => {
                    let rest =
                        Next::Later { delay: UNREADABLE_REST, order: UnixMs::now(), priority: Default::default() };
                    self.recorder.settler.put_back(slot, rest);
                }
                // It is finished, or gone.
                None => self.recorder.settler.put_back(slot, Next::Done),
            }
        }
    }

    async fn hand_over(&self, slot: Slot, work: Work) {
        let now = UnixMs::now();
        if Outcome::of_lost_worker(work.job.kind, work.job.lost_workers) != Outcome::Lost {
            let finished = lost_too_often(&work);
            let ended = Ended::unheard(finished);
            return self.recorder.end(slot, &work.job, Execution::Ended(Box::new(ended))).await;
        }
        if is_early(&work.job, now) {
            return self.recorder.settler.put_back(slot, later(&work.job, work.job.run_at.since(now)));
        }
        let assignment = Assignment { work: Arc::new(work), read_at: Instant::now(), slot: Some(slot) };
        if let Err(mpsc::error::SendError(assignment)) = self.assignments.send(assignment).await
            && let Some(slot) = assignment.slot
        {
            self.recorder.settler.put_back(slot, Next::Release);
        }
    }

    /// The pending jobs among `ids`; `None` beside an id where the row cannot be understood. `None` as a whole when
    /// the database does not answer for long, or the stop comes.
    async fn load(&self, ids: &[Id<Job>]) -> Option<Vec<(Id<Job>, Option<Work>)>> {
        let mut outage = Outage::none();
        loop {
            let error = match self.store.load_work(ids).await {
                Ok(work) => return Some(work.into_iter().map(|work| (work.job.id, Some(work))).collect()),
                Err(error) => error,
            };
            if !error.is_unavailable() {
                return self.load_singly(ids).await;
            }
            if outage.failures() == 0 {
                tracing::warn!(%error, "the database does not answer; claimed tickets wait for it");
            }
            if outage.failures() >= READS_MAX || !outage.wait(&self.stop).await {
                return None;
            }
        }
    }

    /// One row that cannot be understood must not hold up the others.
    async fn load_singly(&self, ids: &[Id<Job>]) -> Option<Vec<(Id<Job>, Option<Work>)>> {
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            match self.store.load_work(&[*id]).await {
                Ok(work) => all.extend(work.into_iter().map(|work| (*id, Some(work)))),
                Err(error) if error.is_unavailable() => {
                    rest(POLL, &self.stop).await;
                    return None;
                }
                Err(error) => {
                    tracing::error!(%error, job = %id, "a job's row cannot be read; it waits");
                    all.push((*id, None));
                }
            }
        }
        Some(all)
    }
}

/// The row knows better than its ticket when the job is due. One that was due as it was made is due, whatever time it is
/// on the host that made it: clocks that differ would hold up every new job.
fn is_early(job: &Job, now: UnixMs) -> bool {
    let due_when_made = job.attempt == 0 && job.run_at <= job.created_at;
    !due_when_made && job.run_at > now + EARLY_MAX
}

struct Taken {
    slots: Vec<Slot>,
    /// No lease is older.
    claimed_at: Instant,
    rest: Rest,
}
