//! Failures grouped by fingerprint.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use serde_json::json;
use uuid::Uuid;

use super::{
    Scope, Store, StoreError,
    attempts::status,
    audit::{self, Note},
    changed::Changed,
    failure_hours::Hours,
    jobs::small,
    outcomes::Finished,
    pool::Tx,
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    fingerprint::Fingerprint,
    job::{Job, JobKind},
    lane::LaneName,
    tenant::Tenant,
};

/// Failures that are one failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureGroup {
    pub fingerprint: Fingerprint,
    pub kind: JobKind,
    pub class: String,
    pub status_code: Option<u16>,
    /// An example of the message.
    pub error: String,
    /// The job of the example.
    pub job_id: Id<Job>,
    /// Failed attempts.
    pub count: u64,
    pub first_seen_at: UnixMs,
    pub last_seen_at: UnixMs,
    /// What somebody said of it.
    pub verdict: FailureVerdict,
    pub verdict_at: Option<UnixMs>,
    /// The user who said so.
    pub verdict_by: Option<String>,
    pub note: Option<String>,
}

impl FailureGroup {
    /// It was resolved, and failed again since.
    #[must_use]
    pub fn is_regressed(&self) -> bool {
        self.verdict == FailureVerdict::Resolved && self.verdict_at.is_some_and(|at| self.last_seen_at > at)
    }
}

/// What somebody says of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureVerdict {
    /// Nothing yet.
    Open,
    /// It is known, and worked on.
    Acknowledged,
    /// It will not come back; if it does, it has regressed.
    Resolved,
}

impl FailureVerdict {
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

impl FromStr for FailureVerdict {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|verdict| verdict.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is none of open, acknowledged and resolved"))
    }
}

/// A verdict with a note for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement<'a> {
    pub verdict: FailureVerdict,
    pub note: Option<&'a str>,
    pub now: UnixMs,
}

/// A job that is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryingJob {
    pub id: Id<Job>,
    pub lane: LaneName,
    /// Attempts that ended.
    pub attempt: u32,
    pub run_at: UnixMs,
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: String,
    kind: String,
    class: String,
    status_code: Option<i64>,
    error: String,
    job_id: Uuid,
    count: i64,
    first_seen_at: i64,
    last_seen_at: i64,
    state: String,
    state_at: Option<i64>,
    state_by: Option<String>,
    note: Option<String>,
}

const COLUMNS: &str = "SELECT fingerprint, kind, class, status_code, error, job_id, count, first_seen_at, last_seen_at, state, state_at, \
    state_by, note FROM failure_groups";
/// Jobs that are looked at for those that are tried again after a failure.
const SEARCHED_JOBS: u32 = 5_000;

impl Row {
    fn read(self) -> Result<FailureGroup, StoreError> {
        Ok(FailureGroup {
            fingerprint: Fingerprint::stored(self.fingerprint),
            kind: self.kind.parse().map_err(|error: String| StoreError::unreadable("failure's kind", error))?,
            class: self.class,
            status_code: self.status_code.and_then(status),
            error: self.error,
            job_id: Id::from_uuid(self.job_id),
            count: u64::try_from(self.count).unwrap_or(0),
            first_seen_at: UnixMs(self.first_seen_at),
            last_seen_at: UnixMs(self.last_seen_at),
            verdict: self.state.parse().map_err(|error: String| StoreError::unreadable("failure's state", error))?,
            verdict_at: self.state_at.map(UnixMs),
            verdict_by: self.state_by,
            note: self.note,
        })
    }
}

impl Scope<'_> {
    /// The groups seen last come first. `before` is the last row of the page before: its time and fingerprint.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failures(
        &self,
        before: Option<(UnixMs, Fingerprint)>,
        limit: u32,
    ) -> Result<Vec<FailureGroup>, StoreError> {
        self.failures_where(None, before, limit).await
    }

    /// As [`Self::failures`], without those that are resolved and did not come back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unresolved_failures(
        &self,
        before: Option<(UnixMs, Fingerprint)>,
        limit: u32,
    ) -> Result<Vec<FailureGroup>, StoreError> {
        let unresolved = " AND (state <> 'resolved' OR last_seen_at > state_at)";
        self.failures_where(Some(unresolved), before, limit).await
    }

    async fn failures_where(
        &self,
        condition: Option<&'static str>,
        before: Option<(UnixMs, Fingerprint)>,
        limit: u32,
    ) -> Result<Vec<FailureGroup>, StoreError> {
        let mut select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).then(condition.unwrap_or_default());
        if let Some((time, fingerprint)) = before {
            select = select.and(" AND (last_seen_at, fingerprint) < (", time).and(", ", fingerprint.as_str()).then(")");
        }
        let select = select.then(" ORDER BY last_seen_at DESC, fingerprint DESC").and(" LIMIT ", limit);
        self.store.pool.fetch::<Row>(select).await?.into_iter().map(Row::read).collect()
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn failure(&self, fingerprint: &Fingerprint) -> Result<Option<FailureGroup>, StoreError> {
        self.store.pool.fetch_one::<Row>(self.group(fingerprint)).await?.map(Row::read).transpose()
    }

    /// Says what is to be thought of a failure, where `is_seen` holds for what was said of it before. What is said already is
    /// neither said nor noted again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn judge_failure(
        &self,
        fingerprint: &Fingerprint,
        said: &Judgement<'_>,
        is_seen: impl FnOnce(&FailureGroup) -> bool + Send,
    ) -> Result<Changed<()>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        let row: Option<Row> = tx.fetch_one(self.group(fingerprint).then(lock)).await?;
        let Some(group) = row.map(Row::read).transpose()? else { return Ok(Changed::NotFound) };
        let is_said = (group.verdict, group.note.as_deref()) == (said.verdict, said.note) && !group.is_regressed();
        if is_said {
            return Ok(Changed::Done(()));
        }
        if !is_seen(&group) {
            return Ok(Changed::Refused);
        }
        // Two within a millisecond are told apart too.
        let at = group.verdict_at.map_or(said.now, |before| said.now.max(UnixMs(before.0 + 1)));
        let update = sql("UPDATE failure_groups SET")
            .and(" state = ", said.verdict.as_str())
            .and(", state_at = ", at)
            .and(", state_by = ", self.actor.map(|actor| actor.name.to_string()))
            .and(", note = ", said.note)
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND fingerprint = ", fingerprint.as_str());
        tx.execute(update).await?;
        if let Some(actor) = self.actor {
            let note = Note {
                tenant: Some(self.tenant),
                actor,
                action: "failure.judge",
                subject: fingerprint.to_string(),
                before: Some(json!({ "state": group.verdict.as_str(), "note": group.note })),
                after: Some(json!({ "state": said.verdict.as_str(), "note": said.note })),
            };
            audit::note(&mut tx, note).await?;
        }
        tx.commit().await?;
        Ok(Changed::Done(()))
    }

    fn group(&self, fingerprint: &Fingerprint) -> Sql {
        sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND fingerprint = ", fingerprint.as_str())
    }

    /// Jobs that failed like this and are tried again, among so many that are looked at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn retrying_after(&self, fingerprint: &Fingerprint, limit: u32) -> Result<Vec<RetryingJob>, StoreError> {
        let select =
            sql("SELECT id, lane, attempt, run_at FROM (SELECT id, lane, attempt, run_at, fingerprint FROM jobs")
                .and(" WHERE state = 'pending' AND attempt > 0 AND tenant_id = ", self.tenant)
                .and(" LIMIT ", SEARCHED_JOBS)
                .and(") AS retrying WHERE fingerprint = ", fingerprint.as_str())
                .and(" ORDER BY run_at LIMIT ", limit);
        let rows: Vec<(Uuid, String, i64, i64)> = self.store.pool.fetch(select).await?;
        let read = |(id, lane, attempt, run_at): (Uuid, String, i64, i64)| {
            let lane = lane.parse().map_err(|error| StoreError::unreadable("job's lane", error))?;
            Ok(RetryingJob { id: Id::from_uuid(id), lane, attempt: small(attempt), run_at: UnixMs(run_at) })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Store {
    /// How often a failure happened at each of these tenants, where it did.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failure_at(
        &self,
        fingerprint: &Fingerprint,
        tenants: &[Id<Tenant>],
    ) -> Result<HashMap<Id<Tenant>, u64>, StoreError> {
        let select = sql("SELECT tenant_id, count FROM failure_groups")
            .and(" WHERE fingerprint = ", fingerprint.as_str())
            .then(" AND tenant_id")
            .any(tenants.iter().copied());
        let rows: Vec<(Uuid, i64)> = self.pool.fetch(select).await?;
        Ok(rows.into_iter().map(|(id, count)| (Id::from_uuid(id), u64::try_from(count).unwrap_or(0))).collect())
    }
}

/// Adds the failures among these outcomes to their groups, in key order, so that two transactions cannot wait
/// for each other.
pub(super) async fn add(tx: &mut Tx<'_>, failed: &[(&Finished, Fingerprint)]) -> Result<(), StoreError> {
    let mut groups: BTreeMap<(Id<Tenant>, &Fingerprint), (&Finished, i64)> = BTreeMap::new();
    for (finished, fingerprint) in failed {
        let entry = groups.entry((finished.tenant, fingerprint)).or_insert((finished, 0));
        *entry = (finished, entry.1 + 1);
    }
    for run in tx.dialect().runs(groups.into_iter().collect()) {
        let row = |((tenant, fingerprint), (finished, count)): ((Id<Tenant>, &Fingerprint), (&Finished, i64))| -> Option<Vec<Value>> {
            let report = finished.report.as_ref()?;
            Some(vec![
                tenant.into(),
                fingerprint.as_str().into(),
                finished.kind.as_str().into(),
                report.class.as_str().into(),
                report.status_code.into(),
                report.error.clone().unwrap_or_default().into(),
                finished.job.into(),
                count.into(),
                finished.now.into(),
                finished.now.into(),
                FailureVerdict::Open.as_str().into(),
            ])
        };
        let add = sql("INSERT INTO failure_groups (tenant_id, fingerprint, kind, class, status_code, error, job_id, count, first_seen_at, last_seen_at, state) ")
            .rows(run.into_iter().filter_map(row).collect())
            .then(" ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET count = failure_groups.count + excluded.count, \
                last_seen_at = excluded.last_seen_at, error = excluded.error, job_id = excluded.job_id");
        tx.execute(add).await?;
    }
    let mut hours = Hours::default();
    for (finished, fingerprint) in failed {
        hours.add(finished.tenant, fingerprint, finished.now, finished.endpoint);
    }
    hours.write(tx).await
}
