//! Pages the jobs of lanes that have spilled into the queue as it drains.

use std::time::Duration;

use postrider_core::dispatch::DispatchError;

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
        sweeper.dispatcher.fill(&lane.key, lane.generation).await?;
    }
    Ok(())
}
