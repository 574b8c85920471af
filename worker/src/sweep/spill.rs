//! Pages the jobs of lanes that have spilled into the queue as it drains.

use std::time::Duration;

use postrider_core::{
    dispatch::{DispatchError, HORIZON},
    domain::UnixMs,
    queue::{SpilledLane, WINDOW},
};

use super::Sweeper;
use crate::pace::{Outage, rest};

const LOOK: Duration = Duration::from_millis(250);
/// Lanes filled in one look.
const LANES: usize = 16;

pub(super) async fn run(sweeper: Sweeper) {
    let mut outage = Outage::none();
    loop {
        let goes_on = match look(&sweeper).await {
            Ok(()) => {
                outage.over();
                rest(LOOK, &sweeper.stop).await
            }
            Err(error) => {
                tracing::debug!(%error, "spilled lanes wait for the database or the queue");
                outage.wait(&sweeper.stop).await
            }
        };
        if !goes_on {
            return;
        }
    }
}

async fn look(sweeper: &Sweeper) -> Result<(), DispatchError> {
    for lane in sweeper.queue.spilled(LANES).await? {
        if sweeper.stop.is_cancelled() {
            break;
        }
        fill(sweeper, &lane).await?;
    }
    Ok(())
}

/// Offers the lane's first jobs. When these were all that are due soon, new offers may enter it again.
async fn fill(sweeper: &Sweeper, lane: &SpilledLane) -> Result<(), DispatchError> {
    let window = u32::try_from(WINDOW).unwrap_or(u32::MAX);
    let jobs = sweeper.store.lane_jobs(&lane.key, window).await?;
    let now = UnixMs::now();
    let all = jobs.len() < window as usize || jobs.last().is_some_and(|job| job.run_at > now + HORIZON);
    sweeper.dispatcher.refill(&jobs, now).await?;
    if all {
        sweeper.queue.unspill(&lane.key, lane.generation).await?;
    }
    Ok(())
}
