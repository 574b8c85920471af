//! Connections and transactions of both databases: who takes turns, what is kept from one use to the next, and how long an
//! answer may take. Knows no table.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection as _, FromRow, Postgres, Sqlite, Transaction,
    pool::PoolConnection,
    postgres::{PgPool, PgRow},
    sqlite::{SqlitePool, SqliteRow},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout},
};

use super::{
    StoreError,
    connect::{ACQUIRE, ANSWER_MAX, BELIEVED},
    open_file::OpenFile,
    sql::{Dialect, Part, Sql},
};

/// A row's shape, readable from both databases.
pub(super) trait Shape: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Shape for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// The database behind the store.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    /// Writers take turns, since SQLite has one write lock; readers beside them.
    Sqlite {
        writers: SqlitePool,
        turn: Arc<Mutex<()>>,
        readers: SqlitePool,
        file: Arc<OpenFile>,
    },
    Postgres(PgPool),
}

impl Pool {
    /// Reads without a transaction.
    pub(super) async fn fetch<T: Shape>(&self, sql: Sql) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, file, .. } => {
                file.is_there()?;
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_as_with(text, arguments).fetch_all(readers).await?
            }
            Self::Postgres(pool) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(pool)).await?
            }
        })
    }

    pub(super) async fn fetch_one<T: Shape>(&self, sql: Sql) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql).await?.into_iter().next())
    }

    /// Writes one statement in its own transaction. Returns how many rows it touched.
    pub(super) async fn execute(&self, sql: Sql) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let touched = tx.execute(sql).await?;
        tx.commit().await?;
        Ok(touched)
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Waits for the connections to close.
    pub(super) async fn close(self) {
        match self {
            Self::Sqlite { writers, readers, file, .. } => {
                readers.close().await;
                writers.close().await;
                file.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// A transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx<'static>, StoreError> {
        Ok(match self {
            Self::Sqlite { writers, turn, file, .. } => {
                let turn = take_turn(turn).await?;
                file.is_there()?;
                Tx::sqlite(writers.begin_with(SQLITE_BEGIN).await?, turn, file)?
            }
            Self::Postgres(pool) => Tx::Postgres(within(ANSWER_MAX, pool.begin()).await?),
        })
    }
}

const SQLITE_BEGIN: &str = "BEGIN IMMEDIATE";

async fn take_turn(turn: &Arc<Mutex<()>>) -> Result<OwnedMutexGuard<()>, StoreError> {
    let taken = timeout(ACQUIRE, Arc::clone(turn).lock_owned()).await;
    taken.map_err(|_| StoreError::from(sqlx::Error::PoolTimedOut))
}

/// A connection for one user, kept from one use to the next. A pool asks each whether it lives when it is given back, and
/// when it is taken: twice as many round trips as a short statement has.
///
/// What is done through it finds rows by their keys, so PostgreSQL plans it once ([`KEPT_POSTGRES`]) and not for each
/// execution, which would take it as long as the execution itself. A plan that was made while a table was small would read
/// all of it once it is large, so plans are made anew each second.
#[derive(Debug)]
pub(super) struct Kept {
    pool: Pool,
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    connection: Connection,
    /// When it was last used, or with PostgreSQL asked to forget its plans: what shows that it lives.
    known_at: Instant,
}

/// How a kept connection to PostgreSQL plans.
const KEPT_POSTGRES: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off";
/// Has PostgreSQL make all plans of a connection anew.
const FORGET_PLANS: &str = "DISCARD PLANS";

#[derive(Debug)]
enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Kept {
    pub(super) const fn of(pool: Pool) -> Self {
        Self { pool, live: None }
    }

    /// Reads without a transaction.
    pub(super) async fn fetch<T: Shape>(&mut self, sql: Sql) -> Result<Vec<T>, StoreError> {
        let fetched = match self.connection(false).await? {
            Connection::Sqlite(connection) => {
                let (text, arguments) = sql.sqlite()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(&mut **connection)).await
            }
            Connection::Postgres(connection) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(&mut **connection)).await
            }
        };
        if fetched.is_err() {
            self.renew();
        }
        fetched
    }

    /// A transaction that writes. Where it fails, [`Self::renew`] is to be called.
    pub(super) async fn begin(&mut self) -> Result<Tx<'_>, StoreError> {
        let sqlite = match &self.pool {
            Pool::Sqlite { turn, file, .. } => Some((take_turn(turn).await?, Arc::clone(file))),
            Pool::Postgres(_) => None,
        };
        Ok(match (self.connection(true).await?, sqlite) {
            (Connection::Sqlite(connection), Some((turn, file))) => {
                Tx::sqlite(connection.begin_with(SQLITE_BEGIN).await?, turn, &file)?
            }
            (Connection::Sqlite(_), None) => return Err(StoreError::Closed),
            (Connection::Postgres(connection), _) => Tx::Postgres(within(ACQUIRE, connection.begin()).await?),
        })
    }

    /// Writes statements in a transaction of their own, none of which needs another's answer: all of them or nothing. Where it
    /// fails, [`Self::renew`] is to be called.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where one does not touch as many rows as it must.
    pub(super) async fn write(&mut self, parts: Vec<Part>) -> Result<(), StoreError> {
        if parts.is_empty() {
            return Ok(());
        }
        if self.dialect() == Dialect::Postgres
            && let Connection::Postgres(connection) = self.connection(true).await?
        {
            let (text, arguments) = Sql::together(parts).postgres()?;
            return within(ANSWER_MAX, sqlx::query_with(text, arguments).execute(&mut **connection)).await.map(drop);
        }
        let mut tx = self.begin().await?;
        for Part { sql, touches } in parts {
            let touched = tx.execute(sql).await?;
            if touches.is_some_and(|rows| rows != touched) {
                return Err(StoreError::Refused(sqlx::Error::RowNotFound));
            }
        }
        tx.commit().await
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.pool.dialect()
    }

    /// Another connection is taken for the next use. This one goes, since nobody knows what state it is in.
    pub(super) fn renew(&mut self) {
        match self.live.take().map(|live| live.connection) {
            Some(Connection::Sqlite(mut connection)) => connection.close_on_drop(),
            Some(Connection::Postgres(mut connection)) => connection.close_on_drop(),
            None => {}
        }
    }

    async fn connection(&mut self, writes: bool) -> Result<&mut Connection, StoreError> {
        if let Pool::Sqlite { file, .. } = &self.pool {
            file.is_there()?;
        }
        if let Err(error) = self.look().await {
            self.renew();
            // A new one would not be answered either.
            if error.is_timeout() {
                return Err(error);
            }
        }
        let live = match self.live.take() {
            Some(live) => live,
            None => Live { connection: self.open(writes).await?, known_at: Instant::now() },
        };
        Ok(&mut self.live.insert(live).connection)
    }

    /// Asks the connection whether it lives where that was not shown for a moment.
    async fn look(&mut self) -> Result<(), StoreError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let now = Instant::now();
        match &mut live.connection {
            Connection::Sqlite(_) if now - live.known_at < BELIEVED => {}
            Connection::Sqlite(connection) => within(ACQUIRE, connection.ping()).await?,
            Connection::Postgres(_) if now - live.known_at < BELIEVED => return Ok(()),
            Connection::Postgres(connection) => {
                within(ACQUIRE, sqlx::raw_sql(FORGET_PLANS).execute(&mut **connection)).await?;
            }
        }
        live.known_at = now;
        Ok(())
    }

    async fn open(&self, writes: bool) -> Result<Connection, StoreError> {
        Ok(match &self.pool {
            Pool::Sqlite { writers, .. } if writes => Connection::Sqlite(writers.acquire().await?),
            Pool::Sqlite { readers, .. } => Connection::Sqlite(readers.acquire().await?),
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                // How it plans is for its one user, so it never goes back to the pool.
                connection.close_on_drop();
                within(ACQUIRE, sqlx::raw_sql(KEPT_POSTGRES).execute(&mut *connection)).await?;
                Connection::Postgres(connection)
            }
        })
    }
}

/// A server that is silent is not waited for without end.
async fn within<T>(limit: Duration, answer: impl Future<Output = sqlx::Result<T>>) -> Result<T, StoreError> {
    let answered = timeout(limit, answer).await;
    Ok(answered.unwrap_or(Err(sqlx::Error::PoolTimedOut))?)
}

/// A transaction; dropped without `commit` it is rolled back.
pub(super) enum Tx<'c> {
    Sqlite { tx: Transaction<'c, Sqlite>, turn: OwnedMutexGuard<()>, file: Arc<OpenFile> },
    Postgres(Transaction<'c, Postgres>),
}

impl<'c> Tx<'c> {
    fn sqlite(
        tx: Transaction<'c, Sqlite>,
        turn: OwnedMutexGuard<()>,
        file: &Arc<OpenFile>,
    ) -> Result<Self, StoreError> {
        file.is_there()?;
        Ok(Self::Sqlite { tx, turn, file: Arc::clone(file) })
    }
}

impl Tx<'_> {
    pub(super) async fn fetch<T: Shape>(&mut self, sql: Sql) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite { tx, .. } => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_as_with(text, arguments).fetch_all(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(&mut **tx)).await?
            }
        })
    }

    pub(super) async fn fetch_one<T: Shape>(&mut self, sql: Sql) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql).await?.into_iter().next())
    }

    pub(super) async fn execute(&mut self, sql: Sql) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { tx, .. } => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_with(text, arguments).execute(&mut **tx).await?.rows_affected()
            }
            Self::Postgres(tx) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_with(text, arguments).execute(&mut **tx)).await?.rows_affected()
            }
        })
    }

    /// Writes statements whose answers nobody needs.
    pub(super) async fn execute_all(&mut self, statements: Vec<Sql>) -> Result<(), StoreError> {
        for statement in statements {
            self.execute(statement).await?;
        }
        Ok(())
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { tx, turn, file } => {
                tx.commit().await?;
                drop(turn);
                file.is_there()?;
            }
            Self::Postgres(tx) => within(ANSWER_MAX, tx.commit()).await?,
        }
        Ok(())
    }

    /// `FOR SHARE` likewise.
    pub(super) const fn for_share(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => " FOR SHARE",
        }
    }

    /// `FOR UPDATE` where rows are locked one by one; SQLite's writer is alone anyway.
    pub(super) const fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }
}
