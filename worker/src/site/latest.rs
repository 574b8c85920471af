//! News sitemaps and feeds that are stale: all are made of the newest pages, which are read once for all of them.

use std::{io, sync::Arc};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::{Mark, Target},
            settings::Site,
        },
    },
    site::{Latest, MadeLatest, PAGES_MAX},
    store::{SiteRun, Stale},
};

use super::{Ended, PublishError, Published, Publisher, part::Part};

/// Pages that are read at once.
const PAGES: u32 = 200;

impl Publisher {
    /// Publishes stale news and feeds. Answers with the first failure beside what was published all the same.
    pub(super) async fn publish_latest(
        &self,
        site: &Arc<Site>,
        run: &SiteRun,
        stale: Vec<Stale>,
    ) -> Result<(Published, Option<PublishError>), Ended> {
        if stale.is_empty() {
            return Ok((Published::default(), None));
        }
        let marks: Vec<Mark> = stale.iter().map(|stale| stale.mark.clone()).collect();
        let mut targets: Vec<Target> = marks.iter().map(|(_, target)| target.clone()).collect();
        targets.sort();
        targets.dedup();
        let now = UnixMs::now();
        let public = self.store.site_files(site.id, &targets).await?;
        let there =
            public.iter().filter(|file| !file.gone).map(|file| (file.locale.clone(), file.target.clone())).collect();
        let part = Part { site: Arc::clone(site), stale, public, held: Vec::new() };
        let mut latest = Latest::new(site, &marks, now);
        let (mut after, mut looked_at) = (None, 0);
        while looked_at < PAGES_MAX {
            let (pages, last) = self.store.latest_pages(site.id, after, PAGES).await?;
            looked_at += pages.len();
            let Some(last) = last else { break };
            if !latest.take(&pages, last.0) || pages.len() < PAGES as usize {
                break;
            }
            after = Some(last);
        }
        let broke = |error: io::Error| PublishError::Storage { file: "feeds".to_owned(), error: error.into() };
        let uses = latest.media();
        // Before it is read what is known: what is found from now on makes stale what names it.
        let looks = self.store.ask_for_site_media(site, &uses, now).await?;
        self.dispatcher.offer(&looks);
        let urls: Vec<&str> = uses.iter().map(|one| one.url.as_str()).collect();
        let media = self.store.site_media(site.id, &urls).await?;
        let MadeLatest { made, ends } = latest.make(&media, &there).map_err(broke)?;
        let storage = self.storage.clone();
        let publish = move || part.publish_all(&storage, made);
        let done = tokio::task::spawn_blocking(publish).await?;
        // Before the marks go: what ends is marked again in time.
        self.store.set_site_timers(site.id, &ends).await?;
        self.store.commit_site_part(run, &done.part).await??;
        let mut published = Published::default();
        published.add(&done.part.changed);
        Ok((published, done.failed))
    }
}
