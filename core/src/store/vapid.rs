//! Tenants' keys for web push: made when they are first asked for, encrypted, and known in each process for a moment.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::json;
use uuid::Uuid;

use super::{
    Cipher, Scope, Store, StoreError,
    pool::Pool,
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    tenant::Tenant,
    vapid::{Subject, Vapid, VapidKey},
};

/// For how long a tenant's key is believed without a look at SQL, so that another is in force within two seconds.
const BELIEVED: Duration = Duration::from_secs(1);
/// Tenants whose keys are in memory.
const TENANTS_MAX: u64 = 10_000;
/// The migration that makes the table.
pub(super) const MIGRATION: i64 = 7;

/// Keys that were read a moment ago.
pub(super) type Known = Cache<Id<Tenant>, Arc<Vapid>>;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    sealed: Vec<u8>,
    key_id: String,
    subject: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn read(&self, cipher: &Cipher) -> Result<Vapid, StoreError> {
        fn unreadable(error: impl std::fmt::Display) -> StoreError {
            StoreError::unreadable("push key", error)
        }
        let private = cipher.open(self.id, &self.key_id, &self.sealed)?;
        let private = private.try_into().map_err(|_| unreadable("it has not 32 bytes"))?;
        Ok(Vapid {
            id: Id::from_uuid(self.id),
            key: VapidKey::from_private(private).map_err(unreadable)?,
            subject: self.subject.as_deref().map(str::parse).transpose().map_err(unreadable)?,
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

pub(super) fn known() -> Known {
    Cache::builder().max_capacity(TENANTS_MAX).time_to_live(BELIEVED).build()
}

/// Ids of the encryption keys that private keys are sealed with.
pub(super) async fn sealing_keys(pool: &Pool) -> Result<Vec<String>, StoreError> {
    let ids: Vec<(String,)> = pool.fetch(sql("SELECT DISTINCT key_id FROM vapid_keys")).await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

impl Store {
    /// What a tenant signs pushes with; made where it has nothing yet. Another is noticed within a second.
    ///
    /// # Errors
    /// When the database does not answer, or the encryption key does not open what is stored.
    pub async fn vapid(&self, tenant: Id<Tenant>) -> Result<Arc<Vapid>, Arc<StoreError>> {
        if let Some(vapid) = self.vapids.get(&tenant).await {
            return Ok(vapid);
        }
        let load = async { self.tenant(tenant).vapid(UnixMs::now()).await.map(Arc::new) };
        // By itself, since it is large: a push that has the key at hand is none the larger for it.
        Box::pin(self.vapids.try_get_with(tenant, load)).await
    }
}

impl Scope<'_> {
    /// What the tenant signs pushes with; made where it has nothing yet.
    ///
    /// # Errors
    /// When the database does not answer, or the encryption key does not open what is stored.
    pub async fn vapid(&self, now: UnixMs) -> Result<Vapid, StoreError> {
        let cipher = &self.store.cipher;
        if let Some(row) = self.store.pool.fetch_one::<Row>(select(self.tenant)).await? {
            return row.read(cipher);
        }
        let new = Vapid { id: Id::new(), key: new_key(), subject: None, created_at: now, updated_at: now };
        // Whoever came first has made the one that holds.
        let insert = insert(self.vapid_row(&new)?).then(" ON CONFLICT (tenant_id) DO NOTHING");
        self.store.pool.execute(insert).await?;
        let row: Option<Row> = self.store.pool.fetch_one(select(self.tenant)).await?;
        row.ok_or_else(|| StoreError::unreadable("push key", "it is gone"))?.read(cipher)
    }

    /// Sets whom push services turn to, and the key; without one the tenant keeps its own, or gets one.
    ///
    /// # Errors
    /// When the database does not answer, or the encryption key does not open the key that is to be kept.
    pub async fn put_vapid(
        &self,
        subject: Option<&Subject>,
        key: Option<&VapidKey>,
        now: UnixMs,
    ) -> Result<Vapid, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        let before: Option<Row> = tx.fetch_one(select(self.tenant).then(lock)).await?;
        let (created_at, before) = match before {
            Some(row) => (UnixMs(row.created_at), Some(row.read(&self.store.cipher))),
            None => (now, None),
        };
        // One that nobody can open any more is no reason to refuse another.
        let (key, before) = match (key, before) {
            (Some(key), before) => (key.clone(), before.and_then(Result::ok)),
            (None, Some(before)) => before.map(|before| (before.key.clone(), Some(before)))?,
            (None, None) => (new_key(), None),
        };
        let vapid = Vapid { id: Id::new(), key, subject: subject.cloned(), created_at, updated_at: now };
        let upsert = insert(self.vapid_row(&vapid)?).then(
            " ON CONFLICT (tenant_id) DO UPDATE SET id = excluded.id, sealed = excluded.sealed, key_id = excluded.key_id, \
            subject = excluded.subject, updated_at = excluded.updated_at",
        );
        tx.execute(upsert).await?;
        let noted = |vapid: &Vapid| json!({ "public_key": vapid.key.public().to_string(), "subject": vapid.subject });
        let change = (before.as_ref().map(noted), Some(noted(&vapid)));
        self.note(&mut tx, "push.set", vapid.key.public().to_string(), change).await?;
        tx.commit().await?;
        self.store.vapids.invalidate(&self.tenant).await;
        Ok(vapid)
    }

    fn vapid_row(&self, vapid: &Vapid) -> Result<Vec<Value>, StoreError> {
        let (sealed, key_id) = self.store.cipher.seal(vapid.id.uuid(), vapid.key.private(), rand::random())?;
        Ok(vec![
            self.tenant.into(),
            vapid.id.into(),
            sealed.into(),
            key_id.into(),
            vapid.subject.as_ref().map(Subject::as_str).into(),
            vapid.created_at.into(),
            vapid.updated_at.into(),
        ])
    }
}

/// Of random bytes all but two in 2³² are a key.
fn new_key() -> VapidKey {
    loop {
        if let Ok(key) = VapidKey::from_private(rand::random()) {
            return key;
        }
    }
}

fn select(tenant: Id<Tenant>) -> Sql {
    sql("SELECT id, sealed, key_id, subject, created_at, updated_at FROM vapid_keys").and(" WHERE tenant_id = ", tenant)
}

fn insert(row: Vec<Value>) -> Sql {
    sql("INSERT INTO vapid_keys (tenant_id, id, sealed, key_id, subject, created_at, updated_at) VALUES (")
        .list(row)
        .then(")")
}
