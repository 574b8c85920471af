//! What a regeneration reads of a site, and how what it has published becomes the truth.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    DueJob, Store, StoreError,
    pool::Tx,
    site_holds::{Hold, hold},
    site_marks::{self, Stale},
    site_pages::{read_links, read_translations},
    site_publications::{self, SitePublication},
    sites::{self, see_to_it},
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    site::{
        change::{Mark, Shard, Target},
        language::LanguageTag,
        page::{Link, Page, PageKey},
        settings::Site,
    },
};

/// A regeneration that has begun. One that another has overtaken writes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRun {
    pub site: Id<Site>,
    run: i64,
    /// When the marks were read: what is left of them afterwards is not older.
    pub read_at: UnixMs,
    publications: BTreeMap<LanguageTag, Id<SitePublication>>,
}

impl SiteRun {
    pub(super) const fn number(&self) -> i64 {
        self.run
    }

    /// The publication of a locale of which something was stale: one for all parts of the run.
    pub(super) fn publication(&self, locale: &LanguageTag) -> Option<Id<SitePublication>> {
        self.publications.get(locale).copied()
    }
}

/// A file that is public, or is about to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicFile {
    pub locale: LanguageTag,
    pub name: String,
    pub target: Target,
    /// SHA-256 before compression; empty where nobody knows it.
    pub hash: Vec<u8>,
    pub bytes: u64,
    pub urls: u32,
    pub changed_at: UnixMs,
    pub gone: bool,
}

/// What a part of a regeneration came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SitePart {
    pub changed: Vec<PublicFile>,
    /// Marks that are seen to: what was made for them is public, or held.
    pub cleared: Vec<Stale>,
    pub held: Vec<Hold>,
}

/// Nothing was written: another regeneration of the site has begun since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken;

pub(super) const FILE_COLUMNS: &str = ", locale, name, target, hash, bytes, urls, changed_at, gone FROM site_files";

/// Where a page stands among those of its site: when it was published last, and its key.
pub type PagePlace = (UnixMs, PageKey);

#[derive(sqlx::FromRow)]
struct LatestRow {
    key: String,
    latest_at: i64,
    links: Vec<u8>,
    texts: Vec<u8>,
}

#[derive(sqlx::FromRow)]
pub(super) struct FileRow {
    locale: String,
    name: String,
    target: String,
    hash: Vec<u8>,
    bytes: i64,
    urls: i64,
    changed_at: i64,
    gone: i64,
}

impl FileRow {
    pub(super) fn read(self) -> Result<PublicFile, StoreError> {
        Ok(PublicFile {
            locale: self.locale.parse().map_err(|error| StoreError::unreadable("locale's tag", error))?,
            name: self.name,
            target: self.target.parse().map_err(|error| StoreError::unreadable("file's target", error))?,
            hash: self.hash,
            bytes: u64::try_from(self.bytes).unwrap_or(0),
            urls: u32::try_from(self.urls).unwrap_or(0),
            changed_at: UnixMs(self.changed_at),
            gone: self.gone != 0,
        })
    }
}

/// A page of which the links are read when they are needed.
#[derive(Debug)]
pub struct KeptPage {
    pub key: String,
    links: Vec<u8>,
}

impl KeptPage {
    #[must_use]
    pub const fn links_bytes(&self) -> usize {
        self.links.len()
    }

    /// # Errors
    /// When they cannot be read.
    pub fn links(&self) -> Result<Vec<Link>, StoreError> {
        read_links(&self.links)
    }
}

impl Store {
    /// Of one kind of file, what is stale of a site now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_stale_of(&self, site: Id<Site>, target: &Target) -> Result<Vec<Stale>, StoreError> {
        let select = site_marks::select(site).and(" AND target = ", target.to_string());
        let rows: Vec<site_marks::Row> = self.pool.fetch(select).await?;
        rows.into_iter().map(site_marks::Row::read).collect()
    }

    /// How much is stale of a site now, without what waits for a person.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_stale_count(&self, site: Id<Site>) -> Result<u64, StoreError> {
        let count = sql("SELECT COUNT(*) FROM site_marks WHERE held = 0").and(" AND site_id = ", site);
        let count: Option<(i64,)> = self.pool.fetch_one(count).await?;
        Ok(count.map_or(0, |(count,)| u64::try_from(count).unwrap_or(0)))
    }

    /// When the oldest and the newest change were accepted that no regeneration has seen to.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_stale_between(&self, site: Id<Site>) -> Result<Option<(UnixMs, UnixMs)>, StoreError> {
        let select =
            sql("SELECT MIN(oldest_at), MAX(newest_at) FROM site_marks WHERE held = 0").and(" AND site_id = ", site);
        let row: Option<(Option<i64>, Option<i64>)> = self.pool.fetch_one(select).await?;
        Ok(row.and_then(|(oldest, newest)| oldest.zip(newest)).map(|(oldest, newest)| (UnixMs(oldest), UnixMs(newest))))
    }

    /// Begins a regeneration of all that is stale, of the site as it is set now; `None` where there is none any more. Changes that
    /// come after this make a job of their own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_site_run(
        &self,
        id: Id<Site>,
        now: UnixMs,
    ) -> Result<Option<(Site, SiteRun, Vec<Stale>)>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let begin = sql("UPDATE sites SET job_id = NULL, run = run + 1").and(", run_at = ", now);
        let begin = begin.and(" WHERE id = ", id).then(" RETURNING run");
        let Some((run,)) = tx.fetch_one::<(i64,)>(begin).await? else { return Ok(None) };
        let row: Option<sites::Row> = tx.fetch_one(sql(sites::COLUMNS).and(" WHERE id = ", id)).await?;
        let Some(site) = row.map(sites::Row::read).transpose()? else { return Ok(None) };
        leave_out(&mut tx, &site, now).await?;
        let rows: Vec<site_marks::Row> = tx.fetch(site_marks::select(id)).await?;
        tx.commit().await?;
        let stale: Vec<Stale> = rows.into_iter().map(site_marks::Row::read).collect::<Result<_, _>>()?;
        let publications = stale.iter().map(|stale| (stale.mark.0.clone(), Id::new())).collect();
        Ok(Some((site, SiteRun { site: id, run, read_at: now, publications }, stale)))
    }

    /// Whether a site has any page.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_site_pages(&self, site: Id<Site>) -> Result<bool, StoreError> {
        let select = sql("SELECT shard FROM site_pages").and(" WHERE site_id = ", site).then(" LIMIT 1");
        Ok(self.pool.fetch_one::<(i64,)>(select).await?.is_some())
    }

    /// The pages of a shard, in the order of their keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn shard_pages(&self, site: Id<Site>, shard: Shard) -> Result<Vec<KeptPage>, StoreError> {
        let select = sql("SELECT key, links FROM site_pages")
            .and(" WHERE site_id = ", site)
            .and(" AND shard = ", shard.to_sql());
        let rows: Vec<(String, Vec<u8>)> = self.pool.fetch(select.then(" ORDER BY key")).await?;
        Ok(rows.into_iter().map(|(key, links)| KeptPage { key, links }).collect())
    }

    /// Pages in the order of their last publication, newest first, after one of them. Answers with the place of the last, too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn latest_pages(
        &self,
        site: Id<Site>,
        after: Option<PagePlace>,
        limit: u32,
    ) -> Result<(Vec<Page>, Option<PagePlace>), StoreError> {
        let mut select = sql("SELECT key, latest_at, links, texts FROM site_pages").and(" WHERE site_id = ", site);
        if let Some((at, key)) = after {
            select = select.and(" AND (latest_at, key) < (", at).and(", ", key.as_str()).then(")");
        }
        let select = select.then(" ORDER BY latest_at DESC, key DESC").and(" LIMIT ", limit);
        let (mut pages, mut last) = (Vec::new(), None);
        for row in self.pool.fetch::<LatestRow>(select).await? {
            let key: PageKey = row.key.parse().map_err(|error| StoreError::unreadable("page's key", error))?;
            last = Some((UnixMs(row.latest_at), key.clone()));
            pages.push(Page { key, translations: read_translations(&row.links, &row.texts)? });
        }
        Ok((pages, last))
    }

    /// The files of a site that are public or about to go: those made for one of these targets.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_files(&self, site: Id<Site>, of: &[Target]) -> Result<Vec<PublicFile>, StoreError> {
        let select = files_of(site).then(" AND target").any(of.iter().map(ToString::to_string));
        self.read_files(select).await
    }

    /// The files of a locale that are public or about to go.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn locale_files(&self, site: Id<Site>, locale: &LanguageTag) -> Result<Vec<PublicFile>, StoreError> {
        self.read_files(files_of(site).and(" AND locale = ", locale.as_str())).await
    }

    async fn read_files(&self, select: Sql) -> Result<Vec<PublicFile>, StoreError> {
        let rows: Vec<FileRow> = self.pool.fetch(select.then(" ORDER BY locale, name")).await?;
        rows.into_iter().map(FileRow::read).collect()
    }

    /// Makes what was published the truth: files that changed, and marks that are done. Where files of sitemaps changed, the
    /// index of their locale is stale.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn commit_site_part(&self, run: &SiteRun, part: &SitePart) -> Result<Result<(), Overtaken>, StoreError> {
        let SitePart { changed, cleared, held } = part;
        let mut tx = self.pool.begin().await?;
        let is_current = is_current(&mut tx, run).await?;
        let rows = changed.iter().map(|file| file_row(run.site, file, is_current)).collect();
        for part in tx.dialect().runs(rows) {
            let insert = "INSERT INTO site_files (site_id, locale, name, target, hash, bytes, urls, changed_at, gone) ";
            let upsert = sql(insert).rows(part).then(
                " ON CONFLICT (site_id, locale, name) DO UPDATE SET target = excluded.target, hash = excluded.hash, \
                    bytes = excluded.bytes, urls = excluded.urls, changed_at = excluded.changed_at, gone = excluded.gone",
            );
            tx.execute(upsert).await?;
        }
        let stale: Vec<Mark> = match is_current {
            true => changed.iter().filter_map(stale_index).collect(),
            // What was written may have replaced what the other run wrote.
            false => changed.iter().map(|file| (file.locale.clone(), file.target.clone())).collect(),
        };
        site_marks::mark(&mut tx, run.site, &stale, run.read_at).await?;
        if is_current {
            let is_held = |stale: &Stale| held.iter().any(|hold| hold.mark == stale.mark);
            let (waiting, public): (Vec<Stale>, Vec<Stale>) = cleared.iter().cloned().partition(is_held);
            site_marks::clear(&mut tx, run.site, &public, run.read_at).await?;
            site_marks::hold(&mut tx, run.site, &waiting).await?;
            site_publications::add(&mut tx, run, changed, &public).await?;
            hold(&mut tx, run.site, held, &public).await?;
        }
        tx.commit().await?;
        Ok(if is_current { Ok(()) } else { Err(Overtaken) })
    }

    /// Makes a job for what is stale of a site that [`Self::unattended_sites`] has named.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn attend_site(&self, site: &Site, now: UnixMs) -> Result<Option<DueJob>, StoreError> {
        let mut tx = self.pool.begin().await?;
        tx.execute(sql("UPDATE sites SET job_id = NULL").and(" WHERE id = ", site.id)).await?;
        let job = see_to_it(&mut tx, site, now).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Sites with something stale and no job that will run: their job died, or was cancelled.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unattended_sites(&self) -> Result<Vec<Id<Site>>, StoreError> {
        let select = sql(
            "SELECT s.id FROM sites s WHERE EXISTS (SELECT 1 FROM site_marks m WHERE m.site_id = s.id AND m.held = 0) \
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.state = 'pending' AND j.tenant_id = s.tenant_id \
                AND j.lane = 'site:' || s.slug)",
        );
        let rows: Vec<(Uuid,)> = self.pool.fetch(select).await?;
        Ok(rows.into_iter().map(|(id,)| Id::from_uuid(id)).collect())
    }
}

fn files_of(site: Id<Site>) -> Sql {
    sql("SELECT site_id").then(FILE_COLUMNS).and(" WHERE site_id = ", site)
}

/// Of locales that are the site's no more, files are about to go and nothing is stale.
async fn leave_out(tx: &mut Tx<'_>, site: &Site, now: UnixMs) -> Result<(), StoreError> {
    let of_others = |statement: Sql| {
        let tags = site.settings.locales.iter().map(|locale| locale.tag.as_str());
        statement.and(" WHERE site_id = ", site.id).then(" AND NOT (locale").any(tags).then(")")
    };
    tx.execute(of_others(sql("UPDATE site_files SET gone = 1").and(", changed_at = ", now)).then(" AND gone = 0"))
        .await?;
    tx.execute(of_others(sql("DELETE FROM site_marks"))).await?;
    tx.execute(of_others(sql("DELETE FROM site_holds"))).await?;
    Ok(())
}

/// Locks the site's row, so that no other run begins before the commit.
async fn is_current(tx: &mut Tx<'_>, run: &SiteRun) -> Result<bool, StoreError> {
    let select = sql("SELECT run FROM sites").and(" WHERE id = ", run.site).then(tx.for_update());
    let current: Option<(i64,)> = tx.fetch_one(select).await?;
    Ok(current.is_some_and(|(current,)| current == run.run))
}

fn file_row(site: Id<Site>, file: &PublicFile, is_current: bool) -> Vec<Value> {
    // What an overtaken run wrote is known to nobody.
    let hash = if is_current { file.hash.clone() } else { Vec::new() };
    vec![
        site.into(),
        file.locale.as_str().into(),
        file.name.as_str().into(),
        file.target.to_string().into(),
        hash.into(),
        i64::try_from(file.bytes).unwrap_or(i64::MAX).into(),
        file.urls.into(),
        file.changed_at.into(),
        i64::from(file.gone).into(),
    ]
}

fn stale_index(file: &PublicFile) -> Option<Mark> {
    matches!(file.target, Target::Shard(_) | Target::News).then(|| (file.locale.clone(), Target::Index))
}
