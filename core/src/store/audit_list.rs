//! The audit log by who, what and about which id. No index leads to these: a page looks at the newest entries, up to a
//! bound, and the next one goes on from there.

use super::{
    Listed, Page, Scope, Store, StoreError,
    audit::{AuditEntry, COLUMNS, Row},
    jobs::like,
    sql::{Sql, sql},
};

/// Entries that one page looks at where some are asked for.
const LOOKED_AT_MAX: u32 = 10_000;

/// Which entries a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The whole name of a user.
    pub actor: Option<String>,
    /// What an action's name begins with, as `dead_letter` or `dead_letter.replay`.
    pub action: Option<String>,
    /// A whole id or name.
    pub subject: Option<String>,
}

impl Store {
    /// What was done to the installation's things: its users.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn installation_audit(
        &self,
        filter: &AuditFilter,
        page: &Page<AuditEntry>,
    ) -> Result<Listed<AuditEntry, AuditEntry>, StoreError> {
        self.audit(&|select: Sql| select.then(" WHERE tenant_id IS NULL"), filter, page).await
    }

    async fn audit(
        &self,
        of: &(dyn Fn(Sql) -> Sql + Send + Sync),
        filter: &AuditFilter,
        page: &Page<AuditEntry>,
    ) -> Result<Listed<AuditEntry, AuditEntry>, StoreError> {
        let floor = match *filter == AuditFilter::default() {
            true => None,
            false => page.last_within(&self.pool, of(sql("SELECT id FROM audit_log")), "id", LOOKED_AT_MAX).await?,
        };
        let mut select = filter.finish(of(sql(COLUMNS)));
        if let Some(floor) = floor {
            select = select.and(" AND id >= ", floor);
        }
        let rows: Vec<Row> = self.pool.fetch(page.finish(select, "id")).await?;
        let entries = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        let listed = page.cut(entries, |entry: &AuditEntry| entry.id);
        Ok(Listed { next: listed.next.or(floor), ..listed })
    }
}

impl Scope<'_> {
    /// What was done to this tenant's things.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        page: &Page<AuditEntry>,
    ) -> Result<Listed<AuditEntry, AuditEntry>, StoreError> {
        let tenant = self.tenant;
        self.store.audit(&|select: Sql| select.and(" WHERE tenant_id = ", tenant), filter, page).await
    }
}

impl AuditFilter {
    fn finish(&self, mut select: Sql) -> Sql {
        if let Some(actor) = &self.actor {
            select = select.and(" AND actor = ", actor.as_str());
        }
        if let Some(action) = &self.action {
            // `like` is for a part anywhere; this is for the beginning.
            let begin = like(action).trim_start_matches('%').to_owned();
            select = select.and(" AND action LIKE ", begin).then(" ESCAPE '\\'");
        }
        if let Some(subject) = &self.subject {
            select = select.and(" AND subject = ", subject.as_str());
        }
        select
    }
}
