//! What the integration tests stand on: the real binary with its own database and data folder, a client, a receiver
//! and a Redis that may be killed. Knows nothing of what the tests prove.
//!
//! A test is an `async fn name(stack: Stack)`, listed once in `on_both_stacks!`; it starts its own [`App`], so that all
//! run at once. Nothing sleeps for a guessed time: [`eventually`] waits for a condition, with a deadline.

mod app;
mod books;
mod browser;
mod bucket;
mod chromium;
mod client;
mod clock;
mod cluster;
mod database;
mod event_stream;
mod mail;
pub(crate) mod notifying;
mod outsiders;
mod postgres;
mod proxy;
mod published;
mod publishing;
mod push_browser;
mod receiver;
mod redis;
mod script;
mod sentinel;
mod smtp;

use std::time::{Duration, Instant};

pub(crate) use app::{ADMIN_TOKEN, App, bad, good, postrider, signal};
pub(crate) use books::Books;
pub(crate) use browser::{Browser, Page};
pub(crate) use bucket::{BUCKET_SECRET, Bucket, Mood};
pub(crate) use chromium::{Chromium, View};
pub(crate) use client::{Answer, Client, MadeEndpoint, install_tls_provider};
pub(crate) use clock::clock_ahead;
pub(crate) use cluster::{RedisCluster, shared_cluster};
pub(crate) use database::Database;
pub(crate) use event_stream::{EventStream, Sent};
pub(crate) use mail::MailServer;
pub(crate) use outsiders::{SeenFeed, SeenItem, ServedFeed, by_feedparser, by_rss_parser, xmllint};
pub(crate) use postgres::{PrivatePostgres, Stop};
pub(crate) use proxy::{Line, Proxy};
pub(crate) use published::{Published, unpacked};
pub(crate) use publishing::{Load, Publishing};
pub(crate) use push_browser::PushBrowser;
pub(crate) use receiver::{Receiver, Recorded};
pub(crate) use redis::{PrivateRedis, free_port};
pub(crate) use script::Script;
pub(crate) use sentinel::RedisBehindSentinel;
pub(crate) use smtp::{SmtpServer, is_signed, private_keys};

/// How long a test waits for what should take moments: long enough for a busy machine with two cores.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// For tests that move thousands of events.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// What the application runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// SQLite and the queue inside the process.
    Sqlite,
    /// PostgreSQL and Redis.
    Postgres,
}

/// Makes one test for each stack of every `async fn name(stack: Stack)` that is listed.
macro_rules! on_both_stacks {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::harness::Stack::Sqlite).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::harness::Stack::Postgres).await;
            })+
        }
    };
}

/// Asks `condition` every 20 ms until it gives a value, and gives that; panics with `what` when `deadline` is over.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How often, or with how many, a scenario runs: `full` in `tests/run --full`, else `short`.
pub(crate) fn rounds(short: usize, full: usize) -> usize {
    let all = std::env::var("POSTRIDER_TEST_FULL").is_ok_and(|all| all == "1");
    if all { full } else { short }
}

/// A setting that `tests/run` makes.
fn from_test_run(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with tests/run, which starts what they need"))
}
