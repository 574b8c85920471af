//! What is set for lanes that are no endpoint's. An endpoint's lane follows its endpoint.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    Scope, StoreError,
    jobs::small,
    pool::{Pool, Tx},
    sql::{Sql, sql},
    tenants::touch_lane,
};
use crate::domain::{
    Id, UnixMs,
    lane::{LaneName, LaneSettings},
    limits::LANES_PER_TENANT_MAX,
    tenant::Tenant,
};

/// What came of setting a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum LaneSet {
    Done(LaneSettings),
    /// The tenant has settings of as many lanes as it may.
    TooMany,
    /// The caller did not want to change what is set now.
    Refused,
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    paused: i64,
    concurrency_max: Option<i64>,
    rate_per_second: Option<i64>,
    settings_epoch: i64,
}

const COLUMNS: &str = "SELECT name, paused, concurrency_max, rate_per_second, settings_epoch FROM lanes";

impl Row {
    fn read(self) -> Result<(LaneName, LaneSettings), StoreError> {
        let settings = LaneSettings {
            concurrency_max: self.concurrency_max.map(small),
            rate_per_second: self.rate_per_second.map(small),
            ordered: false,
            paused: self.paused != 0,
        };
        let name = self.name.parse().map_err(|error| StoreError::unreadable("lane's name", error))?;
        Ok((name, settings))
    }
}

impl Scope<'_> {
    /// Lanes that something is set for, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lanes_set(&self) -> Result<Vec<(LaneName, LaneSettings)>, StoreError> {
        let select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).then(" ORDER BY name");
        let rows: Vec<Row> = self.store.pool.fetch(select.and(" LIMIT ", LANES_PER_TENANT_MAX)).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// What is set for a lane; the defaults where nothing is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lane_settings(&self, name: &LaneName) -> Result<LaneSettings, StoreError> {
        let row: Option<Row> = self.store.pool.fetch_one(self.one_lane(name)).await?;
        Ok(row.map(Row::read).transpose()?.map_or_else(|| name.usual_settings(), |(_, settings)| settings))
    }

    /// Sets what `change` makes of a lane's settings, and answers with them; `None` refuses. Of a lane with the defaults nothing
    /// is kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change_lane(
        &self,
        name: &LaneName,
        now: UnixMs,
        change: impl FnOnce(&LaneSettings) -> Option<LaneSettings> + Send,
    ) -> Result<LaneSet, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        // Whoever sets the same lane waits here, also where nothing is set for it yet.
        let usual = name.usual_settings();
        let place = self.row_of(name, &usual, now).then(" ON CONFLICT (tenant_id, name) DO NOTHING");
        let is_new = tx.execute(place).await? > 0;
        let lock = tx.for_update();
        let row: Option<Row> = tx.fetch_one(self.one_lane(name).then(lock)).await?;
        if is_new {
            let count = sql("SELECT COUNT(*) FROM lanes").and(" WHERE tenant_id = ", self.tenant);
            let lanes = tx.fetch_one::<(i64,)>(count).await?.map_or(0, |(lanes,)| lanes);
            if lanes > i64::from(LANES_PER_TENANT_MAX) {
                return Ok(LaneSet::TooMany);
            }
        }
        let before = row.map(Row::read).transpose()?.map_or_else(|| usual.clone(), |(_, settings)| settings);
        let Some(settings) = change(&before) else { return Ok(LaneSet::Refused) };
        if settings == before {
            return Ok(LaneSet::Done(settings));
        }
        match settings == usual {
            true => {
                let delete = sql("DELETE FROM lanes").and(" WHERE tenant_id = ", self.tenant);
                tx.execute(delete.and(" AND name = ", name.as_str())).await?;
            }
            false => self.keep_lane(&mut tx, name, &settings, now).await?,
        }
        let change = (Some(told(&before)), Some(told(&settings)));
        self.note(&mut tx, "lane.update", name.to_string(), change).await?;
        touch_lane(&mut tx, self.tenant, name).await?;
        tx.commit().await?;
        self.store.directory.doubt(self.tenant);
        Ok(LaneSet::Done(settings))
    }

    async fn keep_lane(
        &self,
        tx: &mut Tx<'_>,
        name: &LaneName,
        settings: &LaneSettings,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let upsert = self.row_of(name, settings, now).then(
            " ON CONFLICT (tenant_id, name) DO UPDATE SET paused = excluded.paused, \
                concurrency_max = excluded.concurrency_max, rate_per_second = excluded.rate_per_second, \
                updated_at = excluded.updated_at",
        );
        tx.execute(upsert).await.map(drop)
    }

    /// The clock gives it an epoch before the commit.
    fn row_of(&self, name: &LaneName, settings: &LaneSettings, now: UnixMs) -> Sql {
        sql("INSERT INTO lanes (tenant_id, name, paused, concurrency_max, rate_per_second, settings_epoch, updated_at) VALUES (")
            .list(vec![
                self.tenant.into(),
                name.as_str().into(),
                i64::from(settings.paused).into(),
                settings.concurrency_max.into(),
                settings.rate_per_second.into(),
                0i64.into(),
                now.into(),
            ])
            .then(")")
    }

    fn one_lane(&self, name: &LaneName) -> Sql {
        sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND name = ", name.as_str())
    }
}

/// As the audit log has them.
fn told(settings: &LaneSettings) -> Value {
    let LaneSettings { concurrency_max, rate_per_second, paused, .. } = settings;
    json!({ "paused": paused, "concurrency_max": concurrency_max, "rate_per_second": rate_per_second })
}

/// The settings of lanes that are known, brought up to date: by those that changed after the epoch of the last of them, or,
/// where some have none any more, by all that have. Answers with the epoch too; `None` where nothing has changed.
pub(super) async fn news(
    pool: &Pool,
    tenant: Id<Tenant>,
    known: &HashMap<LaneName, LaneSettings>,
    since: Option<i64>,
) -> Result<Option<(HashMap<LaneName, LaneSettings>, Option<i64>)>, StoreError> {
    let (changed, epoch) = changes(pool, tenant, since).await?;
    if known.is_empty() && changed.is_empty() {
        return Ok(None);
    }
    let mut lanes = known.clone();
    let is_same = changed.is_empty();
    lanes.extend(changed);
    // A row that is gone has no epoch: it is told by their number.
    let count = sql("SELECT COUNT(*) FROM lanes").and(" WHERE tenant_id = ", tenant);
    let rows = pool.fetch_one::<(i64,)>(count).await?.map_or(0, |(rows,)| rows);
    if usize::try_from(rows).is_ok_and(|rows| rows == lanes.len()) {
        return Ok(Some((lanes, epoch)).filter(|_| !is_same));
    }
    let (all, latest) = changes(pool, tenant, None).await?;
    Ok(Some((all.into_iter().collect(), latest.max(epoch))))
}

/// Lanes of a tenant whose settings changed after an epoch, and the epoch of the last of them.
async fn changes(
    pool: &Pool,
    tenant: Id<Tenant>,
    since: Option<i64>,
) -> Result<(Vec<(LaneName, LaneSettings)>, Option<i64>), StoreError> {
    let select = sql(COLUMNS).and(" WHERE tenant_id = ", tenant).and(" AND settings_epoch > ", since.unwrap_or(-1));
    let rows: Vec<Row> = pool.fetch(select).await?;
    let epoch = rows.iter().map(|row| row.settings_epoch).max().max(since);
    Ok((rows.into_iter().map(Row::read).collect::<Result<_, _>>()?, epoch))
}
