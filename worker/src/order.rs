//! Order in ordered lanes after the queue was emptied, as the embedded one is at each start: a job that waits for its
//! retry is due after those that came behind it, so a queue that is filled by due times would let them pass.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use postrider_core::{
    dispatch::{DispatchError, Dispatcher},
    domain::lane::LaneKey,
    store::{Store, Work},
};

/// Lanes remembered as in order; beyond it they are looked at again.
const IN_ORDER_MAX: usize = 10_000;

/// Which lanes are known to be in order since the queue was filled. From there on the queue keeps it. Clones share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order(Arc<Mutex<HashSet<LaneKey>>>);

impl Order {
    /// The queue may have been emptied.
    pub(crate) fn forget(&self) {
        self.in_order().clear();
    }

    /// Whether it is the job's turn. If not, the one that is before it now leads its lane, and the lane waits with it.
    ///
    /// # Errors
    /// When the database or the queue does not answer.
    pub(crate) async fn has_turn(
        &self,
        store: &Store,
        dispatcher: &Dispatcher,
        work: &Work,
    ) -> Result<bool, DispatchError> {
        let lane = work.job.lane_key();
        if self.in_order().contains(&lane) {
            return Ok(true);
        }
        match store.first_retrying(&lane).await? {
            None => {
                let mut known = self.in_order();
                if known.len() >= IN_ORDER_MAX {
                    known.clear();
                }
                known.insert(lane);
                Ok(true)
            }
            Some(first) if first.id == work.job.id => Ok(true),
            Some(first) => {
                dispatcher.put_first(&first).await?;
                Ok(false)
            }
        }
    }

    fn in_order(&self) -> MutexGuard<'_, HashSet<LaneKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
