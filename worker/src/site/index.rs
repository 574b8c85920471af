//! The sitemap index of each locale of which sitemaps changed.

use std::{
    io::{self, Write},
    sync::Arc,
};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::Target,
            settings::{Locale, Site},
        },
    },
    site::{IndexEntry, Kept, Made, Packer, Shelf, write_index},
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
        let marked = |locale: &&Locale| stale.iter().any(|stale| stale.mark.0 == locale.tag);
        let locales: Vec<&Locale> = site.settings.locales.iter().filter(marked).collect();
        let (mut made, mut public) = (Vec::new(), Vec::new());
        for locale in &locales {
            let files = self.store.locale_files(site.id, &locale.tag).await?;
            let file = format!("{}/{NAME}", locale.base);
            let index = index(locale, &files);
            made.extend(index.map_err(|error| PublishError::Storage { file, error: error.into() })?);
            public.extend(files.into_iter().filter(|file| file.target == Target::Index));
        }
        let shelves: Vec<Shelf> = locales.iter().map(|locale| self.storage.shelf(site.id, &locale.tag)).collect();
        let keys = self.missing_keys(site, &shelves).await?;
        let part = Part { site: Arc::clone(site), stale, public, held: Vec::new() };
        let storage = self.storage.clone();
        let publish = move || {
            // The names of the children outlive a crash of the machine before the index names them.
            for shelf in &shelves {
                let synced = storage.sync(shelf);
                synced.map_err(|error| PublishError::Storage { file: shelf.to_string(), error })?;
            }
            let names: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
            for (file, published) in names.into_iter().zip(storage.publish(keys)) {
                published.map_err(|error| PublishError::Storage { file, error })?;
            }
            Ok::<_, PublishError>(part.publish_all(&storage, made))
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

    /// The files in which search engines find the key that they are called with, where they are not there yet.
    async fn missing_keys(&self, site: &Site, shelves: &[Shelf]) -> Result<Vec<Kept>, PublishError> {
        let Some(key) = site.settings.indexnow.as_ref().map(|indexnow| &indexnow.key) else { return Ok(Vec::new()) };
        let mut missing = Vec::new();
        for shelf in shelves {
            let name = key.file_name();
            let unkept = |error| PublishError::Storage { file: key.file_name(), error };
            if self.storage.read(shelf, &name).await.map_err(unkept)?.is_none() {
                let gzip = packed(key.as_str()).map_err(|error| unkept(error.into()))?;
                missing.push(Kept { shelf: shelf.clone(), name, gzip });
            }
        }
        Ok(missing)
    }
}

fn packed(text: &str) -> io::Result<Vec<u8>> {
    let mut file = Packer::default();
    file.write_all(text.as_bytes())?;
    Ok(file.end()?.dated(UnixMs::now()))
}

/// The index of a locale with these files; `None` where it would name nothing. A news sitemap that is empty is there for whoever knows of it, and is
/// not named: the schema of sitemaps wants an address, and search engines warn of a file without.
fn index(locale: &Locale, files: &[PublicFile]) -> io::Result<Option<Made>> {
    let of_index = |file: &&PublicFile| {
        let is_sitemap = matches!(file.target, Target::Shard(_) | Target::News);
        !file.gone && is_sitemap && file.urls > 0
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
