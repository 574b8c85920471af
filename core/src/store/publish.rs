//! Accepting work: events, jobs and idempotency keys in one grouped commit.

use std::{collections::HashMap, fmt};

use super::{
    NewJob, Scope, StoreError,
    audit::{self, Note},
    committer::{Usual, Write},
    connect::soon,
    gates::{self, Claims, Gate, Verdict, Wanted},
    jobs,
    notification_chunks::chunk_schedule,
    notifications::{self, NewNotification},
    pool::Tx,
    sql::{Dialect, Part, Sql, sql},
    stats,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    event::{Channel, Event, EventType, OwnId},
    job::{Job, JobKind},
    lane::LaneName,
    tenant::Tenant,
    trace::TraceContext,
    user::Actor,
};

/// What [`event_row`] has the values of.
pub(super) const INSERT_EVENTS: &str =
    "INSERT INTO events (id, tenant_id, own_id, kind, channels, payload, deliver_at, created_at, trace) ";

/// An event to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub id: Id<Event>,
    pub own_id: Option<OwnId>,
    pub kind: EventType,
    pub channels: Vec<Channel>,
    pub payload: Vec<u8>,
    pub deliver_at: UnixMs,
    /// What its deliveries are children of.
    pub trace: Option<TraceContext>,
}

/// What is accepted or not by itself within a request: an event with its deliveries, a notification with the job that plans it,
/// or jobs.
#[derive(Clone, Debug)]
pub struct Item {
    /// For an event's own id.
    pub gate: Option<Gate>,
    /// What the caller is told when it is stored.
    pub answer: String,
    pub event: Option<NewEvent>,
    pub notification: Option<NewNotification>,
    pub jobs: Vec<NewJob>,
}

impl Item {
    /// Jobs without a claim, of nothing that is to be kept beside them.
    #[must_use]
    pub const fn jobs(jobs: Vec<NewJob>) -> Self {
        Self { gate: None, answer: String::new(), event: None, notification: None, jobs }
    }

    /// A notification with the job that finds its recipients, without a claim.
    #[must_use]
    pub fn notification(new: NewNotification, trace: Option<TraceContext>) -> Self {
        let job = NewJob {
            id: new.plan_job,
            max_attempts: chunk_schedule().max_attempts(),
            trace,
            ..NewJob::plain(
                JobKind::NotificationPlan,
                LaneName::of_notifications(new.of.urgency),
                new.id.to_string().into_bytes(),
                new.deliver_at,
            )
        };
        Self { notification: Some(new), ..Self::jobs(vec![job]) }
    }

    /// An event with its deliveries, without a claim.
    #[must_use]
    pub fn event(event: NewEvent, jobs: Vec<NewJob>) -> Self {
        Self { event: Some(event), ..Self::jobs(jobs) }
    }
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemResult {
    Stored,
    /// Its own id was used before, for the same; this was the answer.
    Replayed {
        answer: String,
    },
    /// Its own id was used before, for something else.
    Conflict,
    /// A pending job has its unique key.
    Existing(Id<Job>),
}

/// The request's answer, composed from its items' results: the body that its idempotency key keeps.
pub type Compose = Box<dyn Fn(&[ItemResult]) -> String + Send + Sync>;

/// One request's work.
pub struct Publication {
    pub gate: Option<Gate>,
    pub items: Vec<Item>,
    pub compose: Compose,
    pub now: UnixMs,
    tenant: Option<Id<Tenant>>,
    node: String,
    note: Option<Noted>,
}

/// What somebody does by it, to be noted in the audit log.
struct Noted {
    actor: Option<Actor>,
    action: &'static str,
    subject: String,
    after: serde_json::Value,
}

impl Publication {
    #[must_use]
    pub fn new(gate: Option<Gate>, items: Vec<Item>, now: UnixMs, compose: Compose) -> Self {
        Self { gate, items, compose, now, tenant: None, node: String::new(), note: None }
    }

    /// Items without claims of their own, whose caller asks only whether they are stored.
    #[must_use]
    pub fn plain(items: Vec<Item>, now: UnixMs) -> Self {
        Self::new(None, items, now, Box::new(|_| String::new()))
    }

    /// Stores nothing where something came through this gate before.
    #[must_use]
    pub fn behind(mut self, gate: Option<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// Says what is noted where a person acts.
    #[must_use]
    pub fn noting(mut self, action: &'static str, subject: String, after: serde_json::Value) -> Self {
        self.note = Some(Noted { actor: None, action, subject, after });
        self
    }

    pub(super) fn tenant(&self) -> Id<Tenant> {
        self.tenant.unwrap_or_else(|| Id::from_uuid(uuid::Uuid::nil()))
    }

    fn wanted<'g>(&self, gate: Option<&'g Gate>) -> Option<Wanted<'g>> {
        gate.map(|gate| Wanted { tenant: self.tenant(), gate })
    }

    fn answer(&self, results: &[ItemResult]) -> String {
        (self.compose)(results)
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication").field("gate", &self.gate).field("items", &self.items).finish_non_exhaustive()
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Stored(Vec<ItemResult>),
    /// The key was used before with the same body; this was the answer.
    Replayed {
        answer: String,
    },
    /// The key was used before with another body.
    Conflict,
}

impl Scope<'_> {
    /// Stores a request's work with whatever else is waiting to be stored. Answers after the commit, or soon: a caller
    /// had better come again than wait for a database that does not answer.
    ///
    /// # Errors
    /// When the database cannot store it now. What was under way by then may be stored all the same.
    pub async fn publish(&self, mut publication: Publication) -> Result<Published, StoreError> {
        publication.tenant = Some(self.tenant);
        self.store.node.as_ref().clone_into(&mut publication.node);
        match self.actor {
            Some(actor) => publication.note.iter_mut().for_each(|note| note.actor = Some(actor.clone())),
            None => publication.note = None,
        }
        if let Some(fresh) = &self.store.fresh {
            fresh.keep(&publication);
        }
        soon(self.store.committer.publish(Box::new(publication))).await
    }
}

impl Write for Publication {
    type Answer = Published;

    /// Nobody has claimed anything, and nothing is noted.
    fn usual(group: &[&Self], dialect: Dialect) -> Option<Usual<Published>> {
        let claims = |item: &Item| item.gate.is_some() || item.jobs.iter().any(|job| job.unique_key.is_some());
        if group.iter().any(|one| one.gate.is_some() || one.note.is_some() || one.items.iter().any(claims)) {
            return None;
        }
        let stored: Vec<(&Self, &Item)> =
            group.iter().flat_map(|one| one.items.iter().map(move |item| (*one, item))).collect();
        let mut statements = insert_events(dialect, &stored);
        statements.extend(insert_notifications(dialect, &stored));
        statements.extend(jobs::insert(dialect, jobs_of(&stored).collect()));
        statements.extend(count_accepted(dialect, &stored, &HashMap::new()));
        let answer = |one: &&Self| Published::Stored(vec![ItemResult::Stored; one.items.len()]);
        let parts = statements.into_iter().map(Part::from).collect();
        Some(Usual { parts, answers: group.iter().map(answer).collect() })
    }

    async fn write(tx: &mut Tx<'_>, group: &[&Self]) -> Result<Vec<Published>, StoreError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let now = group.first().map(|one| one.now).unwrap_or_default();
        let wanted: Vec<_> = group.iter().map(|one| one.wanted(one.gate.as_ref())).collect();
        // Nearly always all of a request is stored, and its claim carries the answer that says so.
        let all_stored = |place: usize| group[place].answer(&vec![ItemResult::Stored; group[place].items.len()]);
        let mut claims = gates::claim(tx, &wanted, all_stored, now).await?;
        let mut results = claim_items(tx, group, &claims, now).await?;
        let stored: Vec<(&Self, &Item)> = group
            .iter()
            .zip(&results)
            .flat_map(|(one, results)| one.items.iter().zip(results).map(move |(item, result)| (*one, item, result)))
            .filter(|(_, _, result)| **result == ItemResult::Stored)
            .map(|(one, item, _)| (one, item))
            .collect();
        note_all(tx, group, &claims).await?;
        tx.execute_all(insert_events(tx.dialect(), &stored)).await?;
        tx.execute_all(insert_notifications(tx.dialect(), &stored)).await?;
        let existing = insert_jobs(tx, &stored).await?;
        tx.execute_all(count_accepted(tx.dialect(), &stored, &existing)).await?;
        for (one, results) in group.iter().zip(&mut results) {
            for (item, result) in one.items.iter().zip(results) {
                if let Some(job) = item.jobs.first().and_then(|job| existing.get(&job.id)) {
                    *result = ItemResult::Existing(*job);
                }
            }
        }
        let others: Vec<(usize, String)> = results
            .iter()
            .enumerate()
            .filter(|(place, results)| wanted[*place].is_some() && results.iter().any(|one| *one != ItemResult::Stored))
            .map(|(place, results)| (place, group[place].answer(results)))
            .collect();
        claims.amend(tx, &wanted, others).await?;
        let published = |(place, results)| match claims.verdict(place) {
            Verdict::Passed => Published::Stored(results),
            Verdict::Replayed { answer } => Published::Replayed { answer },
            Verdict::Conflict => Published::Conflict,
        };
        Ok(results.into_iter().enumerate().map(published).collect())
    }
}

/// What is done by those that passed; one that comes again does nothing.
async fn note_all(tx: &mut Tx<'_>, group: &[&Publication], claims: &Claims) -> Result<(), StoreError> {
    for (_, one) in group.iter().enumerate().filter(|(place, _)| claims.passed(*place)) {
        let Some(Noted { actor: Some(actor), action, subject, after }) = &one.note else { continue };
        let (subject, after) = (subject.clone(), Some(after.clone()));
        audit::note(tx, Note { tenant: one.tenant, actor, action, subject, before: None, after }).await?;
    }
    Ok(())
}

/// Claims the items' own keys of the requests that passed. The results of a request that did not are empty.
async fn claim_items(
    tx: &mut Tx<'_>,
    group: &[&Publication],
    claims: &Claims,
    now: UnixMs,
) -> Result<Vec<Vec<ItemResult>>, StoreError> {
    let passed = || group.iter().enumerate().filter(|(place, _)| claims.passed(*place));
    let items: Vec<(usize, &Item)> =
        passed().flat_map(|(place, one)| one.items.iter().map(move |item| (place, item))).collect();
    let wanted: Vec<_> = items.iter().map(|(place, item)| group[*place].wanted(item.gate.as_ref())).collect();
    let own = gates::claim(tx, &wanted, |place| items[place].1.answer.clone(), now).await?;
    let mut results = vec![Vec::new(); group.len()];
    for (item, (place, _)) in items.iter().enumerate() {
        results[*place].push(match own.verdict(item) {
            Verdict::Passed => ItemResult::Stored,
            Verdict::Replayed { answer } => ItemResult::Replayed { answer },
            Verdict::Conflict => ItemResult::Conflict,
        });
    }
    Ok(results)
}

fn insert_events(dialect: Dialect, stored: &[(&Publication, &Item)]) -> Vec<Sql> {
    let events = stored.iter().filter_map(|(one, item)| item.event.as_ref().map(|event| (*one, event)));
    let row = |(one, event): (&Publication, &NewEvent)| event_row(one.tenant(), event, one.now);
    let insert = |run: Vec<_>| sql(INSERT_EVENTS).rows(run.into_iter().map(row).collect());
    dialect.runs(events.collect()).map(insert).collect()
}

pub(super) fn event_row(tenant: Id<Tenant>, event: &NewEvent, now: UnixMs) -> Vec<Value> {
    vec![
        event.id.into(),
        tenant.into(),
        event.own_id.as_ref().map(OwnId::as_str).into(),
        event.kind.as_str().into(),
        channels_text(&event.channels).into(),
        event.payload.as_slice().into(),
        event.deliver_at.into(),
        now.into(),
        event.trace.as_ref().map(ToString::to_string).into(),
    ]
}

fn insert_notifications(dialect: Dialect, stored: &[(&Publication, &Item)]) -> Vec<Sql> {
    let of = |(one, item): &(&Publication, &Item)| {
        Some(notifications::row(one.tenant(), item.notification.as_ref()?, one.now))
    };
    notifications::insert(dialect, stored.iter().filter_map(of).collect())
}

fn channels_text(channels: &[Channel]) -> String {
    serde_json::to_string(channels).unwrap_or_else(|_| "[]".to_owned())
}

fn jobs_of<'p>(stored: &[(&'p Publication, &'p Item)]) -> impl Iterator<Item = (Id<Tenant>, &'p NewJob, UnixMs)> {
    stored.iter().flat_map(|(one, item)| item.jobs.iter().map(|job| (one.tenant(), job, one.now)))
}

/// Inserts the jobs. Answers with those that were not, because a pending job has their unique key.
async fn insert_jobs(
    tx: &mut Tx<'_>,
    stored: &[(&Publication, &Item)],
) -> Result<HashMap<Id<Job>, Id<Job>>, StoreError> {
    let (unique, plain): (Vec<_>, Vec<_>) = jobs_of(stored).partition(|(_, job, _)| job.unique_key.is_some());
    tx.execute_all(jobs::insert(tx.dialect(), plain)).await?;
    let mut existing = HashMap::new();
    for (tenant, job, now) in unique {
        if let Some(other) = jobs::insert_unique(tx, tenant, job, now).await? {
            existing.insert(job.id, other);
        }
    }
    Ok(existing)
}

fn count_accepted(
    dialect: Dialect,
    stored: &[(&Publication, &Item)],
    existing: &HashMap<Id<Job>, Id<Job>>,
) -> Vec<Sql> {
    let Some((first, _)) = stored.first() else { return Vec::new() };
    let mut counts = stats::Counts::new(&first.node);
    for (one, item) in stored {
        for job in item.jobs.iter().filter(|job| !existing.contains_key(&job.id)) {
            counts.add(one.now, one.tenant(), job.kind, stats::ACCEPTED, 1);
        }
        if item.event.is_some() && item.jobs.is_empty() {
            counts.add(one.now, one.tenant(), JobKind::WebhookDeliver, stats::UNWANTED, 1);
        }
    }
    counts.write(dialect)
}
