//! Kind `notification.message`: one recipient is tried again on a channel.

use std::time::Instant;

use postrider_core::{
    domain::{Id, UnixMs, dead_letter::Cause, job::Outcome, notification::Fate, retry::RetrySchedule},
    store::{Message, MessageArgs, StoreError, Work},
};

use super::{Executors, after_call, notification::gone};
use crate::{
    notify::{Failed, Reached},
    outcomes::Execution,
};

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let args = work.payload.as_deref().and_then(|args| serde_json::from_slice(args).ok());
    let Some(args): Option<MessageArgs> = args else {
        return executors.invalid(work, "its arguments are no notification's message");
    };
    let (started_at, started) = (UnixMs::now(), Instant::now());
    match reach(executors, work, &args).await {
        Ok(Some(Reached::Delivered | Reached::Suppressed(_))) => executors.done(work, started_at, started.elapsed()),
        Ok(Some(Reached::Failed(failed))) => {
            let report = executors.not_reached(&failed, started_at, started.elapsed());
            if failed.is_lasting {
                return Execution::ended(work, Some(report), Outcome::Dead { cause: Cause::Invalid });
            }
            Execution::Ended(Box::new(after_call(work, report, &RetrySchedule::default(), started.elapsed())))
        }
        Ok(Some(Reached::Outage(failed))) => executors.outage(work, &failed, started_at, started.elapsed()),
        Ok(None) => gone(work),
        Err(error) => executors.not_stored(work, error).await,
    }
}

/// `None` where the notification is gone. Whoever was reached before, by a try whose end was not stored, is not reached again.
async fn reach(executors: &Executors, work: &Work, args: &MessageArgs) -> Result<Option<Reached>, StoreError> {
    let store = &executors.0.store;
    let Some(message) = store.notification_message(args, work.job.id).await? else { return Ok(None) };
    if message.fate.is_some() && args.subscriptions.is_empty() {
        return Ok(Some(Reached::Delivered));
    }
    let channels = &executors.0.channels;
    let sent = channels.message(message.of, message.channel).await.map_err(|error| StoreError::told_to_all(&error))?;
    let id = Id::from_uuid(args.recipient);
    let people = channels.people(message.channel, &[id]).await?;
    let reached = channels.reach_alone(&sent, people.get(&id), &args.subscriptions).await?;
    match &reached {
        Reached::Delivered => settle(executors, &message, Ok(Fate::Delivered)).await?,
        Reached::Suppressed(why) => settle(executors, &message, Ok(Fate::Suppressed(*why))).await?,
        Reached::Failed(Failed { error, .. }) | Reached::Outage(Failed { error, .. }) => {
            settle(executors, &message, Err(error)).await?;
        }
    }
    Ok(Some(reached))
}

async fn settle(executors: &Executors, message: &Message, settled: Result<Fate, &str>) -> Result<(), StoreError> {
    executors.0.store.settle_message(message, settled, UnixMs::now()).await
}
