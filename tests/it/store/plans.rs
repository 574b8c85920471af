//! Plans that PostgreSQL keeps: made while tables were empty, they must not be what reads them once they are large.

use std::time::{Duration, Instant};

use postrider_core::{
    domain::{
        Id,
        endpoint::Endpoint,
        job::{Job, Outcome},
    },
    store::Recorded,
};
use sqlx::{Connection, PgConnection};

use super::Fixture;
use crate::harness::Stack;

const BACKLOG: usize = 4_000;
/// Jobs that are loaded, and whose outcomes are recorded, at a time.
const ROUND: usize = 20;
/// Rows of `jobs` that may be read for each that is written; a walk reads hundreds.
const READ_MAX: i64 = 20;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_has_grown_is_not_walked_for_what_is_found_by_its_key() {
    let at = Fixture::make(Stack::Postgres).await;
    let endpoint = at.endpoint().await;
    let mut server = PgConnection::connect(at.database.url()).await.unwrap();
    // Known to be empty, a table seems as well read whole as by key.
    sqlx::query("ANALYZE").execute(&mut server).await.unwrap();
    let few = publish(&at, &endpoint, ROUND).await;
    try_again(&at, &endpoint, &few, 0).await;
    let many = publish(&at, &endpoint, BACKLOG).await;
    let started = Instant::now();
    let mut before = counted(&mut server).await;
    for attempt in 0.. {
        try_again(&at, &endpoint, &many[..ROUND], attempt).await;
        let (written, read) = counted(&mut server).await;
        // The server counts a second late, then what was written and what was read for it at once.
        if written > before.0 {
            if read - before.1 <= READ_MAX * (written - before.0) {
                return;
            }
            before = (written, read);
        }
        assert!(
            started.elapsed() < SOON,
            "{attempt} times {ROUND} jobs are found by reading all: {read} for {written}"
        );
    }
}

async fn publish(at: &Fixture, endpoint: &Endpoint, count: usize) -> Vec<Id<Job>> {
    let (jobs, items): (Vec<_>, Vec<_>) =
        (0..count).map(|_| at.event(endpoint)).map(|(_, job, item)| (job, item)).unzip();
    at.publish(None, items).await;
    jobs
}

async fn try_again(at: &Fixture, endpoint: &Endpoint, jobs: &[Id<Job>], attempt: u32) {
    assert_eq!(at.store.load_work(jobs).await.unwrap().len(), jobs.len());
    let failed = |job: &Id<Job>| at.store.record(at.finished(*job, endpoint, attempt, Outcome::Retry { at: at.now }));
    for recorded in futures::future::join_all(jobs.iter().map(failed)).await {
        assert_eq!(recorded.unwrap(), Recorded::Applied);
    }
}

/// Rows of `jobs` that were written since they were made, and rows that were read.
async fn counted(server: &mut PgConnection) -> (i64, i64) {
    let select = "SELECT n_tup_upd, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'jobs'";
    sqlx::query_as(select).fetch_one(server).await.unwrap()
}
