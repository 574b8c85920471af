//! Endpoints and their secrets.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Scope, Store, StoreError,
    changed::Changed,
    pool::{Pool, Tx},
    secrets::insert_secret,
    sql::{Sql, sql},
    tenants::touch_settings,
    vapid,
};
use crate::domain::{
    Id, UnixMs,
    endpoint::{Endpoint, EndpointSettings, EndpointState},
    signature::SigningSecret,
    tenant::Tenant,
};

/// A change of an endpoint's state by its owner, an operator or a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointChange {
    pub state: EndpointState,
    /// In words for the owner; `None` when there is nothing to explain.
    pub reason: Option<String>,
    pub now: UnixMs,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    tenant_id: Uuid,
    settings: String,
    state: String,
    state_since: i64,
    state_reason: Option<String>,
    failing_since: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

pub(super) const COLUMNS: &str =
    "id, tenant_id, settings, state, state_since, state_reason, failing_since, created_at, updated_at";

/// Which endpoints have somewhere to deliver to.
pub(super) const TAKES_DELIVERIES: &str = "deleted_at IS NULL AND state <> 'disabled'";

pub(super) fn select() -> Sql {
    sql("SELECT ").then(COLUMNS).then(" FROM endpoints")
}

/// One endpoint of a tenant, where it is not deleted.
pub(super) fn select_live(tenant: Id<Tenant>, id: Id<Endpoint>) -> Sql {
    select().and(" WHERE deleted_at IS NULL AND tenant_id = ", tenant).and(" AND id = ", id)
}

impl Row {
    pub(super) fn read(self) -> Result<Endpoint, StoreError> {
        Ok(Endpoint {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            settings: serde_json::from_str(&self.settings)
                .map_err(|error| StoreError::unreadable("endpoint's settings", error))?,
            state: self.state.parse().map_err(|error: String| StoreError::unreadable("endpoint's state", error))?,
            state_since: UnixMs(self.state_since),
            state_reason: self.state_reason,
            failing_since: self.failing_since.map(UnixMs),
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

impl Scope<'_> {
    /// Keeps a new, active endpoint with its first secret.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create_endpoint(
        &self,
        settings: &EndpointSettings,
        secret: &SigningSecret,
        now: UnixMs,
    ) -> Result<Endpoint, StoreError> {
        self.create_endpoint_as(Id::new(), settings, secret, now).await
    }

    /// As [`Self::create_endpoint`], with an id that was made before, so that what is asked for twice is made once.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is, or was, an endpoint with this id.
    pub async fn create_endpoint_as(
        &self,
        id: Id<Endpoint>,
        settings: &EndpointSettings,
        secret: &SigningSecret,
        now: UnixMs,
    ) -> Result<Endpoint, StoreError> {
        let endpoint = Endpoint {
            id,
            tenant_id: self.tenant,
            settings: settings.clone(),
            state: EndpointState::Active,
            state_since: now,
            state_reason: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.store.pool.begin().await?;
        insert(&mut tx, &endpoint).await.map_err(|error| error.or_exists("this endpoint"))?;
        insert_secret(&mut tx, &self.store.cipher, endpoint.id, secret).await?;
        let after = Some(Value::Object(settings.told()));
        self.note(&mut tx, "endpoint.create", endpoint.id.to_string(), after).await?;
        self.commit_settings(tx, endpoint.id).await?;
        Ok(endpoint)
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn endpoint(&self, id: Id<Endpoint>) -> Result<Option<Endpoint>, StoreError> {
        let row: Option<Row> = self.store.pool.fetch_one(select_live(self.tenant, id)).await?;
        row.map(Row::read).transpose()
    }

    /// Replaces an endpoint's settings by what `change` makes of them. `None` when there is no such endpoint.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_endpoint(
        &self,
        id: Id<Endpoint>,
        now: UnixMs,
        change: impl FnOnce(&mut EndpointSettings) + Send,
    ) -> Result<Option<Endpoint>, StoreError> {
        let make = |endpoint: &Endpoint| {
            let mut settings = endpoint.settings.clone();
            change(&mut settings);
            Some(settings)
        };
        Ok(match self.change_endpoint(id, now, make).await? {
            Changed::Done(endpoint) => Some(endpoint),
            Changed::NotFound | Changed::Refused => None,
        })
    }

    /// As [`Self::update_endpoint`], with settings that `make` makes of the endpoint as it is; `None` refuses.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change_endpoint(
        &self,
        id: Id<Endpoint>,
        now: UnixMs,
        make: impl FnOnce(&Endpoint) -> Option<EndpointSettings> + Send,
    ) -> Result<Changed<Endpoint>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        let row: Option<Row> = tx.fetch_one(select_live(self.tenant, id).then(lock)).await?;
        let Some(mut endpoint) = row.map(Row::read).transpose()? else { return Ok(Changed::NotFound) };
        let Some(settings) = make(&endpoint) else { return Ok(Changed::Refused) };
        let before = std::mem::replace(&mut endpoint.settings, settings);
        if endpoint.settings == before {
            return Ok(Changed::Done(endpoint));
        }
        // Two within a millisecond are told apart too.
        endpoint.updated_at = now.max(UnixMs(endpoint.updated_at.0 + 1));
        let update = sql("UPDATE endpoints SET")
            .and(" settings = ", write_settings(&endpoint.settings)?)
            .and(", updated_at = ", endpoint.updated_at)
            .and(" WHERE id = ", id);
        tx.execute(update).await?;
        let changed = |(before, after)| (Some(Value::Object(before)), Some(Value::Object(after)));
        if let Some(changed) = before.changed(&endpoint.settings).map(changed) {
            self.note(&mut tx, "endpoint.update", id.to_string(), changed).await?;
        }
        self.commit_settings(tx, id).await?;
        Ok(Changed::Done(endpoint))
    }

    /// Sets an endpoint's state where it is one of `from`. Answers with the endpoint as it is afterwards. What changes nothing
    /// is not noted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change_endpoint_state(
        &self,
        id: Id<Endpoint>,
        from: &[EndpointState],
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        // Before it is changed it is asked only for what is noted of somebody.
        let before: Option<Row> = match self.actor {
            Some(_) => tx.fetch_one(select_live(self.tenant, id).then(tx.for_update())).await?,
            None => None,
        };
        let is_so = |row: &Row| row.state == change.state.as_str() && row.state_reason == change.reason;
        if before.as_ref().is_some_and(is_so) {
            return before.map(Row::read).transpose();
        }
        let changed = change_state(&mut tx, self.tenant, id, from, change).await?;
        let row: Option<Row> = tx.fetch_one(select_live(self.tenant, id)).await?;
        if let Some((before, after)) = before.as_ref().zip(row.as_ref()).filter(|_| changed) {
            let action = if change.state == EndpointState::Active { "endpoint.resume" } else { "endpoint.pause" };
            let told = |row: &Row| match before.state == after.state {
                true => json!({ "state": row.state, "reason": row.state_reason }),
                false => json!({ "state": row.state }),
            };
            self.note(&mut tx, action, id.to_string(), (Some(told(before)), Some(told(after)))).await?;
        }
        // Whoever changes an endpoint locks its row before the clock's. The clock of a change that was none would be locked
        // first, and two such calls would wait for each other.
        if changed {
            self.commit_settings(tx, id).await?;
        }
        row.map(Row::read).transpose()
    }

    /// Deletes an endpoint: it gets nothing more, and its address stays only in what was recorded.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_endpoint(&self, id: Id<Endpoint>, now: UnixMs) -> Result<bool, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let deleted = sql("UPDATE endpoints SET")
            .and(" deleted_at = ", now)
            .and(" WHERE deleted_at IS NULL AND tenant_id = ", self.tenant)
            .and(" AND id = ", id)
            .then(" RETURNING ")
            .then(COLUMNS);
        let row: Option<Row> = tx.fetch_one(deleted).await?;
        let found = row.is_some();
        if let Some(row) = row {
            tx.execute(sql("DELETE FROM endpoint_secrets").and(" WHERE endpoint_id = ", id)).await?;
            let before = Some(Value::Object(row.read()?.settings.told()));
            self.note(&mut tx, "endpoint.delete", id.to_string(), (before, None)).await?;
            self.commit_settings(tx, id).await?;
        }
        Ok(found)
    }

    pub(super) async fn commit_settings(&self, mut tx: Tx<'_>, changed: Id<Endpoint>) -> Result<(), StoreError> {
        touch_settings(&mut tx, &[(self.tenant, changed)]).await?;
        tx.commit().await?;
        self.store.directory.doubt(self.tenant);
        Ok(())
    }
}

impl Store {
    /// Ids of encryption keys that secrets are sealed with and that are not among those configured.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn missing_keys(&self) -> Result<Vec<String>, StoreError> {
        let mut ids = sealing_keys(&self.pool).await?;
        ids.extend(vapid::sealing_keys(&self.pool).await?);
        ids.retain(|id| !self.cipher.knows(id));
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Endpoints whose every attempt has failed since before `before`, to be disabled.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failing_since_before(&self, before: UnixMs) -> Result<Vec<Endpoint>, StoreError> {
        let select = select()
            .then(" WHERE state = 'failing' AND deleted_at IS NULL")
            .and(" AND failing_since < ", before)
            .then(" LIMIT 100");
        self.pool.fetch::<Row>(select).await?.into_iter().map(Row::read).collect()
    }
}

/// Ids of the encryption keys that secrets are sealed with.
pub(super) async fn sealing_keys(pool: &Pool) -> Result<Vec<String>, StoreError> {
    let ids: Vec<(String,)> = pool.fetch(sql("SELECT DISTINCT key_id FROM endpoint_secrets")).await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

/// Sets the state of an endpoint that is in one of `from`. False where it was not.
pub(super) async fn change_state(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    id: Id<Endpoint>,
    from: &[EndpointState],
    change: &EndpointChange,
) -> Result<bool, StoreError> {
    let failing_since = (change.state == EndpointState::Failing).then_some(change.now);
    let update = sql("UPDATE endpoints SET")
        .and(" state = ", change.state.as_str())
        .and(", state_since = ", change.now)
        .and(", state_reason = ", change.reason.clone())
        .and(", failing_since = COALESCE(", failing_since)
        .then(", failing_since)")
        .and(" WHERE deleted_at IS NULL AND tenant_id = ", tenant)
        .and(" AND id = ", id)
        .then(" AND state IN (")
        .list(from.iter().map(|state| state.as_str().into()).collect())
        .then(")");
    Ok(tx.execute(update).await? > 0)
}

/// The clock gives it an epoch before the commit.
pub(super) async fn insert(tx: &mut Tx<'_>, endpoint: &Endpoint) -> Result<(), StoreError> {
    let insert =
        sql("INSERT INTO endpoints (id, tenant_id, settings, state, state_since, state_reason, failing_since, \
        settings_epoch, created_at, updated_at) VALUES (")
        .list(vec![
            endpoint.id.into(),
            endpoint.tenant_id.into(),
            write_settings(&endpoint.settings)?.into(),
            endpoint.state.as_str().into(),
            endpoint.state_since.into(),
            endpoint.state_reason.clone().into(),
            endpoint.failing_since.into(),
            0i64.into(),
            endpoint.created_at.into(),
            endpoint.updated_at.into(),
        ])
        .then(")");
    tx.execute(insert).await.map(drop)
}

fn write_settings(settings: &EndpointSettings) -> Result<String, StoreError> {
    serde_json::to_string(settings).map_err(|error| StoreError::unreadable("endpoint's settings", error))
}
