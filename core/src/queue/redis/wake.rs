//! How an idle worker learns of work at once: a task that blocks on the shards' wake lists while somebody waits.
//!
//! A token in a list is a hint for one idle worker in one process. Whoever misses it looks again after
//! [`POLL_MAX`], so a lost token costs time and nothing else.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Value};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::server::Server;

/// An idle worker looks again after this.
const POLL_MAX: Duration = Duration::from_millis(500);
/// The same in a cluster, where no command blocks on the lists of several nodes.
const CLUSTER_POLL_MAX: Duration = Duration::from_millis(50);
/// One blocking command lasts this long, in seconds as Redis takes them.
const BLOCK_S: u32 = 5;
/// After a failed blocking command; callers poll meanwhile.
const FAILED_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Wake {
    shared: Arc<Shared>,
    /// `None` in a cluster.
    server: Option<Arc<Server>>,
    listener: OnceLock<Listener>,
    /// When each shard's next lane must be looked at.
    due: Mutex<Vec<Option<Instant>>>,
}

#[derive(Debug)]
struct Shared {
    lists: Vec<String>,
    waiting: AtomicUsize,
    /// Somebody began to wait.
    wanted: Notify,
    /// A token came.
    heard: Notify,
}

/// The task, ended with its owner.
#[derive(Debug)]
struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One waiter, counted for as long as it waits, however its wait ends.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How long a server of blocking commands may be silent.
pub(super) const fn answer_max(response_timeout: Duration) -> Duration {
    response_timeout.saturating_add(Duration::from_secs(BLOCK_S as u64))
}

impl Wake {
    pub(super) fn new(lists: Vec<String>, server: Option<Server>) -> Self {
        let due = Mutex::new(vec![None; lists.len()]);
        let shared = Shared { lists, waiting: AtomicUsize::new(0), wanted: Notify::new(), heard: Notify::new() };
        Self { shared: Arc::new(shared), server: server.map(Arc::new), listener: OnceLock::new(), due }
    }

    /// What a claim learnt of a shard.
    pub(super) fn set_due(&self, shard: usize, next_due: Option<Duration>) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(due) = due.get_mut(shard) {
            *due = next_due.map(|wait| Instant::now() + wait);
        }
    }

    pub(super) async fn wait(&self, timeout: Duration) {
        let first_due = self.due.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().min().copied();
        let poll_max = if self.server.is_some() { POLL_MAX } else { CLUSTER_POLL_MAX };
        let until = Instant::now() + timeout.min(poll_max);
        let until = first_due.map_or(until, |due| due.min(until));
        let Some(server) = &self.server else { return tokio::time::sleep_until(until).await };
        self.listener.get_or_init(|| Listener(tokio::spawn(listen(Arc::clone(&self.shared), Arc::clone(server)))));
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(&self.shared);
        self.shared.wanted.notify_one();
        tokio::select! {
            () = self.shared.heard.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
        drop(waiting);
    }
}

/// Blocks on the lists while somebody waits; a token that comes when nobody does is given back.
async fn listen(shared: Arc<Shared>, server: Arc<Server>) {
    let mut block = redis::cmd("BLPOP");
    block.arg(&shared.lists).arg(BLOCK_S);
    loop {
        while shared.waiting.load(Ordering::SeqCst) == 0 {
            shared.wanted.notified().await;
        }
        match server.command(&block).await {
            Ok(Value::Nil) => {}
            Ok(_) if shared.waiting.load(Ordering::SeqCst) > 0 => shared.heard.notify_one(),
            Ok(token) => give_back(&server, token).await,
            Err(error) => {
                tracing::debug!(%error, "not listening for new work; polling for it");
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
    }
}

async fn give_back(server: &Server, token: Value) {
    let Some((list, token)) = super::codec::parsed::<(Vec<u8>, Vec<u8>)>(token) else { return };
    let mut push: Cmd = redis::cmd("LPUSH");
    push.arg(list).arg(token);
    if let Err(error) = server.command(&push).await {
        tracing::debug!(%error, "a wake-up was lost; another process finds its work by polling");
    }
}
