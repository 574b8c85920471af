//! Where public files lie: a folder of each locale of each site, which any web server can serve as it is. A file is whole or
//! not there: it is written beside its place, synced, and put into it at once.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::pack::unpacked;
use crate::domain::{
    Id,
    site::{language::LanguageTag, settings::Site},
};

/// The folder of all sites. Clones share it.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Path>);

impl Storage {
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.into())
    }

    /// The folder of a locale's files.
    #[must_use]
    pub fn folder(&self, site: Id<Site>, locale: &LanguageTag) -> PathBuf {
        self.0.join(site.to_string()).join(locale.as_str())
    }

    /// Makes a file public, in place of what was there. One whose name does not end in `.gz` lies there as it is too, for web
    /// servers that do not unpack.
    ///
    /// # Errors
    /// When it cannot be written or synced; then what was there is still there.
    pub fn publish(&self, folder: &Path, name: &str, gzip: &[u8]) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        if name.ends_with(".gz") {
            return put(folder, name, gzip);
        }
        put(folder, name, &unpacked(gzip)?)?;
        put(folder, &format!("{name}.gz"), gzip)
    }

    /// A public file as it is kept; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, folder: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        let kept = if name.ends_with(".gz") { name.to_owned() } else { format!("{name}.gz") };
        match fs::read(folder.join(kept)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Removes a file. One that is gone is none to remove.
    ///
    /// # Errors
    /// When it is still there.
    pub fn remove(&self, folder: &Path, name: &str) -> io::Result<()> {
        for name in [name.to_owned(), format!("{name}.gz")] {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the names of a folder outlive a crash of the machine.
    ///
    /// # Errors
    /// When it cannot be synced.
    pub fn sync(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
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
        let storage = Storage::new(&root);
        let folder = storage.folder(Id::new(), &"de".parse().unwrap());
        let packed = |text: &[u8]| {
            let mut packer = Packer::default();
            packer.write_all(text).unwrap();
            packer.end().unwrap().dated(UnixMs(0))
        };
        for text in [b"one".as_slice(), b"two"] {
            storage.publish(&folder, "sitemap.xml", &packed(text)).unwrap();
            storage.publish(&folder, "sitemap-1.xml.gz", &packed(text)).unwrap();
            assert_eq!(fs::read(folder.join("sitemap.xml")).unwrap(), text);
            for name in ["sitemap.xml", "sitemap-1.xml.gz"] {
                assert_eq!(unpacked(&storage.read(&folder, name).unwrap().unwrap()).unwrap(), text);
            }
        }
        storage.sync(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        storage.remove(&folder, "sitemap.xml").unwrap();
        storage.remove(&folder, "sitemap.xml").unwrap();
        assert_eq!(storage.read(&folder, "sitemap.xml").unwrap(), None);
        fs::remove_dir_all(root).unwrap();
    }
}
