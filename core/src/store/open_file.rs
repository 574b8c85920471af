//! Whether the SQLite file that is open is still the one at its path, and its -wal too. A file that somebody deletes or replaces
//! takes every write of those who have it open and forgets all of them once they end, so each use of it looks first, and each
//! commit once more before anybody is answered. A look is two calls of the system, a microsecond each.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::StoreError;

/// A SQLite file that this process has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    opened: Identity,
    /// What was stored last, beside the file itself (SQLite's "Write-Ahead Logging", section 2.2); `None` where nobody writes.
    wal: Option<(PathBuf, Identity)>,
    /// While it is open SQLite neither removes the -wal nor makes another, and whatever was stored can be had from this process.
    held: Mutex<Option<SqliteConnection>>,
}

/// A file's number is given to another one after its end, whose birth is another too, where the file system knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) number: u64,
    pub(super) born: Option<SystemTime>,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|about| Self::told_by(&about))
    }

    pub(super) fn told_by(about: &fs::Metadata) -> Self {
        Self { device: about.dev(), number: about.ino(), born: about.created().ok() }
    }
}

/// What lies beside the file at `path`, as its `-wal` does.
///
/// # Errors
/// When nothing is at `path`.
pub(super) fn beside(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    // SQLite follows links first.
    let mut name = fs::canonicalize(path)?.into_os_string();
    name.push(suffix);
    Ok(name.into())
}

impl OpenFile {
    /// Opens the file at `path`, to be written to until [`Self::close`].
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) async fn open(path: &Path, connect: &SqliteConnectOptions) -> Result<Self, StoreError> {
        let mut held = connect.connect().await?;
        // With the first read the -wal is there.
        sqlx::query("SELECT COUNT(*) FROM sqlite_master").execute(&mut held).await?;
        let wal = beside(path, "-wal").and_then(|wal| Identity::of(&wal).map(|identity| (wal, identity)));
        let opened = Identity::of(path).map_err(sqlx::Error::Io)?;
        let wal = Some(wal.map_err(sqlx::Error::Io)?);
        Ok(Self { path: path.to_owned(), opened, wal, held: Mutex::new(Some(held)) })
    }

    /// The file at `path`, which is open to be read.
    ///
    /// # Errors
    /// When nothing is there.
    pub(super) fn to_read(path: &Path) -> Result<Self, StoreError> {
        let opened = Identity::of(path).map_err(sqlx::Error::Io)?;
        Ok(Self { path: path.to_owned(), opened, wal: None, held: Mutex::default() })
    }

    /// Brings what is in the -wal into the file, where it is still there. For when all other connections are closed.
    pub(super) async fn close(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held
            && let Err(error) = held.close().await
        {
            tracing::error!(%error, "the database's file could not be closed");
        }
    }

    /// # Errors
    /// When another file is at its path by now, or none, or the one beside it is not the one that has what was stored last.
    pub(super) fn is_there(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        let remedy = || {
            let process = std::process::id();
            format!(
                "nothing is stored meanwhile; put back the same file; or save it and its -wal from /proc/{process}/fd, end this \
                 process, remove the -wal and the -shm that are left there, which belong to this file alone, put in its place what \
                 shall be there, and start again"
            )
        };
        let why = match Identity::of(&self.path) {
            Ok(there) if there == self.opened => return self.has_its_wal(),
            Ok(_) => format!("the database's file {path} was replaced by another while it was open; {}", remedy()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                format!("the database's file {path} was deleted or moved away while it was open; {}", remedy())
            }
            Err(error) => {
                format!("the database's file {path} cannot be looked at: {error}; nothing is stored meanwhile")
            }
        };
        Err(StoreError::Unreachable(why))
    }

    fn has_its_wal(&self) -> Result<(), StoreError> {
        let Some((path, opened)) = &self.wal else { return Ok(()) };
        let why = match Identity::of(path) {
            Ok(there) if there == *opened => return Ok(()),
            Ok(_) => "another is in its place".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(StoreError::Unreachable(format!(
            "the file {} of the database is gone while it is in use ({why}), and has what was stored last; nothing is stored \
             meanwhile; end this process with SIGTERM, which brings that into the database's file, and start it again",
            path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::SqlitePool;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        domain::{Id, UnixMs, tenant::Tenant},
        store::{
            Gate, Publication, Published, Store,
            pool::Pool,
            tests::{a_store, remove},
        },
    };

    /// How long a connection that is there takes to be had.
    const A_MOMENT: Duration = Duration::from_secs(1);

    async fn publish(store: &Store, tenant: Id<Tenant>) -> Result<Published, StoreError> {
        let key = uuid::Uuid::now_v7().to_string();
        let gate = Gate { scope: "test", key, body_hash: Vec::new(), expires_at: UnixMs(1) };
        let publication = Publication::new(Some(gate), Vec::new(), UnixMs(0), Box::new(|_| String::new()));
        store.tenant(tenant).publish(publication).await
    }

    async fn tenant(store: &Store) -> Result<Id<Tenant>, StoreError> {
        store.default_tenant(UnixMs(0)).await.map(|tenant| tenant.id)
    }

    /// Neither writes nor reads are answered, and readiness says why.
    async fn all_is_refused(store: &Store, id: Id<Tenant>, why: &str) {
        for refused in [
            store.ready().await.unwrap_err(),
            publish(store, id).await.unwrap_err(),
            store.create_tenant(&"another".parse().unwrap(), "Another", UnixMs(0)).await.unwrap_err(),
            tenant(store).await.unwrap_err(),
        ] {
            assert!(refused.is_unavailable() && refused.to_string().contains(why), "{refused}");
        }
    }

    /// How many connections are given to somebody who takes all.
    async fn usable(pool: &SqlitePool) -> usize {
        let mut taken = Vec::new();
        while let Ok(Ok(connection)) = timeout(A_MOMENT, pool.acquire()).await {
            taken.push(connection);
        }
        taken.len()
    }

    #[tokio::test]
    async fn nothing_is_stored_in_a_file_that_is_gone_or_is_another_and_all_goes_on_where_it_is_back() {
        let (store, folder) = a_store().await;
        let (file, away) = (folder.join("db"), folder.join("away"));
        let id = tenant(&store).await.unwrap();
        assert_eq!(publish(&store, id).await.unwrap(), Published::Stored(Vec::new()));
        fs::rename(&file, &away).unwrap();
        all_is_refused(&store, id, "was deleted or moved away").await;
        assert!(!file.exists(), "another file was made in its place");
        fs::copy(&away, &file).unwrap();
        all_is_refused(&store, id, "was replaced by another").await;
        fs::rename(&away, &file).unwrap();
        store.ready().await.unwrap();
        assert_eq!(publish(&store, id).await.unwrap(), Published::Stored(Vec::new()));
        assert_eq!(tenant(&store).await.unwrap(), id);
        remove(store, folder).await;
    }

    #[tokio::test]
    async fn nothing_is_stored_in_a_folder_that_is_gone() {
        let (store, folder) = a_store().await;
        let id = tenant(&store).await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
        all_is_refused(&store, id, "was deleted or moved away").await;
        store.close().await;
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn what_was_stored_last_is_not_lost_with_the_file_that_it_is_in() {
        let (store, folder) = a_store().await;
        let id = tenant(&store).await.unwrap();
        let kept = store.create_tenant(&"kept".parse().unwrap(), "Kept", UnixMs(0)).await.unwrap();
        publish(&store, id).await.unwrap();
        fs::remove_file(folder.join("db-wal")).unwrap();
        all_is_refused(&store, id, "end this process").await;
        // SQLite makes another file for the next one.
        let Pool::Sqlite { readers, .. } = &store.pool else { panic!("it is a SQLite database") };
        assert!(usable(readers).await < readers.options().get_max_connections() as usize);
        assert!(folder.join("db-wal").exists());
        all_is_refused(&store, id, "another is in its place").await;
        store.close().await;
        let store = crate::store::tests::the_store(&folder).await;
        store.ready().await.unwrap();
        assert_eq!(store.tenant_by_slug(&kept.slug).await.unwrap(), Some(kept));
        remove(store, folder).await;
    }

    #[tokio::test]
    async fn a_connection_that_is_opened_beside_another_wal_is_not_used() {
        let (store, folder) = a_store().await;
        let Pool::Sqlite { readers, writers, .. } = &store.pool else { panic!("it is a SQLite database") };
        // SQLite itself would find nothing amiss.
        sqlx::query("PRAGMA wal_checkpoint(FULL)").execute(writers).await.unwrap();
        fs::remove_file(folder.join("db-wal")).unwrap();
        assert!(usable(readers).await < readers.options().get_max_connections() as usize);
        assert!(folder.join("db-wal").exists());
        remove(store, folder).await;
    }

    #[tokio::test]
    async fn the_wal_is_there_until_the_store_is_closed_though_no_connection_is_used() {
        let (store, folder) = a_store().await;
        let Pool::Sqlite { readers, writers, .. } = &store.pool else { panic!("it is a SQLite database") };
        let before = Identity::of(&folder.join("db-wal")).unwrap();
        readers.close().await;
        writers.close().await;
        assert_eq!(Identity::of(&folder.join("db-wal")).unwrap(), before);
        store.close().await;
        assert!(!folder.join("db-wal").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_goes_while_a_transaction_commits_is_told() {
        let (store, folder) = a_store().await;
        let mut tx = store.pool.begin().await.unwrap();
        tx.execute(crate::store::sql::sql("UPDATE settings_clock SET epoch = epoch WHERE id = 1")).await.unwrap();
        fs::remove_file(folder.join("db")).unwrap();
        let refused = tx.commit().await.unwrap_err();
        assert!(refused.is_unavailable() && refused.to_string().contains("was deleted"), "{refused}");
        remove(store, folder).await;
    }
}
