//! Public files whose folder somebody has deleted: they are written again, each once.

use uuid::Uuid;

use super::{Store, StoreError, due::DueJob, sites::regenerate_all, sql::sql};
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
        let none = Vec::<u8>::new();
        let of = sql(" WHERE gone = 0")
            .and(" AND site_id = ", site.id)
            .and(" AND locale = ", locale.as_str())
            .and(" AND hash <> ", none.clone());
        let one: Option<(i64,)> =
            self.pool.fetch_one(sql("SELECT urls FROM site_files").append(of.clone()).then(" LIMIT 1")).await?;
        if one.is_none() {
            return Ok((0, None));
        }
        let mut tx = self.pool.begin().await?;
        let files = tx.execute(sql("UPDATE site_files SET").and(" hash = ", none).append(of)).await?;
        let job = regenerate_all(&mut tx, site, now).await?;
        tx.commit().await?;
        Ok((files, job))
    }
}
