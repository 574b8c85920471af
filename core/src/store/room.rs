//! Whether a SQLite file has room to grow. A full disk still takes writes into pages that are there, so a row that is
//! written as it is does not prove that the next event can be stored.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{StoreError, connect::Target};

/// As much as the largest request brings.
const ROOM_BYTES: usize = 1024 * 1024;

/// The file that proves it, beside the database's own. `None` where a server has the database and looks after its disk.
pub(super) fn beside(url: &str) -> Result<Option<PathBuf>, StoreError> {
    let Target::Sqlite(database) = Target::of(url)? else { return Ok(None) };
    let mut name = database.into_os_string();
    name.push("-room");
    Ok(Some(name.into()))
}

/// Writes the file and removes it again.
///
/// # Errors
/// When the disk has no room, or takes no writes.
pub(super) async fn prove(file: &Path) -> Result<(), StoreError> {
    let file = file.to_owned();
    let written = tokio::task::spawn_blocking(move || write(&file)).await;
    written.map_err(io::Error::other).flatten().map_err(|error| {
        StoreError::Unreachable(format!(
            "the disk of the database's file has no room for more: {error}; make room there"
        ))
    })
}

fn write(file: &Path) -> io::Result<()> {
    let written = File::create(file).and_then(|mut made| made.write_all(&vec![0; ROOM_BYTES]));
    let removed = fs::remove_file(file);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use crate::store::tests::{a_store, remove};

    #[tokio::test]
    async fn without_room_to_grow_it_is_not_ready_and_with_room_it_is_again() {
        let (store, folder) = a_store().await;
        // A disk that is full, until what stands for it is removed.
        std::os::unix::fs::symlink("/dev/full", folder.join("db-room")).unwrap();
        let full = store.ready().await.unwrap_err();
        assert!(full.is_unavailable() && full.to_string().contains("No space left"), "{full}");
        store.ready().await.unwrap();
        assert!(!folder.join("db-room").exists());
        remove(store, folder).await;
    }
}
