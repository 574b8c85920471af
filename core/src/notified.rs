//! What notifications say to whom: the versions of types by which they were handed in, compiled once for as long as they are used.

use std::{collections::BTreeMap, sync::Arc};

use moka::future::Cache;
use serde_json::{Map, Value};

use crate::{
    domain::{
        Id,
        locale::Locale,
        notification::Notification,
        notification_type::{Definition, Form, Mail, Notice, NotificationType},
        preferences::Channel,
        recipient::{Profile, Recipient},
        workflow::Workflow,
    },
    notify::{CompiledType, Content, Data, Message, RenderError, Told},
    store::{Store, StoreError, StoredNotification},
};

/// Bytes of templates that are kept compiled.
const COMPILED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of notifications' data that are kept while many are told of them.
const RECENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Notifications in words. Clones share what is compiled.
#[derive(Clone, Debug)]
pub struct Notified {
    store: Store,
    compiled: Cache<(Id<NotificationType>, u32), Arc<Version>>,
    /// Those that many are being told of.
    recent: Cache<Id<Notification>, Arc<StoredNotification>>,
}

/// A version of a type.
#[derive(Debug)]
pub struct Version {
    definition: Definition,
    compiled: CompiledType,
    workflows: BTreeMap<Channel, Workflow>,
    /// Of its templates.
    bytes: u32,
}

impl Notified {
    #[must_use]
    pub fn new(store: Store) -> Self {
        let bytes = |_: &_, version: &Arc<Version>| version.bytes;
        let compiled = Cache::builder().max_capacity(COMPILED_BYTES_MAX).weigher(bytes).build();
        let bytes =
            |_: &_, of: &Arc<StoredNotification>| u32::try_from(of.of.data.len()).unwrap_or(u32::MAX).max(1_024);
        let recent = Cache::builder().max_capacity(RECENT_BYTES_MAX).weigher(bytes).build();
        Self { store, compiled, recent }
    }

    /// A notification as it was handed in: what is planned of it since is not told.
    ///
    /// # Errors
    /// When the database does not answer, or has it no more.
    pub async fn notification(&self, id: Id<Notification>) -> Result<Arc<StoredNotification>, Arc<StoreError>> {
        let read = async {
            let found = self.store.notification(id).await?;
            found.map(Arc::new).ok_or_else(|| StoreError::unreadable("notification", "it is not kept"))
        };
        self.recent.try_get_with(id, read).await
    }

    /// # Errors
    /// When the database does not answer, or has no such version.
    pub async fn version(&self, of: Id<NotificationType>, version: u32) -> Result<Arc<Version>, Arc<StoreError>> {
        let read = async {
            let found = self.store.notification_type_version(of, version).await?;
            let definition = found.ok_or_else(|| unreadable("it is not kept"))?;
            let compiled = CompiledType::new(&definition).map_err(|fault| unreadable(&fault.detail))?;
            let bytes: usize = definition.channels.templates().iter().map(|at| at.source.len()).sum();
            let workflows = definition.channels.workflows();
            Ok(Arc::new(Version { definition, compiled, workflows, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) }))
        };
        self.compiled.try_get_with((of, version), read).await
    }
}

fn unreadable(why: &str) -> StoreError {
    StoreError::unreadable("version of a notification type", why)
}

impl Version {
    /// How its channels tell people; a channel of which nothing is set is not there.
    #[must_use]
    pub const fn workflows(&self) -> &BTreeMap<Channel, Workflow> {
        &self.workflows
    }

    /// What stands in somebody's inbox.
    ///
    /// # Errors
    /// When a template names what is not in the data.
    pub fn notice(&self, of: &StoredNotification, recipient: &Recipient) -> Result<Notice, RenderError> {
        self.message((Channel::Inbox, Form::Single), &of.data(), recipient).map(Content::into_notice)
    }

    /// What is pushed to somebody's browsers.
    ///
    /// # Errors
    /// As [`Self::notice`].
    pub fn push(&self, form: Form, data: &Data, recipient: &Recipient) -> Result<Notice, RenderError> {
        self.message((Channel::Push, form), data, recipient).map(Content::into_notice)
    }

    /// What is mailed to somebody.
    ///
    /// # Errors
    /// As [`Self::notice`].
    pub fn mail(&self, form: Form, data: &Data, recipient: &Recipient) -> Result<Mail, RenderError> {
        self.message((Channel::Email, form), data, recipient).map(Content::into_mail)
    }

    /// What somebody would be told by a channel of these data.
    ///
    /// # Errors
    /// When the type has no such channel, or a template names what is not there.
    pub fn preview(
        &self,
        channel: Channel,
        data: Map<String, Value>,
        key: &str,
        profile: &Profile,
    ) -> Result<Message, RenderError> {
        self.render((channel, Form::Single), &Data::new(data), key, profile)
    }

    fn message(&self, of: (Channel, Form), data: &Data, recipient: &Recipient) -> Result<Content, RenderError> {
        self.render(of, data, recipient.key.as_str(), &recipient.profile).map(|message| message.content)
    }

    fn render(&self, of: (Channel, Form), data: &Data, key: &str, profile: &Profile) -> Result<Message, RenderError> {
        let Profile { locale, time_zone, attributes, .. } = profile;
        let told = Told { key, locale: locale.as_ref(), time_zone: time_zone.as_ref(), attributes };
        self.compiled.render(of, told.locale, data, &told)
    }

    /// Whether something comes out of all templates of these channels with this data, whoever is told.
    ///
    /// # Errors
    /// What is missing.
    pub fn judge(&self, data: Map<String, Value>, channels: &[Channel]) -> Result<(), RenderError> {
        let (data, attributes) = (Data::new(data), Default::default());
        let judge = |form: Form, data: &Data, all: Vec<(Channel, Vec<&Locale>)>| -> Result<(), RenderError> {
            for (channel, locales) in all.into_iter().filter(|(channel, _)| channels.contains(channel)) {
                for locale in locales {
                    let told = Told { key: "somebody", locale: Some(locale), time_zone: None, attributes: &attributes };
                    self.compiled.render((channel, form), Some(locale), data, &told)?;
                }
            }
            Ok(())
        };
        let of = &self.definition.channels;
        judge(Form::Single, &data, of.locales())?;
        let digests = of.digest_locales();
        if digests.is_empty() { Ok(()) } else { judge(Form::Digest, &data.as_digest(), digests) }
    }
}

impl StoredNotification {
    /// What its templates are filled with, ready for any number of people.
    #[must_use]
    pub fn data(&self) -> Data {
        Data::new(serde_json::from_slice(&self.of.data).unwrap_or_default())
    }
}
