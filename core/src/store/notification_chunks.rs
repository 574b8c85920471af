//! Fan-out: a notification's recipients in chunks of a thousand, and telling those of one of them. A chunk is stored once and told
//! once, whatever runs twice: it is told in the transaction that says so.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use uuid::Uuid;

use super::{
    DueJob, NewJob, Store, StoreError,
    collapse::{self, Placed},
    digests,
    inbox::{CountsRow, Told},
    jobs,
    notification_batches::{insert_batch, insert_jobs},
    notification_events::{PlannedEvent, insert_event},
    notifications::StoredNotification,
    pool::Tx,
    recipients::make_known,
    sql::{Dialect, Sql, sql},
    value::Value,
};
use crate::{
    domain::{
        Id, UnixMs,
        collapse::CollapseKey,
        job::{Job, JobKind},
        lane::LaneName,
        notification::{
            CHUNK_RECIPIENTS_MAX, Fate, FateCounts, NamedTopic, Notification, Person, Suppression, chunk_job, pack,
            suppression, unpack,
        },
        preferences::{Channel, Preferences},
        recipient::{Profile, Recipient, RecipientKey},
        retry::RetrySchedule,
        topic::Topic,
        workflow::{Throttle, Workflow},
    },
    notify::{self, Condition, Data},
};

/// Subscribers of one topic that one step of planning reads.
const STEP_RECIPIENTS: usize = 20 * CHUNK_RECIPIENTS_MAX;
/// Waits between tries of a chunk.
const RETRIES_S: [f64; 5] = [1.0, 5.0, 30.0, 120.0, 600.0];

/// What a step of planning came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Jobs that tell those who were found, and endpoints.
    pub jobs: Vec<DueJob>,
    /// Whether it is to be gone on with, from what is stored by now.
    pub more: bool,
}

/// Some of a notification's recipients.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub of: StoredNotification,
    pub n: u32,
    recipients: Vec<Id<Recipient>>,
    is_done: bool,
}

/// What telling a chunk came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldChunk {
    /// Those in whose inboxes there is more since.
    pub told: Vec<Told>,
    /// Jobs that reach them on other channels.
    pub jobs: Vec<DueJob>,
}

/// Its number, its recipients and the job that tells them.
type NewChunk<'c> = (u32, &'c [Id<Recipient>], Id<Job>);

/// Those of a step of planning.
#[derive(Debug, Default)]
struct Subscribers {
    ids: BTreeSet<Id<Recipient>>,
    /// The last who was looked at.
    last: Option<Id<Recipient>>,
    is_end: bool,
}

/// What is known of somebody who is to be told.
struct Known {
    key: RecipientKey,
    preferences: Preferences,
    time_zone: Option<String>,
}

type KnownRow = (Uuid, String, String, Option<String>);

/// What a job of kind `notification.chunk` tells: those of chunk `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChunkArgs {
    pub notification: Uuid,
    pub n: u32,
}

/// When the telling of a chunk that failed is tried again.
#[must_use]
pub fn chunk_schedule() -> RetrySchedule {
    RetrySchedule::from_seconds(&RETRIES_S).unwrap_or_default()
}

impl Store {
    /// One step of planning: those who are named, or the next of the topics' subscribers. The first one makes the event too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn plan_notification(&self, of: &StoredNotification, now: UnixMs) -> Result<Planned, StoreError> {
        if of.planned_at.is_some() {
            return Ok(Planned::default());
        }
        let is_first = of.chunks == 0;
        let event = if is_first { self.planned_event(of, now).await? } else { None };
        if of.of.channels.is_empty() {
            return self.plan_event_alone(of, event, now).await;
        }
        if is_first && !of.audience.recipients.is_empty() {
            return self.plan_named(of, event, now).await;
        }
        let named = self.chunk_recipients(of.id, 0).await?.filter(|_| !of.audience.recipients.is_empty());
        let named: BTreeSet<Id<Recipient>> = named.unwrap_or_default().into_iter().collect();
        let Subscribers { ids, last, is_end } = self.subscribers_after(of).await?;
        let mut found: Vec<Id<Recipient>> = ids.into_iter().collect();
        // What fills no chunk is left to the next step.
        let full = found.len() - found.len() % CHUNK_RECIPIENTS_MAX;
        let planned_to = if is_end || full == 0 {
            last.or(of.planned_to)
        } else {
            found.truncate(full);
            found.last().copied()
        };
        found.retain(|id| !named.contains(id));
        let first = of.chunks.max(1);
        let chunks: Vec<(u32, &[Id<Recipient>])> = (first..).zip(found.chunks(CHUNK_RECIPIENTS_MAX)).collect();
        let new_jobs: Vec<NewJob> = chunks.iter().map(|(n, _)| job_of(of, *n, now)).collect();
        let mut tx = self.pool.begin().await?;
        let upto = first + u32::try_from(chunks.len()).unwrap_or(0);
        if let Some(planned) = advance(&mut tx, of, planned_to, upto, is_end.then_some(now)).await?.unless_done() {
            return Ok(planned);
        }
        insert_chunks(&mut tx, of, chunks.iter().zip(&new_jobs).map(|((n, ids), job)| (*n, *ids, job.id)).collect())
            .await?;
        let mut jobs = insert_jobs(&mut tx, of, &new_jobs, &self.node, now).await?;
        jobs.extend(insert_event(&mut tx, of, event, &self.node, now).await?);
        tx.commit().await?;
        Ok(Planned { jobs, more: !is_end })
    }

    /// Where endpoints alone are told, nobody is looked for.
    async fn plan_event_alone(
        &self,
        of: &StoredNotification,
        event: Option<PlannedEvent>,
        now: UnixMs,
    ) -> Result<Planned, StoreError> {
        let mut tx = self.pool.begin().await?;
        if let Some(planned) = advance(&mut tx, of, None, 0, Some(now)).await?.unless_done() {
            return Ok(planned);
        }
        let jobs = insert_event(&mut tx, of, event, &self.node, now).await?;
        tx.commit().await?;
        Ok(Planned { jobs, more: false })
    }

    /// Those who are named are one chunk, which the planning job tells by itself.
    async fn plan_named(
        &self,
        of: &StoredNotification,
        event: Option<PlannedEvent>,
        now: UnixMs,
    ) -> Result<Planned, StoreError> {
        let mut keys: Vec<&str> = of.audience.recipients.iter().map(RecipientKey::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut tx = self.pool.begin().await?;
        make_known(&mut tx, of.tenant, &keys, now).await?;
        let mut ids: Vec<Id<Recipient>> = Vec::with_capacity(keys.len());
        for run in tx.dialect().runs(keys) {
            let select =
                sql("SELECT id FROM recipients").and(" WHERE tenant_id = ", of.tenant).then(" AND key").any(run);
            ids.extend(tx.fetch::<(Uuid,)>(select).await?.into_iter().map(|(id,)| Id::from_uuid(id)));
        }
        ids.sort_unstable();
        let is_all = of.audience.topics.is_empty();
        if let Some(planned) = advance(&mut tx, of, None, 1, is_all.then_some(now)).await?.unless_done() {
            return Ok(planned);
        }
        insert_chunks(&mut tx, of, vec![(0, &ids, of.plan_job)]).await?;
        let jobs = insert_event(&mut tx, of, event, &self.node, now).await?;
        tx.commit().await?;
        Ok(Planned { jobs, more: !is_all })
    }

    /// The next subscribers of a notification's topics by id, each once, as far as a topic's condition holds for them; the last that was
    /// looked at, and whether there are no more.
    async fn subscribers_after(&self, of: &StoredNotification) -> Result<Subscribers, StoreError> {
        let after = of.planned_to.map_or(Uuid::nil(), Id::uuid);
        let conditions = self.conditions(&of.audience.topics).await?;
        let mut walked: Vec<(Id<Topic>, Vec<Id<Recipient>>)> = Vec::new();
        let mut until = None::<Id<Recipient>>;
        for topic in &of.audience.topics {
            let select = sql("SELECT recipient_id FROM topic_subscriptions")
                .and(" WHERE topic_id = ", topic.id)
                .and(" AND recipient_id > ", after)
                .and(" ORDER BY recipient_id LIMIT ", i64::try_from(STEP_RECIPIENTS).unwrap_or(i64::MAX));
            let rows: Vec<(Uuid,)> = self.pool.fetch(select).await?;
            let ids: Vec<Id<Recipient>> = rows.into_iter().map(|(id,)| Id::from_uuid(id)).collect();
            // Beyond the last of a full page this topic may have more, so the others are not looked at either.
            until = until.into_iter().chain(ids.last().copied().filter(|_| ids.len() == STEP_RECIPIENTS)).min();
            walked.push((topic.id, ids));
        }
        let mut found = Subscribers { is_end: until.is_none(), ..Subscribers::default() };
        for (topic, mut ids) in walked {
            ids.retain(|id| until.is_none_or(|until| *id <= until));
            found.last = found.last.into_iter().chain(ids.last().copied()).max();
            match conditions.get(&topic) {
                None => found.ids.extend(ids),
                Some(condition) => found.ids.extend(self.who_meets(condition, &of.data(), ids).await?),
            }
        }
        Ok(found)
    }

    /// The conditions of those topics that have one.
    async fn conditions(&self, topics: &[NamedTopic]) -> Result<HashMap<Id<Topic>, Condition>, StoreError> {
        let select = sql("SELECT id, condition FROM topics WHERE condition IS NOT NULL AND id");
        if topics.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(Uuid, String)> = self.pool.fetch(select.any(topics.iter().map(|topic| topic.id))).await?;
        let read = |(id, condition): (Uuid, String)| {
            let condition = Condition::new(&condition);
            Ok((Id::from_uuid(id), condition.map_err(|error| StoreError::unreadable("topic's condition", error))?))
        };
        rows.into_iter().map(read).collect()
    }

    async fn who_meets(
        &self,
        condition: &Condition,
        data: &Data,
        ids: Vec<Id<Recipient>>,
    ) -> Result<Vec<Id<Recipient>>, StoreError> {
        let people = self.recipients_by_ids(ids).await?;
        let meets = |of: &Recipient| {
            let Profile { locale, time_zone, attributes, .. } = &of.profile;
            let told = notify::Told {
                key: of.key.as_str(),
                locale: locale.as_ref(),
                time_zone: time_zone.as_ref(),
                attributes,
            };
            condition.holds(data, &told)
        };
        Ok(people.iter().filter(|of| meets(of)).map(|of| of.id).collect())
    }

    async fn chunk_recipients(&self, of: Id<Notification>, n: u32) -> Result<Option<Vec<Id<Recipient>>>, StoreError> {
        let select =
            sql("SELECT recipients FROM notification_chunks").and(" WHERE notification_id = ", of).and(" AND n = ", n);
        let row: Option<(Vec<u8>,)> = self.pool.fetch_one(select).await?;
        Ok(row.map(|(packed,)| unpack(&packed)))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn notification_chunk(&self, of: Id<Notification>, n: u32) -> Result<Option<Chunk>, StoreError> {
        let Some(of) = self.notification(of).await? else { return Ok(None) };
        let select = sql("SELECT recipients, done_at FROM notification_chunks")
            .and(" WHERE notification_id = ", of.id)
            .and(" AND n = ", n);
        let row: Option<(Vec<u8>, Option<i64>)> = self.pool.fetch_one(select).await?;
        Ok(row.map(|(packed, done_at)| Chunk { of, n, recipients: unpack(&packed), is_done: done_at.is_some() }))
    }

    /// Tells the recipients of a chunk as its type's channels are set, and keeps what became of it for each: all of it or nothing. One
    /// that is told does nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tell_chunk(
        &self,
        chunk: &Chunk,
        workflows: &BTreeMap<Channel, Workflow>,
        now: UnixMs,
    ) -> Result<ToldChunk, StoreError> {
        let Chunk { of, n, recipients, is_done } = chunk;
        if *is_done {
            return Ok(ToldChunk::default());
        }
        let people = self.people(recipients).await?;
        let fate_on = |channel: Channel, id: &Id<Recipient>| {
            let told = people.get(id).map(|known| Person { key: &known.key, preferences: &known.preferences });
            let why = suppression(told.as_ref(), of.audience.actor.as_ref(), &of.of.category, channel);
            let else_ = if channel == Channel::Inbox { Fate::Delivered } else { Fate::Pending };
            why.map_or(else_, Fate::Suppressed)
        };
        // In the channels' own order: two who count the same people's messages wait for each other and not in a ring.
        let mut fates: BTreeMap<Channel, Vec<Fate>> = BTreeMap::new();
        for channel in &of.of.channels {
            fates.insert(*channel, recipients.iter().map(|id| fate_on(*channel, id)).collect());
        }
        let none = Workflow::default();
        let set = |channel: &Channel| workflows.get(channel).unwrap_or(&none);
        let mut tx = self.pool.begin().await?;
        for (channel, fates) in &mut fates {
            if let Some(throttle) = set(channel).throttle {
                count_down(&mut tx, of, *channel, throttle, recipients, fates, now).await?;
            }
        }
        if let Some(key) = &of.of.collapse_key {
            for (channel, fates) in fates.iter_mut().filter(|(channel, _)| **channel != Channel::Inbox) {
                collapse::take_place(&mut tx, of, key, *channel, recipients, fates, now).await?;
            }
        }
        let inbox = fates.remove(&Channel::Inbox);
        let has_inbox = inbox.is_some();
        if !store_fates(&mut tx, chunk, inbox.as_deref(), now, " AND done_at IS NULL").await? {
            return Ok(ToldChunk::default());
        }
        let Placed { told, late } = tell_inboxes(&mut tx, chunk, inbox, now).await?;
        let mut new_jobs = Vec::new();
        for (channel, mut fates) in fates {
            let unseen_for = set(&channel).only_if_unseen_for_s.filter(|_| has_inbox).unwrap_or(0);
            // What is for those who did not see it in their inbox is for nobody in whose inbox it never stands.
            if unseen_for > 0 || set(&channel).digest.is_some() {
                mark_late(recipients, &mut fates, &late);
            }
            let mut fates: Vec<Option<Fate>> = fates.into_iter().map(Some).collect();
            if let Some(gathering) = &set(&channel).digest {
                let key = gathering.key(&serde_json::from_slice(&of.of.data).unwrap_or_default());
                let places = recipients.iter().zip(&mut fates).filter(|(_, fate)| **fate == Some(Fate::Pending));
                let gathered = places.map(|(id, fate)| {
                    *fate = None;
                    let zone = people.get(id).and_then(|known| known.time_zone.as_deref()?.parse().ok());
                    (*id, gathering.window.end(now, &zone.unwrap_or_default()))
                });
                let gathered = gathered.collect();
                new_jobs.extend(digests::gather(&mut tx, of, channel, &key, gathered, now).await?);
            }
            let run_at = now + Duration::from_secs(u64::from(unseen_for));
            new_jobs.extend(insert_batch(&mut tx, of, *n, channel, &fates, run_at, now).await?);
        }
        let jobs = insert_jobs(&mut tx, of, &new_jobs, &self.node, now).await?;
        tx.commit().await?;
        Ok(ToldChunk { told, jobs })
    }

    /// What decides whether people are told, of those who are known.
    async fn people(&self, recipients: &[Id<Recipient>]) -> Result<HashMap<Id<Recipient>, Known>, StoreError> {
        let unreadable = |error: &dyn std::fmt::Display| StoreError::unreadable("recipient", error);
        let mut people = HashMap::with_capacity(recipients.len());
        for run in self.pool.dialect().runs(recipients.to_vec()) {
            let select = sql("SELECT id, key, preferences, time_zone FROM recipients WHERE id").any(run);
            for (id, key, preferences, time_zone) in self.pool.fetch::<KnownRow>(select).await? {
                let key = key.parse().map_err(|error| unreadable(&error))?;
                let preferences = match preferences.as_str() {
                    "{}" => Preferences::default(),
                    text => serde_json::from_str(text).map_err(|error| unreadable(&error))?,
                };
                people.insert(Id::from_uuid(id), Known { key, preferences, time_zone });
            }
        }
        Ok(people)
    }
}

/// Counts those who are told by a channel; whoever was told often enough is throttled. `recipients` are in order: so two that do this
/// at once wait for each other and not in a ring.
async fn count_down(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    channel: Channel,
    throttle: Throttle,
    recipients: &[Id<Recipient>],
    fates: &mut [Fate],
    now: UnixMs,
) -> Result<(), StoreError> {
    let is_told = |fate: Fate| matches!(fate, Fate::Delivered | Fate::Pending);
    let told: Vec<Id<Recipient>> =
        recipients.iter().zip(fates.iter()).filter(|(_, fate)| is_told(**fate)).map(|(id, _)| *id).collect();
    let ends_at = now + Duration::from_secs(u64::from(throttle.window_s));
    let row = |id: &Id<Recipient>| -> Vec<Value> {
        vec![(*id).into(), of.of.kind.into(), channel.as_str().into(), ends_at.into(), 1i64.into()]
    };
    let mut let_through: HashSet<Id<Recipient>> = HashSet::with_capacity(told.len());
    for run in tx.dialect().runs(told) {
        let count = sql("INSERT INTO notification_throttles (recipient_id, type_id, channel, ends_at, count) ")
            .rows(run.iter().map(row).collect())
            .and(
                " ON CONFLICT (recipient_id, type_id, channel) DO UPDATE SET \
                count = CASE WHEN notification_throttles.ends_at <= ",
                now,
            )
            .and(" THEN 1 ELSE notification_throttles.count + 1 END, ends_at = CASE WHEN notification_throttles.ends_at <= ", now)
            .and(
                " THEN excluded.ends_at ELSE notification_throttles.ends_at END WHERE notification_throttles.ends_at <= ",
                now,
            )
            .and(" OR notification_throttles.count < ", i64::from(throttle.limit))
            .then(" RETURNING recipient_id");
        let_through.extend(tx.fetch::<(Uuid,)>(count).await?.into_iter().map(|(id,)| Id::<Recipient>::from_uuid(id)));
    }
    for (id, fate) in recipients.iter().zip(fates) {
        if is_told(*fate) && !let_through.contains(id) {
            *fate = Fate::Suppressed(Suppression::Throttled);
        }
    }
    Ok(())
}

/// What came of storing how far planning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advanced {
    Done,
    /// Somebody else did this step.
    Elsewhere,
    Cancelled,
}

impl Advanced {
    /// How planning goes on where this step was not done here.
    fn unless_done(self) -> Option<Planned> {
        let more = match self {
            Self::Done => return None,
            Self::Elsewhere => true,
            Self::Cancelled => false,
        };
        Some(Planned { jobs: Vec::new(), more })
    }
}

/// Stores how far planning is.
async fn advance(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    planned_to: Option<Id<Recipient>>,
    chunks: u32,
    planned_at: Option<UnixMs>,
) -> Result<Advanced, StoreError> {
    if jobs::is_cancelled(tx, of.plan_job).await? {
        return Ok(Advanced::Cancelled);
    }
    let update = sql("UPDATE notifications SET")
        .and(" planned_to = ", planned_to)
        .and(", chunks = ", chunks)
        .and(", planned_at = ", planned_at)
        .and(" WHERE id = ", of.id)
        .and(" AND chunks = ", of.chunks)
        .then(" AND planned_at IS NULL");
    Ok(if tx.execute(update).await? == 1 { Advanced::Done } else { Advanced::Elsewhere })
}

async fn insert_chunks(tx: &mut Tx<'_>, of: &StoredNotification, chunks: Vec<NewChunk<'_>>) -> Result<(), StoreError> {
    let row = |(n, ids, job): NewChunk<'_>| -> Vec<Value> {
        let first = ids.first().copied().map_or(Uuid::nil(), Id::uuid);
        let planned = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        vec![of.id.into(), n.into(), job.into(), first.into(), planned.into(), pack(ids).into()]
    };
    for run in tx.dialect().runs(chunks) {
        let insert =
            sql("INSERT INTO notification_chunks (notification_id, n, job_id, first_id, planned, recipients) ");
        tx.execute(insert.rows(run.into_iter().map(row).collect())).await?;
    }
    Ok(())
}

fn job_of(of: &StoredNotification, n: u32, now: UnixMs) -> NewJob {
    let args = ChunkArgs { notification: of.id.uuid(), n };
    let args = serde_json::to_vec(&args).unwrap_or_default();
    NewJob {
        id: chunk_job(of.id, n),
        max_attempts: chunk_schedule().max_attempts(),
        ..NewJob::plain(JobKind::NotificationChunk, LaneName::of_fan_out(of.of.urgency), args, now)
    }
}

/// Stores what became of those of a chunk in their inboxes; whether it is one of which this holds.
async fn store_fates(
    tx: &mut Tx<'_>,
    Chunk { of, n, .. }: &Chunk,
    inbox: Option<&[Fate]>,
    now: UnixMs,
    only_if: &'static str,
) -> Result<bool, StoreError> {
    let counts = inbox.map(|fates| (Channel::Inbox, FateCounts::of(fates.iter().copied())));
    let counts: BTreeMap<Channel, FateCounts> = counts.into_iter().collect();
    let codes: Vec<u8> = inbox.unwrap_or_default().iter().map(|fate| fate.code()).collect();
    let counts = serde_json::to_string(&counts).map_err(|error| StoreError::unreadable("counts", error))?;
    let update = sql("UPDATE notification_chunks SET")
        .and(" fates = ", codes)
        .and(", counts = ", counts)
        .and(", done_at = ", now)
        .and(" WHERE notification_id = ", of.id)
        .and(" AND n = ", *n)
        .then(only_if);
    Ok(tx.execute(update).await? > 0)
}

/// Tells those of a chunk in their inboxes for whom that is their fate, but for those who have a newer one with the same key there.
async fn tell_inboxes(
    tx: &mut Tx<'_>,
    chunk: &Chunk,
    inbox: Option<Vec<Fate>>,
    now: UnixMs,
) -> Result<Placed, StoreError> {
    let Some(mut fates) = inbox else { return Ok(Placed::default()) };
    let (of, recipients) = (&chunk.of, &chunk.recipients);
    let told = recipients.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Delivered).map(|(id, _)| *id).collect();
    let Some(key) = &of.of.collapse_key else {
        let told = put_into_inboxes(tx, of.id, told, now).await?;
        return Ok(Placed { told, late: HashSet::new() });
    };
    let placed = collapse::put_into_inboxes(tx, of.id, key, told, now).await?;
    if !placed.late.is_empty() {
        mark_late(recipients, &mut fates, &placed.late);
        store_fates(tx, chunk, Some(&fates), now, "").await?;
    }
    Ok(placed)
}

/// Those of `late` who would be told, or are, have a newer one with the same key.
fn mark_late(recipients: &[Id<Recipient>], fates: &mut [Fate], late: &HashSet<Id<Recipient>>) {
    for (id, fate) in recipients.iter().zip(fates) {
        if matches!(fate, Fate::Pending | Fate::Delivered) && late.contains(id) {
            *fate = Fate::Suppressed(Suppression::Collapsed);
        }
    }
}

/// Counts one more in the inboxes of people, whose ids are in order: so two that do this at once wait for each other and not in a ring.
pub(super) fn count_up(recipients: &[Id<Recipient>]) -> Sql {
    sql("INSERT INTO inbox_counts (recipient_id, last_seq, changes, unread, unseen) SELECT v.column1, 1, 1, 1, 1 FROM (")
        .rows(recipients.iter().map(|id| vec![(*id).into()]).collect())
        .then(
            ") AS v WHERE 1 = 1 ON CONFLICT (recipient_id) DO UPDATE SET last_seq = inbox_counts.last_seq + 1, \
            changes = inbox_counts.changes + 1, unread = inbox_counts.unread + 1, unseen = inbox_counts.unseen + 1 \
            RETURNING recipient_id, last_seq, changes, unread, unseen",
        )
}

/// Puts an item into the inboxes of those who were counted.
pub(super) fn insert_items(of: Id<Notification>, key: Option<&CollapseKey>, counted: &[CountsRow], now: UnixMs) -> Sql {
    let key = key.map(CollapseKey::as_str);
    let row = |row: &CountsRow| -> Vec<Value> {
        vec![row.recipient_id.into(), of.into(), key.into(), row.last_seq.into(), now.into()]
    };
    sql("INSERT INTO inbox_items (recipient_id, notification_id, collapse_key, seq, delivered_at) ")
        .rows(counted.iter().map(row).collect())
}

/// Puts what they are told into the inboxes of people, whose ids are in order. Answers with their counts since.
async fn put_into_inboxes(
    tx: &mut Tx<'_>,
    of: Id<Notification>,
    recipients: Vec<Id<Recipient>>,
    now: UnixMs,
) -> Result<Vec<Told>, StoreError> {
    let mut told = Vec::with_capacity(recipients.len());
    for run in tx.dialect().runs(recipients) {
        let count = count_up(&run);
        let counted: Vec<CountsRow> = match tx.dialect() {
            Dialect::Postgres => {
                let insert = sql("WITH counted AS (")
                    .append(count)
                    .then("), put AS (INSERT INTO inbox_items (recipient_id, notification_id, seq, delivered_at)")
                    .and(" SELECT recipient_id, ", of)
                    .and(", last_seq, ", now)
                    .then(" FROM counted) SELECT recipient_id, last_seq, changes, unread, unseen FROM counted");
                tx.fetch(insert).await?
            }
            Dialect::Sqlite => {
                let counted: Vec<CountsRow> = tx.fetch(count).await?;
                tx.execute(insert_items(of, None, &counted, now)).await?;
                counted
            }
        };
        told.extend(counted.into_iter().map(CountsRow::read));
    }
    Ok(told)
}
