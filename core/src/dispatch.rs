//! From stored jobs to tickets. Owns when a job is offered and that its lane's settings are known before;
//! a failed offer is nobody's error, since the sweep offers again what the queue does not hold.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinHandle,
};

use crate::{
    domain::{
        Id, UnixMs,
        job::Job,
        lane::{LaneKey, LaneSettings},
    },
    queue::{Epoch, Offered, Queue, QueueError, Ticket, WINDOW},
    store::{DueJob, Regeneration, Store, StoreError},
};

/// Jobs due later than this wait in SQL, and the sweep offers them in time.
pub const HORIZON: Duration = Duration::from_secs(300);
/// Jobs of one offer.
const OFFER_MAX: usize = 1_000;
/// Jobs that wait in memory to be offered; what comes beyond is left to the sweep.
const WAITING_MAX: usize = 50_000;
/// Lanes whose settings are remembered as told; beyond it they are told again.
const TOLD_MAX: usize = 100_000;
/// Jobs that an ordered lane waits with; more than one only when it was not ordered before.
const LEADING_MAX: u32 = 100;
/// Offers of one ticket whose lane the queue forgets again and again.
const TRIES_MAX: usize = 3;

/// Offers jobs to the queue. Clones share what was told to it.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    store: Store,
    queue: Queue,
    told: Arc<Mutex<HashMap<LaneKey, LaneSettings>>>,
    sweep: Arc<Notify>,
    waiting: mpsc::Sender<DueJob>,
}

/// What came of filling a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    Some,
    /// The queue holds all of it, or was emptied a moment ago.
    Nothing,
}

/// Why jobs were not offered.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Offers that failed one after another. There are hundreds a second while the queue is away, so their first and their
/// end are logged, not each.
#[derive(Debug, Default)]
struct Failed {
    offers: usize,
    jobs: usize,
}

impl Failed {
    fn add(&mut self, error: &DispatchError, jobs: usize) {
        if self.offers == 0 {
            tracing::warn!(%error, "jobs are stored but not offered to the queue; the sweep will offer them");
        }
        self.offers += 1;
        self.jobs += jobs;
    }

    fn end(&mut self) {
        let Self { offers, jobs } = std::mem::take(self);
        if offers > 0 {
            tracing::info!(offers, jobs, "the queue takes offers again; the sweep offers what failed meanwhile");
        }
    }
}

impl Dispatcher {
    /// Starts the task that offers what was just stored. It ends once every clone of the dispatcher is gone.
    #[must_use]
    pub fn start(store: Store, queue: Queue) -> (Self, JoinHandle<()>) {
        let (waiting, jobs) = mpsc::channel(WAITING_MAX);
        let dispatcher = Self { store, queue, told: Arc::default(), sweep: Arc::default(), waiting };
        // The task must not keep its own channel open.
        let (closed, _) = mpsc::channel(1);
        let offering = Self { waiting: closed, ..dispatcher.clone() };
        let task = tokio::spawn(offering.run(jobs));
        (dispatcher, task)
    }

    /// Hands over jobs that have just been stored. Nobody waits for the queue here: a queue that is slow or away
    /// delays no answer, and what is not offered is left to the sweep, which is woken.
    pub fn offer(&self, jobs: &[DueJob]) {
        for job in jobs {
            if self.waiting.try_send(job.clone()).is_err() {
                return self.sweep.notify_one();
            }
        }
    }

    /// Has a job run now that was to run later. The queue leaves a ticket that it holds as it is, so it is told of it; where it does
    /// not answer, the job waits for the sweep.
    pub async fn run_now(&self, job: &DueJob) {
        self.offer(std::slice::from_ref(job));
        if let Err(error) = self.queue.run_now(&job.lane, job.id).await {
            tracing::warn!(%error, job = %job.id, "a job that was to run now waits for the sweep");
        }
    }

    /// Takes the ticket of a job that was cancelled out of the queue; where it does not answer, a worker finds the job cancelled.
    pub async fn cancel(&self, lane: &LaneKey, job: Id<Job>) {
        if let Err(error) = self.queue.cancel(lane, job).await {
            tracing::debug!(%error, %job, "a cancelled job's ticket stays in the queue; a worker will find it cancelled");
        }
    }

    /// Has a site made again that somebody has asked for.
    pub async fn regenerate(&self, asked: &Regeneration) {
        match asked {
            Regeneration::Made(job) => self.offer(std::slice::from_ref(job)),
            Regeneration::Hastened(job) => self.run_now(job).await,
            Regeneration::Waits => {}
        }
    }

    async fn run(self, mut jobs: mpsc::Receiver<DueJob>) {
        let mut batch = Vec::with_capacity(OFFER_MAX);
        let mut failed = Failed::default();
        while jobs.recv_many(&mut batch, OFFER_MAX).await > 0 {
            match self.try_offer(&batch, None, UnixMs::now()).await {
                Ok(offered) => {
                    failed.end();
                    if offered.contains(&Offered::Unknown) {
                        self.sweep.notify_one();
                    }
                }
                Err(error) => {
                    failed.add(&error, batch.len());
                    self.sweep.notify_one();
                }
            }
            batch.clear();
        }
    }

    /// Offers jobs that were read from SQL during an epoch of the queue, or were just stored and so cannot run yet. The
    /// answer says for each what the queue did. Jobs beyond the horizon are `Spilled` to SQL.
    ///
    /// # Errors
    /// When the queue, or the database for a lane's settings, does not answer, or the epoch is over.
    pub async fn try_offer(
        &self,
        jobs: &[DueJob],
        epoch: Option<&Epoch>,
        now: UnixMs,
    ) -> Result<Vec<Offered>, DispatchError> {
        let soon: Vec<&DueJob> = jobs.iter().filter(|job| job.run_at <= now + HORIZON).collect();
        self.tell_changed(&soon).await?;
        let tickets: Vec<Ticket> = soon.iter().map(|job| ticket(job, now)).collect();
        let mut offered = self.put(tickets, epoch).await?.into_iter();
        let placed = |job: &DueJob| match job.run_at <= now + HORIZON {
            true => offered.next().unwrap_or(Offered::Spilled),
            false => Offered::Spilled,
        };
        Ok(jobs.iter().map(placed).collect())
    }

    /// Offers the first jobs of a lane that has spilled, which new offers may not enter. When these were all that are due
    /// soon, new offers may enter it again; else whoever looks after spilled lanes goes on. So does it in a queue that was
    /// just emptied: what runs of the lane is not known there yet.
    ///
    /// # Errors
    /// As [`Self::try_offer`].
    pub async fn fill(&self, lane: &LaneKey, generation: u64) -> Result<Filled, DispatchError> {
        let epoch = self.queue.epoch().await?;
        if !epoch.unheard().is_zero() {
            return Ok(Filled::Nothing);
        }
        let window = u32::try_from(WINDOW).unwrap_or(u32::MAX);
        let ordered = self.settings(lane).await?.ordered;
        let leading = if ordered { self.store.retrying_jobs(lane, LEADING_MAX).await? } else { Vec::new() };
        let jobs = self.store.lane_jobs(lane, window).await?;
        let now = UnixMs::now();
        let horizon = now + HORIZON;
        let all = jobs.len() < window as usize || jobs.last().is_some_and(|job| job.run_at > horizon);
        let leading_ids: HashSet<Id<Job>> = leading.iter().map(|job| job.id).collect();
        let leads = leading.iter().enumerate().map(|(at, job)| Ticket {
            leads: true,
            // The lane waits until its first is due; those behind it are looked at when their turn comes.
            delay: if at == 0 { job.run_at.since(now) } else { Duration::ZERO },
            ..ticket(job, now)
        });
        let follow = jobs.iter().filter(|job| job.run_at <= horizon && !leading_ids.contains(&job.id));
        let tickets: Vec<Ticket> = leads.chain(follow.map(|job| ticket(job, now))).collect();
        let placed = self.queue.refill(&tickets, &epoch).await?;
        if all && !placed.contains(&Offered::Unknown) {
            self.queue.unspill(lane, generation).await?;
        }
        Ok(if placed.contains(&Offered::Taken) { Filled::Some } else { Filled::Nothing })
    }

    /// Fills an ordered lane in which the queue lacks jobs that go before one that it holds: their offer failed, and later
    /// ones succeeded.
    ///
    /// # Errors
    /// As [`Self::try_offer`].
    pub async fn fill_before(&self, lane: &LaneKey) -> Result<Filled, DispatchError> {
        let generation = self.queue.spill(lane).await?;
        self.fill(lane, generation).await
    }

    /// Tells the queue a lane's settings, which have changed.
    pub async fn tell(&self, lane: &LaneKey, settings: &LaneSettings) {
        if let Err(error) = self.introduce(lane, settings).await {
            tracing::warn!(%error, lane = %lane.name, "a lane's settings were not told to the queue; they will be with its next job");
            self.told.lock().await.remove(lane);
        }
    }

    /// Tells each lane's settings again with its next job, to a queue that may have gone back to older ones.
    pub async fn forget_told(&self) {
        self.told.lock().await.clear();
    }

    /// Waits until a failed offer asks for a sweep.
    pub async fn sweep_wanted(&self) {
        self.sweep.notified().await;
    }

    /// Gives tickets to the queue, and tells it of the lanes that it does not know. The queue may forget a lane at any
    /// moment, so only its own answer says which.
    async fn put(&self, tickets: Vec<Ticket>, epoch: Option<&Epoch>) -> Result<Vec<Offered>, DispatchError> {
        let mut answers = self.give(&tickets, epoch).await?;
        for _ in 1..TRIES_MAX {
            let unknown: Vec<usize> = (0..answers.len()).filter(|&at| answers[at] == Offered::Unknown).collect();
            if unknown.is_empty() {
                break;
            }
            let lanes: HashSet<&LaneKey> = unknown.iter().map(|&at| &tickets[at].lane).collect();
            for lane in lanes {
                self.introduce(lane, &self.settings(lane).await?).await?;
            }
            let again: Vec<Ticket> = unknown.iter().map(|&at| tickets[at].clone()).collect();
            for (at, answer) in unknown.into_iter().zip(self.give(&again, epoch).await?) {
                answers[at] = answer;
            }
        }
        Ok(answers)
    }

    async fn give(&self, tickets: &[Ticket], epoch: Option<&Epoch>) -> Result<Vec<Offered>, QueueError> {
        match epoch {
            Some(epoch) => self.queue.offer_again(tickets, epoch).await,
            None => self.queue.offer(tickets).await,
        }
    }

    /// Tells settings that differ from what was last told here.
    async fn tell_changed(&self, jobs: &[&DueJob]) -> Result<(), DispatchError> {
        let lanes: HashSet<&LaneKey> = jobs.iter().map(|job| &job.lane).collect();
        for lane in lanes {
            let settings = self.settings(lane).await?;
            if self.told.lock().await.get(lane) != Some(&settings) {
                self.introduce(lane, &settings).await?;
            }
        }
        Ok(())
    }

    /// What holds for a lane now: what its endpoint says, and what is set for it where it is no endpoint's.
    async fn settings(&self, lane: &LaneKey) -> Result<LaneSettings, StoreError> {
        let Ok(endpoint) = lane.name.as_str().parse() else { return self.store.directory().lane(lane).await };
        let live = self.store.directory().endpoint(lane.tenant, endpoint).await?;
        Ok(live.map_or_else(LaneSettings::default, |live| live.endpoint.lane_settings()))
    }

    async fn introduce(&self, lane: &LaneKey, settings: &LaneSettings) -> Result<(), DispatchError> {
        let begins_spilled = self.queue.lane(lane, settings).await?;
        self.remember(lane, settings).await;
        match begins_spilled {
            // At once, so that the first job of a new lane need not wait for a look at spilled lanes.
            Some(generation) => self.fill(lane, generation).await.map(drop),
            None => Ok(()),
        }
    }

    async fn remember(&self, lane: &LaneKey, settings: &LaneSettings) {
        let mut told = self.told.lock().await;
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(lane.clone(), settings.clone());
    }
}

fn ticket(job: &DueJob, now: UnixMs) -> Ticket {
    Ticket {
        job: job.id,
        lane: job.lane.clone(),
        priority: job.priority,
        order: job.run_at,
        delay: job.run_at.since(now),
        leads: false,
    }
}
