//! What became of a tenant's endpoints since somebody looked, with their secrets: what the directory of endpoints follows.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Cipher, StoreError,
    endpoints::{COLUMNS, Row},
    pool::Pool,
    sql::{Sql, sql},
};
use crate::domain::{Id, UnixMs, endpoint::Endpoint, signature::SigningSecret, tenant::Tenant};

/// A secret of an endpoint, and until when it signs.
pub(super) type Secret = (SigningSecret, Option<UnixMs>);

/// What became of an endpoint.
pub(super) struct Change {
    pub(super) id: Id<Endpoint>,
    /// The settings' clock at this change.
    pub(super) epoch: i64,
    /// As it is now, with its opened secrets; `None` where it is deleted.
    pub(super) live: Option<(Endpoint, Vec<Secret>)>,
}

#[derive(sqlx::FromRow)]
struct SecretRow {
    id: Uuid,
    endpoint_id: Uuid,
    sealed: Vec<u8>,
    key_id: String,
    expires_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct ChangedRow {
    #[sqlx(flatten)]
    row: Row,
    settings_epoch: i64,
    deleted_at: Option<i64>,
}

/// A tenant's endpoints that have changed since an epoch, the deleted ones among them; since `None`, all that are not
/// deleted. One statement reads the endpoints and their epochs, so that no change up to the latest is missed.
pub(super) async fn changes(
    pool: &Pool,
    cipher: &Cipher,
    tenant: Id<Tenant>,
    since: Option<i64>,
) -> Result<Vec<Change>, StoreError> {
    let changed = |select: Sql| {
        let select = select.and(" WHERE tenant_id = ", tenant);
        match since {
            Some(epoch) => select.and(" AND settings_epoch > ", epoch),
            None => select.then(" AND deleted_at IS NULL"),
        }
    };
    let select = sql("SELECT settings_epoch, deleted_at, ").then(COLUMNS).then(" FROM endpoints");
    let rows: Vec<ChangedRow> = pool.fetch(changed(select).then(" ORDER BY id")).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let select = sql("SELECT id, endpoint_id, sealed, key_id, expires_at FROM endpoint_secrets \
        WHERE endpoint_id IN (SELECT id FROM endpoints");
    let mut secrets: HashMap<Uuid, Vec<Secret>> = HashMap::new();
    for row in pool.fetch::<SecretRow>(changed(select).then(") ORDER BY id DESC")).await? {
        // One endpoint's secret that cannot be read must not hold up the others.
        match open(cipher, &row) {
            Ok(secret) => {
                secrets.entry(row.endpoint_id).or_default().push((secret, row.expires_at.map(UnixMs)));
            }
            Err(error) => {
                tracing::error!(%error, endpoint = %Id::<Endpoint>::from_uuid(row.endpoint_id), "an endpoint's secret cannot be read");
            }
        }
    }
    let change = |ChangedRow { row, settings_epoch, deleted_at }: ChangedRow| {
        let (id, epoch) = (Id::from_uuid(row.id), settings_epoch);
        let own = secrets.remove(&row.id).unwrap_or_default();
        let live = if deleted_at.is_none() { Some((row.read()?, own)) } else { None };
        Ok(Change { id, epoch, live })
    };
    rows.into_iter().map(change).collect()
}

fn open(cipher: &Cipher, row: &SecretRow) -> Result<SigningSecret, StoreError> {
    let opened = cipher.open(row.id, &row.key_id, &row.sealed)?;
    SigningSecret::from_bytes(opened).map_err(|error| StoreError::unreadable("secret", error))
}
