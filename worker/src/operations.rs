//! Long work that a person asked for, page by page at its rate: recoveries and bulk replays.

use std::time::{Duration, Instant};

use postrider_core::{
    dispatch::Dispatcher,
    domain::UnixMs,
    store::{Operation, Step, Store},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::pace::{Outage, rest};

const LOOK: Duration = Duration::from_secs(1);
/// Operations that one process works on at once.
const RUNNING_MAX: usize = 4;
/// Jobs of one step.
const STEP_JOBS_MAX: u32 = 200;
/// Steps in a second of an operation with a rate.
const STEPS_PER_SECOND: u32 = 4;

/// Takes operations on until `stop`. One that is under way then goes on where it was, here or elsewhere.
pub(crate) async fn run(store: Store, dispatcher: Dispatcher, stop: CancellationToken) {
    let mut running = JoinSet::new();
    while rest(LOOK, &stop).await {
        while let Some(ended) = running.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "an operation broke; it is taken on again");
            }
        }
        if running.len() >= RUNNING_MAX {
            continue;
        }
        match store.claim_operation(UnixMs::now()).await {
            Ok(Some(operation)) => {
                running.spawn(work_on(store.clone(), dispatcher.clone(), operation, stop.clone()));
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "operations cannot be looked for"),
        }
    }
    while running.join_next().await.is_some() {}
}

async fn work_on(store: Store, dispatcher: Dispatcher, operation: Operation, stop: CancellationToken) {
    let jobs_max = operation.rate_per_second.map_or(STEP_JOBS_MAX, |rate| (rate / STEPS_PER_SECOND).max(1));
    let jobs_max = jobs_max.min(STEP_JOBS_MAX);
    let mut outage = Outage::none();
    while !stop.is_cancelled() {
        let began = Instant::now();
        let now = UnixMs::now();
        let step = match store.step_operation(operation.id, jobs_max, now).await {
            Ok(step) => step,
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, operation = %operation.id, "an operation waits for the database");
                if outage.wait(&stop).await {
                    continue;
                }
                return;
            }
            Err(error) => {
                tracing::error!(%error, operation = %operation.id, "an operation cannot go on");
                return fail(&store, &operation, &error.to_string()).await;
            }
        };
        outage.over();
        let Step { jobs, more } = step;
        dispatcher.offer(&jobs);
        if !more {
            return;
        }
        let made = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        if let Some(rate) = operation.rate_per_second {
            let due = Duration::from_secs(1) * made / rate.max(1);
            if !rest(due.saturating_sub(began.elapsed()), &stop).await {
                return;
            }
        }
    }
}

async fn fail(store: &Store, operation: &Operation, why: &str) {
    if let Err(error) = store.fail_operation(operation.id, why, UnixMs::now()).await {
        tracing::error!(%error, operation = %operation.id, "an operation's failure could not be kept; it is taken on again");
    }
}
