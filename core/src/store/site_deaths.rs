//! Dead letters of regenerations that nobody has to see to any more. What a regeneration is to do is not in its arguments but in
//! its site's marks, so that another one does it.

use uuid::Uuid;

use super::{
    Store, StoreError,
    dead_letters::discard,
    sql::{Sql, sql},
};
use crate::domain::{
    UnixMs,
    dead_letter::Cause,
    lane::LaneName,
    site::{change::rest_after_deaths, settings::Site},
};

/// Dead letters that are closed at once.
const ROWS: u32 = 500;
const REASON: &str = "a later regeneration of the site did what this one was to do";
/// Open, and of a site of which nothing waits that was accepted before the regeneration died: it is public, or held, or the site is
/// gone. The index of these alone finds them.
const DONE: &str = "SELECT d.id FROM dead_letters d WHERE d.state = 'open' AND d.kind = 'site.regenerate' AND NOT EXISTS (\
    SELECT 1 FROM sites s JOIN site_marks m ON m.site_id = s.id \
    WHERE s.tenant_id = d.tenant_id AND 'site:' || s.slug = d.lane AND m.oldest_at <= d.created_at)";

impl Store {
    /// Discards the dead letters of regenerations whose work others have done. One of a site that ends every process which makes
    /// it, or that cannot be published, stays open. Answers with how many there were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn close_dead_regenerations(&self, now: UnixMs) -> Result<u64, StoreError> {
        let done: Vec<(Uuid,)> = self.pool.fetch(sql(DONE).and(" LIMIT ", ROWS)).await?;
        if done.is_empty() {
            return Ok(0);
        }
        let update = discard(REASON, now).then(" WHERE state = 'open' AND id").any(done.into_iter().map(|(id,)| id));
        self.pool.execute(update).await
    }
}

/// How many regenerations of a site in a row have ended all processes that made them, and when the last did.
pub(super) type Deaths = (i64, Option<i64>);

pub(super) fn deaths(site: &Site) -> Sql {
    sql("SELECT COUNT(*), MAX(created_at) FROM dead_letters WHERE state = 'open' AND kind = 'site.regenerate'")
        .and(" AND cause = ", Cause::WorkersLost.as_str())
        .and(" AND tenant_id = ", site.tenant_id)
        .and(" AND lane = ", LaneName::of_site(&site.slug).as_str())
}

/// Until when a site is left alone that ends whatever makes it, or nobody else's work would go on.
pub(super) fn rests_until(deaths: Option<Deaths>) -> Option<UnixMs> {
    let (count, last) = deaths?;
    Some(UnixMs(last?) + rest_after_deaths(u32::try_from(count).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn dead_regenerations_are_found_by_the_index_of_these_alone() {
        let plan = sqlite_plan(sql(DONE)).await;
        assert!(plan.contains("INDEX dead_letters_of_sites"), "{plan}");
    }
}
