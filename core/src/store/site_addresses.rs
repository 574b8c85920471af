//! Addresses of which something changed, until search engines are told (IndexNow).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Store, StoreError,
    pool::Tx,
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    site::{language::LanguageTag, settings::Site},
};

impl Store {
    /// Paths that search engines are still to be told of, of what changed until then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changed_addresses(
        &self,
        site: Id<Site>,
        locale: &LanguageTag,
        until: UnixMs,
    ) -> Result<Vec<String>, StoreError> {
        let select = addresses("SELECT path FROM site_addresses", site, locale, until);
        let rows: Vec<(String,)> = self.pool.fetch(select.then(" ORDER BY path")).await?;
        Ok(rows.into_iter().map(|(path,)| path).collect())
    }

    /// Forgets those that [`Self::changed_addresses`] has named.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_addresses(
        &self,
        site: Id<Site>,
        locale: &LanguageTag,
        until: UnixMs,
    ) -> Result<(), StoreError> {
        self.pool.execute(addresses("DELETE FROM site_addresses", site, locale, until)).await?;
        Ok(())
    }
}

/// Has search engines be told of addresses of which something changed.
pub(super) async fn note_addresses(
    tx: &mut Tx<'_>,
    site: Id<Site>,
    changed: &BTreeSet<(LanguageTag, String, UnixMs)>,
) -> Result<(), StoreError> {
    let newest: BTreeMap<(&str, &str), UnixMs> =
        changed.iter().map(|(locale, path, at)| ((locale.as_str(), path.as_str()), *at)).collect();
    let row = |((locale, path), at): ((&str, &str), UnixMs)| -> Vec<Value> {
        vec![site.into(), locale.into(), path.into(), at.into()]
    };
    for rows in tx.dialect().runs(newest.into_iter().map(row).collect()) {
        let insert = sql("INSERT INTO site_addresses (site_id, locale, path, changed_at) ").rows(rows);
        let again = " ON CONFLICT (site_id, locale, path) DO UPDATE SET changed_at = excluded.changed_at";
        tx.execute(insert.then(again)).await?;
    }
    Ok(())
}

fn addresses(verb: &'static str, site: Id<Site>, locale: &LanguageTag, until: UnixMs) -> Sql {
    sql(verb).and(" WHERE site_id = ", site).and(" AND locale = ", locale.as_str()).and(" AND changed_at <= ", until)
}
