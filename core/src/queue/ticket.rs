//! What goes into a queue and comes out of it: tickets, leases, verdicts. Knows no backend.

use std::{fmt, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::domain::{
    Id, UnixMs,
    job::{Job, Priority},
    lane::{Health, LaneKey, Standing},
};

/// One unfinished job's place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub job: Id<Job>,
    pub lane: LaneKey,
    pub priority: Priority,
    /// Where it stands among its lane's tickets of one priority: the row's `run_at`.
    ///
    /// A ticket that had to wait stands where its wait ended, by the queue's clock.
    pub order: UnixMs,
    /// From now until due. The queue adds it to its own clock, so hosts' clocks need not agree.
    pub delay: Duration,
    /// It was tried before and its lane is ordered: it goes in front, and the lane waits with it until it is due.
    pub leads: bool,
}

/// What became of an offered ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offered {
    Taken,
    /// It is ready, delayed or leased already, and was left as it is.
    Held,
    /// The lane's window is full, or the lane has spilled: the job waits in SQL.
    Spilled,
    /// Nobody has told the queue what holds for the lane: tell it, then offer again.
    Unknown,
}

/// A worker process from its start to its end. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

/// Bytes of a host's name that are kept in a worker's id.
const HOST_BYTES_MAX: usize = 64;

impl WorkerId {
    /// An id that no other start of any worker has: two that shared one would take each other's leases.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let known = |c: &char| c.is_ascii_alphanumeric() || ".-_".contains(*c);
        let host: String = host.chars().filter(known).take(HOST_BYTES_MAX).collect();
        Self(format!("{host}-{}-{}", std::process::id(), Uuid::now_v7().simple()).into())
    }

    pub(super) fn known(text: &str) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to run one job, for as long as its worker's heartbeat goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub job: Id<Job>,
    pub lane: LaneKey,
    /// Rises with each claim; a verdict with an older one is stale.
    pub fence: u64,
    /// How the lane stood when the job was claimed.
    pub standing: Standing,
}

/// What a claim came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    pub leases: Vec<Lease>,
    pub rest: Rest,
}

/// What a claim left of what is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rest {
    #[default]
    Nothing,
    /// All that is left was passed over for want of room: claim again when a slot becomes free.
    HeldBack,
    /// There is more: claim again.
    More,
}

/// How an execution ended, for the queue. To be given after the outcome is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub lease: Lease,
    /// What the attempt says of the lane's receiver.
    pub health: Health,
    /// How long the attempt took; a failed probe lets the lane rest as long.
    pub took: Duration,
    pub next: Next,
}

/// What a queue does with a ticket whose execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The job is finished, or waits in SQL: forget the ticket.
    Done,
    /// The job is tried again. In an ordered lane it stays in front and the lane waits with it.
    Later { delay: Duration, order: UnixMs, priority: Priority },
    /// It was not run (shutdown): back to the front of its lane, at once.
    Release,
    /// It was not run, since others of its ordered lane go before it: back to its own place among them.
    InTurn { order: UnixMs, priority: Priority },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    Applied,
    /// The lease is not the current one; nothing was changed.
    Stale,
}

/// A lease whose worker vanished while it held it. It is another's now, who counts the loss before the job runs again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LostLease {
    pub lease: Lease,
    /// Who held it before.
    pub vanished: WorkerId,
}

/// How long the queue has known what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// It lives in the queue. Another one means that the queue was emptied: offer everything again.
    pub token: String,
    /// Since the queue was empty; `MAX` where nothing can have run before.
    pub age: Duration,
}

impl Epoch {
    /// How much longer live workers may take to tell the queue what they run. Until then a job that is read from SQL
    /// may be running, although the queue does not know it.
    #[must_use]
    pub const fn unheard(&self) -> Duration {
        super::HEARD_AFTER.saturating_sub(self.age)
    }
}
