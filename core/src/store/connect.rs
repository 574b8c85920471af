//! From the database's URL to pools of connections. A URL that names nothing usable is the settings' fault, told at
//! once; a server that does not answer may do so later.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    Connection, PgConnection, SqliteConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{StoreError, StoreOptions, former_wal, open_file::OpenFile, pool::Pool, reach::reach};

/// How long a caller waits for a free connection, or an answer, before it is told that the database is not available.
pub(super) const ACQUIRE: Duration = Duration::from_secs(5);
/// What a URL of PostgreSQL looks like.
pub(super) const POSTGRES_FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";
const SQLITE_READERS: u32 = 5;
/// The committer's and that of all others, which take turns.
const SQLITE_WRITERS: u32 = 2;
/// How long other processes are given that begin on the same file, and how often it is looked at meanwhile.
const BEGUN: Duration = Duration::from_secs(5);
const BEGIN_AGAIN: Duration = Duration::from_millis(100);
/// Statements that a connection keeps prepared: each has a text for some dozens of numbers of rows.
const SQLITE_STATEMENTS: usize = 500;
/// Pages of the file that a connection keeps, in KiB (`PRAGMA cache_size`, there with a minus). What readers lack, the
/// system's own cache has.
const SQLITE_WRITER_CACHE: &str = "-10000";
const SQLITE_READER_CACHE: &str = "-2000";
/// Rows that a reading connection is ahead of whoever takes them: all of a claim's.
const SQLITE_ROWS_AHEAD: usize = 256;
/// How long a group's transaction, or another statement of PostgreSQL, may take before its connection is given up.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long a connection of the pool may take to show that it still is one.
const PING: Duration = Duration::from_secs(1);
/// When PostgreSQL ends a transaction whose client went away without a word: until then it has locks. Ours never rest.
const ABANDONED: &str = "10s";
/// A connection that was used a moment ago is believed to live.
pub(super) const BELIEVED: Duration = Duration::from_secs(1);

/// What a database's URL names.
pub(super) enum Target {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Target {
    pub(super) fn of(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let connect = PgConnectOptions::from_str(url)
                .map_err(|error| {
                    let why = error.to_string();
                    let why = why.trim_start_matches("error with configuration: ");
                    refused(format_args!("is not understood: {why}; it has to be {POSTGRES_FORM}"))
                })?
                .application_name("postrider")
                // A plan that was made while a table was small would read all of it once it is large: each is made for the
                // tables as they are. None is worth compiling.
                .options([
                    ("synchronous_commit", "on"),
                    ("plan_cache_mode", "force_custom_plan"),
                    ("jit", "off"),
                    ("idle_in_transaction_session_timeout", ABANDONED),
                ]);
            return Ok(Self::Postgres(Box::new(connect)));
        }
        let Some(path) = url.strip_prefix("sqlite://") else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(refused(format_args!("begins with {scheme:?}; it has to be sqlite://PATH or {POSTGRES_FORM}")));
        };
        // SQLite would take both for a database that is gone with its connection.
        if path.is_empty() || path == ":memory:" {
            return Err(refused("names no file; give it one as in sqlite:///var/lib/postrider/postrider.db"));
        }
        Ok(Self::Sqlite(path.into()))
    }
}

pub(super) async fn connect(options: &StoreOptions) -> Result<Pool, StoreError> {
    match Target::of(&options.url)? {
        Target::Postgres(connect) => {
            reach(&connect).await?;
            let pool = PgPoolOptions::new()
                .max_connections(options.connections_max)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
                .before_acquire(|connection, about| Box::pin(lives(connection, about.idle_for)))
                // The driver asks too, and waits without end, while the connection counts as one of the pool's.
                .after_release(|connection, _| Box::pin(comes_back(connection)));
            Ok(Pool::Postgres(pool.connect_with(*connect).await?))
        }
        Target::Sqlite(path) => {
            former_wal::is_none_beside(&path)?;
            sqlite(&path).await.map_err(|error| of_file(&path, error))
        }
    }
}

async fn sqlite(path: &Path) -> Result<Pool, StoreError> {
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(ACQUIRE)
        // Statements that write many rows keep what undoes them in temporary tables, which are files otherwise.
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", SQLITE_WRITER_CACHE)
        .statement_cache_capacity(SQLITE_STATEMENTS)
        .row_buffer_size(SQLITE_ROWS_AHEAD);
    // A new file becomes one with a -wal under a lock that SQLite asks for once, whatever its timeout.
    let file = Arc::new(beside_others(StoreError::is_locked, || OpenFile::open(path, &connect)).await?);
    if let Err(error) = former_wal::note(path) {
        tracing::warn!(%error, "a backup that is put in the place of the database's file could not be told from it at the next start");
    }
    // A later connection would make another file where this one is gone.
    let connect = connect.create_if_missing(false);
    let writers = pool_of(SQLITE_WRITERS, &file)
        .after_release(|connection, _| Box::pin(is_out_of_transaction(connection)))
        .connect_with(connect.clone())
        .await?;
    let readers = pool_of(SQLITE_READERS, &file)
        .connect_with(connect.read_only(true).pragma("cache_size", SQLITE_READER_CACHE))
        .await?;
    Ok(Pool::Sqlite { writers, turn: Arc::default(), readers, file })
}

/// Does `first_step` of a start once more where `overtaken` says that another process, which begins on the same SQLite file, was in
/// its way.
pub(super) async fn beside_others<T, E, Step: Future<Output = Result<T, E>>>(
    overtaken: impl Fn(&E) -> bool,
    first_step: impl Fn() -> Step,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match first_step().await {
            Err(error) if overtaken(&error) && begun.elapsed() < BEGUN => tokio::time::sleep(BEGIN_AGAIN).await,
            done => return done,
        }
    }
}

/// Its connections stay open, since none has anything to forget. One that was opened in the moment in which the file went would go
/// on with another one, and is not used.
fn pool_of(connections_max: u32, file: &Arc<OpenFile>) -> SqlitePoolOptions {
    let file = Arc::clone(file);
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            let there = file.is_there().map_err(|gone| sqlx::Error::Io(std::io::Error::other(gone)));
            Box::pin(async move { there })
        })
}

/// What a caller waits for, who had better come again than wait for a database that does not answer.
pub(super) async fn soon<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(ACQUIRE, answer).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// A connection that was cut off without a word is found out here, so that the next or a new one is taken in its place.
async fn lives(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for < BELIEVED { Ok(true) } else { answers(connection).await }
}

/// The driver's buffers stay as large as the largest statement made them, on each of the connections: what one import of pages
/// leaves there would be half of the process.
async fn comes_back(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    connection.shrink_buffers();
    answers(connection).await
}

async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(PING, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// SQLite ends a transaction by itself where the disk is full or does not answer. The driver's own end of it then fails,
/// and a connection that believes to be in one begins no other: it is closed, and another is opened.
async fn is_out_of_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What the driver has begun to undo is over once it answers.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// A file that cannot be opened will not be there by itself a second later. One that is locked may be.
pub(super) fn of_file(path: &Path, error: StoreError) -> StoreError {
    if error.is_locked() {
        return error;
    }
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = if path.is_dir() {
        format!("{shown} is a folder; name a file in it, as in sqlite://{}", path.join("postrider.db").display())
    } else if !folder.is_dir() {
        format!("the folder {} does not exist; make it, or name a file in another", folder.display())
    } else {
        format!("{error}; is {shown} a SQLite file, and may this process write to it and to its folder?")
    };
    StoreError::Configuration(format!("the database's file {shown} (setting database_url) cannot be opened: {why}"))
}

fn refused(why: impl std::fmt::Display) -> StoreError {
    StoreError::Configuration(format!("the setting database_url {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::UnixMs,
        store::tests::{a_store, remove},
    };

    #[tokio::test]
    async fn a_disk_that_was_full_is_written_to_again() {
        let (store, folder) = a_store().await;
        let Pool::Sqlite { writers, .. } = &store.pool else { panic!("it is a SQLite database") };
        sqlx::query("PRAGMA max_page_count = 1").execute(writers).await.unwrap();
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
        remove(store, folder).await;
    }
}
