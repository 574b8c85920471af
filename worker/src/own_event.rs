//! Events that Postrider itself publishes, each once.

use std::time::Duration;

use postrider_core::{
    dispatch::Dispatcher,
    domain::{Id, UnixMs, event::EventType, tenant::Tenant},
    store::{Gate, Item, NewEvent, NewJob, Publication, Published, Store, StoreError},
};

/// How long it is known that one was published.
const KNOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// An event for those of a tenant's endpoints that want it.
pub(crate) struct OwnEvent {
    pub(crate) tenant: Id<Tenant>,
    pub(crate) kind: &'static str,
    /// What it is known by: whoever publishes it again publishes nothing.
    pub(crate) key: String,
}

impl OwnEvent {
    /// Stores it with its deliveries, and with what belongs to it, in one commit. An event that no endpoint wants is not kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn publish(
        self,
        store: &Store,
        dispatcher: &Dispatcher,
        payload: serde_json::Value,
        mut items: Vec<Item>,
    ) -> Result<(), StoreError> {
        let now = UnixMs::now();
        items.extend(self.item(store, payload, now).await?);
        let due: Vec<_> = items.iter().flat_map(|item| item.jobs.iter().map(|job| job.due(self.tenant))).collect();
        let gate = Gate { scope: self.kind, key: self.key, body_hash: Vec::new(), expires_at: now + KNOWN };
        let publication = Publication::plain(items, now).behind(Some(gate));
        if let Published::Stored(_) = store.tenant(self.tenant).publish(publication).await? {
            dispatcher.offer(&due);
        }
        Ok(())
    }

    async fn item(&self, store: &Store, payload: serde_json::Value, now: UnixMs) -> Result<Option<Item>, StoreError> {
        let Ok(kind) = self.kind.parse::<EventType>() else { return Ok(None) };
        let endpoints = store.directory().endpoints(self.tenant).await?;
        let id = Id::new();
        let wanting = endpoints.wanting(&kind, &[]);
        let jobs: Vec<NewJob> = wanting.map(|live| NewJob::delivery(&live.endpoint, id, now)).collect();
        if jobs.is_empty() {
            return Ok(None);
        }
        let payload = payload.to_string().into_bytes();
        let event = NewEvent { id, own_id: None, kind, channels: Vec::new(), payload, deliver_at: now, trace: None };
        Ok(Some(Item::event(event, jobs)))
    }
}
