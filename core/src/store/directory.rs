//! Endpoints and lanes as they are now, in memory. Owns how a change made anywhere is seen here within two seconds:
//! the settings' clock is read twice a second, and what could not be checked for a while is read from SQL.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Cipher, StoreError, connect::soon, endpoint_changes, lanes, pool::Pool, sql::sql};
use crate::domain::{
    Id, UnixMs,
    endpoint::{Endpoint, EndpointState},
    event::{Channel, EventType},
    lane::{LaneKey, LaneName, LaneSettings},
    signature::SigningSecret,
    tenant::Tenant,
};

/// How often the settings' clock is read.
const LOOK: Duration = Duration::from_millis(500);
/// What was not checked for this long is not believed.
const BELIEVED: Duration = Duration::from_millis(1_500);
/// Reads of tenants' endpoints at once.
const TURNS: usize = 64;
/// Tenants in memory; beyond it all are forgotten and those in use come back.
const TENANTS_MAX: usize = 10_000;

/// An endpoint with its secrets.
#[derive(Clone, Debug)]
pub struct LiveEndpoint {
    pub endpoint: Endpoint,
    secrets: Vec<endpoint_changes::Secret>,
}

impl LiveEndpoint {
    /// The secrets that sign at this time, the current one first. None where the encryption keys do not open them.
    #[must_use]
    pub fn secrets(&self, now: UnixMs) -> Vec<SigningSecret> {
        let valid = |(secret, until): &(SigningSecret, Option<UnixMs>)| {
            until.is_none_or(|until| until > now).then(|| secret.clone())
        };
        self.secrets.iter().filter_map(valid).collect()
    }
}

/// A tenant's endpoints that are not deleted, and what is set for its other lanes.
#[derive(Debug, Default)]
pub struct TenantEndpoints {
    /// In the order of their ids.
    all: Vec<Arc<LiveEndpoint>>,
    /// The settings' clock at the latest change among them; `None` when they have never changed.
    epoch: Option<i64>,
    lanes: Arc<HashMap<LaneName, LaneSettings>>,
    /// The clock at the latest change among the lanes.
    lanes_epoch: Option<i64>,
}

impl TenantEndpoints {
    /// What is set for a lane that is no endpoint's.
    #[must_use]
    pub fn lane(&self, name: &LaneName) -> LaneSettings {
        self.lanes.get(name).cloned().unwrap_or_else(|| name.usual_settings())
    }

    #[must_use]
    pub fn get(&self, id: Id<Endpoint>) -> Option<&Arc<LiveEndpoint>> {
        self.all.binary_search_by_key(&id, |live| live.endpoint.id).ok().map(|place| &self.all[place])
    }

    /// In the order of their ids, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.all.iter().map(|live| &live.endpoint)
    }

    /// The endpoints that an event goes to. Disabled ones get nothing.
    pub fn wanting<'a>(
        &'a self,
        kind: &'a EventType,
        channels: &'a [Channel],
    ) -> impl Iterator<Item = &'a Arc<LiveEndpoint>> {
        self.all
            .iter()
            .filter(move |live| live.endpoint.state != EndpointState::Disabled && live.endpoint.wants(kind, channels))
    }

    /// These with what has changed since.
    fn with(&self, changes: Vec<endpoint_changes::Change>) -> Self {
        let epoch = changes.iter().map(|change| change.epoch).max().max(self.epoch);
        let mut all = self.all.clone();
        for change in changes {
            let live = change.live.map(|(endpoint, secrets)| Arc::new(LiveEndpoint { endpoint, secrets }));
            match (all.binary_search_by_key(&change.id, |live| live.endpoint.id), live) {
                (Ok(place), Some(live)) => all[place] = live,
                (Err(place), Some(live)) => all.insert(place, live),
                (Ok(place), None) => drop(all.remove(place)),
                (Err(_), None) => {}
            }
        }
        Self { all, epoch, lanes: Arc::clone(&self.lanes), lanes_epoch: self.lanes_epoch }
    }

    fn with_lanes(&self, lanes: HashMap<LaneName, LaneSettings>, lanes_epoch: Option<i64>) -> Self {
        Self { all: self.all.clone(), epoch: self.epoch, lanes: Arc::new(lanes), lanes_epoch }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[derive(Debug)]
struct Known {
    tenants: HashMap<Id<Tenant>, KnownTenant>,
    /// Rises with everything that is doubted, so that a slow read does not vouch for what was doubted meanwhile.
    generation: u64,
    epoch: Option<i64>,
    checked_at: Option<Instant>,
}

#[derive(Debug)]
struct KnownTenant {
    endpoints: Arc<TenantEndpoints>,
    /// When the read began that they are from, and the generation then.
    read_at: Instant,
    vouched: u64,
    /// The generation at which something had changed: what did is read before they are given out again.
    doubted: u64,
}

impl KnownTenant {
    /// As it is now, while the settings' clock is `believed`; or as it was after `since`, whatever has changed meanwhile.
    fn holds(&self, believed: bool, since: Instant) -> bool {
        (believed && self.vouched >= self.doubted) || self.read_at > since
    }
}

impl Known {
    fn doubt(&mut self, tenant: Id<Tenant>) {
        if let Some(known) = self.tenants.get_mut(&tenant) {
            known.doubted = self.generation;
        }
    }

    fn holding(&self, tenant: Id<Tenant>, since: Instant) -> Option<Arc<TenantEndpoints>> {
        let believed = self.checked_at.is_some_and(|checked| checked.elapsed() < BELIEVED);
        let known = self.tenants.get(&tenant).filter(|known| known.holds(believed, since))?;
        Some(Arc::clone(&known.endpoints))
    }

    /// What a read found that began at `read_at`, in the generation `vouched`.
    fn learn(&mut self, tenant: Id<Tenant>, endpoints: Arc<TenantEndpoints>, read_at: Instant, vouched: u64) {
        // One that was not known may have been doubted unseen.
        let doubted = self.tenants.get(&tenant).map_or(self.generation, |known| known.doubted);
        if self.tenants.len() >= TENANTS_MAX && !self.tenants.contains_key(&tenant) {
            self.tenants.clear();
        }
        self.tenants.insert(tenant, KnownTenant { endpoints, read_at, vouched, doubted });
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Directory {
    pool: Pool,
    cipher: Cipher,
    known: Arc<Mutex<Known>>,
    /// Who reads a tenant's endpoints has its turn: all that wait for it have what one read finds.
    turns: Arc<[tokio::sync::Mutex<()>]>,
}

impl Directory {
    pub(super) fn new(pool: Pool, cipher: Cipher) -> Self {
        let known = Known { tenants: HashMap::new(), generation: 0, epoch: None, checked_at: None };
        let turns = (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect();
        Self { pool, cipher, known: Arc::new(Mutex::new(known)), turns }
    }

    /// The tenant's endpoints, at most two seconds old.
    ///
    /// # Errors
    /// When the database does not answer and what is known is too old to be believed.
    pub async fn endpoints(&self, tenant: Id<Tenant>) -> Result<Arc<TenantEndpoints>, StoreError> {
        let asked_at = Instant::now();
        if let Some(endpoints) = self.known().holding(tenant, asked_at) {
            return Ok(endpoints);
        }
        soon(async {
            let _turn = self.turn(tenant).lock().await;
            if let Some(endpoints) = self.known().holding(tenant, asked_at) {
                return Ok(endpoints);
            }
            self.read(tenant).await
        })
        .await
    }

    async fn read(&self, tenant: Id<Tenant>) -> Result<Arc<TenantEndpoints>, StoreError> {
        let read_at = Instant::now();
        let (before, generation) = {
            let known = self.known();
            (known.tenants.get(&tenant).map(|found| Arc::clone(&found.endpoints)), known.generation)
        };
        let was_known = before.is_some();
        let before = before.unwrap_or_default();
        let changes = endpoint_changes::changes(&self.pool, &self.cipher, tenant, before.epoch).await?;
        let news = lanes::news(&self.pool, tenant, &before.lanes, before.lanes_epoch).await?;
        let mut endpoints = if changes.is_empty() { before } else { Arc::new(before.with(changes)) };
        if let Some((lanes, lanes_epoch)) = news {
            endpoints = Arc::new(endpoints.with_lanes(lanes, lanes_epoch));
        }
        let mut known = self.known();
        // Where it was forgotten meanwhile, what is built on it may lack something.
        if !was_known || known.tenants.contains_key(&tenant) {
            known.learn(tenant, Arc::clone(&endpoints), read_at, generation);
        }
        Ok(endpoints)
    }

    fn turn(&self, tenant: Id<Tenant>) -> &tokio::sync::Mutex<()> {
        let place = tenant.uuid().as_u128() % self.turns.len() as u128;
        &self.turns[usize::try_from(place).unwrap_or_default()]
    }

    /// One endpoint, at most two seconds old. That there is none is said by SQL alone: memory may be older than the
    /// endpoint, and what is thought to be deleted loses its deliveries.
    ///
    /// # Errors
    /// As [`Self::endpoints`], and when the database does not answer where the endpoint is not known.
    pub async fn endpoint(
        &self,
        tenant: Id<Tenant>,
        id: Id<Endpoint>,
    ) -> Result<Option<Arc<LiveEndpoint>>, StoreError> {
        match self.endpoints(tenant).await?.get(id) {
            Some(live) => Ok(Some(Arc::clone(live))),
            None => self.endpoint_now(tenant, id).await,
        }
    }

    /// What is set for a lane that is no endpoint's, at most two seconds old.
    ///
    /// # Errors
    /// As [`Self::endpoints`].
    pub async fn lane(&self, key: &LaneKey) -> Result<LaneSettings, StoreError> {
        Ok(self.endpoints(key.tenant).await?.lane(&key.name))
    }

    /// One endpoint as SQL has it now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn endpoint_now(
        &self,
        tenant: Id<Tenant>,
        id: Id<Endpoint>,
    ) -> Result<Option<Arc<LiveEndpoint>>, StoreError> {
        self.doubt(tenant);
        Ok(self.endpoints(tenant).await?.get(id).cloned())
    }

    /// Doubts a tenant whose settings have just changed.
    pub fn doubt(&self, tenant: Id<Tenant>) {
        let mut known = self.known();
        known.generation += 1;
        known.doubt(tenant);
    }

    /// Reads the settings' clock until `shutdown`. Without it running, every look goes to SQL.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = soon(self.look()).await {
                tracing::debug!(%error, "the settings' clock could not be read");
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let epoch: Option<(i64,)> = self.pool.fetch_one(sql("SELECT epoch FROM settings_clock WHERE id = 1")).await?;
        let epoch = epoch.map_or(0, |(epoch,)| epoch);
        let seen = self.known().epoch;
        let changed: Vec<(uuid::Uuid,)> = match seen {
            Some(seen) if seen == epoch => Vec::new(),
            Some(seen) => self.pool.fetch(sql("SELECT id FROM tenants").and(" WHERE settings_epoch > ", seen)).await?,
            None => Vec::new(),
        };
        let mut known = self.known();
        // A clock that went back is that of a restored database: epochs say nothing of it yet.
        let unknown = seen.is_none_or(|seen| seen > epoch);
        if unknown || !changed.is_empty() {
            known.generation += 1;
        }
        if unknown {
            known.tenants.clear();
        }
        for (tenant,) in changed {
            known.doubt(Id::from_uuid(tenant));
        }
        known.epoch = Some(epoch);
        known.checked_at = Some(began);
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{a_store, remove};

    #[tokio::test]
    async fn all_that_wait_have_what_one_read_finds_however_often_the_tenant_changes() {
        let (store, folder) = a_store().await;
        let tenant = store.default_tenant(UnixMs::now()).await.unwrap().id;
        let directory = store.directory();
        let read_at = || directory.known().tenants[&tenant].read_at;

        let turn = directory.turn(tenant).lock().await;
        let mut asked: Vec<_> = (0..50).map(|_| Box::pin(directory.endpoints(tenant))).collect();
        for one in &mut asked {
            assert!(futures::poll!(one).is_pending());
        }
        drop(turn);
        asked.remove(0).await.unwrap();
        let first = read_at();
        for one in asked {
            directory.doubt(tenant);
            one.await.unwrap();
        }
        assert_eq!(read_at(), first);
        directory.endpoints(tenant).await.unwrap();
        assert!(read_at() > first, "who asks after a change has what was read after it");
        remove(store, folder).await;
    }
}
