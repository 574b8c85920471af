//! Whether the -wal beside a SQLite file is that file's. SQLite replays whichever it finds, and that of a former file spoils a
//! backup that was put in its place. Nothing in the two tells whose it is, so whoever opens them notes which files they were, beside
//! them.
//!
//! The note says which file it is itself as well: with a folder that was copied or moved to another disk, or put there by a backup,
//! it is another, and tells nothing.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    StoreError,
    open_file::{Identity, beside},
};

/// What the note's name has after that of the database's file.
const SUFFIX: &str = "-opened";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// This note.
    note: Known,
    database: Known,
    wal: Known,
}

/// A file as it is known from one start to the next.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    number: u64,
    /// When it was made, in nanoseconds since 1970, or on which device it is, where the file system does not know: that may have another
    /// number after a start of the machine.
    born_or_device: u128,
}

impl From<Identity> for Known {
    fn from(Identity { device, number, born }: Identity) -> Self {
        let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Self { number, born_or_device: born.map_or(device.into(), |born| born.as_nanos()) }
    }
}

impl Known {
    fn at(path: &Path) -> io::Result<Self> {
        Identity::of(path).map(Self::from)
    }
}

/// # Errors
/// When the file at `path` was put there since somebody opened the one that was there before, whose -wal is there still.
pub(super) fn is_none_beside(path: &Path) -> Result<(), StoreError> {
    let Ok(true) = has_former(path) else { return Ok(()) };
    let shown = path.display();
    Err(StoreError::Configuration(format!(
        "the database's file {shown} (setting database_url) was put in the place of another one, whose {shown}-wal is still there and \
         would spoil it; if it is a backup, remove {shown}-wal and {shown}-shm and start again; if it is a copy of the file that was \
         there, which lacks what is in its -wal, remove {shown}{SUFFIX} and start again"
    )))
}

/// Whether another file was opened at `path`, of which the -wal is left; fails where nothing was noted, or it cannot be read.
fn has_former(path: &Path) -> io::Result<bool> {
    let file = beside(path, SUFFIX)?;
    let Note { note, database, wal } = serde_json::from_slice(&fs::read(&file)?)?;
    Ok(Known::at(path)? != database && Known::at(&file)? == note && Known::at(&beside(path, "-wal")?)? == wal)
}

/// Notes which files are open: that at `path`, and its -wal.
///
/// # Errors
/// When nothing can be written beside it.
pub(super) fn note(path: &Path) -> io::Result<()> {
    let mut file = File::create(beside(path, SUFFIX)?)?;
    let note = Identity::told_by(&file.metadata()?).into();
    let note = Note { note, database: Known::at(path)?, wal: Known::at(&beside(path, "-wal")?)? };
    file.write_all(&serde_json::to_vec(&note)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        domain::UnixMs,
        store::{
            Store,
            tests::{a_store, remove, the_store, try_the_store},
        },
    };

    async fn make(store: &Store, slug: &str) {
        store.create_tenant(&slug.parse().unwrap(), slug, UnixMs(0)).await.unwrap();
    }

    async fn has(folder: &Path, slug: &str) -> bool {
        let store = the_store(folder).await;
        let found = store.tenant_by_slug(&slug.parse().unwrap()).await.unwrap().is_some();
        store.close().await;
        found
    }

    /// What a killed process leaves, whose last tenant is in the -wal alone: a file that is not where it was is left as it is.
    async fn left_behind(slug: &str) -> PathBuf {
        let (store, folder) = a_store().await;
        make(&store, slug).await;
        fs::rename(folder.join("db"), folder.join("away")).unwrap();
        store.close().await;
        fs::rename(folder.join("away"), folder.join("db")).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_backup_is_not_opened_with_the_wal_of_the_file_in_whose_place_it_is() {
        let (store, backup) = a_store().await;
        make(&store, "saved").await;
        store.close().await;
        let folder = left_behind("lost").await;
        fs::remove_file(folder.join("db")).unwrap();
        fs::copy(backup.join("db"), folder.join("db")).unwrap();
        let url = format!("sqlite://{}", folder.join("db").display());
        for refused in [try_the_store(&folder).await.unwrap_err(), Store::inspect(&url).await.unwrap_err()] {
            let words = refused.to_string();
            assert!(
                matches!(refused, StoreError::Configuration(_)) && words.contains("if it is a backup, remove"),
                "{words}"
            );
        }
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(folder.join(format!("db{suffix}"))).unwrap();
        }
        Store::inspect(&url).await.unwrap();
        assert!(has(&folder, "saved").await);
        // From now on it is the file that was opened.
        assert!(has(&folder, "saved").await && !has(&folder, "lost").await);
        fs::remove_dir_all(backup).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_wal_that_was_left_behind_goes_with_its_file_there_and_in_a_folder_that_was_copied() {
        let folder = left_behind("kept").await;
        let copy = folder.with_extension("copy");
        fs::create_dir(&copy).unwrap();
        for name in ["db", "db-wal", "db-opened"] {
            fs::copy(folder.join(name), copy.join(name)).unwrap();
        }
        assert!(has(&copy, "kept").await && has(&folder, "kept").await);
        fs::remove_dir_all(copy).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_was_copied_back_beside_its_wal_goes_on_without_the_note() {
        let folder = left_behind("kept").await;
        fs::rename(folder.join("db"), folder.join("away")).unwrap();
        fs::copy(folder.join("away"), folder.join("db")).unwrap();
        let refused = try_the_store(&folder).await.unwrap_err().to_string();
        let note = folder.join("db-opened");
        assert!(refused.contains(&format!("remove {} and start again", note.display())), "{refused}");
        fs::remove_file(note).unwrap();
        assert!(has(&folder, "kept").await);
        remove(the_store(&folder).await, folder).await;
    }
}
