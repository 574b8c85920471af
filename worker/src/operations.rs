//! Long work that a person asked for, page by page at its rate: recoveries and bulk replays. One tenant's wait for each
//! other, not for another's.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use postrider_core::{
    dispatch::Dispatcher,
    domain::{Id, UnixMs, tenant::Tenant},
    store::{Operation, Step, Store},
};
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::pace::{Outage, rest};

const LOOK: Duration = Duration::from_secs(1);
/// Operations that one process works on at once, and those of one tenant among them. Most wait for their rate.
const RUNNING_MAX: usize = 32;
const RUNNING_OF_TENANT_MAX: usize = 4;
/// Jobs of one step.
const STEP_JOBS_MAX: u32 = 200;
/// Steps in a second of an operation with a rate.
const STEPS_PER_SECOND: u32 = 4;

/// Takes operations on until `stop`. One that is under way then goes on where it was, here or elsewhere.
pub(crate) async fn run(store: Store, dispatcher: Dispatcher, stop: CancellationToken) {
    let mut running = JoinSet::new();
    let mut tenants: HashMap<task::Id, Id<Tenant>> = HashMap::new();
    while rest(LOOK, &stop).await {
        while let Some(ended) = running.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "an operation broke; it is taken on again");
                    error.id()
                }
            };
            tenants.remove(&id);
        }
        while running.len() < RUNNING_MAX {
            match store.claim_operation(&busy(&tenants), UnixMs::now()).await {
                Ok(Some(operation)) => {
                    let tenant = operation.tenant_id;
                    let task = running.spawn(work_on(store.clone(), dispatcher.clone(), operation, stop.clone()));
                    tenants.insert(task.id(), tenant);
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "operations cannot be looked for");
                    break;
                }
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// Tenants of which no other operation is taken on yet.
fn busy(tenants: &HashMap<task::Id, Id<Tenant>>) -> Vec<Id<Tenant>> {
    let mut counts: HashMap<Id<Tenant>, usize> = HashMap::new();
    tenants.values().for_each(|tenant| *counts.entry(*tenant).or_default() += 1);
    counts.into_iter().filter_map(|(tenant, count)| (count >= RUNNING_OF_TENANT_MAX).then_some(tenant)).collect()
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
