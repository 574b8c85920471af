//! Makes again what is stale of a site, and publishes what changed of it: children before the index that names them, and
//! what no index names any more is removed last. Every file passes the gate before anybody else can read it.

mod announce;
mod index;
mod latest;
mod lost;
mod part;
mod shards;
pub(crate) mod watch;

use std::{collections::BTreeMap, sync::Arc};

use postrider_core::{
    dispatch::Dispatcher,
    domain::{
        Id, UnixMs,
        site::{
            change::{Shard, Target},
            settings::Site,
        },
    },
    queue::Queue,
    site::{Storage, StorageError},
    store::{Overtaken, PublicFile, SiteRun, Stale, Store, StoreError},
};

pub(crate) use self::announce::Announcement;
use crate::WorkerParts;

/// What sites are published with. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    pub(crate) store: Store,
    pub(crate) storage: Storage,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) queue: Queue,
}

/// What a regeneration did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// Files whose bytes changed.
    pub(crate) files: usize,
    /// Addresses in them.
    pub(crate) urls: u64,
    /// Before compression.
    pub(crate) bytes: u64,
}

/// Why something of a site is not public as it is now. What was public before still is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{file} cannot be kept: {error}; it is tried again")]
    Storage { file: String, error: StorageError },
    #[error("{files} cannot be removed, though named by no index: {error}; it is tried again")]
    Left { files: String, error: StorageError },
    #[error("{file} did not pass the gate, so the last good one stays: {fault}")]
    Gate { file: String, fault: String },
    #[error("a part of Postrider that makes files ended: {0}")]
    Broke(#[from] tokio::task::JoinError),
}

/// What ended a regeneration before its end.
#[derive(Debug)]
enum Ended {
    /// Another one of the same site goes on.
    Overtaken,
    Failed(PublishError),
}

impl<E: Into<PublishError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Overtaken> for Ended {
    fn from(_: Overtaken) -> Self {
        Self::Overtaken
    }
}

impl Publisher {
    pub(crate) fn of(parts: &WorkerParts) -> Self {
        let WorkerParts { store, storage, dispatcher, queue, .. } = parts;
        let (store, storage) = (store.clone(), storage.clone());
        Self { store, storage, dispatcher: dispatcher.clone(), queue: queue.clone() }
    }

    /// Publishes what is stale of a site; `None` where there is no such site any more. What fails keeps nothing else from being
    /// published, and stays stale.
    ///
    /// # Errors
    /// The first thing that failed.
    pub(crate) async fn publish(&self, id: Id<Site>) -> Result<Option<Published>, PublishError> {
        let Some(mut begun) = self.store.begin_site_run(id, UnixMs::now()).await? else { return Ok(None) };
        let folders = self.make_folders(&begun.0).await?;
        if folders.were_lost {
            // With what is stale since.
            let Some(again) = self.store.begin_site_run(id, UnixMs::now()).await? else { return Ok(None) };
            begun = again;
        }
        let (site, run, stale) = begun;
        match self.publish_run(site, &run, stale, folders.failed).await {
            // What was written of a site that was deleted meanwhile found no place.
            Err(_) if self.store.site_by_id(id).await?.is_none() => Ok(None),
            published => published.map(Some),
        }
    }

    async fn publish_run(
        &self,
        site: Site,
        run: &SiteRun,
        stale: Vec<Stale>,
        failed: Option<PublishError>,
    ) -> Result<Published, PublishError> {
        let site = Arc::new(site);
        let ended = self.run(&site, run, stale, failed).await;
        if !matches!(ended, Err(Ended::Overtaken)) {
            // Also where something failed: the rest is public.
            self.dispatcher.offer(&self.store.end_site_run(&site, run, UnixMs::now()).await?);
        }
        match ended {
            Ok(published) => Ok(published),
            Err(Ended::Overtaken) => {
                tracing::info!(site = %site.slug, "another regeneration of the site goes on with what is stale");
                Ok(Published::default())
            }
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    /// Answers with what had failed before, or with the first thing that fails.
    async fn run(
        &self,
        site: &Arc<Site>,
        run: &SiteRun,
        stale: Vec<Stale>,
        mut failed: Option<PublishError>,
    ) -> Result<Published, Ended> {
        let (mut shards, mut latest) = (BTreeMap::<Shard, Vec<Stale>>::new(), Vec::new());
        for one in stale {
            match one.mark.1 {
                Target::Shard(shard) => shards.entry(shard).or_default().push(one),
                Target::News | Target::Feed | Target::Section(_) => latest.push(one),
                // Those that are stale once all else is public.
                Target::Index => {}
            }
        }
        let mut published = Published::default();
        for (some, error) in [
            self.publish_shards(site, run, shards).await?,
            self.publish_latest(site, run, latest).await?,
            self.publish_indexes(site, run).await?,
        ] {
            published.files += some.files;
            published.urls += some.urls;
            published.bytes += some.bytes;
            failed = failed.or(error);
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(published),
        }
    }
}

impl PublishError {
    /// Whether it is to be expected of other files as well.
    const fn is_of_all(&self) -> bool {
        matches!(self, Self::Storage { error, .. } | Self::Left { error, .. } if error.is_of_all())
    }
}

impl Published {
    fn add(&mut self, files: &[PublicFile]) {
        let there = files.iter().filter(|file| !file.gone);
        for file in there {
            self.files += 1;
            self.urls += u64::from(file.urls);
            self.bytes += file.bytes;
        }
    }
}
