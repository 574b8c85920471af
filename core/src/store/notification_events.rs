//! The event by which a notification tells endpoints: made once, in the first step of planning, and from then on an event as any
//! other. What became of it stands with its deliveries, and in `notification_deliveries` when their age has removed them.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    DueJob, NewEvent, NewJob, NotificationContents, Store, StoreError, StoredNotification,
    notification_batches::insert_jobs,
    pool::Tx,
    publish::{INSERT_EVENTS, event_row},
    sql::{Sql, sql},
    stats,
};
use crate::domain::{
    Id, UnixMs,
    job::JobKind,
    notification::{Audience, Fate, Notification},
};

/// The event of a notification that is due, with its deliveries.
pub(super) struct PlannedEvent {
    event: NewEvent,
    jobs: Vec<NewJob>,
}

/// What receivers get.
#[derive(Serialize)]
struct Payload<'a> {
    id: String,
    r#type: &'a str,
    category: &'a str,
    urgency: &'static str,
    actor: Option<&'a str>,
    recipients: Vec<&'a str>,
    topics: Vec<&'a str>,
    created_at: String,
    /// As it came, byte for byte.
    data: Option<&'a RawValue>,
}

/// What the event of a notification that is handed in at `created_at` says, as JSON.
#[must_use]
pub fn event_payload(
    id: Id<Notification>,
    of: &NotificationContents,
    audience: &Audience,
    created_at: UnixMs,
) -> Vec<u8> {
    let payload = Payload {
        id: id.to_string(),
        r#type: of.key.as_str(),
        category: of.category.as_str(),
        urgency: of.urgency.as_str(),
        actor: audience.actor.as_ref().map(|key| key.as_str()),
        recipients: audience.recipients.iter().map(|key| key.as_str()).collect(),
        topics: audience.topics.iter().map(|topic| topic.key.as_str()).collect(),
        created_at: created_at.to_string(),
        data: serde_json::from_slice(&of.data).ok(),
    };
    serde_json::to_vec(&payload).unwrap_or_default()
}

impl Store {
    /// The event of a notification for the endpoints that want it now; `None` where endpoints are not told.
    pub(super) async fn planned_event(
        &self,
        of: &StoredNotification,
        now: UnixMs,
    ) -> Result<Option<PlannedEvent>, StoreError> {
        let Some(kind) = of.of.event_type.clone() else { return Ok(None) };
        let endpoints = self.directory().endpoints(of.tenant).await?;
        let select = sql("SELECT trace FROM jobs").and(" WHERE id = ", of.plan_job);
        let trace: Option<(Option<String>,)> = self.pool.fetch_one(select).await?;
        let event = NewEvent {
            id: Id::new(),
            own_id: None,
            kind,
            channels: Vec::new(),
            payload: event_payload(of.id, &of.of, &of.audience, of.created_at),
            deliver_at: now,
            // One that does not read back is of no use, and keeps nothing from being delivered.
            trace: trace.and_then(|(text,)| text?.parse().ok()),
        };
        let wanting = endpoints.wanting(&event.kind, &event.channels);
        let jobs = wanting.map(|live| NewJob::delivery(&live.endpoint, event.id, now)).collect();
        Ok(Some(PlannedEvent { event, jobs }))
    }
}

/// Stores the event in the transaction of the one step of planning that makes it.
pub(super) async fn insert_event(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    planned: Option<PlannedEvent>,
    node: &str,
    now: UnixMs,
) -> Result<Vec<DueJob>, StoreError> {
    let Some(PlannedEvent { event, jobs }) = planned else { return Ok(Vec::new()) };
    tx.execute(sql(INSERT_EVENTS).rows(vec![event_row(of.tenant, &event, now)])).await?;
    tx.execute(sql("UPDATE notifications SET").and(" event_id = ", event.id).and(" WHERE id = ", of.id)).await?;
    if jobs.is_empty() {
        let mut counts = stats::Counts::new(node);
        counts.add(now, of.tenant, JobKind::WebhookDeliver, stats::UNWANTED, 1);
        tx.execute_all(counts.write(tx.dialect())).await?;
    }
    insert_jobs(tx, of, &jobs, node, now).await
}

/// The part of a receipt that is of endpoints, each of which counts once: what several deliveries there came to, since some may be
/// replays, is the last of the states by their names, as they are `cancelled`, `dead`, `pending`, `succeeded`.
pub(super) fn deliveries(of: Id<Notification>) -> Sql {
    sql("SELECT 'webhook', CAST(NULL AS TEXT), COUNT(*),")
        .and(" CASE WHEN e.state = 'succeeded' THEN CAST(", i64::from(Fate::Delivered.code()))
        .then(
            " AS BIGINT) END, e.state FROM (SELECT MAX(d.state) AS state FROM ( \
            SELECT j.endpoint_id AS endpoint_id, j.state AS state FROM notifications AS n CROSS JOIN jobs AS j \
            WHERE j.event_id = n.event_id AND j.endpoint_id IS NOT NULL",
        )
        .and(" AND n.id = ", of)
        .and(" UNION ALL SELECT endpoint_id, state FROM notification_deliveries WHERE notification_id = ", of)
        .then(") AS d GROUP BY d.endpoint_id) AS e GROUP BY e.state")
}

/// Keeps what became of a notification's event where these jobs delivered it, which are about to be removed.
pub(super) fn keep_deliveries(jobs: impl IntoIterator<Item = Uuid>) -> Sql {
    sql("INSERT INTO notification_deliveries (notification_id, endpoint_id, state) \
        SELECT n.id, j.endpoint_id, MAX(j.state) FROM jobs AS j CROSS JOIN notifications AS n \
        WHERE n.event_id = j.event_id AND j.endpoint_id IS NOT NULL AND j.id")
    .any(jobs)
    .then(
        " GROUP BY n.id, j.endpoint_id ON CONFLICT (notification_id, endpoint_id) DO UPDATE SET state = excluded.state \
        WHERE excluded.state > notification_deliveries.state",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::job::JobState, store::tests::sqlite_plan};

    #[test]
    fn of_several_states_of_an_endpoint_the_last_by_name_says_most() {
        let mut states = [JobState::Succeeded, JobState::Dead, JobState::Cancelled, JobState::Pending];
        states.sort_by_key(|state| state.as_str());
        assert_eq!(states, [JobState::Cancelled, JobState::Dead, JobState::Pending, JobState::Succeeded]);
    }

    #[tokio::test]
    async fn deliveries_of_a_notification_and_notifications_of_deliveries_are_found_by_their_event() {
        let plan = sqlite_plan(deliveries(Id::new())).await;
        assert!(plan.contains("INDEX jobs_by_event (event_id=?)"), "{plan}");
        let plan = sqlite_plan(keep_deliveries((0..50).map(|_| Uuid::now_v7()))).await;
        assert!(plan.contains("INDEX notifications_by_event (event_id=?)"), "{plan}");
        assert!(!plan.contains("SCAN jobs") && !plan.contains("SCAN j"), "{plan}");
    }
}
