//! The queue in Redis.

use std::{str::FromStr, time::Duration};

use super::*;

/// What an address of Redis looks like.
pub(super) const URL_FORMS: &str = "redis://, rediss://, redis+sentinel://h1,h2/master or redis+cluster://h1,h2";

#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisUrl")
    }
}

impl FromStr for RedisUrl {
    type Err = QueueError;
    fn from_str(text: &str) -> Result<Self, QueueError> {
        Ok(Self(text.to_owned()))
    }
}

#[derive(Clone, Debug)]
pub struct RedisOptions {
    pub url: RedisUrl,
    /// Before each key, so that several installations or tests share a server.
    pub prefix: String,
    pub shards: u16,
    pub limits: QueueLimits,
    pub response_timeout: Duration,
}

impl RedisOptions {
    #[must_use]
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            prefix: "postrider".to_owned(),
            shards: 1,
            limits: QueueLimits::default(),
            response_timeout: Duration::from_secs(2),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Redis(());

fn not_yet<T>() -> Result<T, QueueError> {
    Err(QueueError::Unavailable { at: "redis".to_owned(), reason: "not built yet".to_owned() })
}

impl Redis {
    pub(super) async fn connect(_: RedisOptions) -> Result<Self, QueueError> {
        not_yet()
    }
    pub(super) async fn offer(&self, _: &[Ticket]) -> Result<Vec<Offered>, QueueError> {
        not_yet()
    }
    pub(super) async fn refill(&self, _: &[Ticket]) -> Result<Vec<Offered>, QueueError> {
        not_yet()
    }
    pub(super) async fn claim(&self, _: &WorkerId, _: usize) -> Result<Vec<Lease>, QueueError> {
        not_yet()
    }
    pub(super) async fn settle(&self, _: &[Verdict]) -> Result<Vec<Settled>, QueueError> {
        not_yet()
    }
    pub(super) async fn renew(&self, _: &WorkerId) -> Result<bool, QueueError> {
        not_yet()
    }
    pub(super) async fn retire(&self, _: &WorkerId) -> Result<(), QueueError> {
        not_yet()
    }
    pub(super) async fn expire(&self) -> Result<Vec<LostTicket>, QueueError> {
        not_yet()
    }
    pub(super) async fn lane(&self, _: &LaneKey, _: &LaneSettings) -> Result<(), QueueError> {
        not_yet()
    }
    pub(super) async fn set_paused(&self, _: &LaneKey, _: bool) -> Result<(), QueueError> {
        not_yet()
    }
    pub(super) async fn cancel(&self, _: &LaneKey, _: Id<Job>) -> Result<bool, QueueError> {
        not_yet()
    }
    pub(super) async fn run_now(&self, _: &LaneKey, _: Id<Job>) -> Result<bool, QueueError> {
        not_yet()
    }
    pub(super) async fn held(&self, _: &[(LaneKey, Id<Job>)]) -> Result<Vec<bool>, QueueError> {
        not_yet()
    }
    pub(super) async fn spilled(&self, _: usize) -> Result<Vec<SpilledLane>, QueueError> {
        not_yet()
    }
    pub(super) async fn unspill(&self, _: &LaneKey, _: u64) -> Result<bool, QueueError> {
        not_yet()
    }
    pub(super) async fn epoch(&self) -> Result<Epoch, QueueError> {
        not_yet()
    }
    pub(super) async fn wait(&self, timeout: Duration) {
        tokio::time::sleep(timeout).await
    }
    pub(super) async fn ping(&self) -> Result<(), QueueError> {
        not_yet()
    }
    pub(super) async fn view(&self, _: usize) -> Result<QueueView, QueueError> {
        not_yet()
    }
}
