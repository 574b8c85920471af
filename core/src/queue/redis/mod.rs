//! The queue in Redis: one script for each operation, one hash tag for each shard, so that it runs on one server,
//! behind Sentinel, or on Redis Cluster. The keys are listed in `lua/shard.lua`.
//!
//! Times are Redis' own. A claim whose answer never came is remembered and given back with the next heartbeats.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::try_join_all;
use prometheus_client::registry::Registry;
use redis::Value;
use uuid::Uuid;

use self::{
    claims::{Claims, Pending},
    codec::{job_bytes, lane_bytes, number, parsed, shard_of},
    scripts::Script,
    server::Server,
    wake::Wake,
};
use super::{
    Claimed, Epoch, HEARD_AFTER, LOOKED_AT_MAX, LaneView, LostLease, QueueError, QueueLimits, QueueView, Rest, Room,
    SpilledLane, WorkerAbout, WorkerId, WorkerView,
};
use crate::domain::{
    Id,
    job::Job,
    lane::{LaneKey, LaneSettings},
    tenant::Tenant,
};

mod authorities;
mod batches;
mod claims;
mod codec;
mod news;
mod scripts;
mod server;
mod url;
mod wake;

pub(super) use news::Listener;
pub use url::RedisUrl;
pub(super) use url::URL_FORMS;

/// Tickets, verdicts or jobs in one script's arguments, and leases in its answer: two milliseconds of the server.
const BATCH: usize = 256;
/// A claim that has so many comes back with them: they need not wait for more, which the next one takes.
const ENOUGH: usize = 32;
/// Shards in a cluster; one server needs one.
const CLUSTER_SHARDS: u16 = 8;
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct RedisOptions {
    pub url: RedisUrl,
    /// PEM with the authorities that a server's certificate must come from, in place of Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// Before each key, so that several installations or tests share a server.
    pub prefix: String,
    /// Lanes are spread over as many hash tags. The same in all processes of an installation.
    pub shards: u16,
    pub limits: QueueLimits,
    /// A server that is silent for longer is not available.
    pub response_timeout: Duration,
}

impl RedisOptions {
    #[must_use]
    pub fn new(url: RedisUrl) -> Self {
        let shards = if url.is_cluster() { CLUSTER_SHARDS } else { 1 };
        let (prefix, limits) = ("postrider".to_owned(), QueueLimits::default());
        Self { url, ca_file: None, prefix, shards, limits, response_timeout: RESPONSE_TIMEOUT }
    }
}

/// The queue in Redis. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct Redis(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    server: Server,
    /// What each shard's keys begin with.
    shards: Vec<String>,
    limits: QueueLimits,
    wake: Wake,
    /// Connections of those who listen for news.
    news: Arc<Server>,
    claims: Claims,
    /// The shard that is asked first, one further each time.
    turn: AtomicUsize,
}

impl Redis {
    /// Nothing is connected yet: a server that is away is waited for by whoever calls.
    pub(super) fn new(options: RedisOptions) -> Result<Self, QueueError> {
        let RedisOptions { url, ca_file, prefix, shards, limits, response_timeout } = options;
        let authorities = ca_file.as_deref().map(authorities::read).transpose()?;
        let server = |answer_max| Server::new(&url, authorities.clone(), answer_max);
        let shards: Vec<String> = (0..shards.max(1)).map(|shard| format!("{{{prefix}:{shard}}}:")).collect();
        let lists = shards.iter().map(|base| format!("{base}wake")).collect();
        let listening = (!url.is_cluster()).then(|| server(wake::answer_max(response_timeout)));
        Ok(Self(Arc::new(Shared {
            server: server(response_timeout)?,
            shards,
            limits,
            wake: Wake::new(lists, listening.transpose()?),
            news: Arc::new(server(wake::answer_max(response_timeout))?),
            claims: Claims::default(),
            turn: AtomicUsize::new(0),
        })))
    }

    pub(super) async fn claim(&self, worker: &WorkerId, mut room: Room) -> Result<Claimed, QueueError> {
        let shards = self.0.shards.len();
        let first = self.0.turn.fetch_add(1, Ordering::Relaxed) % shards;
        let mut all = Claimed::default();
        // Each shard gives its share; then those that have more fill what is left.
        let share = room.all.all.div_ceil(shards);
        let mut fuller = Vec::new();
        for shard in (0..shards).map(|at| (first + at) % shards) {
            if room.all.all == 0 {
                break;
            }
            match self.claim_in(shard, worker, share.min(room.all.all), &mut room, &mut all).await {
                Ok(Rest::More) => fuller.push(shard),
                Ok(rest) => all.rest = all.rest.max(rest),
                // What the other shards gave is leased, and must not be lost with this one's answer.
                Err(error) if all.leases.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "claimed fewer jobs than there are");
                    return Ok(all);
                }
            }
        }
        for shard in fuller {
            let mut rest = Rest::More;
            while rest == Rest::More && room.all.all > 0 && all.leases.len() < ENOUGH {
                let before = all.leases.len();
                let Ok(found) = self.claim_in(shard, worker, room.all.all, &mut room, &mut all).await else { break };
                rest = found;
                if all.leases.len() == before {
                    break;
                }
            }
            all.rest = all.rest.max(rest);
        }
        Ok(all)
    }

    /// Claims at most `count` jobs of one shard, and takes them off the room.
    async fn claim_in(
        &self,
        shard: usize,
        worker: &WorkerId,
        count: usize,
        room: &mut Room,
        all: &mut Claimed,
    ) -> Result<Rest, QueueError> {
        let pending: Pending<'_> = self.0.claims.begin(worker, shard);
        let mut args: Vec<Vec<u8>> = vec![worker.as_str().into(), self.lease_ms(), pending.name().into()];
        args.push(number(self.0.limits.silence.as_millis()));
        args.push(number(HEARD_AFTER.as_millis()));
        args.extend(codec::room_args(room, count.min(BATCH)));
        let answer = self.0.server.run(&scripts::CLAIM, &self.0.shards[shard], &args).await?;
        let claimed = codec::claimed(answer).ok_or_else(|| self.0.server.unexpected("a claim in another form"))?;
        pending.answered();
        self.0.wake.set_due(shard, claimed.next_due);
        claimed.leases.iter().for_each(|lease| room.take(lease.lane.tenant, lease.standing));
        all.leases.extend(claimed.leases);
        Ok(claimed.rest)
    }

    pub(super) async fn renew(&self, worker: &WorkerId) -> Result<bool, QueueError> {
        let renewals = (0..self.0.shards.len()).map(|shard| async move {
            let unanswered = self.0.claims.unanswered(worker, shard, self.0.limits.lease * 2);
            let mut args = vec![worker.as_str().into(), self.lease_ms()];
            args.extend(unanswered.into_iter().map(String::into_bytes));
            self.ask::<u8>(&scripts::RENEW, shard, &args).await
        });
        Ok(try_join_all(renewals).await?.into_iter().all(|known| known == 1))
    }

    pub(super) async fn retire(&self, worker: &WorkerId) -> Result<(), QueueError> {
        let args = [worker.as_str().into(), number(BATCH)];
        for shard in 0..self.0.shards.len() {
            while self.ask::<usize>(&scripts::RETIRE, shard, &args).await? >= BATCH {}
        }
        Ok(())
    }

    pub(super) async fn expire(&self, worker: &WorkerId) -> Result<Vec<LostLease>, QueueError> {
        let patience = number(self.0.limits.patience().as_millis());
        let args = [worker.as_str().into(), self.lease_ms(), number(BATCH), patience];
        let mut all = Vec::new();
        for shard in 0..self.0.shards.len() {
            loop {
                let run = self.0.server.run(&scripts::EXPIRE, &self.0.shards[shard], &args).await;
                // What was leased so far is told to nobody else, so it is told now.
                let answer = match run {
                    Ok(answer) => answer,
                    Err(error) if all.is_empty() => return Err(error),
                    Err(_) => return Ok(all),
                };
                let (more, lost) =
                    codec::lost(answer).ok_or_else(|| self.0.server.unexpected("lost leases in another form"))?;
                all.extend(lost);
                if !more {
                    break;
                }
            }
        }
        Ok(all)
    }

    pub(super) async fn lane(&self, key: &LaneKey, settings: &LaneSettings) -> Result<Option<u64>, QueueError> {
        let LaneSettings { concurrency_max, rate_per_second, ordered, paused } = settings;
        let args = [
            lane_bytes(key),
            number(u8::from(*paused)),
            number(concurrency_max.map_or(-1, i64::from)),
            number(rate_per_second.map_or(0, |rate| rate.max(1))),
            number(u8::from(*ordered)),
        ];
        let generation = self.ask_lane::<u64>(&scripts::SETTINGS, key, &args).await?;
        Ok((generation > 0).then_some(generation))
    }

    pub(super) async fn set_paused(&self, key: &LaneKey, paused: bool) -> Result<(), QueueError> {
        let args = [lane_bytes(key), number(u8::from(paused))];
        self.ask_lane::<u64>(&scripts::SETTINGS, key, &args).await.map(drop)
    }

    pub(super) async fn cancel(&self, key: &LaneKey, job: Id<Job>) -> Result<bool, QueueError> {
        self.ask_lane(&scripts::CANCEL, key, &[lane_bytes(key), job_bytes(job)]).await
    }

    pub(super) async fn run_now(&self, key: &LaneKey, job: Id<Job>) -> Result<bool, QueueError> {
        self.ask_lane(&scripts::RUN_NOW, key, &[lane_bytes(key), job_bytes(job)]).await
    }

    pub(super) async fn spilled(&self, max: usize) -> Result<Vec<SpilledLane>, QueueError> {
        let args = [number(self.0.limits.window.div_ceil(2)), number(max)];
        let mut all = Vec::new();
        for base in &self.0.shards {
            let answer = self.0.server.run(&scripts::SPILLED, base, &args).await?;
            let lanes = codec::spilled(answer);
            all.extend(lanes.ok_or_else(|| self.0.server.unexpected("spilled lanes in another form"))?);
        }
        all.sort_by(|a, b| a.depth.cmp(&b.depth).then_with(|| a.key.cmp(&b.key)));
        all.truncate(max);
        Ok(all)
    }

    pub(super) async fn spill(&self, key: &LaneKey) -> Result<u64, QueueError> {
        self.ask_lane(&scripts::SPILL, key, &[lane_bytes(key)]).await
    }

    pub(super) async fn unspill(&self, key: &LaneKey, generation: u64) -> Result<bool, QueueError> {
        self.ask_lane(&scripts::UNSPILL, key, &[lane_bytes(key), number(generation)]).await
    }

    pub(super) async fn epoch(&self) -> Result<Epoch, QueueError> {
        let mut tokens = Vec::with_capacity(self.0.shards.len());
        let mut age = Duration::MAX;
        for shard in 0..self.0.shards.len() {
            let fresh = [Uuid::now_v7().simple().to_string().into_bytes()];
            let (token, age_ms): (String, u64) = self.ask(&scripts::EPOCH, shard, &fresh).await?;
            tokens.push(token);
            age = age.min(Duration::from_millis(age_ms));
        }
        Ok(Epoch { token: tokens.join(" "), age })
    }

    pub(super) async fn wait(&self, timeout: Duration) {
        self.0.wake.wait(timeout).await;
    }

    /// Asks by a script that writes, as all do that deliveries need.
    pub(super) async fn ready(&self) -> Result<(), QueueError> {
        self.epoch().await.map(drop)
    }

    pub(super) async fn lanes_of(&self, tenant: Id<Tenant>, lanes_max: usize) -> Result<Vec<LaneView>, QueueError> {
        let args = [number(lanes_max), tenant.uuid().as_bytes().to_vec(), number(LOOKED_AT_MAX)];
        let mut lanes = Vec::new();
        for base in &self.0.shards {
            lanes.extend(self.view_in(base, &args).await?.lanes);
        }
        lanes.sort_by_key(|lane| std::cmp::Reverse(lane.ready + lane.delayed + lane.in_flight));
        lanes.truncate(lanes_max);
        Ok(lanes)
    }

    pub(super) async fn lane_view(&self, key: &LaneKey) -> Result<Option<LaneView>, QueueError> {
        let shard = &self.0.shards[shard_of(key, self.0.shards.len())];
        let view = self.view_in(shard, &[number(1), Vec::new(), number(0), lane_bytes(key)]).await?;
        Ok(view.lanes.into_iter().next())
    }

    /// In the first shard alone, as a worker is one worker.
    pub(super) async fn introduce(&self, worker: &WorkerId, about: &WorkerAbout) -> Result<(), QueueError> {
        let about = serde_json::to_vec(about).unwrap_or_default();
        self.ask::<u8>(&scripts::INTRODUCE, 0, &[worker.as_str().into(), about]).await.map(drop)
    }

    pub(super) async fn held_by(&self, worker: &WorkerId, max: usize) -> Result<Vec<(LaneKey, Id<Job>)>, QueueError> {
        let mut all = Vec::new();
        for base in &self.0.shards {
            let args = [worker.as_str().into(), number(max)];
            let answer = self.0.server.run(&scripts::HELD_BY, base, &args).await?;
            let held = codec::held_by(answer);
            all.extend(held.ok_or_else(|| self.0.server.unexpected("leases in another form"))?);
        }
        all.truncate(max);
        Ok(all)
    }

    async fn view_in(&self, base: &str, args: &[Vec<u8>]) -> Result<codec::ShardView, QueueError> {
        let answer = self.0.server.run(&scripts::VIEW, base, args).await?;
        codec::view(answer, self.0.limits.lease).ok_or_else(|| self.0.server.unexpected("a view in another form"))
    }

    pub(super) async fn view(&self, lanes_max: usize) -> Result<QueueView, QueueError> {
        let mut whole = QueueView::default();
        for base in &self.0.shards {
            let shard = self.view_in(base, &[number(lanes_max)]).await?;
            whole.totals.lanes += shard.lanes_total;
            whole.totals.tickets += shard.tickets;
            whole.lanes.extend(shard.lanes);
            shard.workers.into_iter().for_each(|worker| add_worker(&mut whole.workers, worker));
        }
        whole.totals.in_flight = whole.workers.iter().map(|worker| worker.in_flight).sum();
        whole.lanes.sort_by_key(|lane| std::cmp::Reverse(lane.ready + lane.delayed + lane.in_flight));
        whole.lanes.truncate(lanes_max);
        whole.workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(whole)
    }

    pub(super) fn register_metrics(&self, registry: &mut Registry) {
        self.0.server.round_trips().register(registry);
    }

    pub(super) async fn erase(&self) -> Result<(), QueueError> {
        for shard in 0..self.0.shards.len() {
            let mut cursor = "0".to_owned();
            loop {
                cursor = self.ask(&scripts::ERASE, shard, &[cursor.into_bytes()]).await?;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn ask_lane<A: redis::FromRedisValue>(
        &self,
        script: &Script,
        key: &LaneKey,
        args: &[Vec<u8>],
    ) -> Result<A, QueueError> {
        self.ask(script, shard_of(key, self.0.shards.len()), args).await
    }

    async fn ask<A: redis::FromRedisValue>(
        &self,
        script: &Script,
        shard: usize,
        args: &[Vec<u8>],
    ) -> Result<A, QueueError> {
        let answer: Value = self.0.server.run(script, &self.0.shards[shard], args).await?;
        parsed(answer).ok_or_else(|| self.0.server.unexpected("a value of another form"))
    }

    fn lease_ms(&self) -> Vec<u8> {
        number(self.0.limits.lease.as_millis())
    }
}

/// A worker is known to each shard; it is one worker.
fn add_worker(workers: &mut Vec<WorkerView>, worker: WorkerView) {
    match workers.iter_mut().find(|known| known.id == worker.id) {
        Some(known) => {
            known.in_flight += worker.in_flight;
            known.about = known.about.take().or(worker.about);
            known.last_seen = known.last_seen.max(worker.last_seen);
            known.expires_at = known.expires_at.max(worker.expires_at);
        }
        None => workers.push(worker),
    }
}
