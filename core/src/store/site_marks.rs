//! What is stale of a site, until it is published again.

use std::collections::BTreeSet;

use super::{
    StoreError,
    pool::Tx,
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    site::{
        change::{Mark, Shard, Target},
        language::LanguageTag,
        settings::Site,
    },
};

/// A mark with what tells whether it has changed since it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    pub mark: Mark,
    pub(super) changes: i64,
    /// When the oldest change that is not public was accepted.
    pub oldest_at: UnixMs,
    pub newest_at: UnixMs,
}

/// A mark that has not changed since it was read.
const SAME: &str = "site_marks.locale = v.column1 AND site_marks.target = v.column2 AND site_marks.changes = v.column3";

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    locale: String,
    target: String,
    changes: i64,
    oldest_at: i64,
    newest_at: i64,
}

/// Those that a regeneration is to see to.
pub(super) fn select(site: Id<Site>) -> Sql {
    sql("SELECT locale, target, changes, oldest_at, newest_at FROM site_marks WHERE held = 0")
        .and(" AND site_id = ", site)
}

impl Row {
    pub(super) fn read(self) -> Result<Stale, StoreError> {
        let locale = self.locale.parse().map_err(|error| StoreError::unreadable("locale's tag", error))?;
        let target = self.target.parse().map_err(|error| StoreError::unreadable("mark's target", error))?;
        Ok(Stale {
            mark: (locale, target),
            changes: self.changes,
            oldest_at: UnixMs(self.oldest_at),
            newest_at: UnixMs(self.newest_at),
        })
    }
}

/// Marks what a change has made stale, each once, however often it is named.
pub(super) async fn mark(tx: &mut Tx<'_>, site: Id<Site>, marks: &[Mark], now: UnixMs) -> Result<(), StoreError> {
    let row = |(locale, target): &Mark| {
        vec![
            site.into(),
            locale.as_str().into(),
            target.to_string().into(),
            1i64.into(),
            now.into(),
            now.into(),
            0i64.into(),
        ]
    };
    // No statement takes the same row twice.
    let marks: BTreeSet<&Mark> = marks.iter().collect();
    for run in tx.dialect().runs(marks.into_iter().map(row).collect()) {
        let upsert = sql("INSERT INTO site_marks (site_id, locale, target, changes, oldest_at, newest_at, held) ")
            .rows(run)
            .then(
                " ON CONFLICT (site_id, locale, target) DO UPDATE SET changes = site_marks.changes + 1, \
                newest_at = excluded.newest_at, held = 0",
            );
        tx.execute(upsert).await?;
    }
    Ok(())
}

/// Takes marks away that were published as they were read at `read_at`. Of those that changed since, the changes that are left
/// are not older than that.
pub(super) async fn clear(tx: &mut Tx<'_>, site: Id<Site>, stale: &[Stale], read_at: UnixMs) -> Result<(), StoreError> {
    for run in tx.dialect().runs(stale.iter().map(as_read).collect()) {
        let delete = sql("DELETE FROM site_marks")
            .and(" WHERE site_id = ", site)
            .then(" AND EXISTS (SELECT 1 FROM (")
            .rows(run.clone())
            .then(") AS v WHERE ")
            .then(SAME)
            .then(")");
        tx.execute(delete).await?;
        let update = sql("UPDATE site_marks SET")
            .and(" oldest_at = ", read_at)
            .then(" FROM (")
            .rows(run)
            .then(") AS v WHERE site_marks.locale = v.column1 AND site_marks.target = v.column2")
            .and(" AND site_marks.oldest_at < ", read_at)
            .and(" AND site_marks.site_id = ", site);
        tx.execute(update).await?;
    }
    Ok(())
}

/// Keeps marks as they were read that wait for a person: their changes are not public, and nothing sees to them until there is
/// another one.
pub(super) async fn hold(tx: &mut Tx<'_>, site: Id<Site>, stale: &[Stale]) -> Result<(), StoreError> {
    for run in tx.dialect().runs(stale.iter().map(as_read).collect()) {
        let update = sql("UPDATE site_marks SET held = 1 FROM (").rows(run).then(") AS v WHERE ").then(SAME);
        tx.execute(update.and(" AND site_marks.site_id = ", site)).await?;
    }
    Ok(())
}

fn as_read(one: &Stale) -> Vec<Value> {
    let (locale, target) = &one.mark;
    vec![locale.as_str().into(), target.to_string().into(), one.changes.into()]
}

/// All that some locales of a site publish, or have published.
pub(super) async fn all_targets(tx: &mut Tx<'_>, site: &Site, of: &[&LanguageTag]) -> Result<Vec<Mark>, StoreError> {
    let select = sql("SELECT shard FROM site_shards").and(" WHERE site_id = ", site.id);
    let shards: Vec<(i64,)> = tx.fetch(select).await?;
    let mut targets: Vec<Target> = shards.into_iter().map(|(shard,)| Target::Shard(Shard::of_sql(shard))).collect();
    targets.extend([Target::News, Target::Feed, Target::Index]);
    targets.extend(site.settings.sections.iter().map(|section| Target::Section(section.key.clone())));
    let select = sql("SELECT DISTINCT target FROM site_files WHERE target LIKE 'section/%' AND gone = 0");
    for (target,) in tx.fetch::<(String,)>(select.and(" AND site_id = ", site.id)).await? {
        // Also those of sections that are the site's no more.
        let target = target.parse().map_err(|error| StoreError::unreadable("file's target", error))?;
        if !site.settings.has(&target) {
            targets.push(target);
        }
    }
    Ok(of.iter().flat_map(|tag| targets.iter().map(|target| ((*tag).clone(), target.clone()))).collect())
}
