//! The last two versions of a public file, compared. To read, unpack and compare them takes memory and a core, so it is done
//! beside what answers others, and two at a time.

use std::{io, sync::Arc};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    diff::{FileDiff, diff},
    pack::Label,
    storage::{Storage, StorageError},
};
use crate::domain::{
    Id, UnixMs,
    site::{language::LanguageTag, settings::Site},
};

/// Comparisons at once.
const AT_ONCE: usize = 2;
/// A file that is replaced while both of its versions are read is read again so often.
const TRIES: usize = 3;

/// Compares what is public with what it replaced. Clones share it.
#[derive(Clone, Debug)]
pub struct Versions {
    storage: Storage,
    turns: Arc<Semaphore>,
}

/// Two versions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// When each was made.
    pub before_at: UnixMs,
    pub after_at: UnixMs,
    pub diff: FileDiff,
}

impl Versions {
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self { storage, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What changed with a file's last publication; `None` where it replaced nothing that is known.
    ///
    /// # Errors
    /// When one of both cannot be read.
    pub async fn compare(
        &self,
        site: Id<Site>,
        locale: &LanguageTag,
        name: &str,
    ) -> Result<Option<Compared>, StorageError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(io::Error::other)?;
        let shelf = self.storage.shelf(site, locale);
        for _ in 0..TRIES {
            let after = self.storage.read(&shelf, name).await?;
            let before = self.storage.read_before(&shelf, name).await?;
            let Some((before, after)) = before.zip(after) else { return Ok(None) };
            let Some((old, new)) = Label::of(&before).zip(Label::of(&after)) else { break };
            if old.hash != new.hash {
                let compare = move || {
                    let _turn = turn;
                    diff(&before, &after)
                };
                let diff = spawn_blocking(compare).await.map_err(io::Error::other)??;
                return Ok(Some(Compared { before_at: old.changed_at, after_at: new.changed_at, diff }));
            }
        }
        Ok(None)
    }
}
