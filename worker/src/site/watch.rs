//! What no change of a page brings about: a job for what is stale where none will run, the end of dead letters whose work another
//! job has done, files whose folder was deleted, and the removal of files that no index has named for a while.

use std::{
    collections::HashMap,
    io,
    time::{Duration, Instant, SystemTime},
};

use postrider_core::{
    dispatch::Dispatcher,
    domain::{Id, UnixMs, site::settings::Site},
    store::{PublicFile, StoreError, UnnamedMedia},
};
use tokio_util::sync::CancellationToken;

use super::{PublishError, Publisher, lost::LostFolders};
use crate::pace::rest;

const ROUND: Duration = Duration::from_secs(5);
/// How long a file stays that no index names: whoever has read the index before may come for it.
const GONE_REST: Duration = Duration::from_secs(600);

/// How often it is looked for what processes that were killed have left, and how old that is at least: nobody writes on a file for
/// so long.
const SWEEP: Duration = Duration::from_secs(3_600);
const LEFT_FOR: Duration = Duration::from_secs(3_600);

/// How long it is known what was published when.
const PUBLICATIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Looks after all sites until `stop`.
pub(crate) async fn run(publisher: Publisher, dispatcher: Dispatcher, stop: CancellationToken) {
    let mut unnamed = UnnamedMedia::default();
    let mut lost = LostFolders::default();
    let mut swept: Option<Instant> = None;
    while rest(ROUND, &stop).await {
        if swept.is_none_or(|at| at.elapsed() > SWEEP) {
            swept = Some(Instant::now());
            if let Err(error) = publisher.sweep(SystemTime::now() - LEFT_FOR).await {
                tracing::warn!(%error, "what was left beside public files could not be removed; it is tried again in an hour");
            }
        }
        if let Err(error) = publisher.attend(&dispatcher).await {
            tracing::warn!(%error, "sites whose jobs are gone could not be looked for; it is tried again");
        }
        if let Err(error) = publisher.close_dead().await {
            tracing::warn!(%error, "dead letters of regenerations that others made up for could not be closed; it is tried again");
        }
        if let Err(error) = publisher.ring(&dispatcher).await {
            tracing::warn!(%error, "what time makes stale of sites could not be looked for; it is tried again");
        }
        if let Err(error) = lost.step(&publisher).await {
            tracing::warn!(%error, "folders of public files that are gone could not be looked for; it is tried again");
        }
        if let Err(error) = publisher.remove_gone(UnixMs::now() - GONE_REST).await {
            tracing::warn!(%error, "files that no index names could not be removed; it is tried again");
        }
        if let Err(error) = publisher.store.remove_site_publications(UnixMs::now() - PUBLICATIONS_KEPT).await {
            tracing::warn!(%error, "what is known of old publications could not be removed; it is tried again");
        }
        if let Err(error) = unnamed.step(&publisher.store, UnixMs::now()).await {
            tracing::warn!(%error, "images that no page names could not be looked for; it is tried again");
        }
    }
}

impl Publisher {
    async fn attend(&self, dispatcher: &Dispatcher) -> Result<(), StoreError> {
        for id in self.store.unattended_sites().await? {
            let Some(site) = self.store.site_by_id(id).await? else { continue };
            let job = self.store.attend_site(&site, UnixMs::now()).await?;
            dispatcher.offer(job.as_slice());
            tracing::info!(site = %site.slug, "something of a site was stale and nothing saw to it; a job does now");
        }
        Ok(())
    }

    /// A regeneration that is dead says that a site is not made again, until another one has made it.
    async fn close_dead(&self) -> Result<(), StoreError> {
        let letters = self.store.close_dead_regenerations(UnixMs::now()).await?;
        if letters > 0 {
            tracing::info!(
                letters,
                "dead letters of regenerations are discarded, since later ones did what they were to do"
            );
        }
        Ok(())
    }

    async fn ring(&self, dispatcher: &Dispatcher) -> Result<(), StoreError> {
        loop {
            let (jobs, more) = self.store.ring_site_timers(UnixMs::now()).await?;
            dispatcher.offer(&jobs);
            if !more {
                return Ok(());
            }
        }
    }

    async fn sweep(&self, before: SystemTime) -> io::Result<()> {
        let storage = self.storage.clone();
        let swept = tokio::task::spawn_blocking(move || storage.remove_left_over(before)).await;
        let files = swept.map_err(io::Error::other)??;
        if files > 0 {
            tracing::info!(files, "what a process that ended had left beside public files is removed");
        }
        Ok(())
    }

    /// What cannot be removed keeps nothing else from it.
    async fn remove_gone(&self, before: UnixMs) -> Result<(), PublishError> {
        let (mut last, mut failed) = (None, None);
        loop {
            let gone = self.store.gone_site_files(before, last.as_ref()).await?;
            let Some(end) = gone.last().cloned() else { break };
            last = Some(end);
            let mut of_sites: HashMap<Id<Site>, Vec<PublicFile>> = HashMap::new();
            for (site, file) in gone {
                of_sites.entry(site).or_default().push(file);
            }
            for (site, files) in of_sites {
                match self.remove(site, &files).await {
                    Err(error) if error.is_of_all() => return Err(error),
                    ended => failed = failed.or(ended.err()),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes files for good. One that cannot be removed keeps no other from it, unless the same is to be expected of all.
    ///
    /// # Errors
    /// The first thing that failed, once the others are removed.
    pub(super) async fn remove(&self, site: Id<Site>, files: &[PublicFile]) -> Result<(), PublishError> {
        let mut removed = Vec::with_capacity(files.len());
        let mut failed = None;
        for file in files {
            match self.storage.remove(&self.storage.shelf(site, &file.locale), &file.name).await {
                Ok(()) => removed.push(file.clone()),
                Err(error) => {
                    let ends = error.is_of_all();
                    failed.get_or_insert((format!("{}/{}", file.locale, file.name), error));
                    if ends {
                        break;
                    }
                }
            }
        }
        self.store.forget_site_files(site, &removed).await?;
        let Some((file, error)) = failed else { return Ok(()) };
        let files = match files.len() - removed.len() {
            1 => file,
            left => format!("{file} and {} more", left - 1),
        };
        Err(PublishError::Left { files, error })
    }
}
