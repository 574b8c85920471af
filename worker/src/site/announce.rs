//! Who is told of what is public: endpoints, search engines and the feeds' hub. All of it is stored in one commit that a
//! publication makes once, however often its job runs.

use std::collections::HashSet;

use postrider_core::{
    domain::{
        Id, UnixMs,
        job::{Job, JobKind},
        lane::LaneKey,
        site::{
            settings::{Locale, Site},
            websub,
        },
    },
    store::{Item, NewJob, PublishedFile, SitePublication, StoreError},
};
use serde_json::json;

use super::Publisher;
use crate::own_event::OwnEvent;

/// The event that endpoints subscribe to.
const EVENT: &str = "site.published";
/// Files that an event names; it says how many there are.
const FILES_NAMED: usize = 100;

/// What is to be told.
pub(crate) struct Announcement<'a> {
    pub(crate) site: &'a Site,
    pub(crate) locale: &'a Locale,
    pub(crate) publication: &'a SitePublication,
    pub(crate) files: &'a [PublishedFile],
}

impl Publisher {
    /// Tells of a publication that is public, and stops its clock.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn announce(&self, what: Announcement<'_>) -> Result<(), StoreError> {
        let Announcement { site, locale, publication, .. } = what;
        let now = UnixMs::now();
        let until = publication.published_at.unwrap_or(now);
        let paths = match &site.settings.indexnow {
            Some(_) => self.store.changed_addresses(site.id, &locale.tag, until).await?,
            None => Vec::new(),
        };
        let calls = site.settings.indexnow.iter().flat_map(|indexnow| indexnow.calls(locale, &paths));
        let mut jobs: Vec<NewJob> = calls.map(|call| NewJob::call(&call, now)).collect();
        jobs.extend(self.unless_one_waits(site, what.hub_calls(now)).await?);
        let calls = Item::jobs(jobs);
        let own = OwnEvent { tenant: site.tenant_id, kind: EVENT, key: publication.id.to_string() };
        own.publish(&self.store, &self.dispatcher, what.payload(now), vec![calls]).await?;
        if !paths.is_empty() {
            self.store.forget_addresses(site.id, &locale.tag, until).await?;
        }
        self.store.was_read_back(publication.id, now).await
    }

    /// Those of the calls that the hub has to be told anew. One that waits for its turn tells of this publication as well; one that
    /// runs may have been told of the last, and one that failed waits for its next try while the hub may be there again: they end.
    async fn unless_one_waits(&self, site: &Site, calls: Vec<NewJob>) -> Result<Vec<NewJob>, StoreError> {
        let keys: Vec<&str> = calls.iter().filter_map(|job| job.unique_key.as_deref()).collect();
        if keys.is_empty() {
            return Ok(calls);
        }
        let untried = self.store.tenant(site.tenant_id).untried_jobs(JobKind::HttpRequest, &keys).await?;
        let (keys, jobs): (Vec<String>, Vec<(LaneKey, Id<Job>)>) = untried.into_iter().unzip();
        // A queue that does not answer may have given them out.
        let run = self.queue.held(&jobs).await.unwrap_or_else(|_| vec![true; jobs.len()]);
        let waiting: HashSet<String> =
            keys.into_iter().zip(run).filter(|(_, runs)| !runs).map(|(key, _)| key).collect();
        let is_new = |job: &NewJob| job.unique_key.as_ref().is_none_or(|key| !waiting.contains(key));
        Ok(calls.into_iter().filter(is_new).collect())
    }
}

impl Announcement<'_> {
    fn address(&self, name: &str) -> String {
        format!("{}/{name}", self.locale.base)
    }

    fn hub_calls(&self, now: UnixMs) -> Vec<NewJob> {
        let Some(hub) = &self.site.settings.hub else { return Vec::new() };
        let is_feed = |file: &&PublishedFile| !file.gone && !file.name.starts_with("sitemap");
        let call =
            |file: &PublishedFile| NewJob::call(&websub::call(hub, &self.address(&file.name)), now).in_place_of_same();
        self.files.iter().filter(is_feed).map(call).collect()
    }

    fn payload(&self, now: UnixMs) -> serde_json::Value {
        let Self { site, locale, publication, files } = self;
        let file = |file: &PublishedFile| json!({ "url": self.address(&file.name), "bytes": file.bytes, "urls": file.urls, "removed": file.gone });
        json!({
            "site": site.slug.as_str(),
            "publication": publication.id,
            "locale": locale.tag,
            "accepted_at": publication.accepted_at.to_string(),
            "published_at": publication.published_at.map(|at| at.to_string()),
            "read_at": now.to_string(),
            "file_count": files.len(),
            "files": files.iter().take(FILES_NAMED).map(file).collect::<Vec<_>>(),
        })
    }
}
