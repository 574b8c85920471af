//! What time alone makes stale of sites.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    DueJob, Store, StoreError,
    pool::Tx,
    site_marks::mark,
    sites::{self, see_to_it},
    sql::sql,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    site::{change::Mark, settings::Site},
};

/// Timers that are looked at together.
const TIMERS: u32 = 1_000;

#[derive(sqlx::FromRow)]
struct Row {
    site_id: Uuid,
    locale: String,
    target: String,
    due_at: i64,
}

impl Store {
    /// Has marks be made at a time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn set_site_timers(&self, site: Id<Site>, timers: &[(Mark, UnixMs)]) -> Result<(), StoreError> {
        if timers.is_empty() {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        set_timers(&mut tx, site, timers).await?;
        tx.commit().await
    }

    /// Marks what has become stale by time, and has jobs see to it. Answers with them, and whether there is more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ring_site_timers(&self, now: UnixMs) -> Result<(Vec<DueJob>, bool), StoreError> {
        let select = sql("SELECT site_id, locale, target, due_at FROM site_timers").and(" WHERE due_at <= ", now);
        let rows: Vec<Row> = self.pool.fetch(select.then(" ORDER BY due_at").and(" LIMIT ", TIMERS)).await?;
        let more = rows.len() == TIMERS as usize;
        let mut sites: BTreeMap<Uuid, Vec<Row>> = BTreeMap::new();
        for row in rows {
            sites.entry(row.site_id).or_default().push(row);
        }
        let mut jobs = Vec::new();
        for (site, rows) in sites {
            jobs.extend(self.ring(Id::from_uuid(site), &rows, now).await?);
        }
        Ok((jobs, more))
    }

    async fn ring(&self, site: Id<Site>, rows: &[Row], now: UnixMs) -> Result<Option<DueJob>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let select = sql(sites::COLUMNS).and(" WHERE id = ", site).then(tx.for_update());
        let found: Option<sites::Row> = tx.fetch_one(select).await?;
        let Some(found) = found.map(sites::Row::read).transpose()? else { return Ok(None) };
        let mut marks = Vec::with_capacity(rows.len());
        for row in rows {
            let locale = row.locale.parse().map_err(|error| StoreError::unreadable("locale's tag", error))?;
            let target = row.target.parse().map_err(|error| StoreError::unreadable("timer's target", error))?;
            marks.push((locale, target));
        }
        marks.sort();
        marks.dedup();
        mark(&mut tx, site, &marks, now).await?;
        let row = |row: &Row| -> Vec<Value> {
            vec![row.locale.as_str().into(), row.target.as_str().into(), row.due_at.into()]
        };
        for run in tx.dialect().runs(rows.iter().map(row).collect()) {
            let delete = sql("DELETE FROM site_timers").and(" WHERE site_id = ", site);
            let of_these = ") AS v WHERE site_timers.locale = v.column1 AND site_timers.target = v.column2 \
                AND site_timers.due_at = v.column3)";
            tx.execute(delete.then(" AND EXISTS (SELECT 1 FROM (").rows(run).then(of_these)).await?;
        }
        let job = see_to_it(&mut tx, &found, now).await?;
        tx.commit().await?;
        Ok(job)
    }
}

/// Has something be stale at a time.
pub(super) async fn set_timers(tx: &mut Tx<'_>, site: Id<Site>, timers: &[(Mark, UnixMs)]) -> Result<(), StoreError> {
    let row = |((locale, target), at): &(Mark, UnixMs)| -> Vec<Value> {
        vec![site.into(), locale.as_str().into(), target.to_string().into(), (*at).into()]
    };
    for run in tx.dialect().runs(timers.iter().map(row).collect()) {
        let insert = sql("INSERT INTO site_timers (site_id, locale, target, due_at) ").rows(run);
        tx.execute(insert.then(" ON CONFLICT (site_id, locale, target, due_at) DO NOTHING")).await?;
    }
    Ok(())
}
