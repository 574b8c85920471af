//! Where public files lie: of each locale of each site in a folder, which any web server can serve as it is, or in a bucket of
//! an S3-compatible store, which processes on several machines share. A file is whole or not there.

mod bucket;
mod folder;
mod left_over;

use std::{fmt, io, path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use object_store::client::HttpConnector;

pub use self::bucket::{BadBucket, BucketError, Does};
use self::{bucket::Bucket, folder::Folder};
use super::pack::Label;
use crate::domain::{
    Id,
    site::{language::LanguageTag, place::SitesPlace, settings::Site},
};

/// The folder of what was replaced, beside those of the sites.
const BEFORE: &str = ".before";

/// The place of all sites' files. Clones share it.
#[derive(Clone, Debug)]
pub struct Storage(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Folder(Arc<Folder>),
    Bucket(Arc<Bucket>),
}

/// Where the files of a locale are, below the place of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf(String);

/// A file that is to be made public.
#[derive(Debug)]
pub struct Kept {
    pub shelf: Shelf,
    pub name: String,
    pub gzip: Vec<u8>,
}

/// Why a file could not be kept, read or removed. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("{0}; make room or mend the folder's rights")]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl Storage {
    /// A folder and what is below it.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(Kind::Folder(Arc::new(Folder::new(folder))))
    }

    /// The place that a setting names. Keys, endpoint and region of a bucket are those of the usual `AWS_` variables, and it
    /// is reached through `connector`.
    ///
    /// # Errors
    /// When these cannot be meant.
    pub fn at(place: &SitesPlace, connector: impl HttpConnector) -> Result<Self, BadBucket> {
        match place {
            SitesPlace::Folder(folder) => Ok(Self::new(folder)),
            SitesPlace::Bucket(place) => Ok(Self(Kind::Bucket(Arc::new(Bucket::from_env(place, connector)?)))),
        }
    }

    /// Whether the store does what a process will ask of it. A folder is not asked: it is made when it is needed.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn check(&self, does: Does) -> Result<(), StorageError> {
        match &self.0 {
            Kind::Folder(_) => Ok(()),
            Kind::Bucket(bucket) => Ok(bucket.check(does).await?),
        }
    }

    /// The place of a locale's files.
    #[must_use]
    pub fn shelf(&self, site: Id<Site>, locale: &LanguageTag) -> Shelf {
        Shelf(format!("{site}/{locale}"))
    }

    /// How many files are best made public with one call.
    #[must_use]
    pub const fn at_once(&self) -> usize {
        match &self.0 {
            Kind::Folder(_) => 1,
            Kind::Bucket(_) => bucket::WRITES_AT_ONCE,
        }
    }

    /// Makes files public, each in place of what was there, and answers for each in turn: of one that could not be kept, what
    /// was there is still there. One whose name does not end in `.gz` lies there as it is too, for those who do not unpack. Their
    /// shelves are there already.
    ///
    /// It blocks, so it is called where that is allowed, within a runtime.
    pub fn publish(&self, files: Vec<Kept>) -> Vec<Result<(), StorageError>> {
        match &self.0 {
            Kind::Folder(folder) => files.iter().map(|file| Ok(folder.publish(file)?)).collect(),
            Kind::Bucket(bucket) => bucket.publish(files),
        }
    }

    /// A public file as it is kept; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, shelf: &Shelf, name: &str) -> Result<Option<Bytes>, StorageError> {
        let kept = packed_name(name);
        match &self.0 {
            Kind::Folder(folder) => Ok(read_beside(folder, shelf, kept, Folder::read).await?.map(Bytes::from)),
            Kind::Bucket(bucket) => Ok(bucket.read(shelf, &kept).await?),
        }
    }

    /// What a public file says of itself, for which not all of it is read; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn label(&self, shelf: &Shelf, name: &str) -> Result<Option<Label>, StorageError> {
        let kept = packed_name(name);
        match &self.0 {
            Kind::Folder(folder) => read_beside(folder, shelf, kept, Folder::label).await,
            Kind::Bucket(bucket) => Ok(bucket.label(shelf, &kept).await?),
        }
    }

    /// The version of a file that the public one has replaced; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read_before(&self, shelf: &Shelf, name: &str) -> Result<Option<Bytes>, StorageError> {
        let kept = packed_name(name);
        match &self.0 {
            Kind::Folder(folder) => Ok(read_beside(folder, shelf, kept, Folder::read_before).await?.map(Bytes::from)),
            Kind::Bucket(bucket) => Ok(bucket.read_before(shelf, &kept).await?),
        }
    }

    /// Removes a file, and what it had replaced. One that is gone is none to remove.
    ///
    /// # Errors
    /// When it is still there.
    pub async fn remove(&self, shelf: &Shelf, name: &str) -> Result<(), StorageError> {
        for name in [name.to_owned(), format!("{name}.gz")] {
            match &self.0 {
                Kind::Folder(folder) => folder.remove(shelf, &name)?,
                Kind::Bucket(bucket) => bucket.remove(shelf, &name).await?,
            }
        }
        Ok(())
    }

    /// Whether a shelf is not there. Of a bucket all are: it has no folders that could be deleted.
    ///
    /// It blocks, so it is called where that is allowed.
    #[must_use]
    pub fn lacks(&self, shelf: &Shelf) -> bool {
        match &self.0 {
            Kind::Folder(folder) => folder.lacks(shelf),
            Kind::Bucket(_) => false,
        }
    }

    /// Makes a shelf that is not there. Nothing else does: whoever makes one has said that nothing is in it.
    ///
    /// It blocks, so it is called where that is allowed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self, shelf: &Shelf) -> Result<(), StorageError> {
        match &self.0 {
            Kind::Folder(folder) => Ok(folder.make(shelf)?),
            Kind::Bucket(_) => Ok(()),
        }
    }

    /// Keeps another copy of a public file whose successor is held, until it is replaced or removed, and puts it back where it is
    /// gone. Of a bucket nothing is kept: it has no folders that could be deleted.
    ///
    /// It blocks, so it is called where that is allowed.
    ///
    /// # Errors
    /// When it can be neither kept nor put back.
    pub fn hold(&self, shelf: &Shelf, name: &str) -> Result<(), StorageError> {
        match &self.0 {
            Kind::Folder(folder) => Ok(folder.hold(shelf, name)?),
            Kind::Bucket(_) => Ok(()),
        }
    }

    /// Removes what processes that ended while they wrote had begun before a time. Answers with how many files that were: none of
    /// a bucket, in which nothing is begun that can be seen.
    ///
    /// # Errors
    /// When a folder cannot be read, or a file not removed.
    pub fn remove_left_over(&self, before: SystemTime) -> io::Result<usize> {
        match &self.0 {
            Kind::Folder(folder) => folder.remove_left_over(before),
            Kind::Bucket(_) => Ok(0),
        }
    }

    /// Has the names of a shelf outlive a crash of the machine. Of a bucket they do so from the first.
    ///
    /// # Errors
    /// When it cannot be synced.
    pub fn sync(&self, shelf: &Shelf) -> Result<(), StorageError> {
        match &self.0 {
            Kind::Folder(folder) => Ok(folder.sync(shelf)?),
            Kind::Bucket(_) => Ok(()),
        }
    }
}

/// What reads something of a file.
type ReadOf<T> = fn(&Folder, &Shelf, &str) -> io::Result<Option<T>>;

/// Reads of a folder beside what answers others.
async fn read_beside<T: Send + 'static>(
    folder: &Arc<Folder>,
    shelf: &Shelf,
    kept: String,
    read: ReadOf<T>,
) -> Result<Option<T>, StorageError> {
    let (folder, shelf) = (Arc::clone(folder), shelf.clone());
    let read = tokio::task::spawn_blocking(move || read(&folder, &shelf, &kept)).await;
    Ok(read.map_err(io::Error::other)??)
}

impl StorageError {
    /// Whether it is to be expected of other files as well.
    #[must_use]
    pub const fn is_of_all(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of what is read, of the two that a file may have.
fn packed_name(name: &str) -> String {
    if name.ends_with(".gz") { name.to_owned() } else { format!("{name}.gz") }
}
