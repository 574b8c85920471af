//! Images and enclosures that no page names any more are forgotten. What names a file stands within pages, which no index
//! finds, so all pages of its site are read before it is taken for unnamed: some at a time, for many files at once.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{PagePlace, Store, StoreError, sql::sql, value::Value};
use crate::domain::{
    Id, UnixMs,
    site::{page::Page, settings::Site},
};

/// Nobody has asked for it for so long. What a feed names is asked for once a day whenever the feed is made.
const UNASKED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after all files were looked at the first are looked at again.
const REST: Duration = Duration::from_secs(3600);
/// Files that are looked for at once, and pages that are read in one step.
const FILES: u32 = 500;
const PAGES: u32 = 200;

/// How far the search has come. A process that begins anew loses nothing but its place.
#[derive(Clone, Debug, Default)]
pub struct UnnamedMedia {
    /// The file that was looked at last.
    last: Option<(Id<Site>, String)>,
    search: Option<Search>,
    rests_until: Option<UnixMs>,
}

#[derive(Clone, Debug)]
struct Search {
    site: Id<Site>,
    /// Those that no page has named so far.
    unnamed: BTreeSet<String>,
    /// Nobody had asked for them since.
    unasked_since: UnixMs,
    after: Option<PagePlace>,
}

impl UnnamedMedia {
    /// Goes on for a step. Answers with how many files were forgotten.
    ///
    /// # Errors
    /// When the database does not answer; the next step is the same one.
    pub async fn step(&mut self, store: &Store, now: UnixMs) -> Result<u64, StoreError> {
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(0);
        }
        let Some(search) = &mut self.search else {
            return self.begin(store, now).await.map(|()| 0);
        };
        let (pages, last) = store.latest_pages(search.site, search.after.clone(), PAGES).await?;
        for url in pages.iter().flat_map(named) {
            search.unnamed.remove(url);
        }
        if pages.len() == PAGES as usize && !search.unnamed.is_empty() {
            search.after = last;
            return Ok(0);
        }
        let forgotten = store.forget_site_media(search.site, &search.unnamed, search.unasked_since).await?;
        self.search = None;
        Ok(forgotten)
    }

    /// Begins with the files after the last, as many of one site as are looked for at once.
    async fn begin(&mut self, store: &Store, now: UnixMs) -> Result<(), StoreError> {
        let unasked_since = now - UNASKED_FOR;
        let mut files = store.unasked_site_media(self.last.as_ref(), unasked_since).await?;
        let Some(site) = files.first().map(|(site, _)| *site) else {
            *self = Self { rests_until: Some(now + REST), ..Self::default() };
            return Ok(());
        };
        files.retain(|(of, _)| *of == site);
        self.last = files.last().cloned();
        let unnamed = files.into_iter().map(|(_, url)| url).collect();
        self.search = Some(Search { site, unnamed, unasked_since, after: None });
        Ok(())
    }
}

fn named(page: &Page) -> impl Iterator<Item = &String> {
    page.translations.iter().flat_map(|one| {
        let enclosure = one.text.enclosure.as_ref().map(|enclosure| &enclosure.url);
        one.link.image.iter().chain(enclosure)
    })
}

impl Store {
    async fn unasked_site_media(
        &self,
        after: Option<&(Id<Site>, String)>,
        since: UnixMs,
    ) -> Result<Vec<(Id<Site>, String)>, StoreError> {
        let mut select = sql("SELECT site_id, url FROM site_media").and(" WHERE asked_at < ", since);
        if let Some((site, url)) = after {
            select = select.and(" AND (site_id, url) > (", *site).and(", ", url.as_str()).then(")");
        }
        let select = select.then(" ORDER BY site_id, url").and(" LIMIT ", FILES);
        let rows: Vec<(Uuid, String)> = self.pool.fetch(select).await?;
        Ok(rows.into_iter().map(|(site, url)| (Id::from_uuid(site), url)).collect())
    }

    /// Forgets files for which nobody has asked meanwhile either.
    async fn forget_site_media(
        &self,
        site: Id<Site>,
        urls: &BTreeSet<String>,
        unasked_since: UnixMs,
    ) -> Result<u64, StoreError> {
        let (mut tx, mut forgotten) = (self.pool.begin().await?, 0);
        for run in tx.dialect().runs(urls.iter().map(String::as_str).collect()) {
            let delete = sql("DELETE FROM site_media")
                .and(" WHERE site_id = ", site)
                .and(" AND asked_at < ", unasked_since)
                .then(" AND url")
                .any(run.into_iter().map(Value::from));
            forgotten += tx.execute(delete).await?;
        }
        tx.commit().await?;
        Ok(forgotten)
    }
}
