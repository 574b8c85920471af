//! Long work that a person asked for, done a page at a time. Each page's jobs and the position after it are one
//! commit, so that a crash repeats nothing.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    DueJob, Listed, Page, Scope, Store, StoreError, dead_letter_filter::DeadLetterFilter, dead_letters,
    endpoints::TAKES_DELIVERIES, jobs::small, pool::Tx, recover, sql::sql,
};
use crate::domain::{Id, UnixMs, dead_letter::DeadLetterState, endpoint::Endpoint, id::Identified, tenant::Tenant};

/// Rows looked at in one commit.
const PAGE_ROWS: u32 = 200;
/// How long a process may be silent before another takes its operation on.
const OWNED: Duration = Duration::from_secs(15);

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
    position: Option<Uuid>,
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

/// One page of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Jobs made, to be offered.
    pub jobs: Vec<DueJob>,
    /// False when the operation has ended.
    pub more: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
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

const COLUMNS: &str = "id, tenant_id, params, state, total, seen, replayed, discarded, skipped, skipped_because, position, \
    rate_per_second, error, created_by, created_at, finished_at";

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Row {
    fn read(self) -> Result<Operation, StoreError> {
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
        let operation = Operation {
            id: Id::new(),
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
        tx.execute(insert).await?;
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

impl Store {
    /// Takes on a running operation that no living process works on, of a tenant that is not among `busy`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_operation(&self, busy: &[Id<Tenant>], now: UnixMs) -> Result<Option<Operation>, StoreError> {
        let mut free =
            sql("SELECT ").then(COLUMNS).and(" FROM operations WHERE state = 'running' AND owner_until < ", now);
        if !busy.is_empty() {
            free = free.then(" AND NOT tenant_id").any(busy.iter().copied());
        }
        let free = free.then(" ORDER BY owner_until LIMIT 1");
        let Some(row) = self.pool.fetch_one::<Row>(free).await? else { return Ok(None) };
        let mut tx = self.pool.begin().await?;
        let update = sql("UPDATE operations SET")
            .and(" owner = ", self.node.as_ref())
            .and(", owner_until = ", now + OWNED)
            .and(" WHERE state = 'running' AND id = ", row.id)
            .and(" AND owner_until < ", now)
            .then(" RETURNING ")
            .then(COLUMNS);
        let claimed: Option<Row> = tx.fetch_one(update).await?;
        tx.commit().await?;
        claimed.map(Row::read).transpose()
    }

    /// Does the next page of an operation that this process has claimed, making at most `jobs_max` jobs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn step_operation(&self, id: Id<Operation>, jobs_max: u32, now: UnixMs) -> Result<Step, StoreError> {
        let mut tx = self.pool.begin().await?;
        let lock = tx.for_update();
        let select = sql("SELECT ")
            .then(COLUMNS)
            .and(" FROM operations WHERE state = 'running' AND id = ", id)
            .and(" AND owner = ", self.node.as_ref())
            .then(lock);
        let Some(row) = tx.fetch_one::<Row>(select).await? else { return Ok(Step { jobs: Vec::new(), more: false }) };
        let mut operation = row.read()?;
        let rows_max = jobs_max.clamp(1, PAGE_ROWS);
        let page = match &operation.kind {
            OperationKind::RecoverEndpoint { endpoint, since, until } => {
                let range = recover::Range { since: *since, until: *until, after: operation.position, rows_max };
                recover::page(&mut tx, operation.tenant_id, *endpoint, &range, now).await?
            }
            OperationKind::ReplayDeadLetters { filter } => {
                replay_page(&mut tx, &operation, filter, rows_max, now).await?
            }
            OperationKind::DiscardDeadLetters { filter, reason } => {
                discard_page(&mut tx, &operation, (filter, reason), rows_max, now).await?
            }
        };
        let state = match page.failed {
            Some(_) => OperationState::Failed,
            None if page.more => OperationState::Running,
            None => OperationState::Succeeded,
        };
        for reason in &page.left {
            *operation.left.entry(*reason).or_default() += 1;
        }
        let left =
            serde_json::to_string(&operation.left).map_err(|error| StoreError::unreadable("operation", error))?;
        let update = sql("UPDATE operations SET")
            .and(" skipped_because = ", left)
            .and(", seen = seen + ", i64::from(page.seen))
            .and(", replayed = replayed + ", i64::try_from(page.jobs.len()).unwrap_or(i64::MAX))
            .and(", discarded = discarded + ", i64::from(page.discarded))
            .and(", skipped = skipped + ", i64::try_from(page.left.len()).unwrap_or(i64::MAX))
            .and(", position = ", page.position.or(operation.position))
            .and(", state = ", state.as_str())
            .and(", error = ", page.failed)
            .and(", finished_at = ", (state != OperationState::Running).then_some(now))
            .and(", owner_until = ", now + OWNED)
            .and(" WHERE id = ", id);
        tx.execute(update).await?;
        tx.commit().await?;
        Ok(Step { jobs: page.jobs, more: page.more })
    }

    /// Ends an operation that cannot go on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fail_operation(&self, id: Id<Operation>, error: &str, now: UnixMs) -> Result<(), StoreError> {
        let update = sql("UPDATE operations SET state = 'failed'")
            .and(", error = ", error)
            .and(", finished_at = ", now)
            .and(" WHERE state = 'running' AND id = ", id);
        self.pool.execute(update).await.map(drop)
    }
}

/// What an operation takes, as the audit log keeps it: not every id, and no part of a payload.
fn noted(mut params: Value) -> Value {
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

/// What one page came to.
pub(super) struct Done {
    pub(super) jobs: Vec<DueJob>,
    pub(super) discarded: u32,
    pub(super) seen: u32,
    /// Why those among them that were left as they were.
    pub(super) left: Vec<Left>,
    pub(super) position: Option<Uuid>,
    pub(super) more: bool,
    /// Why it cannot go on, in words for whoever asked for it.
    pub(super) failed: Option<&'static str>,
}

async fn replay_page(
    tx: &mut Tx<'_>,
    operation: &Operation,
    filter: &DeadLetterFilter,
    rows_max: u32,
    now: UnixMs,
) -> Result<Done, StoreError> {
    let tenant = operation.tenant_id;
    let rows = dead_letters::next_open(tx, tenant, filter, operation.position, operation.created_at, rows_max).await?;
    let receivers = receivers(tx, tenant).await?;
    let (mut made, mut left) = (Vec::new(), Vec::new());
    for row in &rows {
        match row.endpoint().map(|endpoint| receivers.get(&endpoint)) {
            None | Some(Some(true)) => made.push(dead_letters::replay_row(tx, tenant, row, None, now).await?),
            Some(Some(false)) => left.push(Left::EndpointDisabled),
            Some(None) => left.push(Left::EndpointDeleted),
        }
    }
    Ok(Done {
        jobs: made,
        left,
        discarded: 0,
        seen: u32::try_from(rows.len()).unwrap_or(rows_max),
        position: rows.last().map(dead_letters::Row::id),
        more: rows.len() == rows_max as usize,
        failed: None,
    })
}

async fn discard_page(
    tx: &mut Tx<'_>,
    operation: &Operation,
    (filter, reason): (&DeadLetterFilter, &str),
    rows_max: u32,
    now: UnixMs,
) -> Result<Done, StoreError> {
    let until = operation.created_at;
    let rows = dead_letters::next_open(tx, operation.tenant_id, filter, operation.position, until, rows_max).await?;
    let ids: Vec<Uuid> = rows.iter().map(dead_letters::Row::id).collect();
    let update = sql("UPDATE dead_letters SET state = 'discarded'")
        .and(", resolved_at = ", now)
        .and(", resolved_reason = ", reason)
        .then(" WHERE id")
        .any(ids.iter().copied());
    let discarded = if ids.is_empty() { 0 } else { tx.execute(update).await? };
    Ok(Done {
        jobs: Vec::new(),
        left: Vec::new(),
        discarded: u32::try_from(discarded).unwrap_or(rows_max),
        seen: u32::try_from(rows.len()).unwrap_or(rows_max),
        position: ids.last().copied(),
        more: rows.len() == rows_max as usize,
        failed: None,
    })
}

/// Endpoints that are not deleted, and whether a replay can be delivered to each.
async fn receivers(tx: &mut Tx<'_>, tenant: Id<Tenant>) -> Result<HashMap<Uuid, bool>, StoreError> {
    let select = sql("SELECT id, CASE WHEN ").then(TAKES_DELIVERIES).then(" THEN 1 ELSE 0 END FROM endpoints");
    let select = select.and(" WHERE deleted_at IS NULL AND tenant_id = ", tenant);
    let rows: Vec<(Uuid, i32)> = tx.fetch(select).await?;
    Ok(rows.into_iter().map(|(id, takes)| (id, takes != 0)).collect())
}
