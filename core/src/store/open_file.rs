//! Whether the SQLite file that is open is still the one at its path. A file that somebody deletes or replaces takes every
//! write of those who have it open and forgets all of them once they end, so each use of it looks first, and each commit
//! once more before anybody is answered. A look is one or two calls of the system, a microsecond each.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::StoreError;

/// A SQLite file that this process has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    /// What was stored last, beside the file itself (SQLite's "Write-Ahead Logging", section 2.2).
    wal: PathBuf,
    opened: Identity,
}

/// A file's number is given to another one after its end, whose birth is another too, where the file system knows it.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
    born: Option<SystemTime>,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        Ok(Self { device: about.dev(), number: about.ino(), born: about.created().ok() })
    }
}

impl OpenFile {
    /// The file at `path`, which was opened just now.
    ///
    /// # Errors
    /// When nothing is there.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        let opened = Identity::of(path).map_err(sqlx::Error::Io)?;
        // SQLite follows links first.
        let mut wal = fs::canonicalize(path).map_err(sqlx::Error::Io)?.into_os_string();
        wal.push("-wal");
        Ok(Self { path: path.to_owned(), wal: wal.into(), opened })
    }

    /// # Errors
    /// When another file is at its path by now, or none.
    pub(super) fn is_there(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        let remedy = || {
            let process = std::process::id();
            format!(
                "nothing is stored meanwhile; put back the same file, or save it and its -wal from /proc/{process}/fd and \
                 restart with what shall be there"
            )
        };
        let why = match Identity::of(&self.path) {
            Ok(there) if there == self.opened => return Ok(()),
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

    /// What a transaction writes, from its begin to after its commit.
    ///
    /// # Errors
    /// When the file is gone, or the one beside it that has what was stored last.
    pub(super) fn is_whole(&self) -> Result<(), StoreError> {
        self.is_there()?;
        fs::metadata(&self.wal).map(drop).map_err(|error| {
            StoreError::Unreachable(format!(
                "the file {} of the database is gone while it is in use ({error}), and has what was stored last; nothing is \
                 stored meanwhile; end this process with SIGTERM, which brings that into the database's file, and start it \
                 again",
                self.wal.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Id, UnixMs, tenant::Tenant},
        store::{
            Gate, Publication, Published, Store,
            tests::{a_store, remove},
        },
    };

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
        fs::remove_file(folder.join("db-wal")).unwrap();
        for refused in [store.ready().await.unwrap_err(), publish(&store, id).await.unwrap_err()] {
            assert!(refused.is_unavailable() && refused.to_string().contains("end this process"), "{refused}");
        }
        store.close().await;
        let store = crate::store::tests::the_store(&folder).await;
        store.ready().await.unwrap();
        assert_eq!(tenant(&store).await.unwrap(), id);
        remove(store, folder).await;
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
