//! Kind `notification.digest`: what was gathered for one recipient is sent, if anything is left of it.

use std::{sync::Arc, time::Instant};

use postrider_core::{
    domain::{
        Id, UnixMs,
        notification::{Fate, Suppression},
    },
    store::{DigestArgs, StoreError, StoredDigest, Work},
};

use super::{Executors, notification::gone};
use crate::{notify::Reached, outcomes::Execution};

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let args = work.payload.as_deref().and_then(|args| serde_json::from_slice(args).ok());
    let Some(DigestArgs { digest }) = args else {
        return executors.invalid(work, "its arguments are no digest");
    };
    let (started_at, started) = (UnixMs::now(), Instant::now());
    let reached = match executors.0.store.digest(Id::from_uuid(digest)).await {
        Ok(Some(of)) => send(executors, work, &of).await,
        Ok(None) => return gone(work),
        Err(error) => Err(error),
    };
    match reached {
        Ok(reached) => executors.tried(work, reached, started_at, started.elapsed()),
        Err(error) => executors.not_stored(work, error).await,
    }
}

/// Sends what is left of a digest, and stores what became of it. Where nothing is left nobody is told, and that is well.
async fn send(executors: &Executors, work: &Work, of: &StoredDigest) -> Result<Reached, StoreError> {
    let (store, channels) = (&executors.0.store, &executors.0.channels);
    let told_to_all = |error: Arc<StoreError>| StoreError::told_to_all(&error);
    // It stays open while they are left alone, so that they have one and not two when that ends.
    let newest = channels.message(of.newest, of.channel).await.map_err(told_to_all)?.in_digest();
    let people = channels.people(&newest, &[of.recipient]).await?;
    let person = people.get(&of.recipient);
    if let Some(quiet) = person.and_then(|person| newest.quiet(person, UnixMs::now())) {
        return Ok(Reached::Quiet(quiet));
    }
    let contents = store.close_digest(of.id, work.job.id, UnixMs::now()).await?;
    if contents.count == 0 {
        return Ok(Reached::Delivered);
    }
    let message = channels.digest(of, &contents).await.map_err(told_to_all)?;
    let reached = match person {
        Some(person) if !person.wants(&message) => Reached::Suppressed(Suppression::Preference),
        person => channels.reach_alone(&message, person, &[]).await?,
    };
    let tried = reached.tried();
    store.settle_digest(of.id, tried, UnixMs::now()).await?;
    // Whoever has it on one of their browsers is not told once more for the others.
    Ok(if tried.fate == Some(Fate::Delivered) { Reached::Delivered } else { reached })
}
