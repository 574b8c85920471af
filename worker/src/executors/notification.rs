//! Kinds `notification.plan` and `notification.chunk`: whom a notification is for, and telling them.

use std::time::Instant;

use postrider_core::{
    domain::{Id, UnixMs, job::Outcome, notification::Notification},
    live::News,
    store::{Chunk, ChunkArgs, StoreError, ToldChunk, Work},
};

use super::Executors;
use crate::outcomes::Execution;

const GONE: &str = "its notification is gone";

/// Makes the chunks of a notification, and tells those whom it names.
pub(super) async fn plan(executors: &Executors, work: &Work) -> Execution {
    let Some(id) = text(work).and_then(|text| text.parse().ok()) else {
        return executors.invalid(work, "its arguments are no notification's id");
    };
    let (started_at, started) = (UnixMs::now(), Instant::now());
    ended(executors, work, started_at, started, plan_all(executors, id).await).await
}

/// Whether the notification is there.
async fn plan_all(executors: &Executors, id: Id<Notification>) -> Result<bool, StoreError> {
    let store = &executors.0.store;
    let mut are_told = false;
    loop {
        let Some(of) = store.notification(id).await? else { return Ok(false) };
        let planned = store.plan_notification(&of, UnixMs::now()).await?;
        executors.0.dispatcher.offer(&planned.jobs);
        // Those who are named are told before others are looked for.
        if !std::mem::replace(&mut are_told, true)
            && !of.audience.recipients.is_empty()
            && let Some(chunk) = store.notification_chunk(id, 0).await?
        {
            tell_now(executors, &chunk).await?;
        }
        if !planned.more {
            return Ok(true);
        }
    }
}

pub(super) async fn chunk(executors: &Executors, work: &Work) -> Execution {
    let args = work.payload.as_deref().and_then(|args| serde_json::from_slice(args).ok());
    let Some(ChunkArgs { notification, n }) = args else {
        return executors.invalid(work, "its arguments are no notification's chunk");
    };
    let (started_at, started) = (UnixMs::now(), Instant::now());
    ended(executors, work, started_at, started, tell(executors, Id::from_uuid(notification), n).await).await
}

async fn tell(executors: &Executors, id: Id<Notification>, n: u32) -> Result<bool, StoreError> {
    let Some(chunk) = executors.0.store.notification_chunk(id, n).await? else { return Ok(false) };
    // Nobody refuses a turn, since the semaphore is never closed.
    let _turn = executors.0.chunks.acquire().await;
    tell_now(executors, &chunk).await.map(|()| true)
}

/// Those who look at their inboxes hear of it at once.
async fn tell_now(executors: &Executors, chunk: &Chunk) -> Result<(), StoreError> {
    let at = UnixMs::now();
    let version = executors.0.channels.version(&chunk.of).await.map_err(|error| StoreError::told_to_all(&error))?;
    let ToldChunk { told, jobs } = executors.0.store.tell_chunk(chunk, version.workflows(), at).await?;
    executors.0.dispatcher.offer(&jobs);
    executors.0.live.tell(News { notification: Some(chunk.of.id), at, told }).await;
    Ok(())
}

async fn ended(
    executors: &Executors,
    work: &Work,
    started_at: UnixMs,
    started: Instant,
    done: Result<bool, StoreError>,
) -> Execution {
    match done {
        Ok(true) => executors.done(work, started_at, started.elapsed()),
        Ok(false) => gone(work),
        Err(error) => executors.not_stored(work, error).await,
    }
}

/// The end of a job that has nobody to tell any more.
pub(super) fn gone(work: &Work) -> Execution {
    Execution::decided(work, Outcome::Cancelled { reason: GONE.to_owned() })
}

fn text(work: &Work) -> Option<&str> {
    std::str::from_utf8(work.payload.as_deref()?).ok()
}
