//! The sitemaps of stale shards, newest first. Each shard is made and published by itself, some at once, so that memory does
//! not grow with the site and a process that ends in the middle repeats little.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    num::NonZero,
    sync::Arc,
};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::{Mark, Shard, Target},
            language::LanguageTag,
            settings::Site,
        },
    },
    site::{make_sitemaps, take_doubles},
    store::{PublicFile, SiteRun, Stale},
};
use tokio::task::JoinSet;

use super::{
    Ended, PublishError, Published, Publisher,
    part::{Done, Part},
};

/// Targets whose files are asked for at once.
const TARGETS: usize = 500;

impl Publisher {
    /// Publishes stale shards. Answers with the first failure beside what was published all the same.
    pub(super) async fn publish_shards(
        &self,
        site: &Arc<Site>,
        run: &SiteRun,
    ) -> Result<(Published, Option<PublishError>), Ended> {
        let mut parts = self.stale_shards(site, run).await?;
        let no_images = Arc::new(match parts.is_empty() {
            true => HashSet::new(),
            false => self.store.bad_site_images(site.id).await?,
        });
        let (mut published, mut failed) = (Published::default(), None);
        let mut running = JoinSet::new();
        loop {
            while running.len() < at_once()
                && let Some((shard, part)) = parts.pop()
            {
                let (publisher, no_images) = (self.clone(), Arc::clone(&no_images));
                running.spawn(async move { publisher.publish_shard(shard, part, &no_images).await });
            }
            let Some(ended) = running.join_next().await else { break };
            let done = ended??;
            published.add(&done.part.changed);
            self.store.commit_site_part(run, &done.part).await??;
            if done.failed.as_ref().is_some_and(PublishError::is_of_all) {
                // Others would only be waited for as well. Their marks stay.
                parts.clear();
            }
            failed = failed.or(done.failed);
        }
        Ok((published, failed))
    }

    /// In the order in which they are taken from the end: the newest shard is the one that readers wait for.
    async fn stale_shards(&self, site: &Arc<Site>, run: &SiteRun) -> Result<Vec<(Shard, Part)>, Ended> {
        let mut shards: BTreeMap<Shard, Vec<Stale>> = BTreeMap::new();
        for stale in &run.stale {
            if let Target::Shard(shard) = stale.mark.1 {
                shards.entry(shard).or_default().push(stale.clone());
            }
        }
        let mut public: HashMap<Target, Vec<PublicFile>> = HashMap::new();
        let targets: Vec<Target> = shards.keys().copied().map(Target::Shard).collect();
        for some in targets.chunks(TARGETS) {
            for file in self.store.site_files(site.id, Some(some)).await? {
                public.entry(file.target.clone()).or_default().push(file);
            }
        }
        let confirmed = self.confirmed(site).await?;
        let part = |(shard, stale)| {
            let public = public.remove(&Target::Shard(shard)).unwrap_or_default();
            (shard, Part { site: Arc::clone(site), stale, public, confirmed: Arc::clone(&confirmed) })
        };
        Ok(shards.into_iter().map(part).collect())
    }

    /// What somebody has said is right although it lost many addresses.
    async fn confirmed(&self, site: &Site) -> Result<Arc<[Mark]>, Ended> {
        let holds = self.store.site_holds(site.id).await?;
        Ok(holds.into_iter().filter(|hold| hold.confirmed).map(|hold| hold.mark).collect())
    }

    async fn publish_shard(&self, shard: Shard, part: Part, no_images: &HashSet<String>) -> Result<Done, PublishError> {
        let (keys, mut pages) = self.store.shard_links(part.site.id, shard).await?;
        let doubles = take_doubles(&keys, &mut pages);
        let again = self.store.keep_doubles(&part.site, (shard, &keys), &doubles, UnixMs::now()).await?;
        self.dispatcher.offer(again.as_slice());
        if !no_images.is_empty() {
            for link in pages.iter_mut().flatten() {
                link.image = link.image.take().filter(|image| !no_images.contains(image));
            }
        }
        let (storage, now) = (self.storage.clone(), UnixMs::now());
        let make = move || {
            let wanted: Vec<LanguageTag> = part.stale.iter().map(|stale| stale.mark.0.clone()).collect();
            let made = make_sitemaps(&part.site.settings, shard, &pages, &wanted, now);
            let broke = |error: io::Error| PublishError::Storage {
                file: format!("the sitemaps of {shard}"),
                error: error.into(),
            };
            Ok(part.publish(&storage, made.map_err(broke)?))
        };
        tokio::task::spawn_blocking(make).await?
    }
}

/// Shards at once: making one takes a core.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}
