//! Housekeeping once a minute: what is old enough is removed, and endpoints that have failed for long are disabled.

use std::time::Duration;

use postrider_core::{
    domain::{UnixMs, endpoint::EndpointState},
    store::{EndpointChange, RetentionAges, Store, StoreError},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{WorkerParts, pace::rest};

const ROUND: Duration = Duration::from_secs(60);
/// Between two batches, so that removing does not crowd out work.
const BATCH_REST: Duration = Duration::from_millis(250);

pub(crate) fn start(parts: &WorkerParts, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    tasks.spawn(remove_old(parts.store.clone(), parts.settings.retention, stop.clone()));
    tasks.spawn(disable_failing(parts.store.clone(), parts.settings.failing_disables_after, stop.clone()));
}

async fn remove_old(store: Store, ages: RetentionAges, stop: CancellationToken) {
    while rest(ROUND, &stop).await {
        loop {
            match store.remove_old(&ages, UnixMs::now()).await {
                Ok(removed) => {
                    tracing::debug!(?removed, "retention");
                    if !removed.more() || !rest(BATCH_REST, &stop).await {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "old rows could not be removed; they are tried again in a minute");
                    break;
                }
            }
        }
    }
}

async fn disable_failing(store: Store, after: Duration, stop: CancellationToken) {
    while rest(ROUND, &stop).await {
        if let Err(error) = disable_all(&store, after).await {
            tracing::warn!(%error, "endpoints that have failed for long could not be disabled yet");
        }
    }
}

async fn disable_all(store: &Store, after: Duration) -> Result<(), StoreError> {
    let now = UnixMs::now();
    for endpoint in store.failing_since_before(now - after).await? {
        let reason = format!("every delivery has failed for {}", in_words(after));
        let change = EndpointChange { state: EndpointState::Disabled, reason: Some(reason), now };
        store.tenant(endpoint.tenant_id).change_endpoint_state(endpoint.id, &[EndpointState::Failing], &change).await?;
        tracing::info!(endpoint = %endpoint.id, tenant = %endpoint.tenant_id, "an endpoint was disabled, since it failed for long");
    }
    Ok(())
}

fn in_words(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    match hours {
        0 => format!("{} seconds", time.as_secs()),
        hours if hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
}
