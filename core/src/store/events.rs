//! Events and where they went.

use uuid::Uuid;

use super::{
    Listed, Page, Scope, StoreError,
    jobs::small,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
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

    /// # Errors
    /// When the database does not answer.
    pub async fn events(
        &self,
        filter: &EventFilter,
        page: &Page<Event>,
    ) -> Result<Listed<EventSummary, Event>, StoreError> {
        let mut select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant);
        if let Some(kind) = &filter.kind {
            select = select.and(" AND kind = ", kind.as_str());
        }
        if let Some(since) = filter.since {
            select = select.and(" AND created_at >= ", since);
        }
        if let Some(until) = filter.until {
            select = select.and(" AND created_at < ", until);
        }
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let events: Vec<Event> = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        let Listed { rows, next } = page.cut(events, |event: &Event| event.id);
        Ok(Listed { rows: self.with_deliveries(rows).await?, next })
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

/// Told by their events: by their tenant, SQLite would read all of its jobs to find those of a few events. It reads tables
/// that are joined by CROSS JOIN in the order in which they stand here.
fn select_deliveries(tenant: Id<Tenant>, events: impl Iterator<Item = Id<Event>>) -> Sql {
    sql("SELECT j.event_id, j.id, j.endpoint_id, j.state, j.attempt, j.max_attempts, j.run_at, j.last_error \
        FROM events e CROSS JOIN jobs j WHERE j.event_id = e.id AND j.endpoint_id IS NOT NULL")
    .and(" AND e.tenant_id = ", tenant)
    .then(" AND e.id")
    .any(events)
    .then(" ORDER BY j.id")
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
}
