//! Receipts: what became of a notification, for all and for one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Scope, StoreError,
    collapse::Replaced,
    notification_events::deliveries,
    notifications::{StoredNotification, unreadable},
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    job::{Job, JobState},
    notification::{Fate, FateCounts, Notification, unpack, unpack_fates, unreached},
    preferences::Channel,
    recipient::Recipient,
};

/// What became of a notification, channel by channel: each recipient counts once on each, and each endpoint on `webhook`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub channels: BTreeMap<Channel, FateCounts>,
    /// The job that plans it: more recipients may come while it is pending, and none any more where it died.
    pub planning: Option<JobState>,
}

/// How far a notification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationState {
    /// It is told later.
    Scheduled,
    /// Its recipients are being found.
    Planning,
    /// They are known, and some are not told yet.
    Delivering,
    Done,
    /// The job that plans it died.
    Failed,
    Cancelled,
}

impl NotificationState {
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Planning, Self::Delivering, Self::Done, Self::Failed, Self::Cancelled];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Planning => "planning",
            Self::Delivering => "delivering",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Receipt {
    /// How far `of`, whose receipt this is, has come.
    #[must_use]
    pub fn state(&self, of: &StoredNotification, now: UnixMs) -> NotificationState {
        match self.planning {
            Some(JobState::Dead) => NotificationState::Failed,
            Some(JobState::Cancelled) => NotificationState::Cancelled,
            _ if of.planned_at.is_none() && of.deliver_at > now => NotificationState::Scheduled,
            _ if of.planned_at.is_none() => NotificationState::Planning,
            _ if self.channels.values().any(|counts| counts.pending > 0) => NotificationState::Delivering,
            _ => NotificationState::Done,
        }
    }
}

/// What became of a notification for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneReceipt {
    pub recipient: Id<Recipient>,
    pub channels: Vec<OnChannel>,
    /// What took its place, by channel.
    pub replaced: BTreeMap<Channel, Replaced>,
}

/// What became of it on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnChannel {
    pub channel: Channel,
    pub fate: Fate,
    /// The job that reaches them, and maybe others.
    pub job: Id<Job>,
    /// When it came to that; `None` while nothing was tried.
    pub at: Option<UnixMs>,
    /// Why they were not reached when it was tried last, in words.
    pub error: Option<String>,
}

/// Some of those who are told.
#[derive(sqlx::FromRow)]
struct Part {
    /// `None`: on all channels.
    channel: Option<String>,
    /// By channel for those of a chunk, else of the channel.
    counts: Option<String>,
    /// How many, where they are not counted one by one.
    people: i64,
    fate: Option<i64>,
    state: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ChunkRow {
    n: i64,
    job_id: Uuid,
    recipients: Vec<u8>,
    fates: Option<Vec<u8>>,
    done_at: Option<i64>,
    state: Option<String>,
}

#[derive(sqlx::FromRow)]
struct BatchRow {
    channel: String,
    job_id: Uuid,
    fates: Vec<u8>,
    settled_at: i64,
    state: Option<String>,
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    job_id: Uuid,
    fate: Option<i64>,
    error: Option<String>,
    settled_at: i64,
    state: Option<String>,
}

const CHUNK: &str = "SELECT c.n, c.job_id, c.recipients, c.fates, c.done_at, j.state FROM notification_chunks AS c \
    LEFT JOIN jobs AS j ON j.id = c.job_id";
const BATCHES: &str = "SELECT b.channel, b.job_id, b.fates, b.settled_at, j.state FROM notification_batches AS b \
    LEFT JOIN jobs AS j ON j.id = b.job_id";
const MESSAGE: &str = "SELECT m.job_id, m.fate, m.error, m.settled_at, j.state FROM notification_messages AS m \
    LEFT JOIN jobs AS j ON j.id = m.job_id";

fn job_state(state: Option<String>) -> Result<Option<JobState>, StoreError> {
    state.map(|state| state.parse()).transpose().map_err(unreadable)
}

fn channel_of(name: &str) -> Result<Channel, StoreError> {
    name.parse().map_err(unreadable)
}

/// A fate that is kept, or that of whoever a job in this state has not reached.
fn fate_of(code: Option<i64>, state: Option<JobState>) -> Result<Fate, StoreError> {
    let Some(code) = code else { return Ok(unreached(state)) };
    let fate = u8::try_from(code).ok().and_then(Fate::of_code);
    fate.ok_or_else(|| unreadable(format_args!("{code} is no fate")))
}

/// All parts of a receipt in one statement, so that nobody is counted twice, or not at all, who goes from one to another meanwhile.
fn parts(of: Id<Notification>) -> Sql {
    sql("SELECT CAST(NULL AS TEXT) AS channel, c.counts AS counts, c.planned AS people, CAST(NULL AS BIGINT) AS fate, j.state AS state \
        FROM notification_chunks AS c LEFT JOIN jobs AS j ON j.id = c.job_id AND c.done_at IS NULL")
    .and(" WHERE c.notification_id = ", of)
    .then(
        " UNION ALL SELECT b.channel, b.counts, CAST(0 AS BIGINT), CAST(NULL AS BIGINT), j.state FROM notification_batches AS b \
        LEFT JOIN jobs AS j ON j.id = b.job_id AND b.done_at IS NULL",
    )
    .and(" WHERE b.notification_id = ", of)
    .then(
        " UNION ALL SELECT m.channel, CAST(NULL AS TEXT), COUNT(*), m.fate, j.state FROM notification_messages AS m \
        LEFT JOIN jobs AS j ON j.id = m.job_id AND m.fate IS NULL",
    )
    .and(" WHERE m.notification_id = ", of)
    .then(" GROUP BY m.channel, m.fate, j.state UNION ALL ")
    .append(deliveries(of))
}

impl Part {
    fn add_to(self, channels: &mut BTreeMap<Channel, FateCounts>, all: &[Channel]) -> Result<(), StoreError> {
        let state = job_state(self.state)?;
        let people = u64::try_from(self.people).unwrap_or(0);
        let mut add = |channel, counts: &FateCounts| channels.entry(channel).or_default().add(counts);
        match (self.channel, self.counts) {
            (None, Some(counts)) => {
                let counted: BTreeMap<Channel, FateCounts> = serde_json::from_str(&counts).map_err(unreadable)?;
                counted.iter().for_each(|(channel, counts)| add(*channel, counts));
            }
            (None, None) => {
                let counts = FateCounts::alike(unreached(state), people);
                all.iter().for_each(|channel| add(*channel, &counts));
            }
            (Some(channel), Some(counts)) => {
                let counts: FateCounts = serde_json::from_str(&counts).map_err(unreadable)?;
                add(channel_of(&channel)?, &counts.with_pending_as(unreached(state)));
            }
            (Some(channel), None) => {
                add(channel_of(&channel)?, &FateCounts::alike(fate_of(self.fate, state)?, people));
            }
        }
        Ok(())
    }
}

impl Scope<'_> {
    /// What became of a notification by now. Whoever nobody has reached yet is as the job is that reaches them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn receipt(&self, of: &StoredNotification) -> Result<Receipt, StoreError> {
        let state = "SELECT j.state FROM jobs AS j WHERE j.id = ";
        let planning: Option<(String,)> = match of.planned_at {
            Some(_) => None,
            None => self.store.pool.fetch_one(sql(state).and("", of.plan_job)).await?,
        };
        let planning = job_state(planning.map(|(state,)| state))?;
        let mut channels: BTreeMap<Channel, FateCounts> =
            of.of.all_channels().map(|channel| (channel, FateCounts::default())).collect();
        for part in self.store.pool.fetch::<Part>(parts(of.id)).await? {
            part.add_to(&mut channels, &of.of.channels)?;
        }
        Ok(Receipt { channels, planning })
    }

    /// What became of a notification for one recipient; `None` where it was not for them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn receipt_of(
        &self,
        of: &StoredNotification,
        recipient: Id<Recipient>,
    ) -> Result<Option<OneReceipt>, StoreError> {
        let named = sql(CHUNK).and(" WHERE c.notification_id = ", of.id).then(" AND c.n = 0");
        let subscribers = sql(CHUNK)
            .and(" WHERE c.notification_id = ", of.id)
            .and(" AND c.n > 0 AND c.first_id <= ", recipient)
            .then(" ORDER BY c.n DESC LIMIT 1");
        for select in [named, subscribers] {
            let Some(chunk): Option<ChunkRow> = self.store.pool.fetch_one(select).await? else { continue };
            let Ok(place) = unpack(&chunk.recipients).binary_search(&recipient) else { continue };
            let channels = match chunk.done_at {
                None => chunk.untold(of)?,
                Some(_) => self.reached(of, &chunk, recipient, place).await?,
            };
            let replaced = self.replaced(of, recipient, &channels).await?;
            return Ok(Some(OneReceipt { recipient, channels, replaced }));
        }
        Ok(None)
    }

    /// What became of it for whoever stands at `place` in a chunk that is told.
    async fn reached(
        &self,
        of: &StoredNotification,
        chunk: &ChunkRow,
        recipient: Id<Recipient>,
        place: usize,
    ) -> Result<Vec<OnChannel>, StoreError> {
        let mut found = BTreeMap::new();
        if of.of.channels.contains(&Channel::Inbox) {
            let fate = chunk.fates.as_ref().and_then(|fates| Fate::of_code(*fates.get(place)?));
            let job = Id::from_uuid(chunk.job_id);
            let fate = fate.unwrap_or(Fate::Pending);
            let inbox = OnChannel { channel: Channel::Inbox, fate, job, at: chunk.done_at.map(UnixMs), error: None };
            found.insert(Channel::Inbox, inbox);
        }
        let batches = sql(BATCHES).and(" WHERE b.notification_id = ", of.id).and(" AND b.n = ", chunk.n);
        for batch in self.store.pool.fetch::<BatchRow>(batches).await? {
            let channel = channel_of(&batch.channel)?;
            let on_channel = match unpack_fates(&batch.fates).get(place) {
                Some(None) => self.message(of.id, channel, recipient).await?,
                fate => {
                    let fate = fate.copied().flatten().unwrap_or(Fate::Pending);
                    let is_pending = fate == Fate::Pending;
                    let fate = if is_pending { unreached(job_state(batch.state)?) } else { fate };
                    let at = (!is_pending).then_some(UnixMs(batch.settled_at));
                    Some(OnChannel { channel, fate, job: Id::from_uuid(batch.job_id), at, error: None })
                }
            };
            found.extend(on_channel.map(|on_channel| (channel, on_channel)));
        }
        Ok(of.of.channels.iter().filter_map(|channel| found.remove(channel)).collect())
    }

    async fn message(
        &self,
        of: Id<Notification>,
        channel: Channel,
        recipient: Id<Recipient>,
    ) -> Result<Option<OnChannel>, StoreError> {
        let select = sql(MESSAGE)
            .and(" WHERE m.notification_id = ", of)
            .and(" AND m.channel = ", channel.as_str())
            .and(" AND m.recipient_id = ", recipient);
        let Some(row): Option<MessageRow> = self.store.pool.fetch_one(select).await? else { return Ok(None) };
        let fate = fate_of(row.fate, job_state(row.state)?)?;
        let (job, at) = (Id::from_uuid(row.job_id), Some(UnixMs(row.settled_at)));
        Ok(Some(OnChannel { channel, fate, job, at, error: row.error }))
    }
}

impl ChunkRow {
    fn untold(&self, of: &StoredNotification) -> Result<Vec<OnChannel>, StoreError> {
        let (fate, job) = (unreached(job_state(self.state.clone())?), Id::from_uuid(self.job_id));
        let on = |channel: &Channel| OnChannel { channel: *channel, fate, job, at: None, error: None };
        Ok(of.of.channels.iter().map(on).collect())
    }
}
