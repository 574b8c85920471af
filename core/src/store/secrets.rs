//! Secrets of endpoints: which one is the current one, and how another takes its place.

use serde_json::json;
use uuid::Uuid;

use super::{
    Cipher, Scope, StoreError, endpoints,
    pool::Tx,
    sql::{Sql, sql},
};
use crate::domain::{Id, UnixMs, endpoint::Endpoint, signature::SigningSecret, tenant::Tenant};

/// Another secret of an endpoint.
#[derive(Clone, Debug)]
pub struct Rotation {
    pub secret: SigningSecret,
    /// Until when those before it sign at the latest.
    pub old_until: UnixMs,
    /// The one that it takes the place of; `None`: whichever is the current one.
    pub replaces: Option<Id<SigningSecret>>,
}

/// What became of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    Done,
    NotFound,
    /// Another secret is the current one than the one to be replaced.
    Already,
}

impl Scope<'_> {
    /// Makes `secret` the current one; those before it sign until `old_until` at the latest. False when there is no such
    /// endpoint.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rotate_secret(
        &self,
        id: Id<Endpoint>,
        secret: &SigningSecret,
        old_until: UnixMs,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let rotation = Rotation { secret: secret.clone(), old_until, replaces: None };
        Ok(self.rotate(id, &rotation, now).await? == Rotated::Done)
    }

    /// As [`Self::rotate_secret`], where the current secret is the one that the rotation replaces.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rotate(&self, id: Id<Endpoint>, rotation: &Rotation, now: UnixMs) -> Result<Rotated, StoreError> {
        let Rotation { secret, old_until, replaces } = rotation;
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        if tx.fetch_one::<endpoints::Row>(endpoints::select_live(self.tenant, id).then(lock)).await?.is_none() {
            return Ok(Rotated::NotFound);
        }
        if replaces.is_some() {
            let current: Option<(Uuid,)> = tx.fetch_one(select_current_secret(self.tenant, id)).await?;
            if current.map(|(secret,)| Id::from_uuid(secret)) != *replaces {
                return Ok(Rotated::Already);
            }
        }
        let expired =
            sql("DELETE FROM endpoint_secrets").and(" WHERE endpoint_id = ", id).and(" AND expires_at <= ", now);
        tx.execute(expired).await?;
        let retire = sql("UPDATE endpoint_secrets SET")
            .and(" expires_at = ", *old_until)
            .and(" WHERE endpoint_id = ", id)
            .and(" AND (expires_at IS NULL OR expires_at > ", *old_until)
            .then(")");
        tx.execute(retire).await?;
        insert_secret(&mut tx, &self.store.cipher, id, secret).await?;
        let after = Some(json!({ "old_secret_signs_until": old_until }));
        self.note(&mut tx, "endpoint.rotate_secret", id.to_string(), after).await?;
        self.commit_settings(tx, id).await?;
        Ok(Rotated::Done)
    }

    /// Which secret of an endpoint is the current one. It says nothing of the secret.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn current_secret(&self, id: Id<Endpoint>) -> Result<Option<Id<SigningSecret>>, StoreError> {
        let row: Option<(Uuid,)> = self.store.pool.fetch_one(select_current_secret(self.tenant, id)).await?;
        Ok(row.map(|(secret,)| Id::from_uuid(secret)))
    }
}

fn select_current_secret(tenant: Id<Tenant>, id: Id<Endpoint>) -> Sql {
    sql("SELECT endpoint_secrets.id FROM endpoint_secrets JOIN endpoints ON endpoints.id = endpoint_secrets.endpoint_id")
        .and(" WHERE endpoints.tenant_id = ", tenant)
        .and(" AND endpoint_secrets.endpoint_id = ", id)
        .then(" AND endpoint_secrets.expires_at IS NULL ORDER BY endpoint_secrets.id DESC LIMIT 1")
}

pub(super) async fn insert_secret(
    tx: &mut Tx<'_>,
    cipher: &Cipher,
    endpoint: Id<Endpoint>,
    secret: &SigningSecret,
) -> Result<(), StoreError> {
    let id = Uuid::now_v7();
    let (sealed, key_id) = cipher.seal(id, secret.as_bytes(), rand::random())?;
    let insert = sql("INSERT INTO endpoint_secrets (id, endpoint_id, sealed, key_id) VALUES (")
        .list(vec![id.into(), endpoint.into(), sealed.into(), key_id.into()])
        .then(")");
    tx.execute(insert).await.map(drop)
}
