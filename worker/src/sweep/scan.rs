//! Pages through pending jobs and offers them: everything at full speed after the queue may have lost something, else
//! round and round at a tenth of the time.

use std::time::{Duration, Instant};

use postrider_core::{
    dispatch::{DispatchError, HORIZON},
    domain::{Id, UnixMs, job::Job},
    queue::{Epoch, Offered, QueueError},
};

use super::Sweeper;
use crate::pace::{Outage, rest};

/// Jobs of one page: so many that a backlog on a thousand lanes has several of each, which a queue takes in at once.
const PAGE: u32 = 5_000;
/// Rounds begin at most this often.
const ROUND: Duration = Duration::from_secs(5);
/// A page is followed by this many times its own time of rest.
const REST: u32 = 9;
/// A job that is due for longer has been offered by whoever stored it, or that failed.
const OFFERED_BY: Duration = Duration::from_secs(1);
const EPOCH_LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Full,
    Easy,
}

pub(super) async fn run(sweeper: Sweeper) {
    let mut pace = Pace::Full;
    loop {
        let began = Instant::now();
        pace = tokio::select! {
            biased;
            () = sweeper.stop.cancelled() => return,
            asked = wanted(&sweeper), if pace == Pace::Easy => asked,
            () = round(&sweeper, pace) => Pace::Easy,
        };
        if pace == Pace::Full {
            continue;
        }
        pace = tokio::select! {
            biased;
            () = sweeper.stop.cancelled() => return,
            asked = wanted(&sweeper) => asked,
            () = tokio::time::sleep(ROUND.saturating_sub(began.elapsed())) => Pace::Easy,
        };
    }
}

/// Asks for a full round when the queue was emptied, or comes back from an outage in which offers may have failed
/// that another process made.
pub(super) async fn watch_epoch(sweeper: Sweeper) {
    let mut seen: Option<String> = None;
    let mut outage = false;
    loop {
        match sweeper.queue.epoch().await {
            Ok(epoch) => {
                if outage || seen.as_ref().is_some_and(|seen| *seen != epoch.token) {
                    tracing::info!("the queue was away or emptied; everything undone is offered again");
                    sweeper.asked.notify_one();
                }
                outage = false;
                seen = Some(epoch.token);
            }
            Err(_) => outage = true,
        }
        if !rest(EPOCH_LOOK, &sweeper.stop).await {
            return;
        }
    }
}

async fn wanted(sweeper: &Sweeper) -> Pace {
    tokio::select! {
        () = sweeper.asked.notified() => {}
        () = sweeper.dispatcher.sweep_wanted() => {}
    }
    Pace::Full
}

/// One look at all that is due soon. Waits out whatever does not answer.
async fn round(sweeper: &Sweeper, pace: Pace) {
    if pace == Pace::Full {
        sweeper.dispatcher.forget_told().await;
    }
    let until = UnixMs::now() + HORIZON;
    let mut after = None;
    let mut outage = Outage::none();
    let mut offered = 0;
    loop {
        let began = Instant::now();
        match page(sweeper, after, until).await {
            Ok(page) => {
                outage.over();
                offered += page.taken;
                let Some(next) = page.next else { break };
                after = Some(next);
            }
            Err(error) => {
                if outage.failures() == 0 {
                    tracing::warn!(%error, "the sweep waits for the database or the queue");
                }
                if !outage.wait(&sweeper.stop).await {
                    return;
                }
                continue;
            }
        }
        if pace == Pace::Easy && !rest(began.elapsed() * REST, &sweeper.stop).await {
            return;
        }
    }
    if offered > 0 {
        tracing::debug!(offered, "the sweep offered jobs that the queue did not hold");
    }
}

struct Swept {
    taken: usize,
    /// Where the next page begins; `None` after the last.
    next: Option<(UnixMs, Id<Job>)>,
}

async fn page(sweeper: &Sweeper, after: Option<(UnixMs, Id<Job>)>, until: UnixMs) -> Result<Swept, DispatchError> {
    let epoch = await_heard(sweeper).await?;
    let jobs = sweeper.store.due_jobs(after, until, PAGE).await?;
    let offered = sweeper.dispatcher.try_offer(&jobs, Some(&epoch), UnixMs::now()).await?;
    let full = jobs.len() >= PAGE as usize;
    let taken = || jobs.iter().zip(&offered).filter(|(_, offered)| **offered == Offered::Taken);
    // Jobs that are due later come into the queue this way on purpose.
    let overdue = UnixMs::now() - OFFERED_BY;
    let repaired: Vec<_> = taken().filter(|(job, _)| job.run_at <= overdue).map(|(job, _)| job.lane.tenant).collect();
    if !repaired.is_empty() {
        sweeper.recorder.metrics.repairs.inc_by(repaired.len() as u64);
        if let Err(error) = sweeper.store.count_repaired(&repaired, UnixMs::now()).await {
            tracing::warn!(%error, jobs = repaired.len(), "jobs that the queue had lost were offered again and are not counted");
        }
    }
    Ok(Swept { taken: taken().count(), next: jobs.last().filter(|_| full).map(|job| (job.run_at, job.id)) })
}

/// What runs anywhere is not offered to an emptied queue before its worker has said so. The queue may be emptied again
/// while this waits, so it is asked until nothing is left to wait for; and after that, so the epoch goes with the offer.
async fn await_heard(sweeper: &Sweeper) -> Result<Epoch, QueueError> {
    loop {
        let epoch = sweeper.queue.epoch().await?;
        if epoch.unheard().is_zero() {
            return Ok(epoch);
        }
        tokio::time::sleep(epoch.unheard()).await;
    }
}
