//! Folders of public files that somebody has deleted, or that were on a disk which is another now: what was in them is written
//! again, since no change of a page would bring it back.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use postrider_core::{
    domain::{
        Id, UnixMs,
        site::{language::LanguageTag, settings::Site},
    },
    site::Shelf,
    store::LocalePlace,
};

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
            let storage = publisher.storage.clone();
            let is_lost = move |place: &LocalePlace| storage.lacks(&storage.shelf(place.site, &place.locale));
            let missing = move || places.into_iter().filter(is_lost).collect::<Vec<_>>();
            for place in tokio::task::spawn_blocking(missing).await? {
                let key = (place.site, place.locale.to_string());
                if self.asked_at.contains_key(&key) {
                    continue;
                }
                let Some(site) = publisher.store.site_by_id(place.site).await? else { continue };
                let (files, job) = publisher.store.rewrite_locale(&site, &place.locale, UnixMs::now()).await?;
                publisher.dispatcher.offer(job.as_slice());
                if files > 0 {
                    self.asked_at.insert(key, Instant::now());
                    say(&site, &place.locale, files);
                }
            }
            last = Some(end);
        }
    }
}

/// What came of making the folders of a site.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// In some of them there were public files, which are stale since.
    pub(super) were_lost: bool,
    pub(super) failed: Option<PublishError>,
}

impl Publisher {
    /// Makes the folders that a site's locales have not. Files that were public in one are forgotten before there is a folder again,
    /// and nothing else makes one: so a process that ends here, or a folder that is lost while it is written to, leaves none, and
    /// the next regeneration begins with this again.
    pub(super) async fn make_folders(&self, site: &Site) -> Result<Folders, PublishError> {
        let tags = site.settings.locales.iter().map(|locale| &locale.tag);
        let shelves: Vec<(LanguageTag, Shelf)> =
            tags.map(|tag| (tag.clone(), self.storage.shelf(site.id, tag))).collect();
        let storage = self.storage.clone();
        let missing = move || shelves.into_iter().filter(|(_, shelf)| storage.lacks(shelf)).collect::<Vec<_>>();
        let mut folders = Folders::default();
        for (locale, shelf) in tokio::task::spawn_blocking(missing).await? {
            let files = self.store.forget_locale(site, &locale, UnixMs::now()).await?;
            if files > 0 {
                folders.were_lost = true;
                say(site, &locale, files);
            }
            let (storage, file) = (self.storage.clone(), shelf.to_string());
            if let Err(error) = tokio::task::spawn_blocking(move || storage.make(&shelf)).await? {
                folders.failed.get_or_insert(PublishError::Storage { file, error });
            }
        }
        Ok(folders)
    }
}

fn say(site: &Site, locale: &LanguageTag, files: u64) {
    tracing::warn!(
        site = %site.slug, %locale, files,
        "the folder of public files is gone; what was in it is written again"
    );
}
