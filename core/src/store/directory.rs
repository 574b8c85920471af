//! Endpoints as they are now, in memory. Owns how a change made anywhere is seen here within two seconds:
//! the settings' clock is read twice a second, and what could not be checked for a while is read from SQL.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Cipher, StoreError,
    connect::soon,
    endpoints,
    sql::{Pool, sql},
};
use crate::domain::{
    Id, UnixMs,
    endpoint::{Endpoint, EndpointState},
    event::{Channel, EventType},
    signature::SigningSecret,
    tenant::Tenant,
};

/// How often the settings' clock is read.
const LOOK: Duration = Duration::from_millis(500);
/// What was not checked for this long is not believed.
const BELIEVED: Duration = Duration::from_millis(1_500);
/// Tenants in memory; beyond it all are forgotten and those in use come back.
const TENANTS_MAX: usize = 10_000;

/// An endpoint with its secrets.
#[derive(Clone, Debug)]
pub struct LiveEndpoint {
    pub endpoint: Endpoint,
    secrets: Vec<endpoints::Secret>,
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

/// A tenant's endpoints that are not deleted.
#[derive(Debug, Default)]
pub struct TenantEndpoints {
    /// In the order of their ids.
    all: Vec<Arc<LiveEndpoint>>,
    /// The settings' clock at the latest change among them; `None` when they have never changed.
    epoch: Option<i64>,
}

impl TenantEndpoints {
    #[must_use]
    pub fn get(&self, id: Id<Endpoint>) -> Option<&Arc<LiveEndpoint>> {
        self.all.binary_search_by_key(&id, |live| live.endpoint.id).ok().map(|place| &self.all[place])
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
    fn with(&self, changes: Vec<endpoints::Change>) -> Self {
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
        Self { all, epoch }
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
    /// Something has changed: what did is read before they are given out again.
    doubted: bool,
}

impl Known {
    fn doubt(&mut self, tenant: Id<Tenant>) {
        if let Some(known) = self.tenants.get_mut(&tenant) {
            known.doubted = true;
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Directory {
    pool: Pool,
    cipher: Cipher,
    known: Arc<Mutex<Known>>,
}

impl Directory {
    pub(super) fn new(pool: Pool, cipher: Cipher) -> Self {
        let known = Known { tenants: HashMap::new(), generation: 0, epoch: None, checked_at: None };
        Self { pool, cipher, known: Arc::new(Mutex::new(known)) }
    }

    /// The tenant's endpoints, at most two seconds old.
    ///
    /// # Errors
    /// When the database does not answer and what is known is too old to be believed.
    pub async fn endpoints(&self, tenant: Id<Tenant>) -> Result<Arc<TenantEndpoints>, StoreError> {
        let (before, generation) = {
            let known = self.known();
            let believed = known.checked_at.is_some_and(|checked| checked.elapsed() < BELIEVED);
            match known.tenants.get(&tenant) {
                Some(KnownTenant { endpoints, doubted: false }) if believed => return Ok(Arc::clone(endpoints)),
                found => (found.map(|found| Arc::clone(&found.endpoints)), known.generation),
            }
        };
        let before = before.unwrap_or_default();
        let changes = soon(endpoints::changes(&self.pool, &self.cipher, tenant, before.epoch)).await?;
        let endpoints = if changes.is_empty() { before } else { Arc::new(before.with(changes)) };
        let mut known = self.known();
        if known.generation == generation {
            if known.tenants.len() >= TENANTS_MAX && !known.tenants.contains_key(&tenant) {
                known.tenants.clear();
            }
            known.tenants.insert(tenant, KnownTenant { endpoints: Arc::clone(&endpoints), doubted: false });
        }
        Ok(endpoints)
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
