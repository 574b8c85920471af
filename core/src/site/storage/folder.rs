//! A folder of public files: a file is written beside its place, synced, and put into it at once.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Kept, Shelf};
use crate::site::pack::unpacked;

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(super) fn publish(&self, file: &Kept) -> io::Result<()> {
        let (folder, name) = (self.of(&file.shelf), &file.name);
        fs::create_dir_all(&folder)?;
        if name.ends_with(".gz") {
            return put(&folder, name, &file.gzip);
        }
        put(&folder, name, &unpacked(&file.gzip)?)?;
        put(&folder, &format!("{name}.gz"), &file.gzip)
    }

    pub(super) fn read(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.of(shelf).join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    pub(super) fn remove(&self, shelf: &Shelf, name: &str) -> io::Result<()> {
        match fs::remove_file(self.of(shelf).join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A folder that is not there has no names.
    pub(super) fn sync(&self, shelf: &Shelf) -> io::Result<()> {
        match File::open(self.of(shelf)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.sync_all(),
        }
    }

    fn of(&self, shelf: &Shelf) -> PathBuf {
        self.0.join(&shelf.0)
    }
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!(".{name}.{}.new", uuid::Uuid::now_v7().simple()));
    let written = File::create(&beside).and_then(|mut file| {
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
        storage.sync(&shelf).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        storage.remove(&shelf, "sitemap.xml.gz").unwrap();
        storage.remove(&shelf, "sitemap.xml.gz").unwrap();
        assert_eq!(storage.read(&shelf, "sitemap.xml.gz").unwrap(), None);
        fs::remove_dir_all(root).unwrap();
    }
}
