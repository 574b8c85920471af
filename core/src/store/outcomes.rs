//! Outcomes of executions in one grouped commit: the job's row by compare-and-set, its attempt, its dead letter,
//! its failure group, the counts and its endpoint's state.

use std::collections::HashSet;

use uuid::Uuid;

use super::{
    EndpointChange, Store, StoreError,
    attempts::{self, NewAttempt},
    committer::{Usual, Write},
    deaths, endpoints, failures,
    pool::Tx,
    sql::{Dialect, Part, Sql, sql},
    stats,
    tenants::touch_settings,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    attempt::{AttemptClass, AttemptReport},
    endpoint::{Endpoint, EndpointState},
    fingerprint::Fingerprint,
    job::{Job, JobKind, JobState, Outcome},
    sent::Sent,
    tenant::Tenant,
};

/// An execution that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub job: Id<Job>,
    pub tenant: Id<Tenant>,
    pub kind: JobKind,
    pub endpoint: Option<Id<Endpoint>>,
    /// `webhook-id` of a delivery.
    pub message_id: Option<String>,
    /// The job's `attempt` when it was loaded: the outcome counts only where the row still has it.
    pub attempt: u32,
    /// The job's `lost_workers` when it was loaded. Where more are counted by now, this worker was one of them, and only
    /// its success counts: the receiver has had the call, while a failure would speak for what another runs since.
    pub lost_workers: u32,
    /// From when on it could run.
    pub due_at: UnixMs,
    /// `None` where nothing was tried, for example because the endpoint is gone.
    pub report: Option<AttemptReport>,
    pub outcome: Outcome,
    /// What the delivery says of its endpoint's state; `None` to leave it as it is.
    pub endpoint_state: Option<(EndpointState, Option<String>)>,
    /// The call that a delivery died of; `None` for any other end.
    pub sent: Option<Sent>,
    pub now: UnixMs,
    pub node: String,
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Applied,
    /// The job had gone on without this execution; its attempt is kept as late and changed nothing.
    Late,
}

impl Store {
    /// Commits an outcome with whatever else is waiting to be committed. Answers after the commit.
    ///
    /// # Errors
    /// When the database cannot store it now.
    pub async fn record(&self, mut finished: Finished) -> Result<Recorded, StoreError> {
        self.node.as_ref().clone_into(&mut finished.node);
        if finished.kind == JobKind::WebhookTest {
            finished = finished.of_test();
        }
        let change = finished.endpoint_state.is_some().then_some(finished.tenant);
        let recorded = self.committer.finish(Box::new(finished)).await?;
        if let Some(tenant) = change {
            self.directory.doubt(tenant);
        }
        Ok(recorded)
    }
}

impl Write for Finished {
    type Answer = Recorded;

    /// All succeeded, each job once, and that says nothing new of an endpoint.
    fn usual(group: &[&Self], dialect: Dialect) -> Option<Usual<Recorded>> {
        let mut jobs = HashSet::with_capacity(group.len());
        let is_usual = |one: &&Self| one.outcome == Outcome::Succeeded && one.endpoint_state.is_none();
        if !group.iter().all(|one| is_usual(one) && one.fingerprint().is_none() && jobs.insert(one.job)) {
            return None;
        }
        let attempts = attempts::insert(dialect, group.iter().filter_map(|one| one.attempt_row(false)).collect());
        let update = |rows: Vec<Vec<Value>>| Part::touching(rows.len() as u64, update_of(rows));
        let parts = attempts.into_iter().map(Part::from);
        let parts = parts.chain(dialect.runs(job_rows(group)).map(update));
        let parts = parts.chain(count(dialect, group).into_iter().map(Part::from)).collect();
        Some(Usual { parts, answers: vec![Recorded::Applied; group.len()] })
    }

    async fn write(tx: &mut Tx<'_>, group: &[&Self]) -> Result<Vec<Recorded>, StoreError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        // Two outcomes of one job in one group: the first is the one that counts.
        let mut jobs = HashSet::with_capacity(group.len());
        let (first, again): (Vec<&Self>, Vec<&Self>) = group.iter().copied().partition(|one| jobs.insert(one.job));
        let applied = update_jobs(tx, &first).await?;
        let (current, mut late): (Vec<&Self>, Vec<&Self>) =
            first.into_iter().partition(|one| applied.contains(&one.job.uuid()));
        late.extend(again);
        let on_time = current.iter().filter_map(|one| one.attempt_row(false));
        let ended = on_time.chain(late.iter().filter_map(|one| one.attempt_row(true))).collect();
        tx.execute_all(attempts::insert(tx.dialect(), ended)).await?;
        deaths::snapshot(tx, &current).await?;
        let failed: Vec<(&Self, Fingerprint)> =
            current.iter().filter_map(|one| Some((*one, one.fingerprint()?))).collect();
        failures::add(tx, &failed).await?;
        tx.execute_all(count(tx.dialect(), &current)).await?;
        change_endpoints(tx, &current).await?;
        let mut applied = applied;
        let mut answer = |one: &&Self| if applied.remove(&one.job.uuid()) { Recorded::Applied } else { Recorded::Late };
        Ok(group.iter().map(&mut answer).collect())
    }
}

impl Finished {
    /// A test says of its endpoint only that it works: one that fails counts neither towards its failing nor among
    /// failures.
    fn of_test(self) -> Self {
        let endpoint_state = self.endpoint_state.filter(|(state, _)| *state == EndpointState::Active);
        Self { outcome: self.outcome.of_test(), endpoint_state, ..self }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let report = self.report.as_ref().filter(|_| self.kind != JobKind::WebhookTest)?;
        report.fingerprint(self.kind)
    }

    /// The attempt that has ended. A lost one was kept when its worker was counted, and spends no retry.
    fn ended_attempt(&self) -> Option<&AttemptReport> {
        self.report.as_ref().filter(|report| report.class != AttemptClass::Lost)
    }

    fn attempt_row(&self, late: bool) -> Option<NewAttempt<'_>> {
        let report = self.ended_attempt()?;
        let Self { tenant, job, endpoint, attempt, .. } = *self;
        Some(NewAttempt { id: Id::new(), tenant, job, endpoint, n: attempt + 1, report, late })
    }

    fn job_row(&self) -> Vec<Value> {
        let (state, run_at) = match &self.outcome {
            Outcome::Succeeded => (JobState::Succeeded, self.now),
            Outcome::Retry { at } => (JobState::Pending, *at),
            Outcome::Lost => (JobState::Pending, self.now),
            Outcome::Dead { .. } => (JobState::Dead, self.now),
            Outcome::Cancelled { .. } => (JobState::Cancelled, self.now),
        };
        let spent = i64::from(self.ended_attempt().is_some());
        let error = match (&self.report, &self.outcome) {
            (Some(report), _) => report.error.clone(),
            (None, Outcome::Dead { cause }) => Some(deaths::words(*cause).to_owned()),
            (None, Outcome::Cancelled { reason }) => Some(reason.clone()),
            (None, _) => None,
        };
        let finished_at = (state != JobState::Pending).then_some(self.now);
        vec![
            self.job.into(),
            self.attempt.into(),
            spent.into(),
            state.as_str().into(),
            run_at.into(),
            finished_at.into(),
            error.into(),
            self.fingerprint().map(|fingerprint| fingerprint.as_str().to_owned()).into(),
            self.lost_workers.into(),
        ]
    }
}

/// In key order, so that two transactions cannot wait for each other.
fn job_rows(group: &[&Finished]) -> Vec<Vec<Value>> {
    let mut in_order = group.to_vec();
    in_order.sort_unstable_by_key(|one| one.job);
    in_order.into_iter().map(Finished::job_row).collect()
}

async fn update_jobs(tx: &mut Tx<'_>, group: &[&Finished]) -> Result<HashSet<Uuid>, StoreError> {
    let mut applied = HashSet::with_capacity(group.len());
    for rows in tx.dialect().runs(job_rows(group)) {
        let rows: Vec<(Uuid,)> = tx.fetch(update_of(rows).then(" RETURNING jobs.id")).await?;
        applied.extend(rows.into_iter().map(|(id,)| id));
    }
    Ok(applied)
}

/// A pending job is told by its `finished_at`: by its state, SQLite would walk all that are pending for each group.
fn update_of(rows: Vec<Vec<Value>>) -> Sql {
    sql("UPDATE jobs SET state = v.column4, attempt = jobs.attempt + v.column3, run_at = v.column5, \
        finished_at = v.column6, last_error = COALESCE(v.column7, jobs.last_error), \
        fingerprint = COALESCE(v.column8, jobs.fingerprint) FROM (")
    .rows(rows)
    .then(
        ") AS v WHERE jobs.id = v.column1 AND jobs.attempt = v.column2 AND jobs.finished_at IS NULL \
        AND (jobs.lost_workers = v.column9 OR v.column4 = 'succeeded')",
    )
}

fn count(dialect: Dialect, current: &[&Finished]) -> Vec<Sql> {
    let Some(first) = current.first() else { return Vec::new() };
    let mut counts = stats::Counts::new(&first.node);
    for one in current {
        let metric = match &one.outcome {
            Outcome::Succeeded => Some("succeeded"),
            Outcome::Retry { .. } => Some("failed"),
            Outcome::Dead { .. } => Some("dead"),
            Outcome::Cancelled { .. } => Some("cancelled"),
            Outcome::Lost => None,
        };
        if let Some(metric) = metric {
            counts.add(one.now, one.tenant, one.kind, metric, 1);
        }
        if let Some(report) = one.ended_attempt() {
            counts.add_duration(one.now, one.tenant, one.kind, report.duration_ms);
            counts.add_wait(one.now, one.tenant, one.kind, report.started_at.since(one.due_at));
        }
    }
    counts.write(dialect)
}

/// Deliveries change an endpoint's state only from the states that are theirs to change: nothing that a person
/// has set is undone by an outcome that was under way.
async fn change_endpoints(tx: &mut Tx<'_>, current: &[&Finished]) -> Result<(), StoreError> {
    let mut changes: Vec<&&Finished> = current.iter().filter(|one| one.endpoint_state.is_some()).collect();
    changes.sort_by_key(|one| one.endpoint);
    let mut changed = Vec::new();
    for one in changes {
        let (Some(endpoint), Some((state, reason))) = (one.endpoint, &one.endpoint_state) else { continue };
        let from: &[EndpointState] = match state {
            EndpointState::Failing => &[EndpointState::Active],
            EndpointState::Active => &[EndpointState::Failing],
            EndpointState::Disabled => &[EndpointState::Active, EndpointState::Failing, EndpointState::Paused],
            EndpointState::Paused => continue,
        };
        let change = EndpointChange { state: *state, reason: reason.clone(), now: one.now };
        if endpoints::change_state(tx, one.tenant, endpoint, from, &change).await? {
            changed.push((one.tenant, endpoint));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    // Last, since whoever has the clock must not wait for an endpoint whose owner waits for the clock.
    touch_settings(tx, &changed).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{a_store, remove};

    #[tokio::test]
    async fn outcomes_are_written_without_a_walk_over_all_that_is_pending() {
        let (store, folder) = a_store().await;
        for rows in [1, 8, 128] {
            let plan = update_of(vec![vec![Value::Int(None); 9]; rows]).after("EXPLAIN QUERY PLAN ");
            let steps: Vec<(i64, i64, i64, String)> = store.pool.fetch(plan).await.unwrap();
            let walks = steps.iter().any(|(_, _, _, step)| step.starts_with("SCAN jobs"));
            assert!(!walks && !steps.is_empty(), "{rows} rows: {steps:?}");
        }
        remove(store, folder).await;
    }
}
