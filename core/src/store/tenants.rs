//! Tenants, and the settings' clock.

use super::{Listed, Page, Store, StoreError, connect::soon, pool::Tx, sql::sql};
use crate::domain::{
    Id, UnixMs,
    endpoint::Endpoint,
    lane::LaneName,
    limits::PAGE_ROWS_MAX,
    tenant::{DEFAULT_TENANT, Tenant, TenantSlug},
};

#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    slug: String,
    name: String,
    created_at: i64,
}

const COLUMNS: &str = "SELECT id, slug, name, created_at FROM tenants";

impl Row {
    fn read(self) -> Result<Tenant, StoreError> {
        Ok(Tenant {
            id: Id::from_uuid(self.id),
            slug: self.slug.parse().map_err(|error| StoreError::unreadable("tenant's slug", error))?,
            name: self.name,
            created_at: UnixMs(self.created_at),
        })
    }
}

impl Store {
    /// # Errors
    /// [`StoreError::Exists`] when the slug is taken.
    pub async fn create_tenant(&self, slug: &TenantSlug, name: &str, now: UnixMs) -> Result<Tenant, StoreError> {
        let tenant = Tenant { id: Id::new(), slug: slug.clone(), name: name.to_owned(), created_at: now };
        let insert = sql("INSERT INTO tenants (id, slug, name, settings_epoch, portal_epoch, created_at) VALUES (")
            .list(vec![tenant.id.into(), slug.as_str().into(), name.into(), 0i64.into(), 0i64.into(), now.into()])
            .then(")");
        self.pool.execute(insert).await.map_err(|error| error.or_exists("a tenant with this slug"))?;
        Ok(tenant)
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn tenants(&self, page: &Page<Tenant>) -> Result<Listed<Tenant, Tenant>, StoreError> {
        let rows: Vec<Row> = self.pool.fetch(page.finish(sql(COLUMNS).then(" WHERE 1 = 1"), "id")).await?;
        let tenants = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(tenants, |tenant: &Tenant| tenant.id))
    }

    /// The tenants with these ids, or all, by slug; 250 at most.
    pub(super) async fn tenants_by_slug(&self, ids: Option<&[Id<Tenant>]>) -> Result<Vec<Tenant>, StoreError> {
        let select = match ids {
            Some(ids) => sql(COLUMNS).then(" WHERE id").any(ids.iter().copied()),
            None => sql(COLUMNS),
        };
        let select = select.then(" ORDER BY slug").and(" LIMIT ", PAGE_ROWS_MAX);
        self.pool.fetch::<Row>(select).await?.into_iter().map(Row::read).collect()
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn tenant_by_slug(&self, slug: &TenantSlug) -> Result<Option<Tenant>, StoreError> {
        let row: Option<Row> = soon(self.pool.fetch_one(sql(COLUMNS).and(" WHERE slug = ", slug.as_str()))).await?;
        row.map(Row::read).transpose()
    }

    /// The tenant that every installation has, made at the first start.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn default_tenant(&self, now: UnixMs) -> Result<Tenant, StoreError> {
        let slug: TenantSlug =
            DEFAULT_TENANT.parse().map_err(|error| StoreError::unreadable("tenant's slug", error))?;
        if let Some(tenant) = self.tenant_by_slug(&slug).await? {
            return Ok(tenant);
        }
        match self.create_tenant(&slug, "Default", now).await {
            Err(StoreError::Exists(_)) => {
                self.tenant_by_slug(&slug).await?.ok_or_else(|| StoreError::unreadable("tenant", "default is missing"))
            }
            made => made,
        }
    }
}

/// Moves the settings' clock on for endpoints, within the transaction that changes them, after it has. The clock's row
/// is locked until the commit, so that epochs become visible in their order.
pub(super) async fn touch_settings(tx: &mut Tx<'_>, changed: &[(Id<Tenant>, Id<Endpoint>)]) -> Result<(), StoreError> {
    let epoch = tick(tx).await?;
    for run in tx.dialect().runs(changed.to_vec()) {
        let touch =
            |table: &'static str| sql("UPDATE ").then(table).and(" SET settings_epoch = ", epoch).then(" WHERE id");
        tx.execute(touch("tenants").any(run.iter().map(|(tenant, _)| *tenant))).await?;
        tx.execute(touch("endpoints").any(run.iter().map(|(_, endpoint)| *endpoint))).await?;
    }
    Ok(())
}

/// As [`touch_settings`], for a lane that is no endpoint's.
pub(super) async fn touch_lane(tx: &mut Tx<'_>, tenant: Id<Tenant>, lane: &LaneName) -> Result<(), StoreError> {
    let epoch = tick(tx).await?;
    tx.execute(sql("UPDATE tenants SET").and(" settings_epoch = ", epoch).and(" WHERE id = ", tenant)).await?;
    let touch = sql("UPDATE lanes SET").and(" settings_epoch = ", epoch).and(" WHERE tenant_id = ", tenant);
    tx.execute(touch.and(" AND name = ", lane.as_str())).await.map(drop)
}

async fn tick(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let tick = sql("UPDATE settings_clock SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch");
    let Some((epoch,)) = tx.fetch_one::<(i64,)>(tick).await? else {
        return Err(StoreError::unreadable("settings' clock", "its row is missing"));
    };
    Ok(epoch)
}
