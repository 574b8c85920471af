//! Tickets and lanes: which unfinished job runs next, and where. Knows no SQL: whatever a queue forgets is
//! offered to it again.
//!
//! [`Queue`] is closed: one backend inside the process, one in Redis, both held to one conformance suite.

use std::time::Duration;

use prometheus_client::registry::Registry;

use crate::domain::{
    Id,
    job::Job,
    lane::{LaneKey, LaneSettings, SILENCE_MAX},
    tenant::Tenant,
};

mod embedded;
mod error;
mod metrics;
mod news;
mod rank;
mod redis;
mod room;
mod ticket;
mod view;

pub use crate::domain::lane::{Breaker, Health};
pub use embedded::{Embedded, EmbeddedOptions};
pub use error::QueueError;
pub use metrics::QueueGauges;
pub use news::{Heard, Hearing};
pub use redis::{Redis, RedisOptions, RedisUrl};
pub use room::{Held, Places, Room};
pub use ticket::{Claimed, Epoch, Lease, LostLease, Next, Offered, Rest, Settled, Ticket, Verdict, WorkerId};
pub use view::{LaneView, QueueTotals, QueueView, SpilledLane, WorkerAbout, WorkerView};

/// A worker without a heartbeat for this long has lost its leases.
pub const LEASE: Duration = Duration::from_secs(15);
/// Tickets of one lane that a queue holds; the rest waits in SQL.
pub const WINDOW: u64 = 10_000;

/// Lanes that are looked at for those of one tenant: the deepest of all.
const LOOKED_AT_MAX: usize = 5_000;

/// A worker's heartbeat. Often, since a queue that was emptied must hear what runs before it is offered again.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// By then every live worker has told a queue that was emptied, or has gone back to old data, what it runs.
const HEARD_AFTER: Duration = Duration::from_millis(2_500);

/// What both backends are bound by. Tests use small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    pub lease: Duration,
    pub window: u64,
    pub silence: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { lease: LEASE, window: WINDOW, silence: SILENCE_MAX }
    }
}

impl QueueLimits {
    /// Who lives is heard within this once the queue can be reached again.
    pub(crate) fn patience(self) -> Duration {
        self.lease / 3
    }
}

/// The schedule of all unfinished jobs. Cheap to clone; all clones are one queue.
#[derive(Clone, Debug)]
pub enum Queue {
    Embedded(Embedded),
    Redis(Redis),
}

/// Passes a call on to the backend that is there.
macro_rules! on_backend {
    ($queue:expr, $backend:ident => $call:expr) => {
        match $queue {
            Queue::Embedded($backend) => $call,
            Queue::Redis($backend) => $call.await,
        }
    };
}

impl Queue {
    /// A queue inside this process.
    ///
    /// # Errors
    /// When the journal cannot be opened, read or locked.
    pub fn embedded(options: EmbeddedOptions) -> std::io::Result<Self> {
        Embedded::new(options).map(Self::Embedded)
    }

    /// A queue in Redis, Sentinel's master or Redis Cluster.
    ///
    /// # Errors
    /// When the URL cannot be used. Nothing is connected yet, so a server that is away is no error.
    pub fn redis(options: RedisOptions) -> Result<Self, QueueError> {
        Redis::new(options).map(Self::Redis)
    }

    /// Tells something to all processes. What is told is lost where nobody listens, or where the queue is emptied.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn tell(&self, news: &[u8]) -> Result<(), QueueError> {
        match self {
            Self::Embedded(embedded) => {
                embedded.tell(news);
                Ok(())
            }
            Self::Redis(redis) => redis.tell(news).await,
        }
    }

    /// What is told from now on, by whichever process.
    #[must_use]
    pub fn hear(&self) -> Hearing {
        Hearing(match self {
            Self::Embedded(embedded) => news::Ear::Embedded(embedded.hear()),
            Self::Redis(redis) => news::Ear::Redis(Box::new(redis.listener())),
        })
    }

    /// Jobs that a killed process was running: each spent one of its lives. They can be taken once, and only an
    /// embedded queue with a journal knows any; in Redis [`Self::expire`] tells of them.
    #[must_use]
    pub fn found_in_journal(&self) -> Vec<Id<Job>> {
        match self {
            Self::Embedded(embedded) => embedded.found_in_journal(),
            Self::Redis(_) => Vec::new(),
        }
    }

    /// Takes tickets in. Idempotent by job: one that is held already is left as it is. One whose lane the queue was
    /// never told of, or has forgotten, is not taken: nothing starts before it is known what holds for its lane.
    ///
    /// # Errors
    /// When the queue is not available; some of the tickets may be in it all the same.
    pub async fn offer(&self, tickets: &[Ticket]) -> Result<Vec<Offered>, QueueError> {
        on_backend!(self, backend => backend.offer(tickets))
    }

    /// As [`Self::offer`], of jobs that were read from SQL during `epoch`: another worker may have run them when it ended.
    ///
    /// # Errors
    /// As [`Self::offer`], and [`QueueError::Emptied`] once the epoch is over.
    pub async fn offer_again(&self, tickets: &[Ticket], epoch: &Epoch) -> Result<Vec<Offered>, QueueError> {
        on_backend!(self, backend => backend.offer_again(tickets, epoch))
    }

    /// As [`Self::offer_again`], and into spilled lanes as well, up to the window.
    ///
    /// # Errors
    /// As [`Self::offer_again`].
    pub async fn refill(&self, tickets: &[Ticket], epoch: &Epoch) -> Result<Vec<Offered>, QueueError> {
        on_backend!(self, backend => backend.refill(tickets, epoch))
    }

    /// Leases due tickets that there is room for: turns go round the lanes' standings, then the tenants, then a
    /// tenant's lanes.
    ///
    /// # Errors
    /// When the queue is not available; what it leased all the same comes back when the worker's lease ends.
    pub async fn claim(&self, worker: &WorkerId, room: Room) -> Result<Claimed, QueueError> {
        on_backend!(self, backend => backend.claim(worker, room))
    }

    /// Ends leases, and tells the lanes how their receivers did.
    ///
    /// # Errors
    /// When the queue is not available. Settling again is safe: what was applied is then stale.
    pub async fn settle(&self, verdicts: &[Verdict]) -> Result<Vec<Settled>, QueueError> {
        on_backend!(self, backend => backend.settle(verdicts))
    }

    /// A worker's heartbeat. The first one registers it and answers false, as does the first after the queue was
    /// emptied or the worker was taken for lost.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn renew(&self, worker: &WorkerId) -> Result<bool, QueueError> {
        on_backend!(self, backend => backend.renew(worker))
    }

    /// A worker says what it runs, after the queue forgot it or whoever had these leases before in its process: they are
    /// its own from now on, and not claimed by others. False where another worker has the job's lease by now.
    ///
    /// # Errors
    /// When the queue is not available; saying it again is safe.
    pub async fn reassert(&self, worker: &WorkerId, leases: &[Lease]) -> Result<Vec<bool>, QueueError> {
        on_backend!(self, backend => backend.reassert(worker, leases))
    }

    /// A worker's graceful end: what it still holds goes back to the front, and nothing counts as lost.
    ///
    /// # Errors
    /// When the queue is not available; its lease ends by itself then.
    pub async fn retire(&self, worker: &WorkerId) -> Result<(), QueueError> {
        on_backend!(self, backend => backend.retire(worker))
    }

    /// Leases to `worker` what others held that vanished: their leases ran out while the queue could be reached, which is
    /// told from how long ago somebody looked for them. Each is told of to one caller, who ends it as any lease; were
    /// the caller to vanish too, it is told of to another.
    ///
    /// # Errors
    /// When the queue is not available; what was leased all the same comes back when `worker` retires or vanishes.
    pub async fn expire(&self, worker: &WorkerId) -> Result<Vec<LostLease>, QueueError> {
        on_backend!(self, backend => backend.expire(worker))
    }

    /// Sets what holds for a lane from now on. To be repeated at will: a queue forgets idle lanes.
    ///
    /// An ordered lane that the queue did not know begins as spilled, and the answer is its generation: refill it, the
    /// oldest first, and [`Self::unspill`] it. Until then nothing that is offered overtakes what waits in SQL.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn lane(&self, key: &LaneKey, settings: &LaneSettings) -> Result<Option<u64>, QueueError> {
        on_backend!(self, backend => backend.lane(key, settings))
    }

    /// # Errors
    /// When the queue is not available.
    pub async fn pause(&self, key: &LaneKey) -> Result<(), QueueError> {
        on_backend!(self, backend => backend.set_paused(key, true))
    }

    /// # Errors
    /// When the queue is not available.
    pub async fn resume(&self, key: &LaneKey) -> Result<(), QueueError> {
        on_backend!(self, backend => backend.set_paused(key, false))
    }

    /// Removes a ticket that is not leased; false when there is none.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn cancel(&self, key: &LaneKey, job: Id<Job>) -> Result<bool, QueueError> {
        on_backend!(self, backend => backend.cancel(key, job))
    }

    /// Makes a delayed ticket due, or ends the wait of the ordered lane that it leads; false when neither is so.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn run_now(&self, key: &LaneKey, job: Id<Job>) -> Result<bool, QueueError> {
        on_backend!(self, backend => backend.run_now(key, job))
    }

    /// Which of the jobs are leased now, that is, running.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn held(&self, jobs: &[(LaneKey, Id<Job>)]) -> Result<Vec<bool>, QueueError> {
        on_backend!(self, backend => backend.held(jobs))
    }

    /// Spilled lanes with less than half their window in the queue, the emptiest first.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn spilled(&self, max: usize) -> Result<Vec<SpilledLane>, QueueError> {
        on_backend!(self, backend => backend.spilled(max))
    }

    /// Lets nothing into a lane that is not read from SQL. To be called when it lacks what goes before what it holds:
    /// refill it, the oldest first, and [`Self::unspill`] its generation, which is the answer.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn spill(&self, key: &LaneKey) -> Result<u64, QueueError> {
        on_backend!(self, backend => backend.spill(key))
    }

    /// Lets new offers into a lane again, unless one of them spilled since `generation` was read.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn unspill(&self, key: &LaneKey, generation: u64) -> Result<bool, QueueError> {
        on_backend!(self, backend => backend.unspill(key, generation))
    }

    /// Begins one where there is none.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn epoch(&self) -> Result<Epoch, QueueError> {
        on_backend!(self, backend => backend.epoch())
    }

    /// Returns when something may be claimable, or after `timeout`. To be called when a claim came back short; what
    /// was offered since that claim is not missed. A hint only: claim again from time to time whatever it says.
    pub async fn wait(&self, timeout: Duration) {
        match self {
            Self::Embedded(embedded) => embedded.wait(timeout).await,
            Self::Redis(redis) => redis.wait(timeout).await,
        }
    }

    /// Whether it takes work now: a server that is full, a replica or read-only still answers reads.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn ready(&self) -> Result<(), QueueError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(redis) => redis.ready().await,
        }
    }

    /// Removes all that it holds and knows. For a queue that was made for a measurement.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn erase(&self) -> Result<(), QueueError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(redis) => redis.erase().await,
        }
    }

    /// Has what its calls cost shown to Prometheus. Inside the process they cost no round trip. What the queue holds,
    /// [`QueueGauges`] show.
    pub fn register_metrics(&self, registry: &mut Registry) {
        match self {
            Self::Embedded(_) => {}
            Self::Redis(redis) => redis.register_metrics(registry),
        }
    }

    /// The deepest `lanes_max` lanes, all workers, and the totals.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn view(&self, lanes_max: usize) -> Result<QueueView, QueueError> {
        on_backend!(self, backend => backend.view(lanes_max))
    }

    /// The deepest `lanes_max` lanes of one tenant, as far as they are among the deepest of all.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn lanes_of(&self, tenant: Id<Tenant>, lanes_max: usize) -> Result<Vec<LaneView>, QueueError> {
        on_backend!(self, backend => backend.lanes_of(tenant, lanes_max))
    }

    /// One lane; `None` where the queue knows nothing of it.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn lane_view(&self, key: &LaneKey) -> Result<Option<LaneView>, QueueError> {
        on_backend!(self, backend => backend.lane_view(key))
    }

    /// A worker says what it is, after its first heartbeat. Nothing but what people are shown hangs on it.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn introduce(&self, worker: &WorkerId, about: &WorkerAbout) -> Result<(), QueueError> {
        on_backend!(self, backend => backend.introduce(worker, about))
    }

    /// What a worker holds, `max` jobs at most.
    ///
    /// # Errors
    /// When the queue is not available.
    pub async fn held_by(&self, worker: &WorkerId, max: usize) -> Result<Vec<(LaneKey, Id<Job>)>, QueueError> {
        on_backend!(self, backend => backend.held_by(worker, max))
    }
}
