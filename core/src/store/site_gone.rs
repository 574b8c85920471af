//! Files of sites that are about to be removed: no index names them any more.

use uuid::Uuid;

use super::{
    Store, StoreError,
    site_build::{FILE_COLUMNS, FileRow, PublicFile},
    sql::sql,
    value::Value,
};
use crate::domain::{Id, UnixMs, site::settings::Site};

/// A file that no index names any more, and whose it is.
pub type GoneFile = (Id<Site>, PublicFile);

/// Files that are removed at once.
const GONE_ROWS: u32 = 500;

#[derive(sqlx::FromRow)]
struct GoneRow {
    site_id: Uuid,
    #[sqlx(flatten)]
    file: FileRow,
}

impl Store {
    /// Some files that no index has named since `before`, the longest first and after one of them, without those for which something
    /// is stale: they may be on their way back, and lie in their places before anything here says so.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn gone_site_files(&self, before: UnixMs, after: Option<&GoneFile>) -> Result<Vec<GoneFile>, StoreError> {
        let select = sql("SELECT site_id").then(FILE_COLUMNS).and(" WHERE gone = 1 AND changed_at < ", before);
        let mut select = select.then(
            " AND NOT EXISTS (SELECT 1 FROM site_marks m WHERE m.site_id = site_files.site_id \
                AND m.locale = site_files.locale AND m.target = site_files.target)",
        );
        if let Some((site, file)) = after {
            select = select
                .and(" AND (changed_at, site_id, locale, name) > (", file.changed_at)
                .and(", ", *site)
                .and(", ", file.locale.as_str())
                .and(", ", file.name.as_str())
                .then(")");
        }
        let select = select.then(" ORDER BY changed_at, site_id, locale, name").and(" LIMIT ", GONE_ROWS);
        let rows: Vec<GoneRow> = self.pool.fetch(select).await?;
        rows.into_iter().map(|row| Ok((Id::from_uuid(row.site_id), row.file.read()?))).collect()
    }

    /// Forgets files that were removed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_site_files(&self, site: Id<Site>, gone: &[PublicFile]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let row = |file: &PublicFile| -> Vec<Value> { vec![file.locale.as_str().into(), file.name.as_str().into()] };
        for run in tx.dialect().runs(gone.iter().map(row).collect()) {
            let delete = sql("DELETE FROM site_files WHERE gone = 1")
                .and(" AND site_id = ", site)
                .then(" AND EXISTS (SELECT 1 FROM (")
                .rows(run)
                .then(") AS v WHERE site_files.locale = v.column1 AND site_files.name = v.column2)");
            tx.execute(delete).await?;
        }
        tx.commit().await
    }
}
