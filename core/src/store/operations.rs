//! Long work that a person asked for: what it is, how far it has come, and its end. `operation_work.rs` does it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Listed, Page, Scope, StoreError, dead_letter_filter::DeadLetterFilter, jobs::small, sql::sql};
use crate::domain::{Id, UnixMs, dead_letter::DeadLetterState, endpoint::Endpoint, id::Identified, tenant::Tenant};

/// Recoveries and bulk replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub id: Id<Operation>,
    pub tenant_id: Id<Tenant>,
    pub kind: OperationKind,
    pub state: OperationState,
    /// Rows to look at; `None` where they were not counted.
    pub total: Option<u64>,
    /// Rows looked at.
    pub seen: u64,
    /// Jobs made.
    pub replayed: u64,
    /// Dead letters discarded.
    pub discarded: u64,
    /// Rows that were left as they were.
    pub skipped: u64,
    /// Why, and how many for each reason.
    pub left: BTreeMap<Left, u64>,
    pub rate_per_second: Option<u32>,
    pub error: Option<String>,
    /// The user who asked for it; `None` where a token did.
    pub created_by: Option<String>,
    pub created_at: UnixMs,
    pub finished_at: Option<UnixMs>,
    /// The last row that was looked at.
    pub(super) position: Option<Uuid>,
}

impl Identified for Operation {
    const PREFIX: &'static str = "op";
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OperationKind {
    /// Delivers every event of the endpoint that has no success, once.
    RecoverEndpoint { endpoint: Id<Endpoint>, since: UnixMs, until: UnixMs },
    /// Replays every open dead letter that the filter takes.
    ReplayDeadLetters { filter: DeadLetterFilter },
    /// Discards every open dead letter that the filter takes.
    DiscardDeadLetters { filter: DeadLetterFilter, reason: String },
}

impl OperationKind {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RecoverEndpoint { .. } => "recover_endpoint",
            Self::ReplayDeadLetters { .. } => "replay_dead_letters",
            Self::DiscardDeadLetters { .. } => "discard_dead_letters",
        }
    }
}

/// Why an operation left something as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// The endpoint of a dead letter is deleted.
    EndpointDeleted,
    EndpointDisabled,
    /// The endpoint has had the event.
    Delivered,
    /// A delivery of the event is not finished.
    Pending,
    /// The event was a test's.
    Test,
    /// The endpoint does not take the event, or was made after it.
    NotWanted,
    /// Retention has removed what was to be sent.
    PayloadGone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl OperationState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(text: &str) -> Result<Self, StoreError> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::unreadable("operation's state", text))
    }
}

/// An operation to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub kind: OperationKind,
    pub total: Option<u64>,
    pub rate_per_second: Option<u32>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    tenant_id: Uuid,
    params: String,
    state: String,
    total: Option<i64>,
    seen: i64,
    replayed: i64,
    discarded: i64,
    skipped: i64,
    skipped_because: String,
    position: Option<Uuid>,
    rate_per_second: Option<i64>,
    error: Option<String>,
    created_by: Option<String>,
    created_at: i64,
    finished_at: Option<i64>,
}

pub(super) const COLUMNS: &str = "id, tenant_id, params, state, total, seen, replayed, discarded, skipped, skipped_because, position, \
    rate_per_second, error, created_by, created_at, finished_at";

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Row {
    pub(super) fn read(self) -> Result<Operation, StoreError> {
        Ok(Operation {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            kind: serde_json::from_str(&self.params).map_err(|error| StoreError::unreadable("operation", error))?,
            state: OperationState::read(&self.state)?,
            total: self.total.map(count),
            seen: count(self.seen),
            replayed: count(self.replayed),
            discarded: count(self.discarded),
            skipped: count(self.skipped),
            left: serde_json::from_str(&self.skipped_because)
                .map_err(|error| StoreError::unreadable("operation's skipped rows", error))?,
            rate_per_second: self.rate_per_second.map(small),
            error: self.error,
            created_by: self.created_by,
            created_at: UnixMs(self.created_at),
            finished_at: self.finished_at.map(UnixMs),
            position: self.position,
        })
    }
}

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn create_operation(&self, replay: &Replay, now: UnixMs) -> Result<Operation, StoreError> {
        self.create_operation_as(Id::new(), replay, now).await
    }

    /// As [`Self::create_operation`], with an id that was made before, so that what is asked for twice is begun once.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is an operation with this id.
    pub async fn create_operation_as(
        &self,
        id: Id<Operation>,
        replay: &Replay,
        now: UnixMs,
    ) -> Result<Operation, StoreError> {
        let operation = Operation {
            id,
            tenant_id: self.tenant,
            kind: replay.kind.clone(),
            state: OperationState::Running,
            total: replay.total,
            seen: 0,
            replayed: 0,
            discarded: 0,
            skipped: 0,
            left: BTreeMap::new(),
            rate_per_second: replay.rate_per_second,
            error: None,
            created_by: self.actor.map(|actor| actor.name.to_string()),
            created_at: now,
            finished_at: None,
            position: None,
        };
        let params = serde_json::to_value(&replay.kind).map_err(|error| StoreError::unreadable("operation", error))?;
        let total = replay.total.map(|total| i64::try_from(total).unwrap_or(i64::MAX));
        let insert = sql("INSERT INTO operations (id, tenant_id, kind, params, state, total, seen, replayed, discarded, skipped, skipped_because, rate_per_second, owner_until, created_by, created_at) VALUES (")
            .list(vec![
                operation.id.into(),
                self.tenant.into(),
                replay.kind.as_str().into(),
                params.to_string().into(),
                OperationState::Running.as_str().into(),
                total.into(),
                0i64.into(),
                0i64.into(),
                0i64.into(),
                0i64.into(),
                "{}".into(),
                replay.rate_per_second.into(),
                0i64.into(),
                operation.created_by.clone().into(),
                now.into(),
            ])
            .then(")");
        let mut tx = self.store.pool.begin().await?;
        tx.execute(insert).await.map_err(|error| error.or_exists("this operation"))?;
        let before = match replay.kind {
            OperationKind::RecoverEndpoint { .. } => None,
            _ => Some(json!({ "state": DeadLetterState::Open, "dead_letters": replay.total })),
        };
        let after = json!({ "total": replay.total, "rate_per_second": replay.rate_per_second, "what": noted(params) });
        self.note(&mut tx, "operation.start", operation.id.to_string(), (before, Some(after))).await?;
        tx.commit().await?;
        Ok(operation)
    }

    /// Those that run and those that ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn operations(&self, page: &Page<Operation>) -> Result<Listed<Operation, Operation>, StoreError> {
        let select = sql("SELECT ").then(COLUMNS).and(" FROM operations WHERE tenant_id = ", self.tenant);
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let operations = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(operations, |operation: &Operation| operation.id))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn operation(&self, id: Id<Operation>) -> Result<Option<Operation>, StoreError> {
        let select =
            sql("SELECT ").then(COLUMNS).and(" FROM operations WHERE tenant_id = ", self.tenant).and(" AND id = ", id);
        self.store.pool.fetch_one::<Row>(select).await?.map(Row::read).transpose()
    }

    /// Ends a running operation; what it has replayed stays replayed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancel_operation(&self, id: Id<Operation>, now: UnixMs) -> Result<bool, StoreError> {
        let update = sql("UPDATE operations SET state = 'cancelled'")
            .and(", finished_at = ", now)
            .and(" WHERE state = 'running' AND tenant_id = ", self.tenant)
            .and(" AND id = ", id)
            .then(" RETURNING seen, replayed, discarded");
        let mut tx = self.store.pool.begin().await?;
        let cancelled: Option<(i64, i64, i64)> = tx.fetch_one(update).await?;
        if let Some((seen, replayed, discarded)) = cancelled {
            let before = json!({ "state": OperationState::Running.as_str() });
            let after = json!({ "state": OperationState::Cancelled.as_str(), "seen": seen, "replayed": replayed, "discarded": discarded });
            self.note(&mut tx, "operation.cancel", id.to_string(), (Some(before), Some(after))).await?;
        }
        tx.commit().await?;
        Ok(cancelled.is_some())
    }

    /// How many events a recovery would look at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_events(&self, since: UnixMs, until: UnixMs) -> Result<u64, StoreError> {
        let select = sql("SELECT COUNT(*) FROM events")
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND created_at >= ", since)
            .and(" AND created_at <= ", until);
        Ok(self.store.pool.fetch_one::<(i64,)>(select).await?.map_or(0, |(rows,)| count(rows)))
    }
}

/// What an operation takes, as the audit log keeps it: not every id, and no part of a payload.
pub(super) fn noted(mut params: Value) -> Value {
    if let Some(filter) = params.get_mut("filter").and_then(Value::as_object_mut) {
        if let Some(ids) = filter.remove("ids") {
            filter.insert("ids".to_owned(), json!(ids.as_array().map_or(0, Vec::len)));
        }
        if filter.contains_key("payload") {
            filter.insert("payload".to_owned(), json!("(hidden)"));
        }
    }
    params
}
