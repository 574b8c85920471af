//! A past that never was, written as rows that the real one would have left: jobs with their attempts and dead letters, and
//! the counts and failure groups that follow from them. For trying out what many rows do to pages and databases; knows
//! nothing of what is made up.

use std::collections::BTreeMap;

use super::{
    AuditEntry, FailureVerdict, Store, StoreError, attempts,
    attempts::NewAttempt,
    audit,
    dead_letters::write_headers,
    endpoints,
    failure_hours::Hours,
    jobs::write_tags,
    pool::{Pool, Tx},
    sql::sql,
    stats,
    tenants::touch_settings,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    attempt::{Attempt, AttemptClass, AttemptReport},
    dead_letter::{DeadLetter, PastAttempt},
    endpoint::Endpoint,
    event::Event,
    fingerprint::{self, Fingerprint},
    job::{Job, JobKind, JobState},
    signature::SigningSecret,
    tenant::Tenant,
};

/// Who counted what is made up.
const NODE: &str = "seed";

/// What happened in a stretch of time that is made up.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pub events: Vec<Event>,
    pub jobs: Vec<PastJob>,
    pub audit: Vec<AuditEntry>,
}

/// A job as it is by now, and what became of it.
#[derive(Clone, Debug)]
pub struct PastJob {
    pub job: Job,
    pub args: Option<Vec<u8>>,
    /// Oldest first.
    pub attempts: Vec<PastAttempt>,
    /// Where the job is dead.
    pub letter: Option<DeadLetter>,
}

impl PastJob {
    /// The failures that belong to groups, and when each ended. That a worker vanished is none of the job's.
    fn failures(&self) -> impl Iterator<Item = (&PastAttempt, AttemptClass, &str, UnixMs)> {
        let of_test = self.job.kind == JobKind::WebhookTest;
        self.attempts.iter().filter(move |_| !of_test).filter_map(|attempt| {
            let class = attempt.outcome.parse().ok().filter(|class| *class != AttemptClass::Lost)?;
            Some((attempt, class, attempt.error.as_deref()?, ended_at(attempt)))
        })
    }
}

fn ended_at(attempt: &PastAttempt) -> UnixMs {
    UnixMs(attempt.started_at.0 + i64::from(attempt.duration_ms))
}

impl Store {
    /// Whether any work was ever accepted and is still kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_jobs(&self) -> Result<bool, StoreError> {
        let job: Option<(uuid::Uuid,)> = self.pool.fetch_one(sql("SELECT id FROM jobs LIMIT 1")).await?;
        Ok(job.is_some())
    }

    /// Keeps endpoints in the states that they have.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn seed_endpoints(&self, made: &[(Endpoint, SigningSecret)]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for (endpoint, secret) in made {
            endpoints::insert(&mut tx, endpoint).await?;
            super::secrets::insert_secret(&mut tx, &self.cipher, endpoint.id, secret).await?;
        }
        let changed: Vec<_> = made.iter().map(|(endpoint, _)| (endpoint.tenant_id, endpoint.id)).collect();
        touch_settings(&mut tx, &changed).await?;
        tx.commit().await
    }

    /// Writes all of it in one transaction.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn seed(&self, past: &Past) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        insert_events(&mut tx, &past.events).await?;
        insert_jobs(&mut tx, &past.jobs).await?;
        insert_attempts(&mut tx, &past.jobs).await?;
        insert_letters(&mut tx, &past.jobs).await?;
        add_groups(&mut tx, &past.jobs).await?;
        let counts = count(&past.jobs).write(tx.dialect());
        tx.execute_all(counts).await?;
        audit::insert(&mut tx, &past.audit).await?;
        tx.commit().await
    }
}

impl Store {
    /// Has PostgreSQL look at what it has, as it does by itself within minutes: plans then fit the rows at once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_down(&self) -> Result<(), StoreError> {
        match &self.pool {
            Pool::Postgres(pool) => sqlx::raw_sql("VACUUM (ANALYZE)").execute(pool).await.map(drop)?,
            Pool::Sqlite { .. } => {}
        }
        Ok(())
    }
}

async fn insert_events(tx: &mut Tx<'_>, events: &[Event]) -> Result<(), StoreError> {
    let row = |event: &Event| -> Result<Vec<Value>, StoreError> {
        let channels = serde_json::to_string(&event.channels);
        Ok(vec![
            event.id.into(),
            event.tenant_id.into(),
            event.own_id.as_ref().map(|id| id.as_str().to_owned()).into(),
            event.kind.as_str().into(),
            channels.map_err(|error| StoreError::unreadable("event's channels", error))?.into(),
            event.payload.clone().into(),
            event.deliver_at.into(),
            event.created_at.into(),
        ])
    };
    let rows = events.iter().map(row).collect::<Result<_, _>>()?;
    insert(tx, "INSERT INTO events (id, tenant_id, own_id, kind, channels, payload, deliver_at, created_at) ", rows)
        .await
}

async fn insert_jobs(tx: &mut Tx<'_>, jobs: &[PastJob]) -> Result<(), StoreError> {
    let row = |past: &PastJob| {
        let job = &past.job;
        vec![
            job.id.into(),
            job.tenant_id.into(),
            job.kind.as_str().into(),
            job.lane.as_str().into(),
            job.state.as_str().into(),
            job.attempt.into(),
            job.max_attempts.into(),
            job.priority.get().into(),
            job.run_at.into(),
            past.args.clone().into(),
            job.event_id.into(),
            job.endpoint_id.into(),
            job.unique_key.clone().into(),
            job.lost_workers.into(),
            job.replay_of.into(),
            job.created_at.into(),
            job.finished_at.into(),
            job.last_error.clone().into(),
            text_of(job.fingerprint.as_ref()).into(),
            write_tags(&job.tags).into(),
        ]
    };
    let begin = "INSERT INTO jobs (id, tenant_id, kind, lane, state, attempt, max_attempts, priority, run_at, args, event_id, \
        endpoint_id, unique_key, lost_workers, replay_of, created_at, finished_at, last_error, fingerprint, tags) ";
    insert(tx, begin, jobs.iter().map(row).collect()).await
}

async fn insert_attempts(tx: &mut Tx<'_>, jobs: &[PastJob]) -> Result<(), StoreError> {
    let attempts: Vec<_> = jobs.iter().flat_map(|past| past.attempts.iter().map(move |one| (&past.job, one))).collect();
    let report = |attempt: &PastAttempt| -> Result<AttemptReport, StoreError> {
        Ok(AttemptReport {
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            class: attempt.outcome.parse().map_err(|error: String| StoreError::unreadable("outcome", error))?,
            status_code: attempt.status_code,
            error: attempt.error.clone(),
            response_body: attempt.response_body.clone().map(String::into_bytes),
            address: attempt.address.clone(),
            worker: attempt.worker.clone().unwrap_or_default(),
            retry_after: None,
        })
    };
    let reports = attempts.iter().map(|(_, attempt)| report(attempt)).collect::<Result<Vec<_>, _>>()?;
    let rows = attempts.iter().zip(&reports).map(|((job, attempt), report)| NewAttempt {
        id: attempt_id(job, attempt),
        tenant: job.tenant_id,
        job: job.id,
        endpoint: job.endpoint_id,
        n: attempt.n,
        report,
        late: attempt.late,
    });
    let statements = attempts::insert(tx.dialect(), rows.collect());
    tx.execute_all(statements).await
}

/// As if it had been made at that time; its random part is the job's, stirred, since nothing here rolls dice.
fn attempt_id(job: &Job, attempt: &PastAttempt) -> Id<Attempt> {
    let stirred = (job.id.uuid().as_u128() | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Id::at(attempt.started_at, stirred.wrapping_add(u128::from(attempt.n)))
}

async fn insert_letters(tx: &mut Tx<'_>, jobs: &[PastJob]) -> Result<(), StoreError> {
    let row = |(job, letter): (&Job, &DeadLetter)| -> Result<Vec<Value>, StoreError> {
        let history = serde_json::to_string(&letter.history);
        Ok(vec![
            letter.id.into(),
            letter.tenant_id.into(),
            letter.job_id.into(),
            letter.kind.as_str().into(),
            letter.lane.as_str().into(),
            job.priority.get().into(),
            job.max_attempts.into(),
            letter.cause.as_str().into(),
            letter.state.as_str().into(),
            letter.message_id.clone().into(),
            job.event_id.into(),
            letter.event_type.clone().into(),
            letter.endpoint_id.into(),
            letter.endpoint_url.clone().into(),
            write_headers(letter.request_headers.as_ref())?.into(),
            letter.payload.clone().into(),
            letter.attempts.into(),
            history.map_err(|error| StoreError::unreadable("history", error))?.into(),
            letter.first_error.clone().into(),
            letter.last_error.clone().into(),
            letter.status_code.into(),
            text_of(letter.fingerprint.as_ref()).into(),
            letter.replay_of.into(),
            letter.replayed_as.into(),
            letter.created_at.into(),
            letter.resolved_at.into(),
            letter.resolved_reason.clone().into(),
            write_tags(&letter.tags).into(),
        ])
    };
    let letters = jobs.iter().filter_map(|past| Some((&past.job, past.letter.as_ref()?)));
    let begin = "INSERT INTO dead_letters (id, tenant_id, job_id, kind, lane, priority, max_attempts, cause, state, message_id, \
        event_id, event_type, endpoint_id, endpoint_url, request_headers, payload, attempts, history, first_error, last_error, \
        status_code, fingerprint, replay_of, replayed_as, created_at, resolved_at, resolved_reason, tags) ";
    insert(tx, begin, letters.map(row).collect::<Result<_, _>>()?).await
}

/// Failures of one group.
struct Group<'p> {
    kind: JobKind,
    class: AttemptClass,
    example: &'p PastAttempt,
    job: Id<Job>,
    count: i64,
    first: UnixMs,
    last: UnixMs,
}

async fn add_groups(tx: &mut Tx<'_>, jobs: &[PastJob]) -> Result<(), StoreError> {
    let mut groups: BTreeMap<(Id<Tenant>, Fingerprint), Group<'_>> = BTreeMap::new();
    let mut hours = Hours::default();
    for past in jobs {
        let (tenant, kind, job) = (past.job.tenant_id, past.job.kind, past.job.id);
        for (example, class, error, at) in past.failures() {
            let key = (tenant, fingerprint::of(kind, class, example.status_code, error));
            hours.add(tenant, &key.1, at, past.job.endpoint_id);
            let fresh = || Group { kind, class, example, job, count: 0, first: at, last: at };
            let group = groups.entry(key).or_insert_with(fresh);
            group.count += 1;
            group.first = group.first.min(at);
            if at > group.last {
                (group.last, group.example, group.job) = (at, example, job);
            }
        }
    }
    let row = |((tenant, fingerprint), group): ((Id<Tenant>, Fingerprint), Group<'_>)| {
        vec![
            tenant.into(),
            fingerprint.as_str().into(),
            group.kind.as_str().into(),
            group.class.as_str().into(),
            group.example.status_code.into(),
            group.example.error.clone().unwrap_or_default().into(),
            group.job.into(),
            group.count.into(),
            group.first.into(),
            group.last.into(),
            FailureVerdict::Open.as_str().into(),
        ]
    };
    for run in tx.dialect().runs(groups.into_iter().collect()) {
        let add = sql("INSERT INTO failure_groups (tenant_id, fingerprint, kind, class, status_code, error, job_id, count, first_seen_at, last_seen_at, state) ")
            .rows(run.into_iter().map(row).collect())
            .then(" ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET count = failure_groups.count + excluded.count, \
                first_seen_at = CASE WHEN excluded.first_seen_at < failure_groups.first_seen_at THEN excluded.first_seen_at \
                    ELSE failure_groups.first_seen_at END, \
                last_seen_at = CASE WHEN excluded.last_seen_at > failure_groups.last_seen_at THEN excluded.last_seen_at \
                    ELSE failure_groups.last_seen_at END, \
                error = excluded.error, job_id = excluded.job_id");
        tx.execute(add).await?;
    }
    hours.write(tx).await
}

/// As accepting and recording would have counted.
fn count(jobs: &[PastJob]) -> stats::Counts<'static> {
    let mut counts = stats::Counts::new(NODE);
    for PastJob { job, attempts, .. } in jobs {
        let mut add = |at, metric: &str| counts.add(at, job.tenant_id, job.kind, metric, 1);
        add(job.created_at, stats::ACCEPTED);
        if let Some(at) = job.finished_at.filter(|_| job.state != JobState::Pending) {
            add(at, job.state.as_str());
        }
        for attempt in attempts.iter().filter(|attempt| attempt.outcome != AttemptClass::Lost.as_str()) {
            let at = ended_at(attempt);
            if attempt.error.is_some() && job.finished_at != Some(at) {
                counts.add(at, job.tenant_id, job.kind, "failed", 1);
            }
            counts.add_duration(at, job.tenant_id, job.kind, attempt.duration_ms);
        }
    }
    counts
}

fn text_of(fingerprint: Option<&Fingerprint>) -> Option<String> {
    fingerprint.map(|fingerprint| fingerprint.as_str().to_owned())
}

async fn insert(tx: &mut Tx<'_>, begin: &'static str, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
    for run in tx.dialect().runs(rows) {
        tx.execute(sql(begin).rows(run)).await?;
    }
    Ok(())
}
