//! A table of PostgreSQL's that nobody writes to until the test says so: who writes to it late in a transaction stands still
//! with all locks that it has taken by then.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Mutex;

use super::Fixture;
use crate::harness::{SOON, eventually};

/// Closed until it is opened.
pub(super) struct Gate(Mutex<PgConnection>);

impl Gate {
    pub(super) async fn close(at: &Fixture, table: &'static str) -> Self {
        let mut connection = PgConnection::connect(at.database.url()).await.unwrap();
        // Others read it and lock its rows, and none of them writes.
        let lock = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await.unwrap();
        Self(Mutex::new(connection))
    }

    /// Waits until so many other connections to the test's database wait for a lock.
    pub(super) async fn await_waiting(&self, connections: i64) {
        let select =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("connections wait for locks", SOON, || async {
            // What it shows is kept until a transaction ends, and this one has to go on.
            self.0.lock().await.execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
            let waiting: i64 = sqlx::query_scalar(select).fetch_one(&mut *self.0.lock().await).await.unwrap();
            (waiting == connections).then_some(())
        })
        .await;
    }

    pub(super) async fn open(&self) {
        self.0.lock().await.execute("COMMIT").await.unwrap();
    }
}
