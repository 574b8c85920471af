//! Kind `notification.message`: one recipient is tried again on a channel.

use std::time::{Duration, Instant};

use postrider_core::{
    domain::{Id, UnixMs, dead_letter::Cause, job::Outcome, retry::RetrySchedule},
    store::{MessageArgs, StoreError, Tried, Work},
};

use super::{Executors, after_call, notification::gone};
use crate::{
    notify::{Quiet, Reached},
    outcomes::Execution,
};

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let args = work.payload.as_deref().and_then(|args| serde_json::from_slice(args).ok());
    let Some(args): Option<MessageArgs> = args else {
        return executors.invalid(work, "its arguments are no notification's message");
    };
    let (started_at, started) = (UnixMs::now(), Instant::now());
    match reach(executors, work, &args).await {
        Ok(Some(reached)) => executors.tried(work, reached, started_at, started.elapsed()),
        Ok(None) => gone(work),
        Err(error) => executors.not_stored(work, error).await,
    }
}

impl Executors {
    /// The end of a job that tried to reach one recipient.
    pub(super) fn tried(&self, work: &Work, reached: Reached, started_at: UnixMs, took: Duration) -> Execution {
        match reached {
            Reached::Delivered | Reached::Suppressed(_) => self.done(work, started_at, took),
            Reached::Quiet(Quiet { until, .. }) => Execution::decided(work, Outcome::Retry { at: until }),
            Reached::Failed(failed) => {
                let report = self.not_reached(&failed, started_at, took);
                if failed.is_lasting {
                    return Execution::ended(work, Some(report), Outcome::Dead { cause: Cause::Invalid });
                }
                Execution::Ended(Box::new(after_call(work, report, &RetrySchedule::default(), took)))
            }
            Reached::Outage(failed) => self.outage(work, &failed, started_at, took),
        }
    }
}

/// `None` where the notification is gone. Whoever was reached before, by a try whose end was not stored, is not reached again.
async fn reach(executors: &Executors, work: &Work, args: &MessageArgs) -> Result<Option<Reached>, StoreError> {
    let store = &executors.0.store;
    let Some(message) = store.notification_message(args, work.job.id).await? else { return Ok(None) };
    if message.fate.is_some() && message.subscriptions.is_empty() {
        return Ok(Some(Reached::Delivered));
    }
    let channels = &executors.0.channels;
    let sent = channels.message(message.of, message.channel).await.map_err(|error| StoreError::told_to_all(&error))?;
    let id = Id::from_uuid(args.recipient);
    let people = channels.people(&sent, &[id]).await?;
    let reached = channels.reach_alone(&sent, people.get(&id), &message.subscriptions).await?;
    let tried = match &reached {
        // Nothing was tried, so it stays with those of their browsers.
        Reached::Quiet(_) => Tried { subscriptions: &message.subscriptions, ..reached.tried() },
        _ => reached.tried(),
    };
    store.settle_message(&message, tried, UnixMs::now()).await?;
    Ok(Some(reached))
}
