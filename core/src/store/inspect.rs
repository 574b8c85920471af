//! A look at the database that changes nothing: for whoever wants to know whether a start would go well.

use std::{collections::HashMap, path::Path, sync::Arc};

use sqlx::{
    migrate::Migrator,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    Cipher, POSTGRES_TABLES, SQLITE_TABLES, Store, StoreError,
    connect::{ACQUIRE, Target, of_file},
    endpoints, former_wal,
    open_file::{OpenFile, beside},
    pool::Pool,
    reach::reach,
    sql::sql,
    vapid,
};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub tables: Tables,
    /// Whether tables can be made here, by the user's rights.
    pub makes_tables: bool,
    /// Ids of the encryption keys that secrets are sealed with.
    key_ids: Vec<String>,
}

/// The state of the database's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// There is no database yet, or one without tables: the first start makes them.
    None,
    UpToDate,
    /// The next start brings them up to date.
    Behind,
    /// Another version made them.
    Foreign,
}

impl Inspection {
    /// Encryption keys that are needed and that `cipher` does not have.
    #[must_use]
    pub fn missing_keys(&self, cipher: Option<&Cipher>) -> Vec<&str> {
        let known = |id: &str| cipher.is_some_and(|cipher| cipher.knows(id));
        self.key_ids.iter().map(String::as_str).filter(|id| !known(id)).collect()
    }
}

impl Store {
    /// Looks at the database that `url` names, and changes nothing.
    ///
    /// # Errors
    /// When the URL is not understood, the database does not answer, or a file cannot be opened.
    pub async fn inspect(url: &str) -> Result<Inspection, StoreError> {
        let (pool, migrator) = match Target::of(url)? {
            Target::Sqlite(path) if !path.exists() => {
                return Ok(Inspection { tables: Tables::None, makes_tables: true, key_ids: Vec::new() });
            }
            Target::Sqlite(path) => {
                former_wal::is_none_beside(&path)?;
                has_its_wal(&path)?;
                let readers = reader(&path).await.map_err(|error| of_file(&path, error))?;
                let file = Arc::new(OpenFile::to_read(&path)?);
                (Pool::Sqlite { writers: readers.clone(), turn: Arc::default(), readers, file }, &SQLITE_TABLES)
            }
            Target::Postgres(connect) => {
                reach(&connect).await?;
                let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE);
                (Pool::Postgres(pool.connect_with(*connect).await?), &POSTGRES_TABLES)
            }
        };
        let inspection = inspect(&pool, migrator).await;
        pool.close().await;
        inspection
    }
}

/// SQLite makes the -shm after the -wal and removes it before: one without the other was left by somebody else.
fn has_its_wal(path: &Path) -> Result<(), StoreError> {
    let (wal, shm) = (beside(path, "-wal").map_err(sqlx::Error::Io)?, beside(path, "-shm").map_err(sqlx::Error::Io)?);
    if wal.exists() || !shm.exists() {
        return Ok(());
    }
    Err(StoreError::Unreachable(format!(
        "the file {wal} is gone, though {shm} says that the database is in use or was not closed, and has what was stored last; a \
         Postrider that runs on it has that still: end it with SIGTERM, which brings it into the database's file, and start it again; \
         where none runs, what was there is lost: remove {shm}",
        wal = wal.display(),
        shm = shm.display()
    )))
}

/// Reading a file in WAL mode makes files beside it, unless it is told that nobody writes: so where there is no WAL.
async fn reader(path: &Path) -> Result<sqlx::SqlitePool, StoreError> {
    let wal = beside(path, "-wal").map_err(sqlx::Error::Io)?;
    let connect =
        SqliteConnectOptions::new().filename(path).read_only(true).immutable(!wal.exists()).busy_timeout(ACQUIRE);
    Ok(SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE).connect_with(connect).await?)
}

async fn inspect(pool: &Pool, migrator: &Migrator) -> Result<Inspection, StoreError> {
    let makes_tables = match pool {
        Pool::Sqlite { .. } => true,
        Pool::Postgres(_) => {
            let right = "SELECT CAST(COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS INT)";
            pool.fetch_one::<(i32,)>(sql(right)).await?.is_some_and(|(right,)| right == 1)
        }
    };
    let known = match pool {
        Pool::Sqlite { .. } => "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
        Pool::Postgres(_) => "SELECT COUNT(to_regclass('_sqlx_migrations'))",
    };
    if pool.fetch_one::<(i64,)>(sql(known)).await?.is_none_or(|(count,)| count == 0) {
        return Ok(Inspection { tables: Tables::None, makes_tables, key_ids: Vec::new() });
    }
    let applied: Vec<(i64, Vec<u8>)> = pool.fetch(sql("SELECT version, checksum FROM _sqlx_migrations")).await?;
    let applied: HashMap<i64, Vec<u8>> = applied.into_iter().collect();
    let ours = |version: &i64| migrator.iter().find(|migration| migration.version == *version);
    let same = |(version, checksum): (&i64, &Vec<u8>)| ours(version).is_some_and(|ours| *ours.checksum == **checksum);
    let tables = match applied.len() {
        0 => Tables::None,
        _ if !applied.iter().all(same) => Tables::Foreign,
        some if some < migrator.iter().count() => Tables::Behind,
        _ => Tables::UpToDate,
    };
    if tables == Tables::None {
        return Ok(Inspection { tables, makes_tables, key_ids: Vec::new() });
    }
    let mut key_ids = endpoints::sealing_keys(pool).await?;
    if applied.contains_key(&vapid::MIGRATION) {
        key_ids.extend(vapid::sealing_keys(pool).await?);
        key_ids.sort_unstable();
        key_ids.dedup();
    }
    Ok(Inspection { tables, makes_tables, key_ids })
}
