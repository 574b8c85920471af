//! Who is told of what is public: endpoints, search engines and the feeds' hub. All of it is stored in one commit that a
//! publication makes once, however often its job runs.

use postrider_core::{
    domain::{
        UnixMs,
        http_request::HttpRequest,
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
        let mut calls: Vec<HttpRequest> = Vec::new();
        calls.extend(site.settings.indexnow.iter().flat_map(|indexnow| indexnow.calls(locale, &paths)));
        calls.extend(what.hub_calls());
        let jobs = calls.iter().map(|call| NewJob::call(call, now)).collect();
        let calls = Item { gate: None, answer: String::new(), event: None, jobs };
        let own = OwnEvent { tenant: site.tenant_id, kind: EVENT, key: publication.id.to_string() };
        own.publish(&self.store, &self.dispatcher, what.payload(now), vec![calls]).await?;
        if !paths.is_empty() {
            self.store.forget_addresses(site.id, &locale.tag, until).await?;
        }
        self.store.was_read_back(publication.id, now).await
    }
}

impl Announcement<'_> {
    fn address(&self, name: &str) -> String {
        format!("{}/{name}", self.locale.base)
    }

    fn hub_calls(&self) -> Vec<HttpRequest> {
        let Some(hub) = &self.site.settings.hub else { return Vec::new() };
        let is_feed = |file: &&PublishedFile| !file.gone && !file.name.starts_with("sitemap");
        self.files.iter().filter(is_feed).map(|file| websub::call(hub, &self.address(&file.name))).collect()
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
