//! The worker's start and its graceful end. Every task is started here and waited for here.

use std::{sync::Arc, time::Duration};

use apalis::prelude::WorkerBuilderExt;
use apalis_core::{
    monitor::{Monitor, MonitorError},
    worker::{builder::WorkerBuilder, ext::parallelize::ParallelizeLayer},
};
use postrider_core::{domain::UnixMs, queue::WorkerAbout};
use tokio::{
    sync::{Notify, mpsc},
    task::{JoinError, JoinSet},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    WorkerError, WorkerParts,
    backend::{Assignment, Assignments},
    claim::Claimer,
    executors::Executors,
    heartbeat,
    leases::Leases,
    operations,
    outcomes::Recorder,
    pace::{Waiting, rest},
    settle::{self, Settler},
    site::{Publisher, watch},
    sweep::{self, Sweeper},
    upkeep,
};
/// Jobs that are claimed and read ahead of a free executor: an eighth of those that run, within these bounds.
const PREFETCH_MAX: usize = 64;
/// How long the last verdicts may take once nothing runs any more.
const SETTLE_GRACE: Duration = Duration::from_secs(5);
/// How long giving the leases back may take.
const RETIRE_GRACE: Duration = Duration::from_secs(2);

/// Runs jobs until `shutdown`, then stops gracefully: nothing more is claimed, what runs may finish within the grace,
/// the rest goes back to the queue at once. `hurry` ends the grace.
///
/// # Errors
/// When a part of the worker ended by itself, which is a fault of Postrider's own. Outages are no errors: they are
/// waited out.
pub async fn run(parts: WorkerParts, shutdown: CancellationToken, hurry: CancellationToken) -> Result<(), WorkerError> {
    let worker = Worker::new(&parts, shutdown, &hurry);
    worker.run(parts).await
}

struct Worker {
    leases: Leases,
    about: WorkerAbout,
    recorder: Recorder,
    verdicts: settle::Verdicts,
    sweep: Arc<Notify>,
    /// Stops what takes in new work.
    shutdown: CancellationToken,
    /// Stops the heartbeat, after the last verdict.
    silence: CancellationToken,
    /// Stops waiting for databases and queues that do not answer.
    give_up: CancellationToken,
}

impl Worker {
    fn new(parts: &WorkerParts, shutdown: CancellationToken, hurry: &CancellationToken) -> Self {
        let concurrency = parts.settings.concurrency.max(1);
        let prefetch = (concurrency / 8).clamp(1, PREFETCH_MAX);
        let (settler, verdicts) = Settler::new();
        let give_up = hurry.child_token();
        let slots = concurrency + prefetch;
        parts.metrics.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        Self {
            about: WorkerAbout {
                host: parts.settings.host.clone(),
                version: parts.settings.version.clone(),
                slots: u32::try_from(slots).unwrap_or(u32::MAX),
                since: UnixMs::now(),
            },
            leases: Leases::new(&parts.settings.host, slots).shown_by(parts.metrics.in_flight.clone()),
            recorder: Recorder {
                store: parts.store.clone(),
                metrics: parts.metrics.clone(),
                settler,
                waiting: Waiting::default(),
                hurry: give_up.clone(),
            },
            verdicts,
            sweep: Arc::default(),
            shutdown,
            silence: CancellationToken::new(),
            give_up,
        }
    }

    async fn run(self, parts: WorkerParts) -> Result<(), WorkerError> {
        // What a killed process ran is counted before any of it can run again.
        sweep::count_found(&parts, &self.recorder, &self.shutdown).await;
        let (sender, receiver) = mpsc::channel(parts.settings.concurrency + PREFETCH_MAX);
        let executors = Executors::new(&parts, self.leases.worker().to_string());
        let assignments = Assignments::new(receiver, self.recorder.clone(), executors.clone());
        let mut intake = self.start_intake(&parts, sender);
        let settling = CancellationToken::new();
        let mut output = JoinSet::new();
        output.spawn(settle::run(parts.queue.clone(), self.verdicts, settling.clone(), self.give_up.clone()));
        output.spawn(heartbeat::run(
            parts.queue.clone(),
            self.leases.clone(),
            self.about,
            Arc::clone(&self.sweep),
            self.silence.clone(),
        ));

        let grace = parts.settings.grace;
        let engine = engine(parts.settings.concurrency.max(1), assignments.clone(), executors);
        let until = until_told(&mut intake, &self.shutdown, &assignments);
        let ended = run_engine(engine, until, grace, &self.give_up).await;

        // In this order: no more work comes in, what was not started goes back, the last verdicts are told, then the
        // leases that are left go back as a whole.
        self.shutdown.cancel();
        assignments.release();
        let mut result = ended;
        while let Some(one) = intake.join_next().await {
            result = result.and(task("intake", one));
            assignments.release();
        }
        settling.cancel();
        let told = tokio::time::timeout(SETTLE_GRACE, output.join_next()).await;
        self.give_up.cancel();
        self.silence.cancel();
        if let Ok(Some(one)) = told {
            result = result.and(task("settler", one));
        }
        while let Some(one) = output.join_next().await {
            result = result.and(task("settler or heartbeat", one));
        }
        retire(&parts, &self.leases).await;
        result
    }

    /// The tasks that bring work in and keep house.
    fn start_intake(&self, parts: &WorkerParts, assignments: mpsc::Sender<Assignment>) -> JoinSet<()> {
        let mut intake = JoinSet::new();
        let claimer = Claimer {
            store: parts.store.clone(),
            queue: parts.queue.clone(),
            leases: self.leases.clone(),
            recorder: self.recorder.clone(),
            assignments,
            stop: self.shutdown.clone(),
        };
        intake.spawn(claimer.run());
        let sweeper = Sweeper {
            store: parts.store.clone(),
            queue: parts.queue.clone(),
            dispatcher: parts.dispatcher.clone(),
            leases: self.leases.clone(),
            recorder: self.recorder.clone(),
            asked: Arc::clone(&self.sweep),
            stop: self.shutdown.clone(),
        };
        sweeper.start(&mut intake);
        upkeep::start(parts, &self.shutdown, &mut intake);
        let publisher = Publisher::of(parts);
        intake.spawn(watch::run(publisher, parts.dispatcher.clone(), self.shutdown.clone()));
        intake.spawn(operations::run(parts.store.clone(), parts.dispatcher.clone(), self.shutdown.clone()));
        intake
    }
}

/// apalis' monitor over one worker. Its layers wrap each other in the order in which they stand here.
fn engine(concurrency: usize, assignments: Assignments, executors: Executors) -> Monitor {
    Monitor::new().should_restart(|_, _| true).register(move |restarts| {
        WorkerBuilder::new(format!("postrider-{restarts}"))
            .backend(assignments.clone())
            .concurrency(concurrency)
            .layer(ParallelizeLayer::new(|execution| AbortOnDropHandle::new(tokio::spawn(execution))))
            .catch_panic()
            .build(executors.clone())
    })
}

/// Runs until `until` and through the grace after it.
async fn run_engine(
    engine: Monitor,
    until: impl Future<Output = Result<(), WorkerError>> + Send,
    grace: Duration,
    give_up: &CancellationToken,
) -> Result<(), WorkerError> {
    let terminator = {
        let give_up = give_up.clone();
        async move {
            rest(grace, &give_up).await;
            give_up.cancel();
        }
    };
    let mut told = Ok(());
    let signal = async {
        told = until.await;
        Ok(())
    };
    let ended: Result<(), MonitorError> = engine.with_terminator(terminator).run_with_signal(signal).await;
    told.and(ended.map_err(WorkerError::Engine))
}

/// Waits for the shutdown, or begins it when a task of the intake has ended by itself. What was claimed and not
/// started goes back at once.
async fn until_told(
    intake: &mut JoinSet<()>,
    shutdown: &CancellationToken,
    assignments: &Assignments,
) -> Result<(), WorkerError> {
    let told = tokio::select! {
        biased;
        () = shutdown.cancelled() => Ok(()),
        Some(ended) = intake.join_next() => {
            let why = ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
            Err(WorkerError::Task { task: "intake", why })
        }
    };
    shutdown.cancel();
    assignments.release();
    told
}

fn task(task: &'static str, ended: Result<(), JoinError>) -> Result<(), WorkerError> {
    ended.map_err(|error| WorkerError::Task { task, why: error.to_string() })
}

/// Gives back what is still leased, so that nothing waits for a lease to run out.
async fn retire(parts: &WorkerParts, leases: &Leases) {
    for worker in leases.workers() {
        match tokio::time::timeout(RETIRE_GRACE, parts.queue.retire(&worker)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, %worker, "the worker's leases end by themselves"),
            Err(_) => tracing::warn!(%worker, "the queue does not answer; the worker's leases end by themselves"),
        }
    }
}
