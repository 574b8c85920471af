//! SQL, the truth. Owns the pools, the migrations and one file for each noun; knows neither queue nor HTTP.

mod attempts;
mod cipher;
mod committer;
mod dead_letters;
mod directory;
mod due;
mod endpoints;
mod error;
mod events;
mod failures;
mod gates;
mod jobs;
mod operations;
mod outcomes;
mod page;
mod publish;
mod recover;
mod retention;
mod sql;
mod stats;
mod tenants;
mod tokens;

use std::{
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    Connection, SqliteConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{sync::Mutex, task::JoinHandle};

pub use self::{
    cipher::{Cipher, KeyError},
    dead_letters::{DeadLetterFilter, Resolved},
    directory::{Directory, LiveEndpoint, TenantEndpoints},
    due::DueJob,
    endpoints::EndpointChange,
    error::StoreError,
    events::{Delivery, EventFilter, EventSummary},
    failures::FailureGroup,
    gates::Gate,
    jobs::{JobDetail, JobFilter, NewJob, Work},
    operations::{Operation, OperationKind, OperationState, Replay, Step},
    outcomes::{Finished, Recorded},
    page::{Listed, Page},
    publish::{Compose, Item, ItemResult, NewEvent, Publication, Published},
    retention::{Removed, RetentionAges},
};
use self::{committer::Committer, sql::Pool};
use crate::domain::{Id, tenant::Tenant};

/// How long a caller waits for a free connection before it is told that the database is not available.
const ACQUIRE: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
/// How long a write proves that the database takes writes.
const PROVED: Duration = Duration::from_secs(1);

/// Where the truth is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: String,
    pub cipher: Cipher,
    /// This process among those that write statistics; unique for each start.
    pub node: String,
    /// Connections to PostgreSQL at most.
    pub connections_max: u32,
}

/// The database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    cipher: Cipher,
    node: Arc<str>,
    directory: Directory,
    publications: Committer<Publication>,
    outcomes: Committer<Finished>,
    committers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// When it last took a write for [`Self::ready`].
    proved_at: Arc<Mutex<Option<Instant>>>,
}

/// The store of one tenant: every read and write through it carries the tenant.
#[derive(Clone, Debug)]
pub struct Scope<'s> {
    store: &'s Store,
    tenant: Id<Tenant>,
}

impl Store {
    /// Connects, brings the tables up to date and starts the committers.
    ///
    /// # Errors
    /// When the URL is not understood, the database does not answer, or a migration fails.
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let pool = connect(options).await?;
        migrate(&pool).await?;
        let (publications, publishing) = Committer::start(pool.clone());
        let (outcomes, recording) = Committer::start(pool.clone());
        Ok(Self {
            directory: Directory::new(pool.clone(), options.cipher.clone()),
            pool,
            cipher: options.cipher.clone(),
            node: options.node.as_str().into(),
            publications,
            outcomes,
            committers: Arc::new(Mutex::new(vec![publishing, recording])),
            proved_at: Arc::default(),
        })
    }

    /// The rows of one tenant.
    #[must_use]
    pub const fn tenant(&self, tenant: Id<Tenant>) -> Scope<'_> {
        Scope { store: self, tenant }
    }

    /// Endpoints as every process must see them within two seconds.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether it can store now. A full or read-only database still answers reads, so a row is written as it is too, once
    /// a second at most, by however many this is asked.
    ///
    /// # Errors
    /// When the database does not answer, or takes no writes.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.pool.fetch_one::<(i64,)>(sql::sql("SELECT epoch FROM settings_clock WHERE id = 1")).await?;
        let mut proved_at = self.proved_at.lock().await;
        if proved_at.is_some_and(|at| at.elapsed() < PROVED) {
            return Ok(());
        }
        *proved_at = None;
        self.pool.execute(sql::sql("UPDATE settings_clock SET epoch = epoch WHERE id = 1")).await?;
        *proved_at = Some(Instant::now());
        Ok(())
    }

    /// Waits until all that was handed in is committed, then closes the connections. For the end of a process.
    pub async fn close(self) {
        let committers = Arc::clone(&self.committers);
        let pool = self.pool.clone();
        drop(self);
        for committer in committers.lock().await.drain(..) {
            if let Err(error) = committer.await {
                tracing::error!(%error, "a committer ended badly");
            }
        }
        match pool {
            Pool::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

async fn connect(options: &StoreOptions) -> Result<Pool, StoreError> {
    let url = options.url.as_str();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let connect = PgConnectOptions::from_str(url)
            .map_err(|error| StoreError::Configuration(format!("the database URL is not understood: {error}")))?
            .application_name("postrider")
            .options([("synchronous_commit", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(ACQUIRE)
            .connect_with(connect)
            .await?;
        return Ok(Pool::Postgres(pool));
    }
    let Some(path) = url.strip_prefix("sqlite://").map(PathBuf::from) else {
        return Err(StoreError::Configuration(format!(
            "the database URL begins with {:?}; it has to be sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
            url.split(':').next().unwrap_or_default()
        )));
    };
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(ACQUIRE)
        .pragma("cache_size", "-16000");
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE)
        .after_release(|connection, _| Box::pin(is_out_of_transaction(connection)))
        .connect_with(connect.clone())
        .await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE)
        .connect_with(connect.read_only(true))
        .await?;
    Ok(Pool::Sqlite { writer, readers })
}

/// SQLite ends a transaction by itself where the disk is full or does not answer. The driver's own end of it then fails,
/// and a connection that believes to be in one begins no other: it is closed, and another is opened.
async fn is_out_of_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What the driver has begun to undo is over once it answers.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    match pool {
        Pool::Sqlite { writer, .. } => sqlx::migrate!("../migrations/sqlite").run(writer).await?,
        Pool::Postgres(pool) => sqlx::migrate!("../migrations/postgres").run(pool).await?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMs;

    #[tokio::test]
    async fn a_disk_that_was_full_is_written_to_again() {
        let folder = std::env::temp_dir().join(format!("postrider-store-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let options = StoreOptions {
            url: format!("sqlite://{}", folder.join("db").display()),
            cipher: Cipher::parse(&Cipher::key_text([7; 32])).unwrap(),
            node: "test".to_owned(),
            connections_max: 1,
        };
        let store = Store::open(&options).await.unwrap();
        let Pool::Sqlite { writer, .. } = &store.pool else { panic!("it is a SQLite database") };
        sqlx::query("PRAGMA max_page_count = 1").execute(writer).await.unwrap();
        let make = async |n: usize| {
            store.create_tenant(&format!("tenant-{n}").parse().unwrap(), &"name".repeat(100), UnixMs(0)).await
        };
        let mut made = 0;
        let full = loop {
            match make(made).await {
                Ok(_) => made += 1,
                Err(full) => break full,
            }
        };
        assert!(full.is_unavailable() && made < 1_000, "{full} after {made}");
        // The next connection may have as many pages as it likes: space is back.
        make(made).await.unwrap();
        store.ready().await.unwrap();
        store.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}
