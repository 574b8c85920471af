//! Sitemaps that lost so many addresses at once that a person is asked first. What was public before stays public.

use serde_json::json;

use super::{
    DueJob, Scope, Store, StoreError,
    pool::Tx,
    site_marks::{Stale, mark},
    sites::see_to_it,
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    site::{change::Mark, settings::Site},
};

/// Sitemaps of one locale and target that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub mark: Mark,
    /// Addresses that are public.
    pub urls_before: u32,
    /// Addresses that would be.
    pub urls_after: u32,
    pub since: UnixMs,
    /// Somebody has said that so many are right.
    pub confirmed: bool,
}

impl Hold {
    /// Addresses that all of them would have.
    #[must_use]
    pub fn urls_after_of(holds: &[Self]) -> u64 {
        holds.iter().map(|hold| u64::from(hold.urls_after)).sum()
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    locale: String,
    target: String,
    urls_before: i64,
    urls_after: i64,
    since: i64,
    confirmed: i64,
}

impl Row {
    fn read(self) -> Result<Hold, StoreError> {
        let locale = self.locale.parse().map_err(|error| StoreError::unreadable("locale's tag", error))?;
        let target = self.target.parse().map_err(|error| StoreError::unreadable("hold's target", error))?;
        Ok(Hold {
            mark: (locale, target),
            urls_before: u32::try_from(self.urls_before).unwrap_or(0),
            urls_after: u32::try_from(self.urls_after).unwrap_or(0),
            since: UnixMs(self.since),
            confirmed: self.confirmed != 0,
        })
    }
}

/// What came of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfirmedSite {
    /// So many sitemaps are about to be published, and the job that sees to it, where none waited.
    Done(usize, Option<DueJob>),
    /// Nothing was confirmed: this is held now, and it is not what was seen.
    Changed(Vec<Hold>),
}

impl Store {
    /// # Errors
    /// When the database does not answer.
    pub async fn site_holds(&self, site: Id<Site>) -> Result<Vec<Hold>, StoreError> {
        self.pool.fetch::<Row>(select(site)).await?.into_iter().map(Row::read).collect()
    }
}

impl Scope<'_> {
    /// Says that all that is held of a site is right, so that it is made again and published; unless it is not what whoever says
    /// so has seen.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn confirm_site(
        &self,
        site: &Site,
        now: UnixMs,
        is_seen: impl Fn(&[Hold]) -> bool,
    ) -> Result<ConfirmedSite, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        tx.fetch::<(i64,)>(sql("SELECT run FROM sites").and(" WHERE id = ", site.id).then(lock)).await?;
        let holds: Vec<Row> = tx.fetch(select(site.id)).await?;
        let holds: Vec<Hold> = holds.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        if !is_seen(&holds) {
            return Ok(ConfirmedSite::Changed(holds));
        }
        tx.execute(sql("UPDATE site_holds SET confirmed = 1").and(" WHERE site_id = ", site.id)).await?;
        let noted = json!({ "sitemaps": holds.len(), "urls_after": Hold::urls_after_of(&holds) });
        let marks: Vec<Mark> = holds.into_iter().map(|hold| hold.mark).collect();
        mark(&mut tx, site.id, &marks, now).await?;
        let job = if marks.is_empty() { None } else { see_to_it(&mut tx, site, now).await? };
        self.note(&mut tx, "site.confirm", site.slug.to_string(), Some(noted)).await?;
        tx.commit().await?;
        Ok(ConfirmedSite::Done(marks.len(), job))
    }
}

fn select(site: Id<Site>) -> Sql {
    let columns = "SELECT locale, target, urls_before, urls_after, since, confirmed FROM site_holds";
    sql(columns).and(" WHERE site_id = ", site).then(" ORDER BY locale, target")
}

/// Keeps what is held, and forgets holds of what was published.
pub(super) async fn hold(
    tx: &mut Tx<'_>,
    site: Id<Site>,
    held: &[Hold],
    published: &[Stale],
) -> Result<(), StoreError> {
    let key = |Stale { mark: (locale, target), .. }: &Stale| -> Vec<Value> {
        vec![locale.as_str().into(), target.to_string().into()]
    };
    for run in tx.dialect().runs(published.iter().map(key).collect()) {
        let delete = sql("DELETE FROM site_holds").and(" WHERE site_id = ", site);
        let of_these = ") AS v WHERE site_holds.locale = v.column1 AND site_holds.target = v.column2)";
        tx.execute(delete.then(" AND EXISTS (SELECT 1 FROM (").rows(run).then(of_these)).await?;
    }
    let row = |hold: &Hold| -> Vec<Value> {
        let (locale, target) = &hold.mark;
        vec![
            site.into(),
            locale.as_str().into(),
            target.to_string().into(),
            hold.urls_before.into(),
            hold.urls_after.into(),
            hold.since.into(),
            0i64.into(),
        ]
    };
    for run in tx.dialect().runs(held.iter().map(row).collect()) {
        let insert = "INSERT INTO site_holds (site_id, locale, target, urls_before, urls_after, since, confirmed) ";
        // What somebody has said while it was made is of the same number, or of another one than this.
        let upsert = sql(insert).rows(run).then(
            " ON CONFLICT (site_id, locale, target) DO UPDATE SET urls_before = excluded.urls_before, \
                urls_after = excluded.urls_after, confirmed = CASE \
                    WHEN site_holds.urls_after = excluded.urls_after THEN site_holds.confirmed ELSE 0 END",
        );
        tx.execute(upsert).await?;
    }
    Ok(())
}
