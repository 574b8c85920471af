//! The sitemap index of each locale of which sitemaps changed.

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::Target,
            settings::{Locale, Site},
        },
    },
    site::{IndexEntry, judge_index, write_index},
    store::{PublicFile, SiteRun, Stale},
};

use super::{Ended, PublishError, Publisher};

/// The name of a locale's index below its base.
const NAME: &str = "sitemap.xml";

impl Publisher {
    /// Publishes stale indexes. Answers with those that changed.
    pub(super) async fn publish_indexes(&self, site: &Site, run: &SiteRun) -> Result<Vec<PublicFile>, Ended> {
        let stale = self.store.site_stale(site.id).await?;
        let stale: Vec<Stale> = stale.into_iter().filter(|stale| stale.mark.1 == Target::Index).collect();
        if stale.is_empty() {
            return Ok(Vec::new());
        }
        let files = self.store.site_files(site.id, None).await?;
        let mut changed = Vec::new();
        for locale in &site.settings.locales {
            let Some(mark) = stale.iter().find(|stale| stale.mark.0 == locale.tag) else { continue };
            let own: Vec<&PublicFile> = files.iter().filter(|file| file.locale == locale.tag).collect();
            let index = self.publish_index(site, locale, &own)?;
            self.store.commit_site_part(run, index.as_slice(), std::slice::from_ref(mark)).await??;
            changed.extend(index);
        }
        Ok(changed)
    }

    /// The index, where it is not as it was.
    fn publish_index(
        &self,
        site: &Site,
        locale: &Locale,
        files: &[&PublicFile],
    ) -> Result<Option<PublicFile>, PublishError> {
        let before = files.iter().find(|file| file.name == NAME);
        let mut shards: Vec<&&PublicFile> =
            files.iter().filter(|file| matches!(file.target, Target::Shard(_)) && !file.gone).collect();
        shards.sort_by(|one, other| other.target.cmp(&one.target).then_with(|| one.name.cmp(&other.name)));
        let entry = |file: &&&PublicFile| IndexEntry {
            loc: format!("{}/{}", locale.base, file.name),
            changed_at: file.changed_at,
        };
        let entries: Vec<IndexEntry> = shards.iter().map(entry).collect();
        let file = format!("{}/{NAME}", locale.base);
        let packed = write_index(&entries).map_err(|error| PublishError::Storage { file: file.clone(), error })?;
        if before.is_some_and(|before| before.hash == packed.hash()) {
            return Ok(None);
        }
        judge_index(packed.reader(), &locale.base)
            .map_err(|fault| PublishError::Gate { file: file.clone(), fault: fault.to_string() })?;
        let now = UnixMs::now();
        let public = PublicFile {
            locale: locale.tag.clone(),
            name: NAME.to_owned(),
            target: Target::Index,
            hash: packed.hash().to_vec(),
            bytes: packed.bytes,
            urls: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            changed_at: now,
            gone: false,
        };
        let folder = self.storage.folder(site.id, &locale.tag);
        let synced = self.storage.publish(&folder, NAME, &packed.dated(now)).and_then(|()| self.storage.sync(&folder));
        synced.map_err(|error| PublishError::Storage { file, error })?;
        Ok(Some(public))
    }
}
