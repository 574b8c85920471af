//! Notifications: one thing that people are told, and what became of it for each of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Id,
    id::Identified,
    job::{Job, JobState},
    preferences::{Category, Channel, Preferences},
    recipient::{Recipient, RecipientKey},
    topic::{Topic, TopicKey},
};

/// Recipients of one chunk: what is resolved, written and committed together.
pub const CHUNK_RECIPIENTS_MAX: usize = 1_000;
/// Recipients and topics that one notification may name.
pub const NAMED_RECIPIENTS_MAX: usize = 1_000;
pub const NAMED_TOPICS_MAX: usize = 10;
/// Stands in a fate's place where it is kept apart.
const APART: u8 = 3;

/// Something that people are told. Its receipt is what became of it for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {}

impl Identified for Notification {
    const PREFIX: &'static str = "ntf";
}

/// Whom a notification is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Named by their keys, in order. Who is not known is made known by it.
    pub recipients: Vec<RecipientKey>,
    /// All who subscribe to any of these when it is due.
    pub topics: Vec<NamedTopic>,
    /// Who did what it tells of, and is not told.
    pub actor: Option<RecipientKey>,
}

/// A topic as a notification names it: one that is removed later is known by its key still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTopic {
    pub id: Id<Topic>,
    pub key: TopicKey,
}

/// Why somebody was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// They do not want what is of this category on this channel.
    Preference,
    /// They did it themselves.
    Actor,
    /// They were removed before they were told.
    Removed,
    /// Somebody cancelled the job that would have told them.
    Cancelled,
    /// No e-mail address of theirs is known.
    NoAddress,
    /// Nothing is sent to their address any more: it bounced before, they complained, or somebody said so.
    AddressSuppressed,
    /// Their mailbox is gone, as their server has answered to this.
    Bounced,
    /// None of their devices takes what is pushed.
    NoSubscription,
    /// They saw it in their inbox before.
    Seen,
    /// They were told often enough of this type by this channel.
    Throttled,
    /// A newer one with the same collapse key took its place.
    Collapsed,
}

/// What became of a notification for one recipient on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Pending,
    Delivered,
    /// It failed too often, and lies in the dead-letter table.
    Dead,
    Suppressed(Suppression),
}

impl Suppression {
    pub const ALL: [Self; 11] = [
        Self::Preference,
        Self::Actor,
        Self::Removed,
        Self::Cancelled,
        Self::NoAddress,
        Self::AddressSuppressed,
        Self::Bounced,
        Self::NoSubscription,
        Self::Seen,
        Self::Throttled,
        Self::Collapsed,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preference => "preference",
            Self::Actor => "actor",
            Self::Removed => "removed",
            Self::Cancelled => "cancelled",
            Self::NoAddress => "no_address",
            Self::AddressSuppressed => "address_suppressed",
            Self::Bounced => "bounced",
            Self::NoSubscription => "no_subscription",
            Self::Seen => "seen",
            Self::Throttled => "throttled",
            Self::Collapsed => "collapsed",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Preference => 16,
            Self::Actor => 17,
            Self::Removed => 18,
            Self::Cancelled => 19,
            Self::NoAddress => 20,
            Self::AddressSuppressed => 21,
            Self::Bounced => 22,
            Self::NoSubscription => 23,
            Self::Seen => 24,
            Self::Throttled => 25,
            Self::Collapsed => 26,
        }
    }
}

impl Fate {
    /// As it is kept, a byte for each recipient.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Delivered => 1,
            Self::Dead => 2,
            Self::Suppressed(why) => why.code(),
        }
    }

    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Pending),
            1 => Some(Self::Delivered),
            2 => Some(Self::Dead),
            code => Suppression::ALL.into_iter().find(|why| why.code() == code).map(Self::Suppressed),
        }
    }
}

/// What is known of somebody when it is decided whether they are told.
#[derive(Clone, Debug)]
pub struct Person<'a> {
    pub key: &'a RecipientKey,
    pub preferences: &'a Preferences,
}

/// Whether somebody is told on a channel: `None`, or why not.
#[must_use]
pub fn suppression(
    told: Option<&Person<'_>>,
    actor: Option<&RecipientKey>,
    category: &Category,
    channel: Channel,
) -> Option<Suppression> {
    let Some(told) = told else { return Some(Suppression::Removed) };
    if actor == Some(told.key) {
        return Some(Suppression::Actor);
    }
    (!told.preferences.wants(category, channel)).then_some(Suppression::Preference)
}

/// How many recipients came to what on one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateCounts {
    pub pending: u64,
    pub delivered: u64,
    /// Those that ended as dead letters.
    pub dead: u64,
    pub suppressed: BTreeMap<Suppression, u64>,
}

impl FateCounts {
    #[must_use]
    pub fn of(fates: impl IntoIterator<Item = Fate>) -> Self {
        let mut counts = Self::default();
        fates.into_iter().for_each(|fate| *counts.count(fate) += 1);
        counts
    }

    /// So many came to the same.
    #[must_use]
    pub fn alike(fate: Fate, count: u64) -> Self {
        let mut counts = Self::default();
        *counts.count(fate) = count;
        counts
    }

    fn count(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Pending => &mut self.pending,
            Fate::Delivered => &mut self.delivered,
            Fate::Dead => &mut self.dead,
            Fate::Suppressed(why) => self.suppressed.entry(why).or_default(),
        }
    }

    /// The same where those that are pending came to `fate`, since what would reach them has ended.
    #[must_use]
    pub fn with_pending_as(self, fate: Fate) -> Self {
        let mut counts = Self { pending: 0, ..self };
        counts.add(&Self::alike(fate, self.pending));
        counts
    }

    /// All that it was planned for.
    #[must_use]
    pub fn planned(&self) -> u64 {
        self.pending + self.delivered + self.dead + self.suppressed.values().sum::<u64>()
    }

    pub fn add(&mut self, other: &Self) {
        self.pending += other.pending;
        self.delivered += other.delivered;
        self.dead += other.dead;
        for (why, count) in &other.suppressed {
            *self.suppressed.entry(*why).or_default() += count;
        }
    }
}

/// What became of those whom a job reaches and has not reached yet, by the job's state; `None`: the job is not kept any more.
#[must_use]
pub const fn unreached(job: Option<JobState>) -> Fate {
    match job {
        Some(JobState::Pending | JobState::Succeeded) => Fate::Pending,
        Some(JobState::Cancelled) => Fate::Suppressed(Suppression::Cancelled),
        Some(JobState::Dead) | None => Fate::Dead,
    }
}

/// The id of a chunk's job follows from what it is of, so that one that is planned twice is one.
#[must_use]
pub fn chunk_job(notification: Id<Notification>, n: u32) -> Id<Job> {
    job_of(notification, n, &[])
}

/// The id of the job that reaches a chunk's people on one channel.
#[must_use]
pub fn batch_job(notification: Id<Notification>, n: u32, channel: Channel) -> Id<Job> {
    job_of(notification, n, channel.as_str().as_bytes())
}

fn job_of(notification: Id<Notification>, n: u32, of: &[u8]) -> Id<Job> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(notification.uuid().as_bytes());
    context.update(&n.to_be_bytes());
    context.update(of);
    let hash = context.finish();
    let random = hash.as_ref().iter().take(16).fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
    Id::at(notification.made_at(), random)
}

/// The recipients of a chunk as they are kept: 16 bytes each, in order.
#[must_use]
pub fn pack(recipients: &[Id<Recipient>]) -> Vec<u8> {
    recipients.iter().flat_map(|id| id.uuid().into_bytes()).collect()
}

#[must_use]
pub fn unpack(packed: &[u8]) -> Vec<Id<Recipient>> {
    let (ids, _) = packed.as_chunks::<16>();
    ids.iter().map(|bytes| Id::from_uuid(uuid::Uuid::from_bytes(*bytes))).collect()
}

/// Fates as they are kept, a byte each; `None`: it is kept apart, with a job of its own.
#[must_use]
pub fn pack_fates(fates: &[Option<Fate>]) -> Vec<u8> {
    fates.iter().map(|fate| fate.map_or(APART, Fate::code)).collect()
}

#[must_use]
pub fn unpack_fates(packed: &[u8]) -> Vec<Option<Fate>> {
    let fate = |code: &u8| if *code == APART { None } else { Some(Fate::of_code(*code).unwrap_or(Fate::Pending)) };
    packed.iter().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_survives_its_byte() {
        let suppressed = Suppression::ALL.into_iter().map(Fate::Suppressed);
        for fate in [Fate::Pending, Fate::Delivered, Fate::Dead].into_iter().chain(suppressed) {
            assert_eq!(Fate::of_code(fate.code()), Some(fate));
            assert_ne!(fate.code(), APART);
        }
        assert_eq!(Fate::of_code(255), None);
        let mixed = [Some(Fate::Dead), None, Some(Fate::Suppressed(Suppression::Bounced))];
        assert_eq!(unpack_fates(&pack_fates(&mixed)), mixed);
    }

    #[test]
    fn a_receipt_adds_up() {
        let fates = [Fate::Delivered, Fate::Pending, Fate::Suppressed(Suppression::Actor), Fate::Delivered];
        let mut counts = FateCounts::of(fates);
        counts.add(&FateCounts::of([Fate::Suppressed(Suppression::Actor), Fate::Suppressed(Suppression::Removed)]));
        assert_eq!((counts.planned(), counts.delivered, counts.pending), (6, 2, 1));
        assert_eq!(counts.suppressed, BTreeMap::from([(Suppression::Actor, 2), (Suppression::Removed, 1)]));
        let cancelled = counts.with_pending_as(unreached(Some(JobState::Cancelled)));
        assert_eq!((cancelled.planned(), cancelled.pending), (6, 0));
        assert_eq!(cancelled.suppressed[&Suppression::Cancelled], 1);
    }

    #[test]
    fn a_chunk_s_job_is_the_same_each_time_and_no_other_s() {
        let (one, other) = (Id::new(), Id::new());
        assert_eq!(chunk_job(one, 3), chunk_job(one, 3));
        assert_ne!(chunk_job(one, 3), chunk_job(one, 4));
        assert_ne!(chunk_job(one, 3), chunk_job(other, 3));
        assert_ne!(batch_job(one, 3, Channel::Email), chunk_job(one, 3));
        assert_ne!(batch_job(one, 3, Channel::Email), batch_job(one, 3, Channel::Push));
        assert_eq!(chunk_job(one, 3).made_at(), one.made_at());
    }

    #[test]
    fn recipients_survive_being_packed() {
        let ids: Vec<Id<Recipient>> = (0..3).map(|_| Id::new()).collect();
        assert_eq!(unpack(&pack(&ids)), ids);
    }

    #[test]
    fn who_is_not_told_is_told_why() {
        let key: RecipientKey = "anna".parse().unwrap();
        let category: Category = "social".parse().unwrap();
        let preferences: Preferences = serde_json::from_str(r#"{"social":{"email":false}}"#).unwrap();
        let told = Person { key: &key, preferences: &preferences };
        let judge = |told: Option<&Person<'_>>, actor: Option<&RecipientKey>, channel| {
            suppression(told, actor, &category, channel)
        };
        assert_eq!(judge(Some(&told), None, Channel::Inbox), None);
        assert_eq!(judge(Some(&told), None, Channel::Email), Some(Suppression::Preference));
        assert_eq!(judge(Some(&told), Some(&key), Channel::Inbox), Some(Suppression::Actor));
        assert_eq!(judge(None, None, Channel::Inbox), Some(Suppression::Removed));
    }
}
