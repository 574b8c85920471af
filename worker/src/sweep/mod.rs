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
use crate::{WorkerParts, outcomes::Recorder};

/// The sweep's tasks and what they share.
#[derive(Clone, Debug)]
pub(crate) struct Sweeper {
    store: Store,
    queue: Queue,
    dispatcher: Dispatcher,
    recorder: Recorder,
    /// Asks for a look at everything, at full speed.
    asked: Arc<Notify>,
    stop: CancellationToken,
}

impl Sweeper {
    pub(crate) fn new(parts: &WorkerParts, recorder: &Recorder, asked: Arc<Notify>, stop: CancellationToken) -> Self {
        Self {
            store: parts.store.clone(),
            queue: parts.queue.clone(),
            dispatcher: parts.dispatcher.clone(),
            recorder: recorder.clone(),
            asked,
            stop,
        }
    }

    pub(crate) fn start(&self, tasks: &mut JoinSet<()>) {
        tasks.spawn(scan::run(self.clone()));
        tasks.spawn(scan::watch_epoch(self.clone()));
        tasks.spawn(spill::run(self.clone()));
        tasks.spawn(lost::run(self.clone()));
    }
}
