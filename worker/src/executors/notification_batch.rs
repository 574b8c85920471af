//! Kind `notification.batch`: those of a chunk are reached on a channel, some at once. What became of them is stored again and again, so
//! that after a crash nobody is reached twice but those who were under way.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use postrider_core::{
    domain::{
        Id, UnixMs, attempt::AttemptReport, job::Outcome, lane::Health, notification::Fate, preferences::Channel,
        recipient::Recipient, retry::RetrySchedule,
    },
    store::{Apart, Batch, BatchArgs, BatchProgress, Settled, StoreError, Work},
};

use super::{Executors, LOOK_AGAIN, after_call, notification::gone};
use crate::{
    notify::{Failed, Message, Quiet, Reached},
    outcomes::{Ended, Execution},
};

/// People who are read, and reached, before the next are.
const PAGE: usize = 250;
/// What became of people is stored after so long at the latest.
const SETTLE: Duration = Duration::from_millis(250);
/// Where so many are refused in a row, and nobody is taken, it is not about them.
const REFUSED_MAX: usize = 20;
/// The same where there was no answer, or one that names nobody: it may be what is sent to somebody that ends connections.
const UNANSWERED_MAX: usize = 5;
/// How long it is tried to store what became of people.
const STORE_TRIES: u32 = 60;
const STORE_PAUSE: Duration = Duration::from_millis(500);
const STOPPED: &str = "somebody cancelled it";

/// How a run ended.
enum End {
    Done,
    Cancelled,
    /// Another process works on it.
    Elsewhere,
    /// Nobody is reached now.
    Outage(Failed),
}

/// One run of a batch's job.
struct Run<'e> {
    executors: &'e Executors,
    batch: Batch,
    message: Message,
    /// Those who were refused since somebody was taken, by their places.
    refused: VecDeque<(usize, Failed)>,
    /// As those, of whom it is not known whether it is about them.
    unanswered: VecDeque<(usize, Failed)>,
    /// Somebody was taken in this run.
    took_some: bool,
    /// Nobody else is begun with.
    stop: Arc<AtomicBool>,
    outage: Option<Failed>,
}

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let args = work.payload.as_deref().and_then(|args| serde_json::from_slice(args).ok());
    let Some(args): Option<BatchArgs> = args else {
        return executors.invalid(work, "its arguments are no notification's batch");
    };
    let (started_at, started) = (UnixMs::now(), Instant::now());
    let end = match Run::of(executors, args).await {
        Ok(Some(mut run)) => run.all().await,
        Ok(None) => return gone(work),
        Err(error) => Err(error),
    };
    match end {
        Ok(End::Done) => executors.done(work, started_at, started.elapsed()),
        Ok(End::Cancelled) => Execution::decided(work, Outcome::Cancelled { reason: STOPPED.to_owned() }),
        Ok(End::Elsewhere) => Execution::not_now(work, LOOK_AGAIN),
        Ok(End::Outage(failed)) => executors.outage(work, &failed, started_at, started.elapsed()),
        Err(error) => executors.not_stored(work, error).await,
    }
}

impl Executors {
    /// What is kept of a try that reached nobody.
    pub(super) fn not_reached(&self, failed: &Failed, started_at: UnixMs, took: Duration) -> AttemptReport {
        AttemptReport {
            started_at,
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            status_code: failed.status,
            retry_after: failed.retry_after,
            response_body: failed.response_body.clone(),
            address: failed.address.clone(),
            ..self.report(failed.class, &failed.error)
        }
    }

    /// The end of a try after which its lane rests, as that of a receiver that does not answer.
    pub(super) fn outage(&self, work: &Work, failed: &Failed, started_at: UnixMs, took: Duration) -> Execution {
        let report = self.not_reached(failed, started_at, took);
        let ended = after_call(work, report, &RetrySchedule::default(), took);
        Execution::Ended(Box::new(Ended { health: Health::Bad, ..ended }))
    }
}

/// People on their way at once: a mail server has few connections, a push server many streams.
const fn at_once(channel: Channel) -> usize {
    match channel {
        Channel::Email => 16,
        Channel::Inbox | Channel::Push | Channel::Webhook => 64,
    }
}

impl<'e> Run<'e> {
    /// `None` where the notification is gone.
    async fn of(executors: &'e Executors, args: BatchArgs) -> Result<Option<Self>, StoreError> {
        let Some(batch) = executors.0.store.notification_batch(args).await? else { return Ok(None) };
        let message = executors.0.channels.message(batch.of, batch.channel).await;
        let message = message.map_err(|error| StoreError::told_to_all(&error))?;
        let (refused, unanswered) = (VecDeque::new(), VecDeque::new());
        let stop = Arc::new(AtomicBool::new(false));
        Ok(Some(Self { executors, batch, message, refused, unanswered, took_some: false, stop, outage: None }))
    }

    async fn all(&mut self) -> Result<End, StoreError> {
        loop {
            let page: Vec<(usize, Id<Recipient>)> = self.next_page();
            if page.is_empty() {
                break;
            }
            if let Some(end) = self.reach(page).await? {
                return Ok(end);
            }
            if let Some(failed) = self.outage.take() {
                return Ok(End::Outage(failed));
            }
        }
        if !self.took_some
            && let Some((_, failed)) = self.unanswered.front()
        {
            return Ok(End::Outage(failed.clone()));
        }
        // So few were not taken that it may be about them.
        let left = self.not_taken();
        Ok(self.settle(left).await?.unwrap_or(End::Done))
    }

    /// Those who were not taken are tried again by themselves.
    fn not_taken(&mut self) -> Vec<(usize, Settled)> {
        let all = self.refused.drain(..).chain(self.unanswered.drain(..));
        all.map(|(place, failed)| (place, apart(failed))).collect()
    }

    /// The next who are pending, but for those who were not taken in this run.
    fn next_page(&self) -> Vec<(usize, Id<Recipient>)> {
        let waits = |place: usize| self.refused.iter().chain(&self.unanswered).any(|(waits, _)| *waits == place);
        self.batch.pending().filter(|(place, _)| !waits(*place)).take(PAGE).collect()
    }

    /// Reaches these, and stores what became of them. How the run ends, where it does.
    async fn reach(&mut self, page: Vec<(usize, Id<Recipient>)>) -> Result<Option<End>, StoreError> {
        let channels = self.executors.0.channels.clone();
        let ids: Vec<Id<Recipient>> = page.iter().map(|(_, id)| *id).collect();
        let people = Arc::new(channels.people(&self.message, &ids).await?);
        let (message, stop) = (self.message.clone(), Arc::clone(&self.stop));
        let reached = stream::iter(page)
            .take_while(move |_| std::future::ready(!stop.load(Ordering::Relaxed)))
            .map(|(place, id)| {
                let (channels, people, message) = (channels.clone(), Arc::clone(&people), message.clone());
                async move { (place, channels.reach(&message, people.get(&id)).await) }
            })
            .buffer_unordered(at_once(self.batch.channel));
        let mut reached = std::pin::pin!(reached);
        let (mut settled, mut settle_at) = (Vec::new(), Instant::now() + SETTLE);
        let mut failed = None;
        loop {
            let next = tokio::time::timeout_at(settle_at.into(), reached.next()).await;
            match next {
                Ok(Some((place, Ok(reached)))) => self.count(place, reached, &mut settled),
                // Those who are on their way are waited for, and what became of them is stored.
                Ok(Some((_, Err(error)))) => {
                    self.stop.store(true, Ordering::Relaxed);
                    failed = Some(error);
                }
                Ok(None) => break,
                Err(_) => {
                    if let Some(end) = self.settle(std::mem::take(&mut settled)).await? {
                        self.stop.store(true, Ordering::Relaxed);
                        // What comes of those who are on their way is lost to whoever works on it now.
                        while reached.next().await.is_some() {}
                        return Ok(Some(end));
                    }
                    settle_at = Instant::now() + SETTLE;
                }
            }
        }
        let end = self.settle(settled).await?;
        failed.map_or(Ok(end), Err)
    }

    /// What came of one of them.
    fn count(&mut self, place: usize, reached: Reached, settled: &mut Vec<(usize, Settled)>) {
        match reached {
            Reached::Delivered => {
                self.took_some = true;
                settled.push((place, Settled::Fate(Fate::Delivered)));
                settled.extend(self.not_taken());
            }
            Reached::Suppressed(why) => settled.push((place, Settled::Fate(Fate::Suppressed(why)))),
            Reached::Quiet(Quiet { until, why, host }) => {
                let apart = Apart { host, run_at: until, error: why, subscriptions: Vec::new() };
                settled.push((place, Settled::Apart(apart)));
            }
            Reached::Failed(failed) if failed.is_lasting => {
                self.refused.push_back((place, failed.clone()));
                if self.refused.len() >= REFUSED_MAX {
                    self.end_with(failed);
                }
            }
            Reached::Failed(failed) => settled.push((place, apart(failed))),
            Reached::Outage(failed) => {
                self.unanswered.push_back((place, failed.clone()));
                if self.unanswered.len() >= UNANSWERED_MAX {
                    self.end_with(failed);
                }
            }
        }
    }

    fn end_with(&mut self, failed: Failed) {
        self.stop.store(true, Ordering::Relaxed);
        self.outage.get_or_insert(failed);
    }

    /// Stores what became of some, however long that takes: else they would be reached again. How the run ends, where it does.
    async fn settle(&mut self, settled: Vec<(usize, Settled)>) -> Result<Option<End>, StoreError> {
        if settled.is_empty() {
            return Ok(None);
        }
        let (store, of) = (&self.executors.0.store, &self.message.of);
        let mut tries = 0;
        let progress = loop {
            match store.settle_batch(&mut self.batch, of, settled.clone(), UnixMs::now()).await {
                Ok(progress) => break progress,
                Err(error) if error.is_unavailable() && tries < STORE_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(STORE_PAUSE).await;
        };
        let (jobs, end) = match progress {
            BatchProgress::Stored(jobs) => (jobs, None),
            BatchProgress::Cancelled(jobs) => (jobs, Some(End::Cancelled)),
            BatchProgress::Elsewhere => (Vec::new(), Some(End::Elsewhere)),
        };
        self.executors.0.dispatcher.offer(&jobs);
        Ok(end)
    }
}

/// Whoever was not reached is tried again by themselves, as after a first attempt; whoever was refused soon, so that it shows.
fn apart(failed: Failed) -> Settled {
    let delay = match failed.is_lasting {
        true => Duration::ZERO,
        false => RetrySchedule::default().delay(2, rand::random(), failed.retry_after).unwrap_or_default(),
    };
    let Failed { host, error, subscriptions, .. } = failed;
    Settled::Apart(Apart { host, run_at: UnixMs::now() + delay, error, subscriptions })
}
