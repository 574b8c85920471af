//! Who is told of what is public: endpoints, search engines and the feeds' hub. All of it is stored in one commit that a
//! publication makes once, however often its job runs.

use postrider_core::{
    dispatch::Dispatcher,
    domain::{
        Id, UnixMs,
        event::EventType,
        http_request::HttpRequest,
        job::{JobKind, Priority},
        site::{
            settings::{Locale, Site},
            websub,
        },
    },
    store::{Gate, Item, NewEvent, NewJob, Publication, Published, PublishedFile, SitePublication, StoreError},
};
use serde_json::json;

use super::Publisher;

/// The event that endpoints subscribe to.
const EVENT: &str = "site.published";
/// Files that an event names; it says how many there are.
const FILES_NAMED: usize = 100;
/// How long a publication is known to have been announced.
const KNOWN: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

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
    pub(crate) async fn announce(&self, dispatcher: &Dispatcher, what: Announcement<'_>) -> Result<(), StoreError> {
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
        let jobs: Vec<NewJob> = calls.iter().map(|call| job(call, now)).collect();
        let mut items = vec![Item { gate: None, answer: String::new(), event: None, jobs }];
        items.extend(self.event(&what, now).await?);
        let due: Vec<_> = items.iter().flat_map(|item| item.jobs.iter().map(|job| job.due(site.tenant_id))).collect();
        let key = publication.id.to_string();
        let gate = Gate { scope: EVENT, key, body_hash: Vec::new(), expires_at: now + KNOWN };
        let publishing = Publication::plain(items, now).behind(Some(gate));
        if let Published::Stored(_) = self.store.tenant(site.tenant_id).publish(publishing).await? {
            dispatcher.offer(&due);
        }
        if !paths.is_empty() {
            self.store.forget_addresses(site.id, &locale.tag, until).await?;
        }
        self.store.was_read_back(publication.id, now).await
    }

    /// The event with its deliveries; none where no endpoint wants it.
    async fn event(&self, what: &Announcement<'_>, now: UnixMs) -> Result<Option<Item>, StoreError> {
        let Ok(kind) = EVENT.parse::<EventType>() else { return Ok(None) };
        let endpoints = self.store.directory().endpoints(what.site.tenant_id).await?;
        let id = Id::new();
        let wanting = endpoints.wanting(&kind, &[]);
        let jobs: Vec<NewJob> = wanting.map(|live| NewJob::delivery(&live.endpoint, id, now)).collect();
        if jobs.is_empty() {
            return Ok(None);
        }
        let payload = what.payload(now).to_string().into_bytes();
        let event = NewEvent { id, own_id: None, kind, channels: Vec::new(), payload, deliver_at: now, trace: None };
        Ok(Some(Item { gate: None, answer: String::new(), event: Some(event), jobs }))
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

fn job(call: &HttpRequest, now: UnixMs) -> NewJob {
    NewJob {
        id: Id::new(),
        kind: JobKind::HttpRequest,
        lane: call.host_lane(),
        max_attempts: call.retry_schedule.max_attempts(),
        priority: Priority::default(),
        run_at: now,
        args: serde_json::to_vec(call).ok(),
        message_id: None,
        event_id: None,
        endpoint_id: None,
        unique_key: None,
        replay_of: None,
        trace: None,
        tags: Vec::new(),
    }
}
