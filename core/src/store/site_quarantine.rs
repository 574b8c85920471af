//! Translations that are not published, and why: the list of them, and those whose address turned out to be another page's
//! when their sitemap was made.

use std::collections::{BTreeMap, HashSet};

use super::{DueJob, Scope, Store, StoreError, site_marks::mark, sites::see_to_it, sql::sql, value::Value};
use crate::{
    domain::{
        Id, UnixMs,
        site::{
            change::{Mark, Shard, Target},
            settings::Site,
        },
    },
    site::Double,
};

/// Rows that one page of the list looks at, where not all of them are asked for.
const LOOKED_AT: u32 = 10_000;
/// The part of a translation that is at fault where its address is another page's.
const FIELD: &str = "url";

/// A translation that is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub key: String,
    /// As it was handed in.
    pub locale: String,
    pub field: String,
    pub reason: String,
    pub since: UnixMs,
}

/// Which of them are wanted, in the order of keys and locales.
#[derive(Clone, Debug, Default)]
pub struct QuarantinePage {
    pub locale: Option<String>,
    pub field: Option<String>,
    /// Those that come after this key and locale.
    pub after: Option<[String; 2]>,
    /// Rows at most.
    pub limit: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    locale: String,
    field: String,
    reason: String,
    since: i64,
}

impl Scope<'_> {
    /// A page of what is quarantined, and where the next one begins. One that is shorter than its limit and has a next one was
    /// cut off by what may be looked at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn quarantined(
        &self,
        site: &Site,
        page: &QuarantinePage,
    ) -> Result<(Vec<Quarantine>, Option<[String; 2]>), StoreError> {
        let mut select =
            sql("SELECT key, locale, field, reason, since FROM site_quarantine").and(" WHERE site_id = ", site.id);
        if let Some([key, locale]) = &page.after {
            select = select.and(" AND (key, locale) > (", key.as_str()).and(", ", locale.as_str()).then(")");
        }
        let is_filtered = page.locale.is_some() || page.field.is_some();
        let looked_at = if is_filtered { LOOKED_AT } else { page.limit.saturating_add(1) };
        let rows: Vec<Row> =
            self.store.pool.fetch(select.then(" ORDER BY key, locale").and(" LIMIT ", looked_at)).await?;
        let is_cut_off = rows.len() == looked_at as usize;
        let last = rows.last().filter(|_| is_cut_off).map(|row| [row.key.clone(), row.locale.clone()]);
        let is_meant = |row: &Row| {
            page.locale.as_ref().is_none_or(|locale| row.locale == *locale)
                && page.field.as_ref().is_none_or(|field| row.field == *field)
        };
        let mut found: Vec<Quarantine> = rows.into_iter().filter(is_meant).map(Row::read).collect();
        let is_more = found.len() > page.limit as usize;
        found.truncate(page.limit as usize);
        let next = match found.last() {
            Some(row) if is_more => Some([row.key.clone(), row.locale.clone()]),
            _ => last,
        };
        Ok((found, next))
    }
}

impl Row {
    fn read(self) -> Quarantine {
        let Self { key, locale, field, reason, since } = self;
        Quarantine { key, locale, field, reason, since: UnixMs(since) }
    }
}

impl Store {
    /// Keeps which translations of a shard's pages have addresses of other pages, in place of what was kept. Where that is
    /// another than before, the shard's sitemaps are stale in all locales, since their alternates are. Answers with the job
    /// that makes them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_doubles(
        &self,
        site: &Site,
        (shard, keys): (Shard, &[String]),
        doubles: &[Double],
        now: UnixMs,
    ) -> Result<Option<DueJob>, StoreError> {
        let told = |double: &Double| ((double.key.clone(), double.locale.to_string()), double.reason());
        let after: BTreeMap<(String, String), String> = doubles.iter().map(told).collect();
        let before = self.doubles_of(site.id, keys).await?;
        if before == after {
            return Ok(None);
        }
        let mut tx = self.pool.begin().await?;
        let lock = tx.for_update();
        tx.fetch::<(i64,)>(sql("SELECT run FROM sites").and(" WHERE id = ", site.id).then(lock)).await?;
        let gone = before.keys().filter(|one| !after.contains_key(*one));
        let gone: Vec<Vec<Value>> =
            gone.map(|(key, locale)| vec![key.as_str().into(), locale.as_str().into()]).collect();
        for run in tx.dialect().runs(gone) {
            let delete =
                sql("DELETE FROM site_quarantine").and(" WHERE site_id = ", site.id).and(" AND field = ", FIELD);
            let these = ") AS v WHERE site_quarantine.key = v.column1 AND site_quarantine.locale = v.column2)";
            tx.execute(delete.then(" AND EXISTS (SELECT 1 FROM (").rows(run).then(these)).await?;
        }
        let row = |((key, locale), reason): (&(String, String), &String)| -> Vec<Value> {
            let [key, locale, reason] = [key, locale, reason].map(|text| Value::from(text.as_str()));
            vec![site.id.into(), key, locale, FIELD.into(), reason, now.into()]
        };
        for run in tx.dialect().runs(after.iter().map(row).collect()) {
            let insert = sql("INSERT INTO site_quarantine (site_id, key, locale, field, reason, since) ").rows(run);
            let upsert = " ON CONFLICT (site_id, key, locale) DO UPDATE SET reason = excluded.reason";
            tx.execute(insert.then(upsert)).await?;
        }
        let marks: Vec<Mark> =
            site.settings.locales.iter().map(|locale| (locale.tag.clone(), Target::Shard(shard))).collect();
        mark(&mut tx, site.id, &marks, now).await?;
        let job = see_to_it(&mut tx, site, now).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// What was quarantined of pages although it was taken: that is only so where its address is another page's.
    async fn doubles_of(
        &self,
        site: Id<Site>,
        keys: &[String],
    ) -> Result<BTreeMap<(String, String), String>, StoreError> {
        let any = sql("SELECT 1 FROM site_quarantine").and(" WHERE site_id = ", site).then(" LIMIT 1");
        if self.pool.fetch_one::<(i32,)>(any).await?.is_none() {
            return Ok(BTreeMap::new());
        }
        let mut found = BTreeMap::new();
        for run in self.pool.dialect().runs(keys.iter().map(String::as_str).collect()) {
            let select = sql("SELECT q.key, q.locale, q.reason, p.links FROM site_quarantine q JOIN site_pages p \
                ON p.site_id = q.site_id AND p.key = q.key")
            .and(" WHERE q.site_id = ", site)
            .and(" AND q.field = ", FIELD)
            .then(" AND q.key")
            .any(run);
            for (key, locale, reason, links) in self.pool.fetch::<(String, String, String, Vec<u8>)>(select).await? {
                let links = super::site_pages::read_links(&links)?;
                let tags: HashSet<&str> = links.iter().map(|link| link.locale.as_str()).collect();
                if tags.contains(locale.as_str()) {
                    found.insert((key, locale), reason);
                }
            }
        }
        Ok(found)
    }
}
