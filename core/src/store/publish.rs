//! Accepting work: events, jobs and idempotency keys in one grouped commit.

use std::{collections::HashMap, fmt};

use super::{
    NewJob, Scope, StoreError,
    committer::Write,
    jobs,
    sql::{Tx, Value, runs, sql},
    stats,
};
use crate::domain::{
    Id, UnixMs,
    event::{Channel, Event, EventType, OwnId},
    job::{Job, JobKind},
    tenant::Tenant,
};

/// A claim to be the first with a key. Whoever comes later with the same body gets the first one's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The call, or `own_id`.
    pub scope: &'static str,
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: Vec<u8>,
    pub expires_at: UnixMs,
}

/// An event to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub id: Id<Event>,
    pub own_id: Option<OwnId>,
    pub kind: EventType,
    pub channels: Vec<Channel>,
    pub payload: Vec<u8>,
    pub deliver_at: UnixMs,
}

/// What is accepted or not by itself within a request: an event with its deliveries, or a job.
#[derive(Clone, Debug)]
pub struct Item {
    /// For an event's own id.
    pub gate: Option<Gate>,
    /// What the caller is told when it is stored.
    pub answer: String,
    pub event: Option<NewEvent>,
    pub jobs: Vec<NewJob>,
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
}

impl Publication {
    #[must_use]
    pub fn new(gate: Option<Gate>, items: Vec<Item>, now: UnixMs, compose: Compose) -> Self {
        Self { gate, items, compose, now, tenant: None, node: String::new() }
    }

    fn tenant(&self) -> Id<Tenant> {
        self.tenant.unwrap_or_else(|| Id::from_uuid(uuid::Uuid::nil()))
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
    /// Stores a request's work with whatever else is waiting to be stored. Answers after the commit.
    ///
    /// # Errors
    /// When the database cannot store it now.
    pub async fn publish(&self, mut publication: Publication) -> Result<Published, StoreError> {
        publication.tenant = Some(self.tenant);
        self.store.node.as_ref().clone_into(&mut publication.node);
        self.store.publications.commit(publication).await
    }
}

type FullKey = (Id<Tenant>, &'static str, String);

/// How a claim ended.
#[derive(Clone, Debug)]
enum Claim {
    Won,
    /// Another claim of this same transaction has it; it is answered as that one is.
    WithinGroup {
        winner: usize,
        same: bool,
    },
    Lost {
        answer: String,
        same: bool,
    },
}

impl Write for Publication {
    type Answer = Published;

    async fn write(tx: &mut Tx, group: &[Self]) -> Result<Vec<Published>, StoreError> {
        let requests: Vec<Option<(FullKey, &Gate)>> =
            group.iter().map(|one| full_key(one.tenant(), one.gate.as_ref())).collect();
        let now = group.first().map(|one| one.now).unwrap_or_default();
        let request_claims = claim(tx, &requests, now).await?;
        let mut results: Vec<Vec<ItemResult>> =
            group.iter().map(|one| vec![ItemResult::Stored; one.items.len()]).collect();
        let mut places = Vec::new();
        for (at, one) in group.iter().enumerate() {
            if matches!(request_claims[at], Claim::Won) {
                places.extend((0..one.items.len()).map(|item| (at, item)));
            }
        }
        let item_gates: Vec<_> = places
            .iter()
            .map(|&(at, item)| full_key(group[at].tenant(), group[at].items[item].gate.as_ref()))
            .collect();
        let item_claims = claim(tx, &item_gates, now).await?;
        for (claim, &(at, item)) in item_claims.iter().zip(&places) {
            results[at][item] = match claim {
                Claim::Won => ItemResult::Stored,
                Claim::Lost { answer, same: true } => ItemResult::Replayed { answer: answer.clone() },
                Claim::WithinGroup { winner, same: true } => {
                    let (at, item) = places[*winner];
                    ItemResult::Replayed { answer: group[at].items[item].answer.clone() }
                }
                Claim::Lost { .. } | Claim::WithinGroup { .. } => ItemResult::Conflict,
            };
        }
        let stored: Vec<(&Self, &Item)> = places
            .iter()
            .filter(|&&(at, item)| results[at][item] == ItemResult::Stored)
            .map(|&(at, item)| (&group[at], &group[at].items[item]))
            .collect();
        insert_events(tx, &stored).await?;
        let existing = insert_jobs(tx, &stored).await?;
        for &(at, item) in &places {
            if let Some(job) = group[at].items[item].jobs.first().and_then(|job| existing.get(&job.id)) {
                results[at][item] = ItemResult::Existing(*job);
            }
        }
        count_accepted(tx, &stored, &existing).await?;
        write_answers(tx, group, &request_claims, &results).await?;
        write_own_answers(tx, &stored).await?;
        Ok(answers(group, &request_claims, &results))
    }
}

fn full_key(tenant: Id<Tenant>, gate: Option<&Gate>) -> Option<(FullKey, &Gate)> {
    gate.map(|gate| ((tenant, gate.scope, gate.key.clone()), gate))
}

/// Claims keys in their order, so that two groups cannot wait for each other. What has no key has won.
async fn claim(tx: &mut Tx, wanted: &[Option<(FullKey, &Gate)>], now: UnixMs) -> Result<Vec<Claim>, StoreError> {
    let mut first: HashMap<&FullKey, usize> = HashMap::new();
    let mut claims = vec![Claim::Won; wanted.len()];
    for (place, (key, gate)) in
        wanted.iter().enumerate().filter_map(|(place, one)| one.as_ref().map(|one| (place, one)))
    {
        match first.get(key) {
            Some(&winner) => {
                let same = wanted[winner].as_ref().is_some_and(|(_, first)| first.body_hash == gate.body_hash);
                claims[place] = Claim::WithinGroup { winner, same };
            }
            None => drop(first.insert(key, place)),
        }
    }
    let mut in_order: Vec<(&FullKey, usize)> = first.into_iter().collect();
    in_order.sort_unstable();
    for run in runs(in_order) {
        let row = |&(key, place): &(&FullKey, usize)| {
            let gate = wanted[place].as_ref().map(|(_, gate)| *gate)?;
            Some(vec![
                key.0.into(),
                key.1.into(),
                key.2.as_str().into(),
                gate.body_hash.as_slice().into(),
                "".into(),
                gate.expires_at.into(),
            ])
        };
        let insert = sql("INSERT INTO idempotency_keys (tenant_id, scope, key, body_hash, answer, expires_at) VALUES ")
            .rows(run.iter().filter_map(row).collect())
            .then(" ON CONFLICT (tenant_id, scope, key) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer, expires_at = excluded.expires_at")
            .and(" WHERE idempotency_keys.expires_at <= ", now)
            .then(" RETURNING tenant_id, scope, key");
        let won: Vec<(uuid::Uuid, String, String)> = tx.fetch(insert).await?;
        let lost = |(key, _): &&(&FullKey, usize)| {
            !won.iter().any(|(tenant, scope, text)| *tenant == key.0.uuid() && scope == key.1 && *text == key.2)
        };
        for &(key, place) in run.iter().filter(lost) {
            let Some((_, gate)) = &wanted[place] else { continue };
            let select = sql("SELECT body_hash, answer FROM idempotency_keys")
                .and(" WHERE tenant_id = ", key.0)
                .and(" AND scope = ", key.1)
                .and(" AND key = ", key.2.as_str());
            let (body_hash, answer): (Vec<u8>, String) =
                tx.fetch_one(select).await?.ok_or_else(|| StoreError::unreadable("idempotency key", "it vanished"))?;
            claims[place] = Claim::Lost { answer, same: body_hash == gate.body_hash };
        }
    }
    // A claim that lost to one of its own group that had lost itself is answered as that one was.
    for place in 0..claims.len() {
        if let Claim::WithinGroup { winner, .. } = claims[place]
            && let Claim::Lost { answer, .. } = &claims[winner]
        {
            let (answer, hash) = (answer.clone(), wanted[place].as_ref().map(|(_, gate)| &gate.body_hash));
            let stored = wanted[winner].as_ref().map(|(_, gate)| &gate.body_hash);
            let winner_same = matches!(claims[winner], Claim::Lost { same: true, .. });
            claims[place] = Claim::Lost { answer, same: winner_same && hash == stored };
        }
    }
    Ok(claims)
}

async fn insert_events(tx: &mut Tx, stored: &[(&Publication, &Item)]) -> Result<(), StoreError> {
    let events: Vec<_> =
        stored.iter().filter_map(|(one, item)| item.event.as_ref().map(|event| (*one, event))).collect();
    for run in runs(events) {
        let row = |(one, event): &(&Publication, &NewEvent)| -> Vec<Value> {
            vec![
                event.id.into(),
                one.tenant().into(),
                event.own_id.as_ref().map(OwnId::as_str).into(),
                event.kind.as_str().into(),
                channels_text(&event.channels).into(),
                event.payload.as_slice().into(),
                event.deliver_at.into(),
                one.now.into(),
            ]
        };
        let insert =
            sql("INSERT INTO events (id, tenant_id, own_id, kind, channels, payload, deliver_at, created_at) VALUES ")
                .rows(run.iter().map(row).collect());
        tx.execute(insert).await?;
    }
    Ok(())
}

fn channels_text(channels: &[Channel]) -> String {
    serde_json::to_string(channels).unwrap_or_else(|_| "[]".to_owned())
}

/// Inserts the jobs. Answers with those that were not, because a pending job has their unique key.
async fn insert_jobs(tx: &mut Tx, stored: &[(&Publication, &Item)]) -> Result<HashMap<Id<Job>, Id<Job>>, StoreError> {
    let all = stored.iter().flat_map(|(one, item)| item.jobs.iter().map(move |job| (one.tenant(), job, one.now)));
    let (unique, plain): (Vec<_>, Vec<_>) = all.partition(|(_, job, _)| job.unique_key.is_some());
    jobs::insert(tx, plain).await?;
    let mut existing = HashMap::new();
    for (tenant, job, now) in unique {
        if let Some(other) = jobs::insert_unique(tx, tenant, job, now).await? {
            existing.insert(job.id, other);
        }
    }
    Ok(existing)
}

async fn count_accepted(
    tx: &mut Tx,
    stored: &[(&Publication, &Item)],
    existing: &HashMap<Id<Job>, Id<Job>>,
) -> Result<(), StoreError> {
    let Some((first, _)) = stored.first() else { return Ok(()) };
    let mut counts = stats::Counts::new(&first.node);
    for (one, item) in stored {
        for job in item.jobs.iter().filter(|job| !existing.contains_key(&job.id)) {
            counts.add(one.now, one.tenant(), job.kind, stats::ACCEPTED, 1);
        }
        if item.event.is_some() && item.jobs.is_empty() {
            counts.add(one.now, one.tenant(), JobKind::WebhookDeliver, stats::UNWANTED, 1);
        }
    }
    counts.write(tx).await
}

async fn write_answers(
    tx: &mut Tx,
    group: &[Publication],
    claims: &[Claim],
    results: &[Vec<ItemResult>],
) -> Result<(), StoreError> {
    for (place, one) in group.iter().enumerate() {
        if let (Some(gate), Claim::Won) = (&one.gate, &claims[place]) {
            set_answer(tx, one.tenant(), gate, &(one.compose)(&results[place])).await?;
        }
    }
    Ok(())
}

async fn write_own_answers(tx: &mut Tx, stored: &[(&Publication, &Item)]) -> Result<(), StoreError> {
    for (one, item) in stored {
        if let Some(gate) = &item.gate {
            set_answer(tx, one.tenant(), gate, &item.answer).await?;
        }
    }
    Ok(())
}

async fn set_answer(tx: &mut Tx, tenant: Id<Tenant>, gate: &Gate, answer: &str) -> Result<(), StoreError> {
    let update = sql("UPDATE idempotency_keys SET")
        .and(" answer = ", answer)
        .and(" WHERE tenant_id = ", tenant)
        .and(" AND scope = ", gate.scope)
        .and(" AND key = ", gate.key.as_str());
    tx.execute(update).await.map(drop)
}

fn answers(group: &[Publication], claims: &[Claim], results: &[Vec<ItemResult>]) -> Vec<Published> {
    let composed = |place: usize| (group[place].compose)(&results[place]);
    claims
        .iter()
        .enumerate()
        .map(|(place, claim)| match claim {
            Claim::Won => Published::Stored(results[place].clone()),
            Claim::Lost { answer, same: true } => Published::Replayed { answer: answer.clone() },
            Claim::WithinGroup { winner, same: true } => Published::Replayed { answer: composed(*winner) },
            Claim::Lost { .. } | Claim::WithinGroup { .. } => Published::Conflict,
        })
        .collect()
}
