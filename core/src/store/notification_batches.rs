//! The recipients of a chunk on a channel that reaches one after the other: who of them was reached, and those who are tried again by
//! themselves. What is settled is never tried again; whoever goes on after a crash begins with those who are pending.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    DueJob, NewJob, Store, StoreError, jobs,
    notifications::{StoredNotification, unreadable},
    pool::Tx,
    recipients,
    sql::sql,
    stats,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    job::{Job, JobKind},
    lane::LaneName,
    notification::{Fate, FateCounts, Notification, batch_job, pack_fates, unpack, unpack_fates},
    preferences::Channel,
    push::PushSubscription,
    recipient::Recipient,
    retry::RetrySchedule,
};

/// What a job of kind `notification.batch` reaches: those of chunk `n` on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchArgs {
    pub notification: Uuid,
    pub n: u32,
    pub channel: Channel,
}

/// What a job of kind `notification.message` reaches: one recipient on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageArgs {
    pub notification: Uuid,
    pub channel: Channel,
    pub recipient: Uuid,
}

/// Some of a notification's recipients on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub of: Id<Notification>,
    pub n: u32,
    pub channel: Channel,
    job: Id<Job>,
    recipients: Vec<Id<Recipient>>,
    fates: Vec<Option<Fate>>,
    version: i64,
}

/// What came of trying to reach one recipient of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    Fate(Fate),
    Apart(Apart),
}

/// Somebody who is tried again by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Of the mail or push server that they wait for.
    pub host: String,
    pub run_at: UnixMs,
    /// Why they were not reached, in words.
    pub error: String,
    /// Some devices of theirs took it, and these are tried again.
    pub subscriptions: Vec<Id<PushSubscription>>,
}

/// What came of storing how far a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchProgress {
    /// It goes on, and these jobs are to be offered.
    Stored(Vec<DueJob>),
    /// It was cancelled; what was settled is stored.
    Cancelled(Vec<DueJob>),
    /// Another process works on it.
    Elsewhere,
}

/// A recipient who is tried again by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub of: Id<Notification>,
    pub channel: Channel,
    pub recipient: Id<Recipient>,
    /// `None`: not reached yet.
    pub fate: Option<Fate>,
    /// The push subscriptions that are tried again, where others took it; none: whatever they have.
    pub subscriptions: Vec<Id<PushSubscription>>,
}

/// What came of trying to reach somebody by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried<'t> {
    /// `None`: they are not reached yet.
    pub fate: Option<Fate>,
    /// Why they were not reached, or not by all of their devices, in words.
    pub error: Option<&'t str>,
    /// The push subscriptions that are tried again, where others took it.
    pub subscriptions: &'t [Id<PushSubscription>],
}

#[derive(sqlx::FromRow)]
struct Row {
    job_id: Uuid,
    recipients: Vec<u8>,
    fates: Vec<u8>,
    version: i64,
}

fn counts_of(fates: &[Option<Fate>]) -> Result<String, StoreError> {
    serde_json::to_string(&FateCounts::of(fates.iter().flatten().copied())).map_err(unreadable)
}

fn is_pending(fates: &[Option<Fate>]) -> bool {
    fates.contains(&Some(Fate::Pending))
}

impl Batch {
    /// Those who are pending, each with their place.
    pub fn pending(&self) -> impl Iterator<Item = (usize, Id<Recipient>)> {
        let fates = self.fates.iter().enumerate().filter(|(_, fate)| **fate == Some(Fate::Pending));
        fates.filter_map(|(place, _)| Some((place, *self.recipients.get(place)?)))
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        !is_pending(&self.fates)
    }
}

/// Stores those of a chunk on a channel, and the job that reaches them from `run_at` on; `None` where nobody is to be reached. Who
/// has no fate stands in a digest.
pub(super) async fn insert_batch(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    n: u32,
    channel: Channel,
    fates: &[Option<Fate>],
    run_at: UnixMs,
    now: UnixMs,
) -> Result<Option<NewJob>, StoreError> {
    let job = is_pending(fates).then(|| job_of(of, n, channel, run_at));
    let row: Vec<Value> = vec![
        of.id.into(),
        n.into(),
        channel.as_str().into(),
        batch_job(of.id, n, channel).into(),
        pack_fates(fates).into(),
        counts_of(fates)?.into(),
        0i64.into(),
        now.into(),
        job.is_none().then_some(now).into(),
    ];
    let insert = "INSERT INTO notification_batches (notification_id, n, channel, job_id, fates, counts, version, settled_at, done_at) ";
    tx.execute(sql(insert).rows(vec![row])).await?;
    Ok(job)
}

fn job_of(of: &StoredNotification, n: u32, channel: Channel, run_at: UnixMs) -> NewJob {
    let args = BatchArgs { notification: of.id.uuid(), n, channel };
    let lane = LaneName::of_batch(channel, of.of.urgency, n == 0);
    NewJob {
        id: batch_job(of.id, n, channel),
        max_attempts: RetrySchedule::default().max_attempts(),
        ..NewJob::plain(JobKind::NotificationBatch, lane, serde_json::to_vec(&args).unwrap_or_default(), run_at)
    }
}

/// Stores jobs that follow from a notification, and counts them as accepted.
pub(super) async fn insert_jobs(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    new_jobs: &[NewJob],
    node: &str,
    now: UnixMs,
) -> Result<Vec<DueJob>, StoreError> {
    if new_jobs.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    tx.execute_all(jobs::insert(dialect, new_jobs.iter().map(|job| (of.tenant, job, now)).collect())).await?;
    let mut counts = stats::Counts::new(node);
    new_jobs.iter().for_each(|job| counts.add(now, of.tenant, job.kind, stats::ACCEPTED, 1));
    tx.execute_all(counts.write(dialect)).await?;
    Ok(new_jobs.iter().map(|job| job.due(of.tenant)).collect())
}

impl Store {
    /// # Errors
    /// When the database does not answer.
    pub async fn notification_batch(&self, args: BatchArgs) -> Result<Option<Batch>, StoreError> {
        let BatchArgs { notification, n, channel } = args;
        let select = sql("SELECT b.job_id, c.recipients, b.fates, b.version FROM notification_batches AS b \
            JOIN notification_chunks AS c ON c.notification_id = b.notification_id AND c.n = b.n")
        .and(" WHERE b.notification_id = ", notification)
        .and(" AND b.n = ", n)
        .and(" AND b.channel = ", channel.as_str());
        let row: Option<Row> = self.pool.fetch_one(select).await?;
        Ok(row.map(|Row { job_id, recipients, fates, version }| Batch {
            of: Id::from_uuid(notification),
            n,
            channel,
            job: Id::from_uuid(job_id),
            recipients: unpack(&recipients),
            fates: unpack_fates(&fates),
            version,
        }))
    }

    /// Those of these ids who are known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recipients_by_ids(&self, ids: Vec<Id<Recipient>>) -> Result<Vec<Recipient>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for run in self.pool.dialect().runs(ids) {
            let rows: Vec<recipients::Row> =
                self.pool.fetch(sql(recipients::COLUMNS).then(" WHERE id").any(run)).await?;
            for row in rows {
                found.push(row.read()?);
            }
        }
        Ok(found)
    }

    /// Those of them who have seen it in their inbox.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn seen_by(
        &self,
        of: Id<Notification>,
        recipients: &[Id<Recipient>],
    ) -> Result<HashSet<Id<Recipient>>, StoreError> {
        let mut seen = HashSet::new();
        for run in self.pool.dialect().runs(recipients.to_vec()) {
            let select = sql("SELECT recipient_id FROM inbox_items").and(" WHERE notification_id = ", of);
            let rows: Vec<(Uuid,)> =
                self.pool.fetch(select.then(" AND seen_at IS NOT NULL AND recipient_id").any(run)).await?;
            seen.extend(rows.into_iter().map(|(id,)| Id::<Recipient>::from_uuid(id)));
        }
        Ok(seen)
    }

    /// Stores what became of some of a batch, by their places, and of whom jobs of their own are made.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_batch(
        &self,
        batch: &mut Batch,
        of: &StoredNotification,
        settled: Vec<(usize, Settled)>,
        now: UnixMs,
    ) -> Result<BatchProgress, StoreError> {
        let mut fates = batch.fates.clone();
        let (mut new_jobs, mut messages) = (Vec::new(), Vec::new());
        for (place, settled) in settled {
            let (Some(fate), Some(recipient)) = (fates.get_mut(place), batch.recipients.get(place)) else { continue };
            *fate = match settled {
                Settled::Fate(fate) => Some(fate),
                Settled::Apart(apart) => {
                    let (job, row) = apart.message(batch, *recipient, now);
                    new_jobs.push(job);
                    messages.push(row);
                    None
                }
            };
        }
        let mut tx = self.pool.begin().await?;
        let is_cancelled = jobs::is_cancelled(&mut tx, batch.job).await?;
        let update = sql("UPDATE notification_batches SET version = version + 1,")
            .and(" fates = ", pack_fates(&fates))
            .and(", counts = ", counts_of(&fates)?)
            .and(", settled_at = ", now)
            .and(", done_at = ", (!is_pending(&fates)).then_some(now))
            .and(" WHERE notification_id = ", batch.of)
            .and(" AND n = ", batch.n)
            .and(" AND channel = ", batch.channel.as_str())
            .and(" AND version = ", batch.version);
        if tx.execute(update).await? == 0 {
            return Ok(BatchProgress::Elsewhere);
        }
        let insert = "INSERT INTO notification_messages (notification_id, channel, recipient_id, job_id, fate, error, subscriptions, \
            settled_at) ";
        for run in tx.dialect().runs(messages) {
            tx.execute(sql(insert).rows(run)).await?;
        }
        let due = insert_jobs(&mut tx, of, &new_jobs, &self.node, now).await?;
        tx.commit().await?;
        batch.fates = fates;
        batch.version += 1;
        Ok(if is_cancelled { BatchProgress::Cancelled(due) } else { BatchProgress::Stored(due) })
    }

    /// A recipient who is tried again, by `job` from now on: a receipt says of them what that job says.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notification_message(&self, args: &MessageArgs, job: Id<Job>) -> Result<Option<Message>, StoreError> {
        let update = sql("UPDATE notification_messages SET")
            .and(" job_id = ", job)
            .and(" WHERE notification_id = ", args.notification)
            .and(" AND channel = ", args.channel.as_str())
            .and(" AND recipient_id = ", args.recipient)
            .then(" RETURNING fate, subscriptions");
        let mut tx = self.pool.begin().await?;
        let row: Option<(Option<i64>, Option<String>)> = tx.fetch_one(update).await?;
        tx.commit().await?;
        let Some((fate, subscriptions)) = row else { return Ok(None) };
        let subscriptions = subscriptions.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)?;
        Ok(Some(Message {
            of: Id::from_uuid(args.notification),
            channel: args.channel,
            recipient: Id::from_uuid(args.recipient),
            fate: fate.and_then(|code| Fate::of_code(u8::try_from(code).ok()?)),
            subscriptions: subscriptions.unwrap_or_default(),
        }))
    }

    /// Stores what became of somebody who was tried again. Whoever was reached stays so.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_message(&self, message: &Message, tried: Tried<'_>, now: UnixMs) -> Result<(), StoreError> {
        let update = sql("UPDATE notification_messages SET")
            .and(" fate = CASE WHEN fate = ", i64::from(Fate::Delivered.code()))
            .and(" THEN fate ELSE ", tried.fate.map(|fate| i64::from(fate.code())))
            .and(" END, error = ", tried.error)
            .and(", subscriptions = ", as_json(tried.subscriptions))
            .and(", settled_at = ", now)
            .and(" WHERE notification_id = ", message.of)
            .and(" AND channel = ", message.channel.as_str())
            .and(" AND recipient_id = ", message.recipient);
        self.pool.execute(update).await.map(drop)
    }
}

/// Push subscriptions as they are kept; `None`: there are none.
fn as_json(subscriptions: &[Id<PushSubscription>]) -> Option<String> {
    (!subscriptions.is_empty()).then(|| serde_json::to_string(subscriptions).unwrap_or_default())
}

impl Apart {
    /// The job, and the row that says so.
    fn message(self, batch: &Batch, recipient: Id<Recipient>, now: UnixMs) -> (NewJob, Vec<Value>) {
        // Where a device took it they are reached, whatever comes of the others.
        let fate = (!self.subscriptions.is_empty()).then(|| i64::from(Fate::Delivered.code()));
        let args = MessageArgs { notification: batch.of.uuid(), channel: batch.channel, recipient: recipient.uuid() };
        let job = NewJob {
            max_attempts: RetrySchedule::default().max_attempts(),
            ..NewJob::plain(
                JobKind::NotificationMessage,
                LaneName::of_messages(batch.channel, &self.host),
                serde_json::to_vec(&args).unwrap_or_default(),
                self.run_at,
            )
        };
        let row = vec![
            batch.of.into(),
            batch.channel.as_str().into(),
            recipient.into(),
            job.id.into(),
            fate.into(),
            self.error.into(),
            as_json(&self.subscriptions).into(),
            now.into(),
        ];
        (job, row)
    }
}
