//! The sitemaps of stale shards, newest first. Each shard is made and published by itself, some at once, so that memory does
//! not grow with the site and a process that ends in the middle repeats little.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    num::NonZero,
    sync::Arc,
};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::{Mark, Shard, Target},
            language::LanguageTag,
            page::Link,
            settings::Site,
        },
    },
    site::{Addresses, Double, ShardPages, Storage, take_doubles},
    store::{Hold, KeptPage, PublicFile, SiteRun, Stale, StoreError},
};
use tokio::task::JoinSet;

use super::{
    Ended, PublishError, Published, Publisher,
    part::{Done, Part},
};

impl Publisher {
    /// Publishes stale shards, the newest first: it is the one that readers wait for. Answers with the first failure beside what was published all the same.
    pub(super) async fn publish_shards(
        &self,
        site: &Arc<Site>,
        run: &SiteRun,
        mut shards: BTreeMap<Shard, Vec<Stale>>,
    ) -> Result<(Published, Option<PublishError>), Ended> {
        let known = Arc::new(match shards.is_empty() {
            true => Known::default(),
            false => self.known(site).await?,
        });
        let (mut published, mut failed) = (Published::default(), None);
        let mut running = JoinSet::new();
        let threads = (cores() / shards.len().max(1)).max(1);
        loop {
            while running.len() < cores()
                && let Some((shard, stale)) = shards.pop_last()
            {
                let (publisher, site, known) = (self.clone(), Arc::clone(site), Arc::clone(&known));
                running.spawn(async move { publisher.publish_shard(&site, (shard, stale), known, threads).await });
            }
            let Some(ended) = running.join_next().await else { break };
            let done = ended??;
            published.add(&done.part.changed);
            self.store.commit_site_part(run, &done.part).await??;
            if done.failed.as_ref().is_some_and(PublishError::is_of_all) {
                // Others would only be waited for as well. Their marks stay.
                shards.clear();
            }
            failed = failed.or(done.failed);
        }
        Ok((published, failed))
    }

    async fn known(&self, site: &Site) -> Result<Known, StoreError> {
        let holds = self.store.site_holds(site.id).await?;
        Ok(Known {
            bad_images: self.store.bad_site_images(site.id).await?,
            confirmed: holds
                .into_iter()
                .filter(|hold| hold.confirmed)
                .map(|hold| (hold.mark, hold.urls_after))
                .collect(),
        })
    }

    /// Its locales are shared out among some threads: where it is the only one, people wait for it.
    async fn publish_shard(
        &self,
        site: &Arc<Site>,
        (shard, stale): (Shard, Vec<Stale>),
        known: Arc<Known>,
        threads: usize,
    ) -> Result<Done, PublishError> {
        let now = UnixMs::now();
        let Gathered { pages, keys, doubles } = self.gather(site, shard, &known, now).await?;
        let again = self.store.keep_doubles(site, (shard, &keys), &doubles, now).await?;
        self.dispatcher.offer(again.as_slice());
        let public = self.store.site_files(site.id, &[Target::Shard(shard)]).await?;
        let part = Part { site: Arc::clone(site), stale, public, held: Vec::new() };
        let (pages, mut making, mut done) = (Arc::new(pages), JoinSet::new(), Done::default());
        for part in part.split(threads) {
            let (pages, known, storage) = (Arc::clone(&pages), Arc::clone(&known), self.storage.clone());
            making.spawn_blocking(move || make(part, &pages, &known, &storage));
        }
        while let Some(made) = making.join_next().await {
            done.add(made??);
        }
        Ok(done)
    }

    async fn gather(
        &self,
        site: &Arc<Site>,
        shard: Shard,
        known: &Arc<Known>,
        now: UnixMs,
    ) -> Result<Gathered, PublishError> {
        let kept = self.store.shard_pages(site.id, shard).await?;
        let (of_site, of) = (Arc::clone(site), Arc::clone(known));
        let gather = move || Gathered::of(&of_site, shard, kept, &of, now);
        if let Some(gathered) = tokio::task::spawn_blocking(gather).await?? {
            return Ok(gathered);
        }
        let kept = self.store.shard_pages(site.id, shard).await?;
        let (of_site, of) = (Arc::clone(site), Arc::clone(known));
        let gather = move || Gathered::without_doubles(&of_site, shard, &kept, &of, now);
        Ok(tokio::task::spawn_blocking(gather).await??)
    }
}

/// What is known of a site beside its pages.
#[derive(Debug, Default)]
struct Known {
    /// Addresses at which there are none.
    bad_images: HashSet<String>,
    /// Marks of which somebody has said that it is right to publish them with so many addresses.
    confirmed: HashMap<Mark, u32>,
}

/// The pages of a shard.
struct Gathered {
    pages: ShardPages,
    keys: Vec<String>,
    doubles: Vec<Double>,
}

impl Gathered {
    /// Each page goes as soon as it is taken: together they are as large as what is made of them. `None` where an address is there
    /// twice.
    fn of(
        site: &Site,
        shard: Shard,
        kept: Vec<KeptPage>,
        known: &Known,
        now: UnixMs,
    ) -> Result<Option<Self>, StoreError> {
        let mut pages = empty(site, shard, &kept, now);
        let mut keys = Vec::with_capacity(kept.len());
        let mut addresses = Addresses::default();
        for page in kept {
            let links = page.links()?;
            if !links.iter().all(|link| addresses.insert(link)) {
                return Ok(None);
            }
            pages.push(&known.shown(links));
            keys.push(page.key);
        }
        Ok(Some(Self { pages, keys, doubles: Vec::new() }))
    }

    fn without_doubles(
        site: &Site,
        shard: Shard,
        kept: &[KeptPage],
        known: &Known,
        now: UnixMs,
    ) -> Result<Self, StoreError> {
        let mut pages = empty(site, shard, kept, now);
        let keys: Vec<String> = kept.iter().map(|page| page.key.clone()).collect();
        let mut links = kept.iter().map(KeptPage::links).collect::<Result<Vec<_>, _>>()?;
        let doubles = take_doubles(&keys, &mut links);
        links.into_iter().for_each(|links| pages.push(&known.shown(links)));
        Ok(Self { pages, keys, doubles })
    }
}

/// Of no page yet. What is written of a page takes somewhat less than twice what is kept of it.
fn empty(site: &Site, shard: Shard, kept: &[KeptPage], now: UnixMs) -> ShardPages {
    let kept_bytes: usize = kept.iter().map(KeptPage::links_bytes).sum();
    ShardPages::new(&site.settings, shard, now, kept_bytes * 2)
}

impl Known {
    fn shown(&self, mut links: Vec<Link>) -> Vec<Link> {
        for link in &mut links {
            link.image = link.image.take().filter(|image| !self.bad_images.contains(image));
        }
        links
    }
}

/// Makes and publishes one locale's sitemaps after the other's.
fn make(mut part: Part, pages: &ShardPages, known: &Known, storage: &Storage) -> Result<Done, PublishError> {
    part.held = holds(&part, pages, known);
    keep_held(&part, storage);
    let is_held = |mark: &Mark| part.held.iter().any(|hold| hold.mark == *mark);
    let marks = part.stale.iter().map(|stale| &stale.mark);
    let locales: Vec<LanguageTag> = marks.filter(|mark| !is_held(mark)).map(|(locale, _)| locale.clone()).collect();
    let mut publishing = part.begin(storage);
    for locale in locales {
        let made = pages.sitemaps(&locale);
        let file = || format!("a sitemap of {locale}");
        let made = made.map_err(|error| PublishError::Storage { file: file(), error: error.into() })?;
        made.into_iter().for_each(|made| publishing.publish(made));
    }
    Ok(publishing.end())
}

/// What is public of sitemaps that are held cannot be made again, so another copy of it is kept.
fn keep_held(part: &Part, storage: &Storage) {
    let is_held = |file: &&PublicFile| {
        !file.gone && part.held.iter().any(|hold| hold.mark.0 == file.locale && hold.mark.1 == file.target)
    };
    for PublicFile { locale, name, .. } in part.public.iter().filter(is_held) {
        if let Err(error) = storage.hold(&storage.shelf(part.site.id, locale), name) {
            let site = &part.site.slug;
            tracing::warn!(%site, %locale, name, %error, "what is public of a sitemap that is held cannot be kept");
        }
    }
}

/// What lost so many addresses at once that a person is asked first.
fn holds(part: &Part, pages: &ShardPages, known: &Known) -> Vec<Hold> {
    let hold = |mark: &Mark| {
        let public = part.public.iter().filter(|file| !file.gone && file.locale == mark.0 && file.target == mark.1);
        let (urls_before, urls_after) = (public.map(|file| file.urls).sum(), pages.urls(&mark.0));
        let hold = Hold { mark: mark.clone(), urls_before, urls_after, since: UnixMs::now(), confirmed: false };
        // Somebody has agreed to that many, and to no fewer.
        let agreed = known.confirmed.get(mark).map_or(urls_before, |agreed| urls_before.min(*agreed));
        fell_too_far(agreed, urls_after).then_some(hold)
    };
    part.stale.iter().map(|stale| &stale.mark).filter_map(hold).collect()
}

/// More than a fifth, and more than one: a fault of a publisher's program takes pages away like this, while a single page is
/// taken away by people.
const fn fell_too_far(before: u32, after: u32) -> bool {
    after + 1 < before && (before - after) * 5 > before
}

/// Making a shard takes one.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_fifth_and_more_than_one_is_too_many_at_once() {
        let none = [(10, 8), (1, 0), (3, 2), (5, 9), (0, 0)];
        let too_many = [(10, 7), (2, 0), (100, 79)];
        assert!(none.iter().all(|(before, after)| !fell_too_far(*before, *after)));
        assert!(too_many.iter().all(|(before, after)| fell_too_far(*before, *after)));
    }
}
