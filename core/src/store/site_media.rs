//! Images and enclosures that feeds of sites name: which are to be looked at, and what was found of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    DueJob, NewJob, Scope, Store, StoreError, jobs,
    pool::Tx,
    site_marks::mark,
    site_timers::set_timers,
    sites::see_to_it,
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    job::JobKind,
    lane::LaneName,
    retry::RetrySchedule,
    site::{
        change::{Mark, Shard, Target},
        media::{DOUBTED_FOR, Found, Media, MediaState, MediaUse, Said},
        page::Link,
        settings::Site,
    },
};

/// Files that one regeneration asks for; when the first of them are known the rest is asked for.
const ASKED_MAX: usize = 1_000;
/// Pages, newest first, whose sitemaps are made again where one of their images has turned out to be none.
const PAGES_LOOKED_AT: u32 = 2_000;
/// Waits between looks at a file whose host does not answer.
const RETRIES_S: [f64; 5] = [5.0, 30.0, 120.0, 600.0, 3600.0];

const COLUMNS: &str = "SELECT url, is_image, state, media_type, length, said_type, said_length, etag, marks, asked_at, checked_at, fault FROM site_media";

/// What a job of kind `site.probe` looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub site: String,
    pub url: String,
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is as it was.
    Unchanged,
    Found(Found, Option<String>),
}

/// Some of a site's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFilter {
    State(MediaState),
    /// What the file itself shows is another type than the page says that names it as an enclosure.
    OtherType,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of waiting, good, bad and other-type")]
pub struct MediaFilterError(String);

impl FromStr for MediaFilter {
    type Err = MediaFilterError;
    fn from_str(text: &str) -> Result<Self, MediaFilterError> {
        match text {
            "other-type" => Ok(Self::OtherType),
            text => text.parse().map(Self::State).map_err(|_| MediaFilterError(text.to_owned())),
        }
    }
}

/// A list of files, by their address.
#[derive(Clone, Debug, Default)]
pub struct MediaPage {
    pub filter: Option<MediaFilter>,
    /// Those whose address comes after this one.
    pub after: Option<String>,
    /// Rows at most.
    pub limit: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    url: String,
    is_image: i64,
    state: String,
    media_type: Option<String>,
    length: Option<i64>,
    said_type: Option<String>,
    said_length: Option<i64>,
    etag: Option<String>,
    marks: String,
    asked_at: i64,
    checked_at: Option<i64>,
    fault: Option<String>,
}

impl Row {
    fn read(self) -> Result<(Media, BTreeSet<Mark>), StoreError> {
        let media = Media {
            url: self.url,
            is_image: self.is_image != 0,
            state: self.state.parse().map_err(|error| StoreError::unreadable("file's state", error))?,
            media_type: self.media_type,
            length_bytes: self.length.and_then(|bytes| u64::try_from(bytes).ok()),
            said: Said {
                media_type: self.said_type,
                length_bytes: self.said_length.and_then(|bytes| u64::try_from(bytes).ok()),
            },
            etag: self.etag,
            asked_at: UnixMs(self.asked_at),
            checked_at: self.checked_at.map(UnixMs),
            fault: self.fault,
        };
        Ok((media, read_marks(&self.marks)?))
    }
}

impl MediaPage {
    /// One index finds each kind of files, in their order.
    fn select(&self, site: Id<Site>) -> Sql {
        let mut select = select(site);
        select = match self.filter {
            None => select,
            Some(MediaFilter::State(state)) => select.and(" AND state = ", state.as_str()),
            Some(MediaFilter::OtherType) => select.then(" AND said_type <> media_type"),
        };
        if let Some(after) = &self.after {
            select = select.and(" AND url > ", after.as_str());
        }
        select.then(" ORDER BY url").and(" LIMIT ", i64::from(self.limit) + 1)
    }
}

impl Store {
    /// What is known of these files.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_media(&self, site: Id<Site>, urls: &[&str]) -> Result<HashMap<String, Media>, StoreError> {
        let mut known = HashMap::new();
        for run in self.pool.dialect().runs(urls.to_vec()) {
            let rows: Vec<Row> = self.pool.fetch(select(site).then(" AND url").any(run)).await?;
            for row in rows {
                let (media, _) = row.read()?;
                known.insert(media.url.clone(), media);
            }
        }
        Ok(known)
    }

    /// Images of a site that are none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn bad_site_images(&self, site: Id<Site>) -> Result<HashSet<String>, StoreError> {
        let select = sql("SELECT url FROM site_media").and(" WHERE site_id = ", site);
        let rows: Vec<(String,)> = self.pool.fetch(select.then(" AND state = 'bad' AND is_image = 1")).await?;
        Ok(rows.into_iter().map(|(url,)| url).collect())
    }

    /// Keeps what names these files, and has those looked at that nobody knows, or not for long. Answers with the jobs that do.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask_for_site_media(
        &self,
        site: &Site,
        uses: &[MediaUse],
        now: UnixMs,
    ) -> Result<Vec<DueJob>, StoreError> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, site.id).await?;
        let mut known = HashMap::new();
        for run in tx.dialect().runs(uses.iter().map(|one| one.url.as_str()).collect()) {
            for row in tx.fetch::<Row>(select(site.id).then(" AND url").any(run)).await? {
                let (media, marks) = row.read()?;
                known.insert(media.url.clone(), (media, marks));
            }
        }
        let (mut rows, mut new) = (Vec::new(), Vec::new());
        for one in uses {
            let before = known.remove(&one.url);
            let is_asked = match &before {
                None => true,
                Some((media, _)) => media.is_old(now) || (one.is_image && !media.is_image),
            };
            let is_asked = is_asked && new.len() < ASKED_MAX;
            if before.is_none() && !is_asked {
                continue;
            }
            let (mut media, mut marks) = before.unwrap_or_else(|| (unknown(&one.url, now), BTreeSet::new()));
            let named_before = marks.len();
            let says_other = one.said != Said::default() && media.said != one.said;
            if says_other {
                media.said = one.said.clone();
            }
            marks.extend(one.marks.iter().cloned());
            media.is_image |= one.is_image;
            if is_asked {
                media.asked_at = now;
                new.push(probe(site, &one.url, now));
            }
            if is_asked || says_other || marks.len() > named_before {
                rows.push(row(site.id, &media, &marks));
            }
        }
        for run in tx.dialect().runs(rows) {
            tx.execute(upsert(run)).await?;
        }
        let due = new.iter().map(|job| job.due(site.tenant_id)).collect();
        let dialect = tx.dialect();
        tx.execute_all(jobs::insert(dialect, new.iter().map(|job| (site.tenant_id, job, now)).collect())).await?;
        tx.commit().await?;
        Ok(due)
    }

    /// Keeps what a look at a file has shown. Where it is not what was known, what names the file is made again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_media_looked_at(
        &self,
        site: &Site,
        url: &str,
        looked: &Looked,
        now: UnixMs,
    ) -> Result<Option<DueJob>, StoreError> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, site.id).await?;
        let row: Option<Row> = tx.fetch_one(select(site.id).and(" AND url = ", url)).await?;
        let Some((before, marks)) = row.map(Row::read).transpose()? else { return Ok(None) };
        let mut after = Media { checked_at: Some(now), ..before.clone() };
        if let Looked::Found(found, etag) = looked {
            let Found { media_type, length_bytes, fault } = found.clone();
            let state = if fault.is_none() { MediaState::Good } else { MediaState::Bad };
            after = Media { state, media_type, length_bytes, fault, etag: etag.clone(), ..after };
        }
        tx.execute(upsert(vec![self::row(site.id, &after, &marks)])).await?;
        let shown = |media: &Media| (media.state, media.media_type.clone(), media.length_bytes);
        let mut stale = BTreeSet::new();
        if shown(&before) != shown(&after) {
            stale.clone_from(&marks);
            if after.is_image && (before.state == MediaState::Bad) != (after.state == MediaState::Bad) {
                stale.extend(shards_with(&mut tx, site.id, url).await?);
            }
        }
        mark(&mut tx, site.id, &stale.iter().cloned().collect::<Vec<_>>(), now).await?;
        if after.state == MediaState::Bad {
            // What is made again then asks for it once more, where it still names it.
            let again: Vec<(Mark, UnixMs)> = marks.into_iter().map(|mark| (mark, now + DOUBTED_FOR)).collect();
            set_timers(&mut tx, site.id, &again).await?;
        }
        let job = if stale.is_empty() { None } else { see_to_it(&mut tx, site, now).await? };
        tx.commit().await?;
        Ok(job)
    }
}

impl Scope<'_> {
    /// A page of a site's files, and whether there are more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_media_list(&self, site: &Site, page: &MediaPage) -> Result<(Vec<Media>, bool), StoreError> {
        let rows: Vec<Row> = self.store.pool.fetch(page.select(site.id)).await?;
        let more = rows.len() > page.limit as usize;
        let files = rows.into_iter().take(page.limit as usize).map(|row| row.read().map(|(media, _)| media));
        Ok((files.collect::<Result<_, _>>()?, more))
    }
}

/// The delays between looks.
#[must_use]
pub fn probe_schedule() -> RetrySchedule {
    RetrySchedule::from_seconds(&RETRIES_S).unwrap_or_default()
}

fn select(site: Id<Site>) -> Sql {
    sql(COLUMNS).and(" WHERE site_id = ", site)
}

/// Whoever asks for files and whoever has looked at one come one after the other, or a mark would be lost between them.
async fn lock(tx: &mut Tx<'_>, site: Id<Site>) -> Result<(), StoreError> {
    let lock = tx.for_update();
    tx.fetch::<(i64,)>(sql("SELECT run FROM sites").and(" WHERE id = ", site).then(lock)).await?;
    Ok(())
}

fn unknown(url: &str, now: UnixMs) -> Media {
    Media {
        url: url.to_owned(),
        is_image: false,
        state: MediaState::Waiting,
        media_type: None,
        length_bytes: None,
        said: Said::default(),
        etag: None,
        asked_at: now,
        checked_at: None,
        fault: None,
    }
}

fn row(site: Id<Site>, media: &Media, marks: &BTreeSet<Mark>) -> Vec<Value> {
    let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    vec![
        site.into(),
        media.url.as_str().into(),
        i64::from(media.is_image).into(),
        media.state.as_str().into(),
        media.media_type.clone().into(),
        media.length_bytes.map(bytes).into(),
        media.said.media_type.clone().into(),
        media.said.length_bytes.map(bytes).into(),
        media.etag.clone().into(),
        write_marks(marks).into(),
        media.asked_at.into(),
        media.checked_at.into(),
        media.fault.clone().into(),
    ]
}

fn upsert(rows: Vec<Vec<Value>>) -> Sql {
    let insert = "INSERT INTO site_media \
        (site_id, url, is_image, state, media_type, length, said_type, said_length, etag, marks, asked_at, checked_at, fault) ";
    sql(insert).rows(rows).then(
        " ON CONFLICT (site_id, url) DO UPDATE SET is_image = excluded.is_image, state = excluded.state, \
            media_type = excluded.media_type, length = excluded.length, said_type = excluded.said_type, \
            said_length = excluded.said_length, etag = excluded.etag, marks = excluded.marks, \
            asked_at = excluded.asked_at, checked_at = excluded.checked_at, fault = excluded.fault",
    )
}

fn read_marks(text: &str) -> Result<BTreeSet<Mark>, StoreError> {
    let unreadable = |error: &dyn std::fmt::Display| StoreError::unreadable("file's marks", error.to_string());
    let marks: Vec<(String, String)> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let read = |(locale, target): (String, String)| {
        let locale = locale.parse().map_err(|error| unreadable(&error))?;
        Ok((locale, target.parse().map_err(|error| unreadable(&error))?))
    };
    marks.into_iter().map(read).collect()
}

fn write_marks(marks: &BTreeSet<Mark>) -> String {
    let marks: Vec<(&str, String)> = marks.iter().map(|(tag, target)| (tag.as_str(), target.to_string())).collect();
    serde_json::to_string(&marks).unwrap_or_default()
}

/// The sitemaps of new pages that have this image.
async fn shards_with(tx: &mut Tx<'_>, site: Id<Site>, image: &str) -> Result<BTreeSet<Mark>, StoreError> {
    let newest = sql("SELECT n.shard, n.links FROM (SELECT shard, links FROM site_pages")
        .and(" WHERE site_id = ", site)
        .and(" ORDER BY latest_at DESC, key DESC LIMIT ", PAGES_LOOKED_AT)
        .then(") AS n WHERE ")
        .holds("n.links", image.as_bytes());
    let mut shards: BTreeMap<i64, Vec<Vec<Link>>> = BTreeMap::new();
    for (shard, links) in tx.fetch::<(i64, Vec<u8>)>(newest).await? {
        shards.entry(shard).or_default().push(super::site_pages::read_links(&links)?);
    }
    let mut marks = BTreeSet::new();
    for (shard, pages) in shards {
        let with = pages.into_iter().flatten().filter(|link| link.image.as_deref() == Some(image));
        marks.extend(with.map(|link| (link.locale, Target::Shard(Shard::of_sql(shard)))));
    }
    Ok(marks)
}

fn probe(site: &Site, url: &str, now: UnixMs) -> NewJob {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let args = Probe { site: site.id.to_string(), url: url.to_owned() };
    let args = serde_json::to_vec(&args).unwrap_or_default();
    NewJob {
        max_attempts: probe_schedule().max_attempts(),
        ..NewJob::plain(JobKind::SiteProbe, LaneName::of_probes(&host), args, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn each_list_of_files_is_read_from_an_index_in_its_order() {
        for (filter, index) in [
            (None, "site_media_1"),
            (Some(MediaFilter::State(MediaState::Bad)), "site_media_by_state"),
            (Some(MediaFilter::OtherType), "site_media_of_other_type"),
        ] {
            let page = MediaPage { filter, after: Some("https://a.example".to_owned()), limit: 100 };
            let plan = sqlite_plan(page.select(Id::new())).await;
            assert!(plan.contains(index) && !plan.contains("B-TREE"), "{filter:?}: {plan}");
        }
    }
}
