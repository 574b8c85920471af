//! What a process that ended while it wrote has left beside public files. Nobody else would ever take it away.

use std::{fs, io, path::Path, time::SystemTime};

/// How the name of a file begins and ends until it is put into its place.
const BEGINS: &str = ".";
const ENDS: &str = ".new";

/// A name for a file until it is put into its place, which nobody else uses.
pub(super) fn beside(name: &str) -> String {
    format!("{BEGINS}{name}.{}{ENDS}", uuid::Uuid::now_v7().simple())
}

/// Removes what was begun before a time and never came into its place, in the folders of all locales of all sites below
/// `root`. Answers with how many files that were.
///
/// # Errors
/// When a folder cannot be read, or a file not removed.
pub(super) fn remove(root: &Path, before: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for site in entries(root)? {
        for locale in entries(&site.path())? {
            for file in entries(&locale.path())? {
                let name = file.file_name();
                let is_beside = name.to_str().is_some_and(|name| name.starts_with(BEGINS) && name.ends_with(ENDS));
                if is_beside && was_written_before(&file, before)? {
                    gone_is_fine(fs::remove_file(file.path()))?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        read => read?.collect(),
    }
}

fn was_written_before(file: &fs::DirEntry, before: SystemTime) -> io::Result<bool> {
    match file.metadata().and_then(|file| file.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        modified => Ok(modified? < before),
    }
}

fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    #[test]
    fn what_was_begun_long_ago_goes_and_all_else_stays() {
        let root = std::env::temp_dir().join(format!("postrider-left-over-{}", uuid::Uuid::now_v7()));
        assert_eq!(remove(&root, SystemTime::now()).unwrap(), 0);
        let folder = root.join("site_1").join("de");
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.join("of-somebody-else"), "").unwrap();
        let now = SystemTime::now();
        let hour_ago = now - Duration::from_secs(3_600);
        for (name, at) in [
            (".sitemap.xml.1.new", hour_ago),
            (".sitemap.xml.2.new", now),
            ("sitemap.xml", hour_ago),
            (".hidden", hour_ago),
        ] {
            File::create(folder.join(name)).unwrap().set_modified(at).unwrap();
        }
        assert_eq!(remove(&root, now - Duration::from_secs(60)).unwrap(), 1);
        let mut left: Vec<_> = entries(&folder).unwrap().iter().map(fs::DirEntry::file_name).collect();
        left.sort();
        assert_eq!(left, [".hidden", ".sitemap.xml.2.new", "sitemap.xml"]);
        fs::remove_dir_all(root).unwrap();
    }
}
