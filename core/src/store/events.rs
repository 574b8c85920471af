//! Events and where they went.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Listed, Page, Scope, StoreError,
    jobs::small,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    dead_letter::{DeadLetter, DeadLetterState},
    endpoint::Endpoint,
    event::{Event, EventType, OwnId},
    job::{Job, JobState},
    tenant::Tenant,
};

/// One job that delivers an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event_id: Id<Event>,
    pub job_id: Id<Job>,
    pub endpoint_id: Id<Endpoint>,
    pub state: JobState,
    pub attempt: u32,
    pub max_attempts: u32,
    pub run_at: UnixMs,
    pub last_error: Option<String>,
    /// The dead letter that it replays.
    pub replay_of: Option<Id<DeadLetter>>,
}

/// What became of an event's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    pub pending: u64,
    pub succeeded: u64,
    pub dead: u64,
    pub cancelled: u64,
}

/// The dead letter of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryLetter {
    pub job_id: Id<Job>,
    pub id: Id<DeadLetter>,
    pub state: DeadLetterState,
}

/// An event with its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSummary {
    pub event: Event,
    pub deliveries: Vec<Delivery>,
}

/// Which events a list shows.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub kind: Option<EventType>,
    pub since: Option<UnixMs>,
    pub until: Option<UnixMs>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    own_id: Option<String>,
    kind: String,
    channels: String,
    payload: Option<Vec<u8>>,
    deliver_at: i64,
    created_at: i64,
}

/// Events that one page looks at where no index leads to what is asked for.
const LOOKED_AT_MAX: u32 = 5_000;
/// An id is made a moment before or after the time that its event is given.
const ID_SKEW_MS: i64 = 10_000;
const COLUMNS_ALONE: &str =
    "SELECT id, tenant_id, own_id, kind, channels, NULL AS payload, deliver_at, created_at FROM events";
pub(super) const COLUMNS: &str =
    "SELECT id, tenant_id, own_id, kind, channels, payload, deliver_at, created_at FROM events";

impl Row {
    pub(super) fn read(self) -> Result<Event, StoreError> {
        let own_id = self.own_id.map(|own| own.parse::<OwnId>()).transpose();
        Ok(Event {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            own_id: own_id.map_err(|error| StoreError::unreadable("event's own id", error))?,
            kind: self.kind.parse().map_err(|error| StoreError::unreadable("event's type", error))?,
            channels: serde_json::from_str(&self.channels)
                .map_err(|error| StoreError::unreadable("event's channels", error))?,
            payload: self.payload,
            deliver_at: UnixMs(self.deliver_at),
            created_at: UnixMs(self.created_at),
        })
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    event_id: Uuid,
    id: Uuid,
    endpoint_id: Uuid,
    state: String,
    attempt: i64,
    max_attempts: i64,
    run_at: i64,
    last_error: Option<String>,
    replay_of: Option<Uuid>,
}

impl DeliveryRow {
    fn read(self) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            event_id: Id::from_uuid(self.event_id),
            job_id: Id::from_uuid(self.id),
            endpoint_id: Id::from_uuid(self.endpoint_id),
            state: self.state.parse().map_err(|error: String| StoreError::unreadable("job's state", error))?,
            attempt: small(self.attempt),
            max_attempts: small(self.max_attempts),
            run_at: UnixMs(self.run_at),
            last_error: self.last_error,
            replay_of: self.replay_of.map(Id::from_uuid),
        })
    }
}

impl Scope<'_> {
    /// An event by the id that its publisher knows: its own if it gave one, or the one it was given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn event(&self, public_id: &str) -> Result<Option<EventSummary>, StoreError> {
        let (given, own) = (public_id.parse::<Id<Event>>().ok(), public_id.parse::<OwnId>().ok());
        let select = sql(COLUMNS)
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND (own_id = ", own.map(String::from))
            .and(" OR id = ", given)
            .then(") ORDER BY id DESC LIMIT 1");
        let Some(row) = self.store.pool.fetch_one::<Row>(select).await? else { return Ok(None) };
        Ok(self.with_deliveries(vec![row.read()?]).await?.pop())
    }

    /// A page of events with their deliveries, as [`Self::events_alone`].
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn events(
        &self,
        filter: &EventFilter,
        page: &Page<Event>,
    ) -> Result<Listed<EventSummary, Event>, StoreError> {
        let Listed { rows, next } = self.events_alone(filter, page).await?;
        Ok(Listed { rows: self.with_deliveries(rows).await?, next })
    }

    /// A page of events without their payloads. One that is shorter than its limit and has a next one was cut off by what
    /// may be looked at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn events_alone(
        &self,
        filter: &EventFilter,
        page: &Page<Event>,
    ) -> Result<Listed<Event, Event>, StoreError> {
        let floor = self.last_event(filter, page).await?;
        let select = filter.finish(sql(COLUMNS_ALONE).and(" WHERE tenant_id = ", self.tenant));
        let select = match floor {
            Some(floor) => select.and(" AND id >= ", floor),
            None => select,
        };
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let events: Vec<Event> = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        let listed = page.cut(events, |event: &Event| event.id);
        Ok(Listed { next: listed.next.or(floor), ..listed })
    }

    /// The last event that a page looks at; `None` where it may look at all.
    async fn last_event(&self, filter: &EventFilter, page: &Page<Event>) -> Result<Option<Id<Event>>, StoreError> {
        if filter.kind.is_none() {
            return Ok(None);
        }
        let ids = filter.indexed(sql("SELECT id FROM events").and(" WHERE tenant_id = ", self.tenant));
        page.last_within(&self.store.pool, ids, "id", LOOKED_AT_MAX).await
    }

    /// What became of the deliveries of these events. One without any is not among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delivery_counts(
        &self,
        events: &[Id<Event>],
    ) -> Result<HashMap<Id<Event>, DeliveryCounts>, StoreError> {
        let mut counts: HashMap<Id<Event>, DeliveryCounts> = HashMap::new();
        if events.is_empty() {
            return Ok(counts);
        }
        let select = sql("SELECT j.event_id, j.state, COUNT(*)")
            .append(deliveries_of(self.tenant, events.iter().copied()))
            .then(" GROUP BY j.event_id, j.state");
        let rows: Vec<(Uuid, String, i64)> = self.store.pool.fetch(select).await?;
        for (event, state, count) in rows {
            let counts = counts.entry(Id::from_uuid(event)).or_default();
            let count = u64::try_from(count).unwrap_or(0);
            match state.as_str() {
                "succeeded" => counts.succeeded = count,
                "dead" => counts.dead = count,
                "cancelled" => counts.cancelled = count,
                _ => counts.pending = count,
            }
        }
        Ok(counts)
    }

    /// The dead letters of these deliveries.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn letters_of(&self, jobs: impl Iterator<Item = Id<Job>>) -> Result<Vec<DeliveryLetter>, StoreError> {
        let select = sql("SELECT job_id, id, state FROM dead_letters").and(" WHERE tenant_id = ", self.tenant);
        let rows: Vec<(Uuid, Uuid, String)> = self.store.pool.fetch(select.then(" AND job_id").any(jobs)).await?;
        let read = |(job, id, state): (Uuid, Uuid, String)| {
            let state = state.parse().map_err(|error: String| StoreError::unreadable("dead letter's state", error))?;
            Ok(DeliveryLetter { job_id: Id::from_uuid(job), id: Id::from_uuid(id), state })
        };
        rows.into_iter().map(read).collect()
    }

    async fn with_deliveries(&self, events: Vec<Event>) -> Result<Vec<EventSummary>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let select = select_deliveries(self.tenant, events.iter().map(|event| event.id));
        let rows: Vec<DeliveryRow> = self.store.pool.fetch(select).await?;
        let deliveries: Vec<Delivery> = rows.into_iter().map(DeliveryRow::read).collect::<Result<_, _>>()?;
        let summary = |event: Event| EventSummary {
            deliveries: deliveries.iter().filter(|delivery| delivery.event_id == event.id).cloned().collect(),
            event,
        };
        Ok(events.into_iter().map(summary).collect())
    }
}

impl EventFilter {
    /// What the index leads to, in the order of ids.
    fn indexed(&self, select: Sql) -> Sql {
        let skewed = |time: UnixMs, ms: i64| Id::<Event>::first_of(UnixMs(time.0.saturating_add(ms)));
        let select = match self.since {
            Some(since) => select.and(" AND id >= ", skewed(since, -ID_SKEW_MS)),
            None => select,
        };
        match self.until {
            Some(until) => select.and(" AND id < ", skewed(until, ID_SKEW_MS)),
            None => select,
        }
    }

    fn finish(&self, select: Sql) -> Sql {
        let mut select = self.indexed(select);
        if let Some(kind) = &self.kind {
            select = select.and(" AND kind = ", kind.as_str());
        }
        if let Some(since) = self.since {
            select = select.and(" AND created_at >= ", since);
        }
        if let Some(until) = self.until {
            select = select.and(" AND created_at < ", until);
        }
        select
    }
}

fn select_deliveries(tenant: Id<Tenant>, events: impl Iterator<Item = Id<Event>>) -> Sql {
    sql("SELECT j.event_id, j.id, j.endpoint_id, j.state, j.attempt, j.max_attempts, j.run_at, j.last_error, j.replay_of")
        .append(deliveries_of(tenant, events))
        .then(" ORDER BY j.id")
}

/// Told by their events: by their tenant, SQLite would read all of its jobs to find those of a few events. It reads tables
/// that are joined by CROSS JOIN in the order in which they stand here.
fn deliveries_of(tenant: Id<Tenant>, events: impl Iterator<Item = Id<Event>>) -> Sql {
    sql(" FROM events e CROSS JOIN jobs j WHERE j.event_id = e.id AND j.endpoint_id IS NOT NULL")
        .and(" AND e.tenant_id = ", tenant)
        .then(" AND e.id")
        .any(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn deliveries_are_found_by_their_events_and_not_among_all_of_a_tenant_s_jobs() {
        let plan = sqlite_plan(select_deliveries(Id::new(), (0..50).map(|_| Id::new()))).await;
        assert!(plan.contains("INDEX jobs_by_event (event_id=?)"), "{plan}");
    }

    #[tokio::test]
    async fn events_of_a_time_are_found_by_their_ids() {
        let filter = EventFilter { kind: None, since: Some(UnixMs(0)), until: Some(UnixMs(60_000)) };
        let select = filter.finish(sql(COLUMNS_ALONE).and(" WHERE tenant_id = ", Id::<Tenant>::new()));
        let plan = sqlite_plan(Page::<Event> { before: None, limit: 50 }.finish(select, "id")).await;
        assert!(plan.contains("INDEX events_by_tenant (tenant_id=? AND id>? AND id<?)"), "{plan}");
    }
}
