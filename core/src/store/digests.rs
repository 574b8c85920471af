//! Digests: what is gathered for one person on a channel until its window is over. One of a key is open at a time; whatever comes is
//! appended to it, or opens the next, in the transaction that tells them. What is in a digest is pending as its job is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    NewJob, Store, StoreError, collapse,
    notification_batches::Tried,
    notifications::{StoredNotification, unreadable},
    pool::Tx,
    sql::sql,
    value::Value,
};
use crate::{
    domain::{
        Id, UnixMs,
        job::{Job, JobKind, JobState},
        lane::LaneName,
        notification::{Fate, Notification, Suppression},
        preferences::Channel,
        recipient::Recipient,
        retry::RetrySchedule,
        tenant::Tenant,
        workflow::{DIGEST_SHOWN_MAX, Digest},
    },
    notify::Gathered,
};

/// What a job of kind `notification.digest` sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestArgs {
    pub digest: Uuid,
}

/// What is gathered for one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDigest {
    pub id: Id<Digest>,
    pub tenant: Id<Tenant>,
    pub recipient: Id<Recipient>,
    pub channel: Channel,
    /// The newest of what was gathered: by its version of the type it reads.
    pub newest: Id<Notification>,
    pub closes_at: UnixMs,
}

/// What a digest that was closed has to say.
#[derive(Clone, Debug)]
pub struct DigestContents {
    /// The newest of them, oldest first.
    pub items: Vec<Gathered>,
    pub count: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    recipient_id: Uuid,
    channel: String,
    notification_id: Uuid,
    closes_at: i64,
}

#[derive(sqlx::FromRow)]
struct Appended {
    id: Uuid,
    recipient_id: Uuid,
    job_id: Uuid,
}

const INSERT: &str = "INSERT INTO digests (id, tenant_id, recipient_id, type_id, channel, digest_key, notification_id, job_id, opened_at, \
    closes_at) ";

impl Row {
    fn read(self) -> Result<StoredDigest, StoreError> {
        Ok(StoredDigest {
            id: Id::from_uuid(self.id),
            tenant: Id::from_uuid(self.tenant_id),
            recipient: Id::from_uuid(self.recipient_id),
            channel: self.channel.parse().map_err(unreadable)?,
            newest: Id::from_uuid(self.notification_id),
            closes_at: UnixMs(self.closes_at),
        })
    }
}

/// Gathers a notification for those people, whose digests would end then if they began now. Which jobs send what was begun.
pub(super) async fn gather(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    channel: Channel,
    key: &str,
    people: Vec<(Id<Recipient>, UnixMs)>,
    now: UnixMs,
) -> Result<Vec<NewJob>, StoreError> {
    let mut new_jobs = Vec::new();
    for run in tx.dialect().runs(people) {
        let (appended, jobs) = append(tx, of, channel, key, &run, now).await?;
        new_jobs.extend(jobs);
        // A job that somebody cancelled, or that died before its time, sends nothing more: what it was for is closed.
        let stale = stale(tx, &appended, &new_jobs).await?;
        let mut all: Vec<Appended> = appended;
        if !stale.is_empty() {
            let close = sql("UPDATE digests SET").and(" closed_at = ", now).then(" WHERE closed_at IS NULL AND id");
            tx.execute(close.any(all.extract_if(.., |one| stale.contains(&one.job_id)).map(|one| one.id))).await?;
            let again: Vec<_> =
                run.iter().filter(|(id, _)| all.iter().all(|one| one.recipient_id != id.uuid())).copied().collect();
            let (appended, jobs) = append(tx, of, channel, key, &again, now).await?;
            new_jobs.extend(jobs);
            all.extend(appended);
        }
        let row = |one: &Appended| -> Vec<Value> {
            let (recipient, job) = (one.recipient_id.into(), one.job_id.into());
            vec![of.id.into(), channel.as_str().into(), recipient, job, now.into(), one.id.into()]
        };
        let insert = "INSERT INTO notification_messages (notification_id, channel, recipient_id, job_id, settled_at, digest_id) ";
        tx.execute(sql(insert).rows(all.iter().map(row).collect())).await?;
    }
    Ok(new_jobs)
}

/// Appends to digests that are open, and opens those that are not.
async fn append(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    channel: Channel,
    key: &str,
    people: &[(Id<Recipient>, UnixMs)],
    now: UnixMs,
) -> Result<(Vec<Appended>, Vec<NewJob>), StoreError> {
    let mut begun: Vec<(Id<Digest>, NewJob)> = Vec::with_capacity(people.len());
    let mut rows: Vec<Vec<Value>> = Vec::with_capacity(people.len());
    for (recipient, closes_at) in people {
        let id = Id::new();
        let job = job_of(id, channel, *closes_at);
        rows.push(vec![
            id.into(),
            of.tenant.into(),
            (*recipient).into(),
            of.of.kind.into(),
            channel.as_str().into(),
            key.into(),
            of.id.into(),
            job.id.into(),
            now.into(),
            (*closes_at).into(),
        ]);
        begun.push((id, job));
    }
    let upsert = sql(INSERT).rows(rows).then(
        " ON CONFLICT (recipient_id, type_id, channel, digest_key) WHERE closed_at IS NULL \
        DO UPDATE SET notification_id = excluded.notification_id RETURNING id, recipient_id, job_id",
    );
    let appended: Vec<Appended> = tx.fetch(upsert).await?;
    let is_begun = |id: Id<Digest>| appended.iter().any(|one| one.id == id.uuid());
    let jobs = begun.into_iter().filter(|(id, _)| is_begun(*id)).map(|(_, job)| job).collect();
    Ok((appended, jobs))
}

/// Those jobs of digests that are not pending any more. Read after the digests are locked, in a statement of its own, which sees
/// what those have committed that were waited for.
async fn stale(tx: &mut Tx<'_>, appended: &[Appended], begun: &[NewJob]) -> Result<Vec<Uuid>, StoreError> {
    let known = |job: &Uuid| begun.iter().any(|new| new.id.uuid() == *job);
    let open: Vec<Uuid> = appended.iter().map(|one| one.job_id).filter(|job| !known(job)).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let select = sql("SELECT id FROM jobs").and(" WHERE state = ", JobState::Pending.as_str()).then(" AND id");
    let pending: Vec<(Uuid,)> = tx.fetch(select.any(open.iter().copied())).await?;
    Ok(open.into_iter().filter(|job| pending.iter().all(|(id,)| id != job)).collect())
}

fn job_of(id: Id<Digest>, channel: Channel, closes_at: UnixMs) -> NewJob {
    let args = serde_json::to_vec(&DigestArgs { digest: id.uuid() }).unwrap_or_default();
    NewJob {
        max_attempts: RetrySchedule::default().max_attempts(),
        ..NewJob::plain(JobKind::NotificationDigest, LaneName::of_digests(channel), args, closes_at)
    }
}

impl Store {
    /// # Errors
    /// When the database does not answer.
    pub async fn digest(&self, id: Id<Digest>) -> Result<Option<StoredDigest>, StoreError> {
        let select = sql("SELECT id, tenant_id, recipient_id, channel, notification_id, closes_at FROM digests");
        let row: Option<Row> = self.pool.fetch_one(select.and(" WHERE id = ", id)).await?;
        row.map(Row::read).transpose()
    }

    /// Closes a digest: whatever comes opens another. What was seen in the inbox meanwhile leaves it, and what a
    /// newer one took the place of; the rest is what `job` is to send, and is pending as that is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn close_digest(&self, id: Id<Digest>, job: Id<Job>, now: UnixMs) -> Result<DigestContents, StoreError> {
        let mut tx = self.pool.begin().await?;
        let close = sql("UPDATE digests SET").and(" closed_at = COALESCE(closed_at, ", now).and(") WHERE id = ", id);
        tx.execute(close).await?;
        let take = sql("UPDATE notification_messages SET").and(" job_id = ", job).and(" WHERE digest_id = ", id);
        tx.execute(take).await?;
        let seen = sql("UPDATE notification_messages SET")
            .and(" fate = ", i64::from(Fate::Suppressed(Suppression::Seen).code()))
            .and(", settled_at = ", now)
            .and(" WHERE digest_id = ", id)
            .then(
                " AND fate IS NULL AND EXISTS (SELECT 1 FROM inbox_items AS i \
                WHERE i.recipient_id = notification_messages.recipient_id \
                AND i.notification_id = notification_messages.notification_id AND i.seen_at IS NOT NULL)",
            );
        tx.execute(seen).await?;
        collapse::leave_digest(&mut tx, id.uuid(), now).await?;
        let count = sql("SELECT COUNT(*) FROM notification_messages").and(" WHERE digest_id = ", id);
        let count: Option<(i64,)> = tx.fetch_one(count.then(" AND fate IS NULL")).await?;
        let select = sql("SELECT n.data, n.created_at FROM notification_messages AS m \
            JOIN notifications AS n ON n.id = m.notification_id")
        .and(" WHERE m.digest_id = ", id)
        .and(" AND m.fate IS NULL ORDER BY n.id DESC LIMIT ", DIGEST_SHOWN_MAX);
        let mut items: Vec<(Vec<u8>, i64)> = tx.fetch(select).await?;
        tx.commit().await?;
        items.reverse();
        let item = |(data, created_at): (Vec<u8>, i64)| Gathered {
            data: serde_json::from_slice(&data).unwrap_or_default(),
            created_at: UnixMs(created_at).to_string(),
        };
        let count = count.map_or(0, |(count,)| u64::try_from(count).unwrap_or(0));
        Ok(DigestContents { items: items.into_iter().map(item).collect(), count })
    }

    /// Stores what became of all that a closed digest has not told yet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_digest(&self, id: Id<Digest>, tried: Tried<'_>, now: UnixMs) -> Result<(), StoreError> {
        let update = sql("UPDATE notification_messages SET")
            .and(" fate = ", tried.fate.map(|fate| i64::from(fate.code())))
            .and(", error = ", tried.error)
            .and(", settled_at = ", now)
            .and(" WHERE digest_id = ", id)
            .then(" AND fate IS NULL");
        self.pool.execute(update).await.map(drop)
    }

    /// Removes digests that were sent, and of whose notifications none is kept. How many.
    pub(super) async fn remove_old_digests(&self, before: UnixMs) -> Result<u64, StoreError> {
        let delete = sql("DELETE FROM digests WHERE id IN (SELECT d.id FROM digests AS d")
            .and(" WHERE d.closed_at < ", before)
            .then(" AND NOT EXISTS (SELECT 1 FROM notification_messages AS m WHERE m.digest_id = d.id) LIMIT 1000)");
        self.pool.execute(delete).await
    }
}
