//! Reaching one person on one channel, and what came of it. Knows no job: who is reached when is the executors' matter.

mod email;
mod push;

use std::{collections::HashMap, sync::Arc, time::Duration};

use self::push::Services;
use crate::{Mailer, WorkerParts, push::PushSender};
use postrider_core::{
    domain::{
        Id,
        attempt::AttemptClass,
        limits::ERROR_CHARS_MAX,
        notification::{Notification, Suppression},
        preferences::Channel,
        push::PushSubscription,
        recipient::Recipient,
    },
    notified::{Notified, Version},
    notify::Data,
    store::{Store, StoreError, StoredNotification},
};

/// How people are reached. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    store: Store,
    notified: Notified,
    mailer: Option<Mailer>,
    pusher: PushSender,
    services: Services,
    /// Where browsers reach this server, without a slash at its end.
    public_url: Option<String>,
}

/// A notification on one channel, ready for any number of people.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) of: Arc<StoredNotification>,
    channel: Channel,
    version: Arc<Version>,
    data: Arc<Data>,
}

/// Somebody who is to be reached.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    recipient: Recipient,
    /// Their browsers, where they are reached by push.
    subscriptions: Vec<PushSubscription>,
}

/// What came of trying to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Delivered,
    Suppressed(Suppression),
    /// They were not reached.
    Failed(Failed),
    /// There was no answer, or one that says nothing of them: maybe nobody is reached by this now.
    Outage(Failed),
}

/// Why somebody was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) class: AttemptClass,
    pub(crate) status: Option<u16>,
    pub(crate) error: String,
    pub(crate) retry_after: Option<Duration>,
    /// Of the mail or push server that they are reached by.
    pub(crate) host: String,
    /// To try again as it is makes no sense.
    pub(crate) is_lasting: bool,
    /// Of their push subscriptions, those that failed where others did not.
    pub(crate) subscriptions: Vec<Id<PushSubscription>>,
    /// The first of what was answered, and who answered.
    pub(crate) response_body: Option<Vec<u8>>,
    pub(crate) address: Option<String>,
}

impl Failed {
    fn new(class: AttemptClass, error: impl std::fmt::Display, host: &str) -> Self {
        // PostgreSQL takes no NUL, and errors have a limit.
        let error = error.to_string().chars().filter(|char| *char != '\0').take(ERROR_CHARS_MAX).collect();
        Self {
            class,
            status: None,
            error,
            retry_after: None,
            host: host.to_owned(),
            is_lasting: false,
            subscriptions: Vec::new(),
            response_body: None,
            address: None,
        }
    }
}

impl Channels {
    pub(crate) fn new(parts: &WorkerParts) -> Self {
        Self {
            store: parts.store.clone(),
            notified: parts.notified.clone(),
            mailer: parts.mailer.clone(),
            pusher: PushSender::new(parts.store.clone(), parts.egress.clone()),
            services: Services::new(),
            public_url: parts.settings.public_url.clone(),
        }
    }

    /// A notification as it is sent on a channel.
    ///
    /// # Errors
    /// When the database does not answer, or has it no more.
    pub(crate) async fn message(&self, id: Id<Notification>, channel: Channel) -> Result<Message, Arc<StoreError>> {
        let of = self.notified.notification(id).await?;
        let version = self.notified.version(of.of.kind, of.of.version).await?;
        let data = Arc::new(of.data());
        Ok(Message { of, channel, version, data })
    }

    /// Those who are to be reached on a channel, as far as they are known still.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn people(
        &self,
        channel: Channel,
        ids: &[Id<Recipient>],
    ) -> Result<HashMap<Id<Recipient>, Person>, StoreError> {
        let mut subscriptions = match channel {
            Channel::Push => self.store.push_subscriptions(ids).await?,
            Channel::Inbox | Channel::Email | Channel::Webhook => HashMap::new(),
        };
        let found = self.store.recipients_by_ids(ids.to_vec()).await?;
        let person = |recipient: Recipient| {
            let subscriptions = subscriptions.remove(&recipient.id).unwrap_or_default();
            (recipient.id, Person { recipient, subscriptions })
        };
        Ok(found.into_iter().map(person).collect())
    }

    /// Reaches somebody, with others.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn reach(&self, message: &Message, to: Option<&Person>) -> Result<Reached, StoreError> {
        self.reach_on(message, to, &[], false).await
    }

    /// Reaches somebody by themselves, on `only` these browsers where some of theirs have got it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn reach_alone(
        &self,
        message: &Message,
        to: Option<&Person>,
        only: &[Id<PushSubscription>],
    ) -> Result<Reached, StoreError> {
        self.reach_on(message, to, only, true).await
    }

    async fn reach_on(
        &self,
        message: &Message,
        to: Option<&Person>,
        only: &[Id<PushSubscription>],
        is_alone: bool,
    ) -> Result<Reached, StoreError> {
        let Some(to) = to else { return Ok(Reached::Suppressed(Suppression::Removed)) };
        match message.channel {
            Channel::Email => self.mail(message, &to.recipient).await,
            Channel::Push => self.push(message, to, only, is_alone).await,
            Channel::Inbox | Channel::Webhook => {
                let error = format!("nothing is sent one by one on the channel {}", message.channel.as_str());
                Ok(Reached::Failed(Failed { is_lasting: true, ..Failed::new(AttemptClass::Invalid, error, "none") }))
            }
        }
    }
}
