//! A folder of public files: a file is written beside its place, synced, and put into it at once. What it replaced is kept, in a
//! folder that no web server is told of.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{BEFORE, Kept, Shelf, left_over};
use crate::site::pack::{Label, unpacked};

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(super) fn publish(&self, file: &Kept) -> io::Result<()> {
        let (folder, name) = (self.of(&file.shelf), &file.name);
        let packed = super::packed_name(name);
        if let Err(error) = self.set_aside(&file.shelf, &packed, Label::of(&file.gzip)) {
            tracing::warn!(shelf = %file.shelf, name, %error, "what is replaced cannot be kept for comparison");
        }
        if packed != *name {
            put(&folder, name, &unpacked(&file.gzip)?)?;
        }
        put(&folder, &packed, &file.gzip)
    }

    /// Keeps what is about to be replaced, unless it is replaced by itself: another name of the same bytes, so that nothing is
    /// written again.
    fn set_aside(&self, shelf: &Shelf, packed: &str, new: Option<Label>) -> io::Result<()> {
        remove(&self.held(shelf, packed))?;
        let there = self.of(shelf).join(packed);
        let Some(old) = label_at(&there)? else { return Ok(()) };
        if new.is_some_and(|new| new.hash == old.hash) {
            return Ok(());
        }
        let aside = self.aside(shelf);
        fs::create_dir_all(&aside)?;
        name_again(&there, &aside.join(packed))
    }

    /// Keeps a public file whose successor is held, or puts it back.
    pub(super) fn hold(&self, shelf: &Shelf, name: &str) -> io::Result<()> {
        let packed = super::packed_name(name);
        let (there, kept) = (self.of(shelf).join(&packed), self.held(shelf, &packed));
        let hash = |file: &Path| Ok::<_, io::Error>(label_at(file)?.map(|label| label.hash));
        match (hash(&there)?, hash(&kept)?) {
            (None, None) => Err(io::Error::new(io::ErrorKind::NotFound, "it is gone, and so is the copy of it")),
            (None, Some(_)) => put(&self.of(shelf), &packed, &fs::read(&kept)?),
            (public, kept) if public == kept => Ok(()),
            _ => {
                fs::create_dir_all(self.aside(shelf))?;
                name_again(&there, &kept)
            }
        }
    }

    pub(super) fn read(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>> {
        read(&self.of(shelf).join(name))
    }

    pub(super) fn label(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Label>> {
        label_at(&self.of(shelf).join(name))
    }

    /// What a file has replaced.
    pub(super) fn read_before(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>> {
        read(&self.aside(shelf).join(name))
    }

    pub(super) fn remove(&self, shelf: &Shelf, name: &str) -> io::Result<()> {
        remove(&self.of(shelf).join(name))?;
        remove(&self.held(shelf, name))?;
        remove(&self.aside(shelf).join(name))
    }

    pub(super) fn remove_left_over(&self, before: SystemTime) -> io::Result<usize> {
        left_over::remove(&self.0, before)
    }

    /// A folder that is not there has no names.
    pub(super) fn sync(&self, shelf: &Shelf) -> io::Result<()> {
        match File::open(self.of(shelf)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.sync_all(),
        }
    }

    /// Whether it is known that there is no such shelf.
    pub(super) fn lacks(&self, shelf: &Shelf) -> bool {
        fs::metadata(self.of(shelf)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn make(&self, shelf: &Shelf) -> io::Result<()> {
        fs::create_dir_all(self.of(shelf))
    }

    fn of(&self, shelf: &Shelf) -> PathBuf {
        self.0.join(&shelf.0)
    }

    /// Where what was replaced is.
    fn aside(&self, shelf: &Shelf) -> PathBuf {
        self.0.join(BEFORE).join(&shelf.0)
    }

    /// Where a public file is kept whose successor is held.
    fn held(&self, shelf: &Shelf, packed: &str) -> PathBuf {
        self.aside(shelf).join(format!("{packed}.held"))
    }
}

/// Has the same bytes lie at another place too, in place of what is there. Not every file system gives a file two names.
fn name_again(file: &Path, other: &Path) -> io::Result<()> {
    remove(other)?;
    fs::hard_link(file, other).or_else(|_| fs::copy(file, other).map(|_| ()))
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What a file that is there says of itself; `None` where there is none.
fn label_at(file: &Path) -> io::Result<Option<Label>> {
    let file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut head = Vec::with_capacity(Label::BYTES);
    file.take(Label::BYTES as u64).read_to_end(&mut head)?;
    Ok(Label::of(&head))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(left_over::beside(name));
    let folder_is_gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, "its folder is gone"),
        _ => error,
    };
    let written = File::create(&beside).map_err(folder_is_gone).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&beside, folder.join(name))
    });
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::UnixMs, site::pack::Packer};

    #[test]
    fn a_file_is_replaced_at_once_and_lies_there_as_web_servers_need_it() {
        let root = std::env::temp_dir().join(format!("postrider-storage-{}", uuid::Uuid::now_v7()));
        let (storage, shelf) = (Folder::new(&root), Shelf("site/de".to_owned()));
        let packed = |text: &[u8]| {
            let mut packer = Packer::default();
            packer.write_all(text).unwrap();
            packer.end().unwrap().dated(UnixMs(0))
        };
        storage.sync(&shelf).unwrap();
        let folder = root.join("site/de");
        let homeless = Kept { shelf: shelf.clone(), name: "feed.xml".to_owned(), gzip: packed(b"one") };
        assert_eq!(storage.publish(&homeless).unwrap_err().to_string(), "its folder is gone");
        assert!(storage.lacks(&shelf), "what was in it is not known to be gone");
        storage.make(&shelf).unwrap();
        for text in [b"one".as_slice(), b"two"] {
            for name in ["sitemap.xml", "sitemap-1.xml.gz"] {
                let file = Kept { shelf: shelf.clone(), name: name.to_owned(), gzip: packed(text) };
                storage.publish(&file).unwrap();
            }
            assert_eq!(fs::read(folder.join("sitemap.xml")).unwrap(), text);
            for name in ["sitemap.xml.gz", "sitemap-1.xml.gz"] {
                assert_eq!(unpacked(&storage.read(&shelf, name).unwrap().unwrap()).unwrap(), text);
            }
        }
        let file = |name: &str, text: &[u8]| Kept { shelf: shelf.clone(), name: name.to_owned(), gzip: packed(text) };
        let before = |name: &str| unpacked(&storage.read_before(&shelf, name).unwrap().unwrap()).unwrap();
        for name in ["sitemap.xml", "sitemap-1.xml.gz"] {
            // Again what is there already, as where a process ended before it was noted: what it had replaced stays.
            storage.publish(&file(name, b"two")).unwrap();
        }
        assert_eq!([before("sitemap.xml.gz"), before("sitemap-1.xml.gz")], [b"one", b"one"]);
        storage.publish(&file("sitemap-1.xml.gz", b"three")).unwrap();
        assert_eq!(before("sitemap-1.xml.gz"), b"two");
        storage.sync(&shelf).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        storage.remove(&shelf, "sitemap.xml.gz").unwrap();
        storage.remove(&shelf, "sitemap.xml.gz").unwrap();
        assert_eq!(storage.read(&shelf, "sitemap.xml.gz").unwrap(), None);
        assert_eq!(storage.read_before(&shelf, "sitemap.xml.gz").unwrap(), None);
        fs::remove_dir_all(root).unwrap();
    }
}
