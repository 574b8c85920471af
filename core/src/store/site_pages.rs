//! Pages of sites: how they are kept, in which shard, and what a change of them makes stale.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Scope, StoreError, due::DueJob, pool::Tx, site_addresses::note_addresses, site_marks::mark,
    site_timers::set_timers, sites::see_to_it, sql::sql, value::Value,
};
use crate::domain::{
    Id, UnixMs,
    site::{
        change::{Mark, Placed, SHARD_PAGES, Shard, stale},
        language::LanguageTag,
        page::{Link, Page, PageKey, Quarantined, Text, Translation},
        settings::Site,
    },
};

/// A page that is put in place of what was there, with what of it is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutPage {
    pub page: Page,
    pub quarantined: Vec<Quarantined>,
}

impl PutPage {
    /// Nothing in place of what was there.
    #[must_use]
    pub const fn removal(key: PageKey) -> Self {
        Self { page: Page { key, translations: Vec::new() }, quarantined: Vec::new() }
    }

    /// Whether somebody asks for its removal, other than of a page of which nothing can be published.
    const fn is_removal(&self) -> bool {
        self.page.translations.is_empty() && self.quarantined.is_empty()
    }
}

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagesChanged {
    /// Pages that are not as they were.
    pub changed: usize,
    /// Pages that were to be removed and were there, published or quarantined.
    pub removed: usize,
    /// The job that publishes them, where none waited; to be offered.
    pub job: Option<DueJob>,
}

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    shard: i64,
    links: Vec<u8>,
    texts: Vec<u8>,
}

/// A page in its shard.
struct Kept {
    shard: Shard,
    translations: Vec<Translation>,
}

impl Row {
    fn read(self) -> Result<(String, Kept), StoreError> {
        let translations = read_translations(&self.links, &self.texts)?;
        Ok((self.key, Kept { shard: Shard::of_sql(self.shard), translations }))
    }
}

pub(super) fn read_links(links: &[u8]) -> Result<Vec<Link>, StoreError> {
    serde_json::from_slice(links).map_err(|error| StoreError::unreadable("page's links", error))
}

pub(super) fn read_translations(links: &[u8], texts: &[u8]) -> Result<Vec<Translation>, StoreError> {
    let texts: Vec<Text> =
        serde_json::from_slice(texts).map_err(|error| StoreError::unreadable("page's texts", error))?;
    Ok(read_links(links)?.into_iter().zip(texts).map(|(link, text)| Translation { link, text }).collect())
}

impl Scope<'_> {
    /// Puts pages in place of those with the same keys. All of them or none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_pages(&self, site: &Site, pages: &[PutPage], now: UnixMs) -> Result<PagesChanged, StoreError> {
        self.put_all(site, pages, false, now).await
    }

    /// As [`Self::put_pages`], of pages that have been there for long: search engines are told of those that are removed alone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn import_pages(&self, site: &Site, pages: &[PutPage], now: UnixMs) -> Result<PagesChanged, StoreError> {
        self.put_all(site, pages, true, now).await
    }

    async fn put_all(
        &self,
        site: &Site,
        pages: &[PutPage],
        are_old: bool,
        now: UnixMs,
    ) -> Result<PagesChanged, StoreError> {
        // Of the same key the last one counts, as if they had come one after the other.
        let pages: BTreeMap<&str, &PutPage> = pages.iter().map(|put| (put.page.key.as_str(), put)).collect();
        let keys: Vec<&str> = pages.keys().copied().collect();
        let mut change = Change { are_old, ..Change::begin(self, site, &keys, now).await? };
        let removals = pages.values().filter(|put| put.is_removal()).map(|put| put.page.key.as_str());
        let (published, others): (Vec<&str>, Vec<&str>) = removals.partition(|key| change.before.contains_key(*key));
        for put in pages.values() {
            change.put(&put.page);
        }
        let rows = pages.values().flat_map(|put| quarantine_rows(site, put, now)).collect();
        let quarantined = change.quarantine(&keys, rows).await?;
        let removed = published.len() + others.into_iter().filter(|key| quarantined.contains(*key)).count();
        Ok(PagesChanged { removed, ..change.end().await? })
    }

    /// Removes a page; `None` where there is none, published or quarantined.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_page(
        &self,
        site: &Site,
        key: &PageKey,
        now: UnixMs,
    ) -> Result<Option<PagesChanged>, StoreError> {
        let keys = [key.as_str()];
        let mut change = Change::begin(self, site, &keys, now).await?;
        change.put_translations(key.as_str(), &[]);
        let was_quarantined = !change.quarantine(&keys, Vec::new()).await?.is_empty();
        let removed = change.end_removal(was_quarantined).await?;
        Ok(removed.map(|changed| PagesChanged { removed: 1, ..changed }))
    }

    /// Removes one translation of a page; `None` where there is none, published or quarantined.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_translation(
        &self,
        site: &Site,
        key: &PageKey,
        locale: &str,
        now: UnixMs,
    ) -> Result<Option<PagesChanged>, StoreError> {
        let mut change = Change::begin(self, site, &[key.as_str()], now).await?;
        let left = change.before.get(key.as_str()).map(|kept| kept.translations.clone()).unwrap_or_default();
        let left: Vec<Translation> = left.into_iter().filter(|one| one.link.locale.as_str() != locale).collect();
        change.put_translations(key.as_str(), &left);
        let delete =
            sql("DELETE FROM site_quarantine").and(" WHERE site_id = ", site.id).and(" AND key = ", key.as_str());
        let quarantined = change.tx.execute(delete.and(" AND locale = ", locale)).await?;
        change.end_removal(quarantined > 0).await
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn page(&self, site: &Site, key: &PageKey) -> Result<Option<Page>, StoreError> {
        let select = select_pages(site.id).and(" AND key = ", key.as_str());
        let row: Option<Row> = self.store.pool.fetch_one(select).await?;
        let kept = row.map(Row::read).transpose()?;
        Ok(kept.map(|(_, kept)| Page { key: key.clone(), translations: kept.translations }))
    }
}

fn select_pages(site: Id<Site>) -> super::sql::Sql {
    sql("SELECT key, shard, links, texts FROM site_pages").and(" WHERE site_id = ", site)
}

fn quarantine_rows(site: &Site, put: &PutPage, now: UnixMs) -> Vec<Vec<Value>> {
    let row = |one: &Quarantined| {
        vec![
            site.id.into(),
            put.page.key.as_str().into(),
            one.locale.as_str().into(),
            one.field.into(),
            one.reason.as_str().into(),
            now.into(),
        ]
    };
    put.quarantined.iter().map(row).collect()
}

/// A change of pages that is being made. The site's row is locked, so changes of one site come one after the other.
struct Change<'s> {
    tx: Tx<'static>,
    site: &'s Site,
    now: UnixMs,
    before: HashMap<String, Kept>,
    /// The last shard of each month that is touched, and its pages.
    open: Vec<(Shard, i64)>,
    /// How many pages came into a shard or left it.
    moved: BTreeMap<Shard, i64>,
    marks: BTreeSet<Mark>,
    /// What will be stale when a translation is published later.
    timers: BTreeSet<(Mark, UnixMs)>,
    /// Search engines are told of what changes.
    tells: bool,
    /// Not of what is put: it has been there for long.
    are_old: bool,
    addresses: BTreeSet<(LanguageTag, String, UnixMs)>,
    rows: Vec<Vec<Value>>,
    removed: Vec<String>,
    changed: usize,
}

impl<'s> Change<'s> {
    async fn begin(scope: &Scope<'_>, site: &'s Site, keys: &[&str], now: UnixMs) -> Result<Self, StoreError> {
        let mut tx = scope.store.pool.begin().await?;
        let lock = tx.for_update();
        tx.fetch::<(i64,)>(sql("SELECT run FROM sites").and(" WHERE id = ", site.id).then(lock)).await?;
        let mut before = HashMap::new();
        for run in tx.dialect().runs(keys.to_vec()) {
            let rows: Vec<Row> = tx.fetch(select_pages(site.id).then(" AND key").any(run)).await?;
            for row in rows {
                before.extend([row.read()?]);
            }
        }
        let shards = sql("SELECT shard, pages FROM site_shards").and(" WHERE site_id = ", site.id);
        let shards: Vec<(i64, i64)> = tx.fetch(shards.then(" ORDER BY shard")).await?;
        let mut open: Vec<(Shard, i64)> = Vec::new();
        for (shard, pages) in shards {
            let shard = Shard::of_sql(shard);
            open.retain(|(other, _)| !other.is_of_month(shard));
            open.push((shard, pages));
        }
        Ok(Self {
            tx,
            site,
            now,
            before,
            open,
            moved: BTreeMap::new(),
            marks: BTreeSet::new(),
            timers: BTreeSet::new(),
            tells: site.settings.indexnow.is_some(),
            are_old: false,
            addresses: BTreeSet::new(),
            rows: Vec::new(),
            removed: Vec::new(),
            changed: 0,
        })
    }

    fn put(&mut self, page: &Page) {
        self.put_translations(page.key.as_str(), &page.translations);
    }

    /// Without translations the page goes.
    fn put_translations(&mut self, key: &str, translations: &[Translation]) {
        let before = self.before.remove(key);
        if before.as_ref().is_some_and(|kept| kept.translations == translations)
            || (before.is_none() && translations.is_empty())
        {
            return;
        }
        self.changed += 1;
        let old = before.as_ref().map(|kept| kept.shard);
        let shard = published_at(translations).map(|time| self.shard(old, time));
        let placed = |shard: Option<Shard>, translations| shard.map(|shard| Placed { shard, translations });
        let was = before.as_ref().map(|kept| kept.translations.as_slice()).unwrap_or_default();
        let marks = stale(placed(old, was), placed(shard, translations), self.now);
        if self.tells && (translations.is_empty() || !self.are_old) {
            self.addresses.extend(changed_addresses(was, translations, self.now));
        }
        let later = translations.iter().map(|one| one.link.published_at).filter(|at| *at > self.now);
        let later: BTreeSet<UnixMs> = later.collect();
        self.timers.extend(later.into_iter().flat_map(|at| marks.iter().map(move |mark| (mark.clone(), at))));
        self.marks.extend(marks);
        if old != shard {
            for (place, count) in [(old, -1), (shard, 1)] {
                if let Some(place) = place {
                    *self.moved.entry(place).or_default() += count;
                }
            }
        }
        match shard {
            None => self.removed.push(key.to_owned()),
            Some(shard) => self.rows.push(row(self.site.id, key, shard, translations, self.now)),
        }
    }

    /// Where a page is put: where it is, unless it is of another month, else into the last shard of its month.
    fn shard(&mut self, old: Option<Shard>, published_at: UnixMs) -> Shard {
        let first = Shard::first_of(published_at);
        if let Some(old) = old.filter(|old| old.is_of_month(first)) {
            return old;
        }
        let place = self.open.iter().position(|(shard, _)| shard.is_of_month(first));
        let place = place.unwrap_or_else(|| {
            self.open.push((first, 0));
            self.open.len() - 1
        });
        let (shard, pages) = &mut self.open[place];
        if *pages >= i64::from(SHARD_PAGES) {
            (*shard, *pages) = (shard.next(), 0);
        }
        *pages += 1;
        *shard
    }

    /// What is not published of these pages, in place of what was not published of them before; those of which that was anything.
    async fn quarantine(&mut self, keys: &[&str], rows: Vec<Vec<Value>>) -> Result<BTreeSet<String>, StoreError> {
        let mut before = BTreeSet::new();
        for run in self.tx.dialect().runs(keys.to_vec()) {
            let delete = sql("DELETE FROM site_quarantine").and(" WHERE site_id = ", self.site.id);
            let deleted: Vec<(String,)> =
                self.tx.fetch(delete.then(" AND key").any(run).then(" RETURNING key")).await?;
            before.extend(deleted.into_iter().map(|(key,)| key));
        }
        for run in self.tx.dialect().runs(rows) {
            let insert = sql("INSERT INTO site_quarantine (site_id, key, locale, field, reason, since) ").rows(run);
            self.tx.execute(insert).await?;
        }
        Ok(before)
    }

    /// As [`Self::end`]; `None` where nothing was there, neither published nor quarantined.
    async fn end_removal(self, was_quarantined: bool) -> Result<Option<PagesChanged>, StoreError> {
        let changed = self.end().await?;
        Ok(Some(changed).filter(|changed| changed.changed > 0 || was_quarantined))
    }

    async fn end(mut self) -> Result<PagesChanged, StoreError> {
        let (site, now) = (self.site, self.now);
        for run in self.tx.dialect().runs(std::mem::take(&mut self.rows)) {
            let insert = "INSERT INTO site_pages (site_id, key, shard, latest_at, links, texts, changed_at) ";
            let upsert = sql(insert).rows(run).then(
                " ON CONFLICT (site_id, key) DO UPDATE SET shard = excluded.shard, latest_at = excluded.latest_at, \
                    links = excluded.links, texts = excluded.texts, changed_at = excluded.changed_at",
            );
            self.tx.execute(upsert).await?;
        }
        for run in self.tx.dialect().runs(std::mem::take(&mut self.removed)) {
            let delete = sql("DELETE FROM site_pages").and(" WHERE site_id = ", site.id).then(" AND key").any(run);
            self.tx.execute(delete).await?;
        }
        let moved =
            self.moved.iter().map(|(shard, count)| vec![site.id.into(), shard.to_sql().into(), (*count).into()]);
        for run in self.tx.dialect().runs(moved.collect()) {
            let upsert = sql("INSERT INTO site_shards (site_id, shard, pages) ").rows(run);
            let add = " ON CONFLICT (site_id, shard) DO UPDATE SET pages = site_shards.pages + excluded.pages";
            self.tx.execute(upsert.then(add)).await?;
        }
        let marks: Vec<Mark> = self.marks.into_iter().collect();
        mark(&mut self.tx, site.id, &marks, now).await?;
        note_addresses(&mut self.tx, site.id, &self.addresses).await?;
        let timers: Vec<(Mark, UnixMs)> = self.timers.into_iter().collect();
        set_timers(&mut self.tx, site.id, &timers).await?;
        let job = if marks.is_empty() { None } else { see_to_it(&mut self.tx, site, now).await? };
        self.tx.commit().await?;
        Ok(PagesChanged { changed: self.changed, removed: 0, job })
    }
}

/// Addresses at which something else is found now, with when that is so.
fn changed_addresses(
    before: &[Translation],
    after: &[Translation],
    now: UnixMs,
) -> BTreeSet<(LanguageTag, String, UnixMs)> {
    let only_in = |one: &[Translation], other: &[Translation]| -> Vec<Link> {
        let changed = one.iter().filter(|translation| translation.link.indexable && !other.contains(translation));
        changed.map(|translation| translation.link.clone()).collect()
    };
    let (gone, come) = (only_in(before, after), only_in(after, before));
    let gone = gone.into_iter().map(|link| (link.locale, link.path, now));
    gone.chain(come.into_iter().map(|link| (link.locale, link.path, link.published_at.max(now)))).collect()
}

fn latest_at(translations: &[Translation]) -> Option<UnixMs> {
    translations.iter().map(|one| one.link.published_at).max()
}

fn published_at(translations: &[Translation]) -> Option<UnixMs> {
    translations.iter().map(|one| one.link.published_at).min()
}

fn row(site: Id<Site>, key: &str, shard: Shard, translations: &[Translation], now: UnixMs) -> Vec<Value> {
    let (links, texts): (Vec<&Link>, Vec<&Text>) = translations.iter().map(|one| (&one.link, &one.text)).unzip();
    vec![
        site.into(),
        key.into(),
        shard.to_sql().into(),
        latest_at(translations).unwrap_or(now).into(),
        serde_json::to_vec(&links).unwrap_or_default().into(),
        serde_json::to_vec(&texts).unwrap_or_default().into(),
        now.into(),
    ]
}
