//! The sweep: what is undone in SQL and not held by the queue is offered to it. Owns when all of it is looked at, and
//! how little that costs while nothing is wrong.

mod lost;
mod scan;
mod spill;

use std::sync::Arc;

use postrider_core::{dispatch::Dispatcher, queue::Queue, store::Store};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::lost::count_found;
use crate::{leases::Leases, outcomes::Recorder};

/// The sweep's tasks and what they share.
#[derive(Clone, Debug)]
pub(crate) struct Sweeper {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) leases: Leases,
    pub(crate) recorder: Recorder,
    /// Asks for a look at everything, at full speed.
    pub(crate) asked: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Sweeper {
    pub(crate) fn start(&self, tasks: &mut JoinSet<()>) {
        tasks.spawn(scan::run(self.clone()));
        tasks.spawn(scan::watch_epoch(self.clone()));
        tasks.spawn(spill::run(self.clone()));
        tasks.spawn(lost::run(self.clone()));
    }
}
