//! The work of operations, done a page at a time. Each page's jobs and the position after it are one commit, so that a
//! crash repeats nothing.

use std::{collections::HashMap, time::Duration};

use uuid::Uuid;

use super::{
    DueJob, Left, Operation, OperationKind, OperationState, Store, StoreError,
    dead_letter_filter::DeadLetterFilter,
    dead_letters,
    endpoints::TAKES_DELIVERIES,
    operations::{COLUMNS, Row},
    pool::Tx,
    recover,
    sql::sql,
};
use crate::domain::{Id, UnixMs, tenant::Tenant};

/// Rows looked at in one commit.
const PAGE_ROWS: u32 = 200;
/// How long a process may be silent before another takes its operation on.
const OWNED: Duration = Duration::from_secs(15);

/// One page of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Jobs made, to be offered.
    pub jobs: Vec<DueJob>,
    /// False when the operation has ended.
    pub more: bool,
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
    let update = dead_letters::discard(reason, now).then(" WHERE id").any(ids.iter().copied());
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
