//! Folders of public files that somebody has deleted, or that were on a disk which is another now: what was in them is written
//! again, since no change of a page would bring it back.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use postrider_core::domain::{Id, UnixMs, site::settings::Site};

use super::{PublishError, Publisher};

/// How often the folders are looked at.
const LOOK: Duration = Duration::from_secs(15);
/// A folder that is still gone, or gone again, is not written sooner: it may be one that another process cannot see.
const AGAIN: Duration = Duration::from_secs(600);

/// What was looked at, and asked for.
#[derive(Debug, Default)]
pub(super) struct LostFolders {
    looked_at: Option<Instant>,
    /// By the site and its locale.
    asked_at: HashMap<(Id<Site>, String), Instant>,
}

impl LostFolders {
    /// Looks for folders that are gone though files in them are public, and has these files written again.
    pub(super) async fn step(&mut self, publisher: &Publisher) -> Result<(), PublishError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        self.asked_at.retain(|_, at| at.elapsed() < AGAIN);
        let mut last = None;
        loop {
            let places = publisher.store.locale_places(last.as_ref()).await?;
            let Some(end) = places.last().cloned() else { return Ok(()) };
            let shelves = places.iter().map(|place| publisher.storage.shelf(place.site, &place.locale)).collect();
            let storage = publisher.storage.clone();
            let missing = tokio::task::spawn_blocking(move || storage.missing(shelves)).await?;
            for place in places {
                let key = (place.site, place.locale.to_string());
                if !missing.contains(&publisher.storage.shelf(place.site, &place.locale))
                    || self.asked_at.contains_key(&key)
                {
                    continue;
                }
                let Some(site) = publisher.store.site_by_id(place.site).await? else { continue };
                let (files, job) = publisher.store.rewrite_locale(&site, &place.locale, UnixMs::now()).await?;
                publisher.dispatcher.offer(job.as_slice());
                if files > 0 {
                    self.asked_at.insert(key, Instant::now());
                    tracing::warn!(
                        site = %site.slug, locale = %place.locale, files,
                        "the folder of public files is gone; what was in it is written again"
                    );
                }
            }
            last = Some(end);
        }
    }
}
