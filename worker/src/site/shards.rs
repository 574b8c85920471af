//! The sitemaps of stale shards, newest first. Each shard is made and published by itself, some at once, so that memory does
//! not grow with the site and a process that ends in the middle repeats little.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    sync::Arc,
};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::{Shard, Target},
            language::LanguageTag,
            page::Link,
            settings::Site,
        },
    },
    site::{Made, Storage, make_sitemaps},
    store::{PublicFile, SiteRun, Stale},
};
use tokio::task::JoinSet;

use super::{Ended, PublishError, Published, Publisher};

/// A shard's sitemaps as they are public, by locale and name.
type Public = HashMap<(LanguageTag, String), PublicFile>;

/// A shard that is to be made again.
struct Job {
    site: Arc<Site>,
    shard: Shard,
    stale: Vec<Stale>,
    public: Public,
}

/// What came of it.
struct Done {
    changed: Vec<PublicFile>,
    /// Marks whose files are public.
    cleared: Vec<Stale>,
    failed: Option<PublishError>,
}

impl Publisher {
    /// Publishes stale shards. Answers with the first failure beside what was published all the same.
    pub(super) async fn publish_shards(
        &self,
        site: &Site,
        run: &SiteRun,
    ) -> Result<(Published, Option<PublishError>), Ended> {
        let mut jobs = self.stale_shards(site, run).await?;
        let (mut published, mut failed) = (Published::default(), None);
        let mut running = JoinSet::new();
        loop {
            while running.len() < at_once()
                && let Some(job) = jobs.pop()
            {
                let publisher = self.clone();
                running.spawn(async move { publisher.publish_shard(job).await });
            }
            let Some(ended) = running.join_next().await else { break };
            let done = ended??;
            self.store.commit_site_part(run, &done.changed, &done.cleared).await??;
            published.add(&done.changed);
            failed = failed.or(done.failed);
        }
        Ok((published, failed))
    }

    /// In the order in which they are taken from the end: the newest shard is the one that readers wait for.
    async fn stale_shards(&self, site: &Site, run: &SiteRun) -> Result<Vec<Job>, Ended> {
        let mut shards: BTreeMap<Shard, Vec<Stale>> = BTreeMap::new();
        for stale in &run.stale {
            if let Target::Shard(shard) = stale.mark.1 {
                shards.entry(shard).or_default().push(stale.clone());
            }
        }
        let mut public: HashMap<Target, Public> = HashMap::new();
        let targets: Vec<Target> = shards.keys().copied().map(Target::Shard).collect();
        for some in targets.chunks(500) {
            for file in self.store.site_files(site.id, Some(some)).await? {
                let of_shard = public.entry(file.target.clone()).or_default();
                of_shard.insert((file.locale.clone(), file.name.clone()), file);
            }
        }
        let site = Arc::new(site.clone());
        let job = |(shard, stale)| {
            let public = public.remove(&Target::Shard(shard)).unwrap_or_default();
            Job { site: Arc::clone(&site), shard, stale, public }
        };
        Ok(shards.into_iter().map(job).collect())
    }

    async fn publish_shard(&self, job: Job) -> Result<Done, PublishError> {
        let pages = self.store.shard_links(job.site.id, job.shard).await?;
        let storage = self.storage.clone();
        tokio::task::spawn_blocking(move || job.run(&storage, &pages)).await?
    }
}

/// Shards at once: making one takes a core.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}

impl Job {
    fn run(mut self, storage: &Storage, pages: &[Vec<Link>]) -> Result<Done, PublishError> {
        let wanted: Vec<LanguageTag> = self.stale.iter().map(|stale| stale.mark.0.clone()).collect();
        let broke = |error| PublishError::Storage { file: format!("the sitemaps of {}", self.shard), error };
        let made = make_sitemaps(&self.site.settings, self.shard, pages, &wanted).map_err(broke)?;
        let (now, mut changed, mut bad) = (UnixMs::now(), Vec::new(), Vec::new());
        for one in made {
            let before = self.public.remove(&(one.locale.clone(), one.name.clone()));
            if before.is_some_and(|before| !before.gone && before.hash == one.packed.hash()) {
                continue;
            }
            let locale = one.locale.clone();
            match self.publish(storage, one, now) {
                Ok(file) => changed.push(file),
                Err(error) => bad.push((locale, error)),
            }
        }
        // What is not made any more goes, but for a locale of which something failed.
        let gone = self.public.into_values().filter(|file| {
            !file.gone && wanted.contains(&file.locale) && !bad.iter().any(|(locale, _)| *locale == file.locale)
        });
        changed.extend(gone.map(|file| PublicFile { gone: true, changed_at: now, ..file }));
        let is_good = |stale: &Stale| !bad.iter().any(|(locale, _)| *locale == stale.mark.0);
        let cleared = self.stale.into_iter().filter(is_good).collect();
        Ok(Done { changed, cleared, failed: bad.into_iter().next().map(|(_, error)| error) })
    }

    fn publish(&self, storage: &Storage, made: Made, now: UnixMs) -> Result<PublicFile, PublishError> {
        let Some(locale) = self.site.settings.locale(&made.locale) else {
            return Err(PublishError::Gate { file: made.name, fault: "its locale is none of the site's".to_owned() });
        };
        let file = format!("{}/{}", locale.base, made.name);
        made.judge(&locale.base)
            .map_err(|fault| PublishError::Gate { file: file.clone(), fault: fault.to_string() })?;
        let public = PublicFile {
            locale: made.locale,
            name: made.name,
            target: Target::Shard(self.shard),
            hash: made.packed.hash().to_vec(),
            bytes: made.packed.bytes,
            urls: made.urls,
            changed_at: now,
            gone: false,
        };
        let folder = storage.folder(self.site.id, &public.locale);
        let written = storage.publish(&folder, &public.name, &made.packed.dated(now));
        written.map_err(|error| PublishError::Storage { file, error })?;
        Ok(public)
    }
}
