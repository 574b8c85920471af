//! What no change of a page brings about: a job for what is stale where none will run, and the removal of files that no
//! index has named for a while.

use std::{collections::HashMap, time::Duration};

use postrider_core::{
    dispatch::Dispatcher,
    domain::{Id, UnixMs, site::settings::Site},
    store::{PublicFile, StoreError, UnnamedMedia},
};
use tokio_util::sync::CancellationToken;

use super::{PublishError, Publisher};
use crate::pace::rest;

const ROUND: Duration = Duration::from_secs(5);
/// How long a file stays that no index names: whoever has read the index before may come for it.
const GONE_REST: Duration = Duration::from_secs(600);

/// How long it is known what was published when.
const PUBLICATIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Looks after all sites until `stop`.
pub(crate) async fn run(publisher: Publisher, dispatcher: Dispatcher, stop: CancellationToken) {
    let mut unnamed = UnnamedMedia::default();
    while rest(ROUND, &stop).await {
        if let Err(error) = publisher.attend(&dispatcher).await {
            tracing::warn!(%error, "sites whose jobs are gone could not be looked for; it is tried again");
        }
        if let Err(error) = publisher.ring(&dispatcher).await {
            tracing::warn!(%error, "what time makes stale of sites could not be looked for; it is tried again");
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

    async fn ring(&self, dispatcher: &Dispatcher) -> Result<(), StoreError> {
        loop {
            let (jobs, more) = self.store.ring_site_timers(UnixMs::now()).await?;
            dispatcher.offer(&jobs);
            if !more {
                return Ok(());
            }
        }
    }

    async fn remove_gone(&self, before: UnixMs) -> Result<(), PublishError> {
        let mut gone: HashMap<Id<Site>, Vec<PublicFile>> = HashMap::new();
        for (site, file) in self.store.gone_site_files(before).await? {
            gone.entry(site).or_default().push(file);
        }
        for (site, files) in gone {
            self.remove(site, &files).await?;
        }
        Ok(())
    }

    /// Removes files for good.
    pub(super) async fn remove(&self, site: Id<Site>, files: &[PublicFile]) -> Result<(), PublishError> {
        for file in files {
            let removed = self.storage.remove(&self.storage.shelf(site, &file.locale), &file.name).await;
            removed.map_err(|error| PublishError::Storage { file: file.name.clone(), error })?;
        }
        Ok(self.store.forget_site_files(site, files).await?)
    }
}
