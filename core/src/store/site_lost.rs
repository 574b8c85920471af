//! Public files whose folder somebody has deleted: they are written again, each once.

use uuid::Uuid;

use super::{
    Store, StoreError,
    due::DueJob,
    pool::Tx,
    site_marks::{all_targets, mark},
    sites::see_to_it,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    site::{language::LanguageTag, settings::Site},
};

/// Places that are looked at with one statement.
const PLACES: u32 = 500;

/// Where a locale's files are found, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalePlace {
    pub base: String,
    pub site: Id<Site>,
    pub locale: LanguageTag,
}

impl Store {
    /// Some places of all sites' locales, in order and after one of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn locale_places(&self, after: Option<&LocalePlace>) -> Result<Vec<LocalePlace>, StoreError> {
        let select = sql("SELECT base, site_id, locale FROM site_locales WHERE left_at IS NULL");
        let select = match after {
            Some(place) => select.and(" AND base > ", place.base.as_str()),
            None => select,
        };
        let rows: Vec<(String, Uuid, String)> =
            self.pool.fetch(select.then(" ORDER BY base").and(" LIMIT ", PLACES)).await?;
        let read = |(base, site, locale): (String, Uuid, String)| {
            let locale = locale.parse().map_err(|error| StoreError::unreadable("locale's tag", error))?;
            Ok(LocalePlace { base, site: Id::from_uuid(site), locale })
        };
        rows.into_iter().map(read).collect()
    }

    /// Has a locale's public files written again, though they come out as they were, and answers with how many these are. Those
    /// that are about to be written anyway are none of them, so that nothing is asked for twice.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rewrite_locale(
        &self,
        site: &Site,
        locale: &LanguageTag,
        now: UnixMs,
    ) -> Result<(u64, Option<DueJob>), StoreError> {
        if !self.knows_files(site, locale).await? {
            return Ok((0, None));
        }
        let mut tx = self.pool.begin().await?;
        let files = forget(&mut tx, site, locale, now).await?;
        let job = if files > 0 { see_to_it(&mut tx, site, now).await? } else { None };
        tx.commit().await?;
        Ok((files, job))
    }

    /// As [`Self::rewrite_locale`], by the regeneration that asks.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_locale(&self, site: &Site, locale: &LanguageTag, now: UnixMs) -> Result<u64, StoreError> {
        if !self.knows_files(site, locale).await? {
            return Ok(0);
        }
        let mut tx = self.pool.begin().await?;
        let files = forget(&mut tx, site, locale, now).await?;
        tx.commit().await?;
        Ok(files)
    }

    /// Nothing is locked for a locale of which nothing is public.
    async fn knows_files(&self, site: &Site, locale: &LanguageTag) -> Result<bool, StoreError> {
        let select = sql("SELECT urls FROM site_files").append(known_files(site, locale)).then(" LIMIT 1");
        Ok(self.pool.fetch_one::<(i64,)>(select).await?.is_some())
    }
}

fn known_files(site: &Site, locale: &LanguageTag) -> Sql {
    let of = sql(" WHERE gone = 0").and(" AND site_id = ", site.id).and(" AND locale = ", locale.as_str());
    of.and(" AND hash <> ", Vec::<u8>::new())
}

/// Forgets what is known of a locale's public files, and marks all that it publishes. The site's row is locked until the commit, as
/// whoever commits files has it.
async fn forget(tx: &mut Tx<'_>, site: &Site, locale: &LanguageTag, now: UnixMs) -> Result<u64, StoreError> {
    let lock = tx.for_update();
    tx.fetch::<(i64,)>(sql("SELECT run FROM sites").and(" WHERE id = ", site.id).then(lock)).await?;
    let update = sql("UPDATE site_files SET").and(" hash = ", Vec::<u8>::new());
    let files = tx.execute(update.append(known_files(site, locale))).await?;
    if files > 0 {
        let marks = all_targets(tx, site, &[locale]).await?;
        mark(tx, site.id, &marks, now).await?;
    }
    Ok(files)
}
