//! What regenerations made public of each locale: from the first file that changed to the moment at which all of it was read
//! back in public, which is when the clock of its changes stops.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;

use super::{
    DueJob, NewJob, PublicFile, Scope, SiteRun, Stale, Store, StoreError, jobs, pool::Tx, sql::sql, value::Value,
};
use crate::domain::{
    Id, UnixMs,
    id::Identified,
    job::JobKind,
    lane::LaneName,
    retry::{RetryBackoff, RetrySchedule},
    site::{language::LanguageTag, settings::Site},
};

/// One locale's share of a regeneration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePublication {
    pub id: Id<Self>,
    pub locale: LanguageTag,
    /// When the oldest change in it was accepted.
    pub accepted_at: UnixMs,
    /// When all of it was in its place.
    pub published_at: Option<UnixMs>,
    /// When it was read back in public.
    pub read_at: Option<UnixMs>,
    /// Files that changed, addresses and items in them, and their bytes before compression.
    pub files: u64,
    pub urls: u64,
    pub bytes: u64,
}

impl Identified for SitePublication {
    const PREFIX: &'static str = "pub";
}

/// A file that a publication changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFile {
    pub name: String,
    pub bytes: u64,
    pub urls: u32,
    pub gone: bool,
    /// SHA-256 before compression of what is public under the name now; `None` where nothing is any more.
    pub hash: Option<Vec<u8>>,
}

/// How long changes of a locale waited, over its last publications that were read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    pub p50: Duration,
    pub p95: Duration,
    pub max: Duration,
    pub publications: usize,
}

/// The clock of one locale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    pub locale: LanguageTag,
    /// When the oldest change was accepted that is not known to be public.
    pub waiting_since: Option<UnixMs>,
    pub last_read_at: Option<UnixMs>,
    pub waited: Waited,
}

/// Publications that a locale's clock is judged by.
const LAST: u32 = 200;
/// What could not be read back within this time is another's to mend, and its clock stops.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
const SELECT: &str = "SELECT id, locale, accepted_at, published_at, read_at, files, urls, bytes FROM site_publications";
/// Publications that are removed at once.
const REMOVED_ROWS: u32 = 500;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    locale: String,
    accepted_at: i64,
    published_at: Option<i64>,
    read_at: Option<i64>,
    files: i64,
    urls: i64,
    bytes: i64,
}

#[derive(sqlx::FromRow)]
struct FileRow {
    name: String,
    bytes: i64,
    urls: i64,
    gone: i64,
    hash: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct Waiting {
    locale: String,
    since: i64,
}

impl Row {
    pub(super) fn read(self) -> Result<SitePublication, StoreError> {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(SitePublication {
            id: Id::from_uuid(self.id),
            locale: tag(&self.locale)?,
            accepted_at: UnixMs(self.accepted_at),
            published_at: self.published_at.map(UnixMs),
            read_at: self.read_at.map(UnixMs),
            files: count(self.files),
            urls: count(self.urls),
            bytes: count(self.bytes),
        })
    }
}

fn tag(text: &str) -> Result<LanguageTag, StoreError> {
    text.parse().map_err(|error| StoreError::unreadable("locale's tag", error))
}

/// How often and when an announcement is tried: a CDN may take its time, and a person too.
#[must_use]
pub fn announcement_retries() -> RetrySchedule {
    let backoff = RetryBackoff { base_seconds: 1.0, factor: 1.6, cap_seconds: 120.0, retries: 40 };
    RetrySchedule::exponential(backoff).unwrap_or_default()
}

/// Adds what a part of a regeneration changed to the publications of its locales: with it these marks became public.
pub(super) async fn add(
    tx: &mut Tx<'_>,
    run: &SiteRun,
    changed: &[PublicFile],
    public: &[Stale],
) -> Result<(), StoreError> {
    let mut files: Vec<Vec<Value>> = Vec::new();
    let mut sums: BTreeMap<&LanguageTag, (i64, i64, i64)> = BTreeMap::new();
    for file in changed {
        let Some(id) = run.publication(&file.locale) else { continue };
        let (bytes, urls) = (i64::try_from(file.bytes).unwrap_or(i64::MAX), i64::from(file.urls));
        let sum = sums.entry(&file.locale).or_default();
        let there = i64::from(!file.gone);
        *sum = (sum.0 + 1, sum.1 + urls * there, sum.2 + bytes * there);
        files.push(vec![id.into(), file.name.as_str().into(), bytes.into(), urls.into(), i64::from(file.gone).into()]);
    }
    let row = |(locale, (files, urls, bytes)): (&LanguageTag, (i64, i64, i64))| {
        let stale = public.iter().filter(|stale| stale.mark.0 == *locale);
        let accepted_at = stale.map(|stale| stale.oldest_at).min().unwrap_or(run.read_at);
        vec![
            run.publication(locale).into(),
            run.site.into(),
            locale.as_str().into(),
            run.number().into(),
            accepted_at.into(),
            files.into(),
            urls.into(),
            bytes.into(),
        ]
    };
    for rows in tx.dialect().runs(sums.into_iter().map(row).collect()) {
        let insert = "INSERT INTO site_publications (id, site_id, locale, run, accepted_at, files, urls, bytes) ";
        let upsert = sql(insert).rows(rows).then(
            " ON CONFLICT (id) DO UPDATE SET files = site_publications.files + excluded.files, \
                urls = site_publications.urls + excluded.urls, bytes = site_publications.bytes + excluded.bytes, \
                accepted_at = CASE WHEN excluded.accepted_at < site_publications.accepted_at \
                    THEN excluded.accepted_at ELSE site_publications.accepted_at END",
        );
        tx.execute(upsert).await?;
    }
    for rows in tx.dialect().runs(files) {
        let insert = sql("INSERT INTO site_publication_files (publication_id, name, bytes, urls, gone) ").rows(rows);
        let again = " ON CONFLICT (publication_id, name) DO UPDATE SET bytes = excluded.bytes, urls = excluded.urls, \
            gone = excluded.gone";
        tx.execute(insert.then(again)).await?;
    }
    Ok(())
}

impl Store {
    /// Says that all is in its place that this regeneration, or one before it that came to no end, has published. Answers with
    /// the jobs that read it back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_site_run(&self, site: &Site, run: &SiteRun, now: UnixMs) -> Result<Vec<DueJob>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let end = sql("UPDATE site_publications SET")
            .and(" published_at = ", now)
            .and(" WHERE published_at IS NULL AND read_at IS NULL AND run <= ", run.number())
            .and(" AND site_id = ", site.id)
            .then(" RETURNING id");
        let ended: Vec<(Uuid,)> = tx.fetch(end).await?;
        let new: Vec<NewJob> = ended.into_iter().map(|(id,)| announcement(site, Id::from_uuid(id), now)).collect();
        let rows = new.iter().map(|job| (site.tenant_id, job, now)).collect();
        let insert = jobs::insert(tx.dialect(), rows);
        tx.execute_all(insert).await?;
        tx.commit().await?;
        Ok(new.iter().map(|job| job.due(site.tenant_id)).collect())
    }

    /// A publication with its site's id; `None` where either is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_publication(
        &self,
        id: Id<SitePublication>,
    ) -> Result<Option<(Id<Site>, SitePublication)>, StoreError> {
        let select = sql("SELECT site_id FROM site_publications").and(" WHERE id = ", id);
        let Some((site,)) = self.pool.fetch_one::<(Uuid,)>(select).await? else { return Ok(None) };
        let row: Option<Row> = self.pool.fetch_one(sql(SELECT).and(" WHERE id = ", id)).await?;
        Ok(row.map(Row::read).transpose()?.map(|publication| (Id::from_uuid(site), publication)))
    }

    /// The files that a publication changed, with what is public now under their names.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn published_files(&self, id: Id<SitePublication>) -> Result<Vec<PublishedFile>, StoreError> {
        let select = sql("SELECT f.name, f.bytes, f.urls, f.gone, \
                CASE WHEN s.gone = 0 THEN s.hash ELSE NULL END AS hash \
            FROM site_publication_files f JOIN site_publications p ON p.id = f.publication_id \
            LEFT JOIN site_files s ON s.site_id = p.site_id AND s.locale = p.locale AND s.name = f.name")
        .and(" WHERE f.publication_id = ", id);
        let rows: Vec<FileRow> = self.pool.fetch(select.then(" ORDER BY f.name DESC")).await?;
        let file = |row: FileRow| PublishedFile {
            name: row.name,
            bytes: u64::try_from(row.bytes).unwrap_or(0),
            urls: u32::try_from(row.urls).unwrap_or(0),
            gone: row.gone != 0,
            hash: row.hash.filter(|hash| !hash.is_empty()),
        };
        Ok(rows.into_iter().map(file).collect())
    }

    /// Stops the clock of a publication.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn was_read_back(&self, id: Id<SitePublication>, at: UnixMs) -> Result<(), StoreError> {
        let update = sql("UPDATE site_publications SET").and(" read_at = ", at).and(" WHERE id = ", id);
        self.pool.execute(update.then(" AND read_at IS NULL")).await?;
        Ok(())
    }

    /// Since when each locale waits whose changes are not all known to be public.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_waiting(&self, site: Id<Site>, now: UnixMs) -> Result<BTreeMap<LanguageTag, UnixMs>, StoreError> {
        let unread = sql("SELECT locale, MIN(accepted_at) AS since FROM site_publications")
            .and(" WHERE read_at IS NULL AND site_id = ", site)
            .and(" AND (published_at IS NULL OR published_at > ", now - GIVEN_UP)
            .then(") GROUP BY locale");
        let stale = sql("SELECT locale, MIN(oldest_at) AS since FROM site_marks")
            .and(" WHERE site_id = ", site)
            .then(" GROUP BY locale");
        let mut waiting = BTreeMap::new();
        for select in [unread, stale] {
            for row in self.pool.fetch::<Waiting>(select).await? {
                let since = waiting.entry(tag(&row.locale)?).or_insert(UnixMs(row.since));
                *since = UnixMs(row.since).min(*since);
            }
        }
        Ok(waiting)
    }

    /// The clocks of a site's locales, in their order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_clocks(&self, site: &Site, now: UnixMs) -> Result<Vec<Clock>, StoreError> {
        let waiting = self.site_waiting(site.id, now).await?;
        let mut clocks = Vec::new();
        for locale in &site.settings.locales {
            let select = sql("SELECT read_at, read_at - accepted_at FROM site_publications")
                .and(" WHERE read_at IS NOT NULL AND site_id = ", site.id)
                .and(" AND locale = ", locale.tag.as_str())
                .then(" ORDER BY id DESC")
                .and(" LIMIT ", LAST);
            let rows: Vec<(i64, i64)> = self.pool.fetch(select).await?;
            clocks.push(Clock {
                locale: locale.tag.clone(),
                waiting_since: waiting.get(&locale.tag).copied(),
                last_read_at: rows.iter().map(|(at, _)| UnixMs(*at)).max(),
                waited: waited(rows.into_iter().map(|(_, waited)| u64::try_from(waited).unwrap_or(0)).collect()),
            });
        }
        Ok(clocks)
    }

    /// Forgets publications of before. Answers with how many it were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn remove_site_publications(&self, before: UnixMs) -> Result<u64, StoreError> {
        let old = sql("SELECT id FROM site_publications").and(" WHERE id < ", Id::<SitePublication>::at(before, 0));
        let delete = sql("DELETE FROM site_publications WHERE id IN (").append(old.and(" LIMIT ", REMOVED_ROWS));
        self.pool.execute(delete.then(")")).await
    }
}

impl Scope<'_> {
    /// What was published of a site, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_publications(
        &self,
        site: &Site,
        locale: Option<&LanguageTag>,
        page: &super::Page<SitePublication>,
    ) -> Result<super::Listed<SitePublication, SitePublication>, StoreError> {
        let mut select = sql(SELECT).and(" WHERE site_id = ", site.id);
        if let Some(locale) = locale {
            select = select.and(" AND locale = ", locale.as_str());
        }
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let publications = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(publications, |one: &SitePublication| one.id))
    }
}

fn announcement(site: &Site, publication: Id<SitePublication>, now: UnixMs) -> NewJob {
    let (lane, args) = (LaneName::of_announcements(&site.slug), publication.to_string().into_bytes());
    NewJob {
        max_attempts: announcement_retries().max_attempts(),
        ..NewJob::plain(JobKind::SiteAnnounce, lane, args, now)
    }
}

fn waited(mut millis: Vec<u64>) -> Waited {
    millis.sort_unstable();
    let at = |part: usize| {
        let place = (millis.len() * part).div_ceil(100).saturating_sub(1);
        Duration::from_millis(millis.get(place).copied().unwrap_or(0))
    };
    Waited { p50: at(50), p95: at(95), max: at(100), publications: millis.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_waited_no_longer_than_the_median() {
        let of = |millis: &[u64]| {
            let waited = waited(millis.to_vec());
            (waited.p50.as_millis(), waited.p95.as_millis(), waited.max.as_millis())
        };
        assert_eq!(of(&[]), (0, 0, 0));
        assert_eq!(of(&[7]), (7, 7, 7));
        assert_eq!(of(&(1..=100).rev().collect::<Vec<_>>()), (50, 95, 100));
    }
}
