//! Runs Postrider's jobs: claims tickets, executes them, commits their outcomes, and keeps the queue in step with
//! SQL. Owns the order in which all of it starts and stops; must not know HTTP servers, templates or SQL text.

mod alerts;
mod backend;
mod claim;
pub mod egress;
mod executors;
mod heartbeat;
mod leases;
mod mail;
mod metrics;
mod notify;
mod operations;
mod outcomes;
mod own_event;
mod pace;
pub mod push;
mod run;
mod settle;
mod site;
mod sweep;
mod upkeep;

#[cfg(test)]
mod tests;

use std::time::Duration;

use postrider_core::{
    dispatch::Dispatcher,
    domain::endpoint::FAILING_DISABLES_AFTER,
    live::Live,
    notified::Notified,
    queue::Queue,
    site::Storage,
    store::{RetentionAges, Store},
    trace::Tracer,
};

use self::egress::EgressClient;
pub use self::{
    alerts::Alerts,
    mail::{MailError, Mailer, Signer, SignerError},
    metrics::WorkerMetrics,
    run::run,
};

/// Jobs that one process runs at once, when nobody says.
pub const CONCURRENCY_DEFAULT: usize = 512;
/// How long a graceful stop waits for what runs, when nobody says.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// What a worker works with. [`Store::directory`]'s `run` is to be started by whoever opened the store.
#[derive(Clone, Debug)]
pub struct WorkerParts {
    pub store: Store,
    pub queue: Queue,
    pub dispatcher: Dispatcher,
    pub egress: EgressClient,
    /// Where what sites publish lies.
    pub storage: Storage,
    pub metrics: WorkerMetrics,
    pub tracer: Tracer,
    /// Who is told something hears of it by this.
    pub live: Live,
    /// What notifications say.
    pub notified: Notified,
    /// By whom e-mail is sent; `None`: nobody has set a mail server.
    pub mailer: Option<Mailer>,
    pub settings: WorkerSettings,
}

/// How a worker works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Jobs that run at once; 1 or more.
    pub concurrency: usize,
    /// How long a graceful stop waits for what runs.
    pub grace: Duration,
    /// The machine's name, for the worker's id.
    pub host: String,
    /// Postrider's version, for `User-Agent`.
    pub version: String,
    pub retention: RetentionAges,
    /// An endpoint whose every attempt failed for this long is disabled.
    pub failing_disables_after: Duration,
    /// Where people's browsers reach this server; `None`: mail has no link back.
    pub public_url: Option<String>,
}

impl WorkerSettings {
    /// The defaults, for a worker on `host`.
    #[must_use]
    pub fn new(host: &str, version: &str, retention: RetentionAges) -> Self {
        Self {
            concurrency: CONCURRENCY_DEFAULT,
            grace: GRACE_DEFAULT,
            host: host.to_owned(),
            version: version.to_owned(),
            retention,
            failing_disables_after: FAILING_DISABLES_AFTER,
            public_url: None,
        }
    }
}

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    #[error("the worker's engine ended by itself: {0}; the process should be started again")]
    Engine(#[from] apalis_core::monitor::MonitorError),
    #[error("the worker's {task} ended by itself ({why}); the process should be started again")]
    Task { task: &'static str, why: String },
}
