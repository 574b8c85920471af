//! Notifications: how they are stored when they are handed in, and what is known of them by now.

use uuid::Uuid;

use super::{
    Listed, Page, Scope, Store, StoreError,
    sql::{Dialect, Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    collapse::CollapseKey,
    event::{Event, EventType},
    job::{Job, JobState},
    notification::{Audience, NamedTopic, Notification},
    notification_type::{NotificationType, TypeKey, Urgency},
    preferences::{Category, Channel},
    recipient::Recipient,
    tenant::Tenant,
};

/// A notification to be kept, with the job that plans it.
#[derive(Clone, Debug)]
pub struct NewNotification {
    pub id: Id<Notification>,
    pub of: NotificationContents,
    pub audience: Audience,
    pub deliver_at: UnixMs,
    pub plan_job: Id<Job>,
}

/// What a notification says, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationContents {
    pub kind: Id<NotificationType>,
    /// What the product calls its type.
    pub key: TypeKey,
    pub version: u32,
    pub category: Category,
    pub urgency: Urgency,
    /// How people are told.
    pub channels: Vec<Channel>,
    /// Of the event by which endpoints are told; `None`: they are not.
    pub event_type: Option<EventType>,
    /// Of those with the same one, only the newest stands before a person.
    pub collapse_key: Option<CollapseKey>,
    /// JSON.
    pub data: Vec<u8>,
}

/// A notification as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNotification {
    pub id: Id<Notification>,
    pub tenant: Id<Tenant>,
    pub of: NotificationContents,
    pub audience: Audience,
    pub plan_job: Id<Job>,
    pub deliver_at: UnixMs,
    pub created_at: UnixMs,
    pub(super) planned_to: Option<Id<Recipient>>,
    pub(super) chunks: u32,
    /// When all of its recipients were known.
    pub planned_at: Option<UnixMs>,
    /// The event by which endpoints are told, which retention may have removed since. `None` before it is due.
    pub event: Option<Id<Event>>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    type_id: Uuid,
    type_key: String,
    type_version: i64,
    category: String,
    urgency: String,
    channels: String,
    event_type: Option<String>,
    collapse_key: Option<String>,
    data: Vec<u8>,
    recipients: String,
    topics: String,
    actor: Option<String>,
    plan_job_id: Uuid,
    deliver_at: i64,
    planned_to: Option<Uuid>,
    chunks: i64,
    planned_at: Option<i64>,
    event_id: Option<Uuid>,
    created_at: i64,
}

const INSERT: &str = "INSERT INTO notifications (id, tenant_id, type_id, type_key, type_version, category, urgency, channels, event_type, \
    collapse_key, data, recipients, topics, actor, plan_job_id, deliver_at, planned_to, chunks, planned_at, event_id, created_at) ";
const COLUMNS: &str = "SELECT id, tenant_id, type_id, type_key, type_version, category, urgency, channels, event_type, collapse_key, data, \
    recipients, topics, actor, plan_job_id, deliver_at, planned_to, chunks, planned_at, event_id, created_at FROM notifications";

pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::unreadable("notification", error)
}

impl Row {
    pub(super) fn read(self) -> Result<StoredNotification, StoreError> {
        let channels: Vec<Channel> = serde_json::from_str(&self.channels).map_err(unreadable)?;
        let recipients: Vec<String> = serde_json::from_str(&self.recipients).map_err(unreadable)?;
        let topics: Vec<(Uuid, String)> = serde_json::from_str(&self.topics).map_err(unreadable)?;
        let topic =
            |(id, key): (Uuid, String)| Ok(NamedTopic { id: Id::from_uuid(id), key: key.parse().map_err(unreadable)? });
        Ok(StoredNotification {
            id: Id::from_uuid(self.id),
            tenant: Id::from_uuid(self.tenant_id),
            of: NotificationContents {
                kind: Id::from_uuid(self.type_id),
                key: self.type_key.parse().map_err(unreadable)?,
                version: u32::try_from(self.type_version).map_err(unreadable)?,
                category: self.category.parse().map_err(unreadable)?,
                urgency: self.urgency.parse().map_err(unreadable)?,
                channels,
                event_type: self.event_type.map(|text| text.parse()).transpose().map_err(unreadable)?,
                collapse_key: self.collapse_key.map(|text| text.parse()).transpose().map_err(unreadable)?,
                data: self.data,
            },
            audience: Audience {
                recipients: recipients.iter().map(|key| key.parse()).collect::<Result<_, _>>().map_err(unreadable)?,
                topics: topics.into_iter().map(topic).collect::<Result<_, StoreError>>()?,
                actor: self.actor.map(|key| key.parse()).transpose().map_err(unreadable)?,
            },
            plan_job: Id::from_uuid(self.plan_job_id),
            deliver_at: UnixMs(self.deliver_at),
            created_at: UnixMs(self.created_at),
            planned_to: self.planned_to.map(Id::from_uuid),
            chunks: u32::try_from(self.chunks).map_err(unreadable)?,
            planned_at: self.planned_at.map(UnixMs),
            event: self.event_id.map(Id::from_uuid),
        })
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn row(tenant: Id<Tenant>, new: &NewNotification, now: UnixMs) -> Vec<Value> {
    let NewNotification { id, of, audience, deliver_at, plan_job } = new;
    let keys: Vec<&str> = audience.recipients.iter().map(|key| key.as_str()).collect();
    let topics: Vec<(Uuid, &str)> = audience.topics.iter().map(|topic| (topic.id.uuid(), topic.key.as_str())).collect();
    vec![
        (*id).into(),
        tenant.into(),
        of.kind.into(),
        of.key.as_str().into(),
        of.version.into(),
        String::from(of.category.clone()).into(),
        of.urgency.as_str().into(),
        json(&of.channels).into(),
        of.event_type.as_ref().map(EventType::as_str).into(),
        of.collapse_key.as_ref().map(CollapseKey::as_str).into(),
        of.data.as_slice().into(),
        json(&keys).into(),
        json(&topics).into(),
        audience.actor.as_ref().map(|key| key.as_str()).into(),
        (*plan_job).into(),
        (*deliver_at).into(),
        Value::Uuid(None),
        0i64.into(),
        Value::Int(None),
        Value::Uuid(None),
        now.into(),
    ]
}

pub(super) fn insert(dialect: Dialect, rows: Vec<Vec<Value>>) -> Vec<Sql> {
    dialect.runs(rows).map(|run| sql(INSERT).rows(run)).collect()
}

impl Store {
    /// # Errors
    /// When the database does not answer.
    pub async fn notification(&self, id: Id<Notification>) -> Result<Option<StoredNotification>, StoreError> {
        let row: Option<Row> = self.pool.fetch_one(sql(COLUMNS).and(" WHERE id = ", id)).await?;
        row.map(Row::read).transpose()
    }
}

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn notification(&self, id: Id<Notification>) -> Result<Option<StoredNotification>, StoreError> {
        Ok(self.store.notification(id).await?.filter(|found| found.tenant == self.tenant))
    }

    /// Notifications, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notifications(
        &self,
        page: &Page<Notification>,
    ) -> Result<Listed<StoredNotification, Notification>, StoreError> {
        let select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant);
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let rows = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |row| row.id))
    }
}

impl NotificationContents {
    /// Those of people, and that of endpoints.
    pub fn all_channels(&self) -> impl Iterator<Item = Channel> {
        self.channels.iter().copied().chain(self.event_type.as_ref().map(|_| Channel::Webhook))
    }
}

impl StoredNotification {
    /// How many chunks its receipt is added up of, or a few more.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        self.chunks
    }
}

/// A job that tells some of a notification's recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationJob {
    pub id: Id<Job>,
    /// `None`: in their inboxes, and what follows from that.
    pub channel: Option<Channel>,
    /// 0 tells those who are named; `None`: somebody by themselves.
    pub chunk: Option<u32>,
    /// How many it tells.
    pub recipients: u64,
    pub told_at: Option<UnixMs>,
    /// `None` where it is not kept any more.
    pub state: Option<JobState>,
}

#[derive(sqlx::FromRow)]
struct JobRow {
    channel: Option<String>,
    n: Option<i64>,
    job_id: Uuid,
    planned: i64,
    done_at: Option<i64>,
    state: Option<String>,
}

impl JobRow {
    fn read(self) -> Result<NotificationJob, StoreError> {
        Ok(NotificationJob {
            id: Id::from_uuid(self.job_id),
            channel: self.channel.map(|name| name.parse()).transpose().map_err(unreadable)?,
            chunk: self.n.map(u32::try_from).transpose().map_err(unreadable)?,
            recipients: u64::try_from(self.planned).map_err(unreadable)?,
            told_at: self.done_at.map(UnixMs),
            state: self.state.map(|state| state.parse()).transpose().map_err(unreadable)?,
        })
    }
}

impl Scope<'_> {
    /// Notifications of one type, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notifications_of_type(
        &self,
        key: &TypeKey,
        page: &Page<Notification>,
    ) -> Result<Listed<StoredNotification, Notification>, StoreError> {
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(of_type(self.tenant, key), "id")).await?;
        let rows = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |row| row.id))
    }

    /// The jobs that tell a notification's recipients: first those that ended without, then those that have not told them yet; so
    /// many at most.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notification_jobs(
        &self,
        of: &StoredNotification,
        limit: u32,
    ) -> Result<Vec<NotificationJob>, StoreError> {
        let select = sql("SELECT channel, n, job_id, planned, done_at, state FROM ( \
            SELECT CAST(NULL AS TEXT) AS channel, c.n AS n, c.job_id AS job_id, c.planned AS planned, c.done_at AS done_at, \
            j.state AS state FROM notification_chunks AS c LEFT JOIN jobs AS j ON j.id = c.job_id")
        .and(" WHERE c.notification_id = ", of.id)
        .then(
            " UNION ALL SELECT b.channel, b.n, b.job_id, c.planned, b.done_at, j.state FROM notification_batches AS b \
            JOIN notification_chunks AS c ON c.notification_id = b.notification_id AND c.n = b.n \
            LEFT JOIN jobs AS j ON j.id = b.job_id",
        )
        .and(" WHERE b.notification_id = ", of.id)
        .then(
            " UNION ALL SELECT m.channel, CAST(NULL AS BIGINT), m.job_id, CAST(1 AS BIGINT), \
            CASE WHEN m.fate IS NOT NULL THEN m.settled_at END, j.state FROM notification_messages AS m \
            LEFT JOIN jobs AS j ON j.id = m.job_id",
        )
        .and(" WHERE m.notification_id = ", of.id)
        .and(
            ") AS told ORDER BY CASE WHEN done_at IS NOT NULL THEN 2 WHEN state = 'pending' THEN 1 ELSE 0 END, n, channel LIMIT ",
            limit,
        );
        let rows: Vec<JobRow> = self.store.pool.fetch(select).await?;
        rows.into_iter().map(JobRow::read).collect()
    }
}

fn of_type(tenant: Id<Tenant>, key: &TypeKey) -> Sql {
    sql(COLUMNS).and(" WHERE tenant_id = ", tenant).and(" AND type_key = ", key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn notifications_of_a_type_are_found_by_it_and_not_among_all() {
        let select = of_type(Id::new(), &"post".parse().unwrap());
        let page = Page::<Notification> { before: Some(Id::new()), limit: 50 };
        let plan = sqlite_plan(page.finish(select, "id")).await;
        assert!(plan.contains("INDEX notifications_by_type (tenant_id=? AND type_key=? AND id<?)"), "{plan}");
    }
}
