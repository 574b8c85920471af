//! The sitemap index of each locale of which sitemaps changed.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::Target,
            indexnow::IndexNowKey,
            settings::{Locale, Site},
        },
    },
    site::{IndexEntry, Made, Packer, Storage, write_index},
    store::{PublicFile, SiteRun},
};

use super::{Ended, PublishError, Published, Publisher, part::Part};

/// The name of a locale's index below its base.
const NAME: &str = "sitemap.xml";

impl Publisher {
    /// Publishes stale indexes. Answers with the first failure beside what was published all the same.
    pub(super) async fn publish_indexes(
        &self,
        site: &Arc<Site>,
        run: &SiteRun,
    ) -> Result<(Published, Option<PublishError>), Ended> {
        let stale = self.store.site_stale_of(site.id, &Target::Index).await?;
        if stale.is_empty() {
            return Ok((Published::default(), None));
        }
        let files = self.store.site_files(site.id, None).await?;
        let marked = |locale: &&Locale| stale.iter().any(|stale| stale.mark.0 == locale.tag);
        let locales: Vec<&Locale> = site.settings.locales.iter().filter(marked).collect();
        let mut made = Vec::new();
        for locale in &locales {
            let file = format!("{}/{NAME}", locale.base);
            made.extend(index(locale, &files).map_err(|error| PublishError::Storage { file, error })?);
        }
        let folders: Vec<_> = locales.iter().map(|locale| self.storage.folder(site.id, &locale.tag)).collect();
        let public = files.into_iter().filter(|file| file.target == Target::Index).collect();
        let part = Part { site: Arc::clone(site), stale, public, confirmed: Arc::default() };
        let storage = self.storage.clone();
        let publish = move || {
            // The names of the children outlive a crash of the machine before the index names them.
            for folder in folders.iter().filter(|folder| folder.exists()) {
                let synced = storage.sync(folder);
                synced.map_err(|error| PublishError::Storage { file: folder.display().to_string(), error })?;
            }
            if let Some(indexnow) = &part.site.settings.indexnow {
                for folder in &folders {
                    let published = publish_key(&storage, folder, &indexnow.key);
                    let file = indexnow.key.file_name();
                    published.map_err(|error| PublishError::Storage { file, error })?;
                }
            }
            Ok::<_, PublishError>(part.publish(&storage, made))
        };
        let done = tokio::task::spawn_blocking(publish).await??;
        self.store.commit_site_part(run, &done.part).await??;
        // Nothing names an index, so one that is gone needs not stay for anybody.
        let gone: Vec<PublicFile> = done.part.changed.iter().filter(|file| file.gone).cloned().collect();
        self.remove(site.id, &gone).await?;
        let mut published = Published::default();
        published.add(&done.part.changed);
        Ok((published, done.failed))
    }
}

/// The file in which search engines find the key that they are called with.
fn publish_key(storage: &Storage, folder: &Path, key: &IndexNowKey) -> io::Result<()> {
    let name = key.file_name();
    if storage.read(folder, &name)?.is_some() {
        return Ok(());
    }
    let mut file = Packer::default();
    file.write_all(key.as_str().as_bytes())?;
    storage.publish(folder, &name, &file.end()?.dated(UnixMs::now()))
}

/// The index of a locale; `None` where it would name nothing.
fn index(locale: &Locale, files: &[PublicFile]) -> io::Result<Option<Made>> {
    let of_index = |file: &&PublicFile| {
        let is_sitemap = matches!(file.target, Target::Shard(_) | Target::News);
        file.locale == locale.tag && !file.gone && is_sitemap
    };
    let mut sitemaps: Vec<&PublicFile> = files.iter().filter(of_index).collect();
    sitemaps.sort_by(|one, other| other.target.cmp(&one.target).then_with(|| one.name.cmp(&other.name)));
    let entry =
        |file: &&PublicFile| IndexEntry { loc: format!("{}/{}", locale.base, file.name), changed_at: file.changed_at };
    let entries: Vec<IndexEntry> = sitemaps.iter().map(entry).collect();
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(Made {
        locale: locale.tag.clone(),
        target: Target::Index,
        name: NAME.to_owned(),
        urls: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        packed: write_index(&entries)?,
    }))
}
