//! Reaching one person on one channel, and what came of it. Knows no job: who is reached when is the executors' matter.

mod email;
mod push;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use self::push::Services;
use crate::{Mailer, WorkerParts, push::PushSender};
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        limits::ERROR_CHARS_MAX,
        notification::{Fate, Notification, Suppression},
        notification_type::{Form, Urgency},
        preferences::Channel,
        push::PushSubscription,
        recipient::Recipient,
    },
    notified::{Notified, Version},
    notify::Data,
    store::{DigestContents, Store, StoreError, StoredDigest, StoredNotification, Tried},
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
    form: Form,
    data: Arc<Data>,
    /// What no other message to one person has.
    id: String,
    /// It is sent as it was handed in, and not as what a digest gathered.
    is_itself: bool,
}

/// Somebody who is to be reached.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    recipient: Recipient,
    /// Why they are not to be reached any more: they saw it in their inbox, or are told of a newer one with its collapse key.
    past: Option<Suppression>,
    /// Their browsers, where they are reached by push.
    subscriptions: Vec<PushSubscription>,
}

/// What came of trying to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Delivered,
    Suppressed(Suppression),
    /// They are left alone until then.
    Quiet(Quiet),
    /// They were not reached.
    Failed(Failed),
    /// There was no answer, or one that says nothing of them: maybe nobody is reached by this now.
    Outage(Failed),
}

/// Until when somebody is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) until: UnixMs,
    /// In words.
    pub(crate) why: String,
    /// Of the mail or push server that they are reached by.
    pub(crate) host: String,
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

impl Reached {
    /// As it is kept.
    pub(crate) fn tried(&self) -> Tried<'_> {
        match self {
            Self::Delivered => Tried { fate: Some(Fate::Delivered), ..Tried::default() },
            Self::Suppressed(why) => Tried { fate: Some(Fate::Suppressed(*why)), ..Tried::default() },
            Self::Quiet(Quiet { why, .. }) => Tried { error: Some(why), ..Tried::default() },
            Self::Failed(Failed { error, subscriptions, .. }) | Self::Outage(Failed { error, subscriptions, .. }) => {
                // Where one of their browsers took it they are reached, whatever comes of the others.
                let fate = (!subscriptions.is_empty()).then_some(Fate::Delivered);
                Tried { fate, error: Some(error), subscriptions }
            }
        }
    }
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

impl Message {
    /// The newest of what a digest gathered, by which that reads.
    pub(crate) fn in_digest(self) -> Self {
        Self { is_itself: false, ..self }
    }

    /// Whether only those are reached who have not seen it.
    fn is_for_the_unseeing(&self) -> bool {
        let set = self.version.workflows().get(&self.channel);
        self.is_itself && set.is_some_and(|set| set.only_if_unseen_for_s.is_some())
    }

    /// Until when somebody is left alone, if they are now. What is urgent reaches them at any hour.
    pub(crate) fn quiet(&self, to: &Person, now: UnixMs) -> Option<Quiet> {
        if self.of.of.urgency == Urgency::High {
            return None;
        }
        let zone = to.recipient.profile.time_zone.clone().unwrap_or_default();
        let until = to.recipient.profile.quiet_hours.as_ref()?.until(now, &zone)?;
        let host = to.host(self.channel)?;
        let why = format!("it is quiet hours for them until {} ({zone})", zone.shown(until));
        Some(Quiet { until, why, host })
    }
}

impl Person {
    /// Of the server that they are reached by; `None`: they are not.
    fn host(&self, channel: Channel) -> Option<String> {
        match channel {
            Channel::Email => Some(self.recipient.email.as_ref()?.address.host().to_owned()),
            Channel::Push => Some(push::host_of(self.subscriptions.first()?)),
            Channel::Inbox | Channel::Webhook => None,
        }
    }

    /// Whether they want what is of this category.
    pub(crate) fn wants(&self, message: &Message) -> bool {
        self.recipient.profile.preferences.wants(&message.of.of.category, message.channel)
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
        let (data, id) = (Arc::new(of.data()), of.id.to_string());
        Ok(Message { of, channel, version, form: Form::Single, data, id, is_itself: true })
    }

    /// What was gathered, as it is sent: one alone as if it had come by itself.
    ///
    /// # Errors
    /// When the database does not answer, or has its newest no more.
    pub(crate) async fn digest(&self, of: &StoredDigest, has: &DigestContents) -> Result<Message, Arc<StoreError>> {
        let single = self.message(of.newest, of.channel).await?.in_digest();
        let id = of.id.to_string();
        let gathers = single.version.workflows().get(&of.channel).is_some_and(|set| set.digest.is_some());
        Ok(match has.items.as_slice() {
            // The newest may have been seen, and an older one is left.
            [one] => Message { data: Arc::new(Data::new(one.data.clone())), id, ..single },
            items if gathers => {
                let data = Arc::new(Data::gathered(items, has.count));
                Message { form: Form::Digest, data, id, ..single }
            }
            _ => Message { id, ..single },
        })
    }

    /// How the channels of a notification's type tell people.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn version(&self, of: &StoredNotification) -> Result<Arc<Version>, Arc<StoreError>> {
        self.notified.version(of.of.kind, of.of.version).await
    }

    /// Those who are to be reached by a message, as far as they are known still.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn people(
        &self,
        message: &Message,
        ids: &[Id<Recipient>],
    ) -> Result<HashMap<Id<Recipient>, Person>, StoreError> {
        let for_the_unseeing = message.is_for_the_unseeing();
        let seen = match for_the_unseeing {
            true => self.store.seen_by(message.of.id, ids).await?,
            false => HashSet::new(),
        };
        let collapsed = match message.is_itself {
            true => self.store.collapsed_for(&message.of, message.channel, for_the_unseeing, ids).await?,
            false => HashSet::new(),
        };
        let mut subscriptions = match message.channel {
            Channel::Push => self.store.push_subscriptions(ids).await?,
            Channel::Inbox | Channel::Email | Channel::Webhook => HashMap::new(),
        };
        let found = self.store.recipients_by_ids(ids.to_vec()).await?;
        let person = |recipient: Recipient| {
            let subscriptions = subscriptions.remove(&recipient.id).unwrap_or_default();
            let past = [(&seen, Suppression::Seen), (&collapsed, Suppression::Collapsed)];
            let past = past.into_iter().find(|(those, _)| those.contains(&recipient.id)).map(|(_, why)| why);
            (recipient.id, Person { recipient, past, subscriptions })
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
        if let Some(why) = to.past {
            return Ok(Reached::Suppressed(why));
        }
        if let Some(quiet) = message.quiet(to, UnixMs::now()) {
            return Ok(Reached::Quiet(quiet));
        }
        match message.channel {
            // By itself, so that a push is not as large as a mail.
            Channel::Email => Box::pin(self.mail(message, &to.recipient)).await,
            Channel::Push => self.push(message, to, only, is_alone).await,
            Channel::Inbox | Channel::Webhook => {
                let error = format!("nothing is sent one by one on the channel {}", message.channel.as_str());
                Ok(Reached::Failed(Failed { is_lasting: true, ..Failed::new(AttemptClass::Invalid, error, "none") }))
            }
        }
    }
}
