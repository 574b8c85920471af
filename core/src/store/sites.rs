//! Sites: what their owners set, and where each locale is.

use std::cmp::Reverse;

use uuid::Uuid;

use super::{
    Listed, NewJob, Page, Scope, Store, StoreError,
    due::{self, DueJob},
    jobs,
    pool::Tx,
    site_deaths::{deaths, rests_until},
    site_marks::{all_targets, mark},
    sql::sql,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    job::JobKind,
    lane::LaneName,
    site::{
        change::{QUIET, publishing_retries},
        language::LanguageTag,
        settings::{Site, SiteSettings, SiteSlug},
    },
};

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    slug: String,
    settings: String,
    created_at: i64,
    updated_at: i64,
}

/// Places that a site's locales have left, at most: the last ones.
const PLACES_LEFT_MAX: usize = 256;
pub(super) const COLUMNS: &str = "SELECT id, tenant_id, slug, settings, created_at, updated_at FROM sites";

impl Row {
    pub(super) fn read(self) -> Result<Site, StoreError> {
        Ok(Site {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            slug: self.slug.parse().map_err(|error| StoreError::unreadable("site's slug", error))?,
            settings: serde_json::from_str(&self.settings)
                .map_err(|error| StoreError::unreadable("site's settings", error))?,
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

/// What sees to a site that somebody has asked to be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regeneration {
    /// A new job, to be offered.
    Made(DueJob),
    /// One that was to wait for longer, since the site is left alone, and is due at once; a queue may hold it as it was.
    Hastened(DueJob),
    /// One that is due at once anyway.
    Waits,
}

impl Regeneration {
    /// The job that was made, or moved.
    #[must_use]
    pub const fn job(&self) -> Option<&DueJob> {
        match self {
            Self::Made(job) | Self::Hastened(job) => Some(job),
            Self::Waits => None,
        }
    }
}

impl Scope<'_> {
    /// # Errors
    /// [`StoreError::Exists`] when the slug, or the base address of a locale, is taken.
    pub async fn create_site(&self, slug: &SiteSlug, settings: &SiteSettings, now: UnixMs) -> Result<Site, StoreError> {
        let site = Site {
            id: Id::new(),
            tenant_id: self.tenant,
            slug: slug.clone(),
            settings: settings.clone(),
            created_at: now,
            updated_at: now,
        };
        let insert = sql("INSERT INTO sites (id, tenant_id, slug, settings, run, created_at, updated_at) VALUES (")
            .list(vec![
                site.id.into(),
                self.tenant.into(),
                slug.as_str().into(),
                write(settings)?.into(),
                0i64.into(),
                now.into(),
                now.into(),
            ])
            .then(")");
        let mut tx = self.store.pool.begin().await?;
        tx.execute(insert).await.map_err(|error| error.or_exists("a site with this slug"))?;
        place_locales(&mut tx, &site, now).await?;
        let after = serde_json::to_value(settings).ok();
        self.note(&mut tx, "site.create", slug.to_string(), after).await?;
        tx.commit().await?;
        Ok(site)
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn site(&self, slug: &SiteSlug) -> Result<Option<Site>, StoreError> {
        let select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND slug = ", slug.as_str());
        let row: Option<Row> = self.store.pool.fetch_one(select).await?;
        row.map(Row::read).transpose()
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn sites(&self, page: &Page<Site>) -> Result<Listed<Site, Site>, StoreError> {
        let select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant);
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let sites = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(sites, |site: &Site| site.id))
    }

    /// Of these locales of a site, those that have public files, and how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn public_locales(&self, site: &Site, of: &[&LanguageTag]) -> Result<Vec<(String, u64)>, StoreError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let count = sql("SELECT locale, COUNT(*) FROM site_files WHERE gone = 0").and(" AND site_id = ", site.id);
        let count =
            count.then(" AND locale").any(of.iter().map(|tag| tag.as_str())).then(" GROUP BY locale ORDER BY locale");
        let rows: Vec<(String, i64)> = self.store.pool.fetch(count).await?;
        Ok(rows.into_iter().map(|(tag, count)| (tag, u64::try_from(count).unwrap_or(0))).collect())
    }

    /// Replaces a site's settings; all of it is made again. Answers with the job that does. Files of a locale that is left out are
    /// no more at its address.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the base address of a locale is taken.
    pub async fn update_site(
        &self,
        site: &Site,
        settings: &SiteSettings,
        now: UnixMs,
    ) -> Result<Option<DueJob>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let update = sql("UPDATE sites SET")
            .and(" settings = ", write(settings)?)
            .and(", updated_at = ", now)
            .and(" WHERE id = ", site.id);
        tx.execute(update).await?;
        let [before, after] = [&site.settings, settings].map(|settings| serde_json::to_value(settings).ok());
        self.note(&mut tx, "site.update", site.slug.to_string(), (before, after)).await?;
        let site = Site { settings: settings.clone(), ..site.clone() };
        place_locales(&mut tx, &site, now).await?;
        let job = regenerate_all(&mut tx, &site, now).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Marks all of a site as stale, and has it made again soon, though it be left alone after deaths: somebody is asking. What
    /// comes out as it was is not published again, unless it is to be rewritten.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn regenerate_site(&self, site: &Site, rewrite: bool, now: UnixMs) -> Result<Regeneration, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        // A job that was cancelled, or died before it began, sees to nothing.
        let forget = sql("UPDATE sites SET job_id = NULL").and(" WHERE id = ", site.id);
        let ended = " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = sites.job_id AND jobs.state = 'pending')";
        tx.execute(forget.then(ended)).await?;
        if rewrite {
            let forget =
                sql("UPDATE site_files SET").and(" hash = ", Vec::<u8>::new()).and(" WHERE site_id = ", site.id);
            tx.execute(forget).await?;
        }
        let made = regenerate_all(&mut tx, site, now).await?;
        let regeneration = hasten(&mut tx, site, made, now + QUIET).await?;
        let how = rewrite.then(|| serde_json::json!({ "rewrite": true }));
        self.note(&mut tx, "site.regenerate", site.slug.to_string(), how).await?;
        tx.commit().await?;
        Ok(regeneration)
    }

    /// Removes a site with its pages. What is public stays where it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_site(&self, site: &Site) -> Result<(), StoreError> {
        let mut tx = self.store.pool.begin().await?;
        tx.execute(sql("DELETE FROM sites").and(" WHERE id = ", site.id)).await?;
        self.note(&mut tx, "site.delete", site.slug.to_string(), serde_json::to_value(&site.settings).ok()).await?;
        tx.commit().await
    }
}

impl Store {
    /// # Errors
    /// When the database does not answer.
    pub async fn site_by_id(&self, id: Id<Site>) -> Result<Option<Site>, StoreError> {
        let row: Option<Row> = self.pool.fetch_one(sql(COLUMNS).and(" WHERE id = ", id)).await?;
        row.map(Row::read).transpose()
    }

    /// The locale whose base is, or has been, at this host and path.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_at(&self, place: &str) -> Result<Option<(Site, LanguageTag)>, StoreError> {
        let select = sql("SELECT site_id, locale FROM site_locales").and(" WHERE base = ", place);
        let found: Option<(Uuid, String)> = self.pool.fetch_one(select).await?;
        let Some((site, locale)) = found else { return Ok(None) };
        let locale = locale.parse().map_err(|error| StoreError::unreadable("locale's tag", error))?;
        Ok(self.site_by_id(Id::from_uuid(site)).await?.map(|site| (site, locale)))
    }
}

/// Marks all of a site as stale.
async fn regenerate_all(tx: &mut Tx<'_>, site: &Site, now: UnixMs) -> Result<Option<DueJob>, StoreError> {
    let locales: Vec<&LanguageTag> = site.settings.locales.iter().map(|locale| &locale.tag).collect();
    let marks = all_targets(tx, site, &locales).await?;
    mark(tx, site.id, &marks, now).await?;
    see_to_it(tx, site, now).await
}

/// Has the job that waits for a site's changes run at `at`, where it would later: the one that was `made` just now, or another.
async fn hasten(tx: &mut Tx<'_>, site: &Site, made: Option<DueJob>, at: UnixMs) -> Result<Regeneration, StoreError> {
    let waits = sql(" AND id = (SELECT job_id FROM sites").and(" WHERE id = ", site.id).then(")");
    let update = sql("UPDATE jobs SET").and(" run_at = ", at).then(" WHERE state = 'pending'");
    let is_hastened = tx.execute(update.and(" AND run_at > ", at).append(waits.clone())).await? > 0;
    Ok(match made {
        Some(job) => Regeneration::Made(DueJob { run_at: job.run_at.min(at), ..job }),
        None if is_hastened => {
            let row: Option<due::Row> = tx.fetch_one(due::pending().append(waits)).await?;
            row.map(due::Row::read).transpose()?.map_or(Regeneration::Waits, Regeneration::Hastened)
        }
        None => Regeneration::Waits,
    })
}

/// Has a job wait for the site's changes, unless one does. The site's row is locked until the commit.
pub(super) async fn see_to_it(tx: &mut Tx<'_>, site: &Site, now: UnixMs) -> Result<Option<DueJob>, StoreError> {
    let job = regeneration(site, now);
    let claim =
        sql("UPDATE sites SET").and(" job_id = ", job.id).then(" WHERE job_id IS NULL").and(" AND id = ", site.id);
    if tx.execute(claim).await? == 0 {
        return Ok(None);
    }
    let run_at = rests_until(tx.fetch_one(deaths(site)).await?).map_or(job.run_at, |at| job.run_at.max(at));
    let (job, dialect) = (NewJob { run_at, ..job }, tx.dialect());
    tx.execute_all(jobs::insert(dialect, vec![(site.tenant_id, &job, now)])).await?;
    Ok(Some(job.due(site.tenant_id)))
}

fn regeneration(site: &Site, now: UnixMs) -> NewJob {
    let lane = LaneName::of_site(&site.slug);
    NewJob {
        max_attempts: publishing_retries().max_attempts(),
        ..NewJob::plain(JobKind::SiteRegenerate, lane, site.id.to_string().into_bytes(), now + QUIET)
    }
}

/// Puts the site's locales into their places. Where one has been before, it is found still until another is set there: what names
/// files there goes on to, as an index does until the next one is public, and readers of feeds for as long as they like.
async fn place_locales(tx: &mut Tx<'_>, site: &Site, now: UnixMs) -> Result<(), StoreError> {
    let locales = &site.settings.locales;
    let places: Vec<String> = locales.iter().map(|locale| locale.base.place()).collect();
    let select = sql("SELECT base, locale, left_at FROM site_locales").and(" WHERE site_id = ", site.id);
    let mut left: Vec<(String, String, i64)> = (tx.fetch::<(String, String, Option<i64>)>(select).await?.into_iter())
        .filter(|(base, tag, _)| !places.contains(base) && locales.iter().any(|locale| locale.tag.as_str() == tag))
        .map(|(base, tag, left_at)| (base, tag, left_at.unwrap_or(now.0)))
        .collect();
    left.sort_by_key(|(_, _, left_at)| Reverse(*left_at));
    left.truncate(PLACES_LEFT_MAX);
    tx.execute(sql("DELETE FROM site_locales").and(" WHERE site_id = ", site.id)).await?;
    let others = sql("DELETE FROM site_locales WHERE left_at IS NOT NULL AND base").any(places.clone());
    tx.execute(others).await?;
    is_free(tx, site, places).await?;
    let row = |base: &str, tag: &str, left_at: Option<UnixMs>| -> Vec<Value> {
        vec![base.into(), site.id.into(), tag.into(), left_at.into()]
    };
    let set = locales.iter().map(|locale| row(&locale.base.place(), locale.tag.as_str(), None));
    let left = left.iter().map(|(base, tag, left_at)| row(base, tag, Some(UnixMs(*left_at))));
    for run in tx.dialect().runs(set.chain(left).collect()) {
        let insert = sql("INSERT INTO site_locales (base, site_id, locale, left_at) ").rows(run);
        tx.execute(insert).await.map_err(|error| error.or_exists("a locale at one of these base addresses"))?;
    }
    Ok(())
}

/// Says which of these places another site has. What comes to one at the same moment is told apart by the key alone.
async fn is_free(tx: &mut Tx<'_>, site: &Site, places: Vec<String>) -> Result<(), StoreError> {
    let select = "SELECT l.base, s.slug, s.tenant_id FROM site_locales l JOIN sites s ON s.id = l.site_id WHERE l.base";
    let taken: Option<(String, String, Uuid)> =
        tx.fetch_one(sql(select).any(places).then(" ORDER BY l.base LIMIT 1")).await?;
    let Some((base, slug, tenant)) = taken else { return Ok(()) };
    let of = if tenant == site.tenant_id.uuid() { format!(", of the site {slug},") } else { String::new() };
    Err(StoreError::Exists(format!("a locale at {base}{of}").into()))
}

fn write(settings: &SiteSettings) -> Result<String, StoreError> {
    serde_json::to_string(settings).map_err(|error| StoreError::unreadable("site's settings", error))
}
