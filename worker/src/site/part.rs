//! Some files of a site on their way to the public: what is as it was stays, what changed passes the gate and is published,
//! and what is not made any more is about to go.

use std::{collections::HashMap, sync::Arc};

use postrider_core::{
    domain::{
        UnixMs,
        site::{change::Mark, language::LanguageTag, settings::Site},
    },
    site::{Made, Storage},
    store::{PublicFile, Stale},
};

use super::PublishError;

/// What is to be published for some marks of one site.
pub(super) struct Part {
    pub(super) site: Arc<Site>,
    pub(super) stale: Vec<Stale>,
    /// What is public for these marks.
    pub(super) public: Vec<PublicFile>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) changed: Vec<PublicFile>,
    /// Marks whose files are public as they are now.
    pub(super) cleared: Vec<Stale>,
    pub(super) failed: Option<PublishError>,
}

impl Part {
    /// Publishes what was made for the marks. What fails of one keeps the others from nothing.
    pub(super) fn publish(self, storage: &Storage, made: Vec<Made>) -> Done {
        let key = |file: PublicFile| ((file.locale.clone(), file.name.clone()), file);
        let mut public: HashMap<(LanguageTag, String), PublicFile> = self.public.iter().cloned().map(key).collect();
        let (now, mut changed, mut bad) = (UnixMs::now(), Vec::new(), Vec::new());
        for one in made {
            let before = public.remove(&(one.locale.clone(), one.name.clone()));
            if before.is_some_and(|before| !before.gone && before.hash == one.packed.hash()) {
                continue;
            }
            let mark = (one.locale.clone(), one.target.clone());
            match self.publish_file(storage, one, now) {
                Ok(file) => changed.push(file),
                Err(error) => bad.push((mark, error)),
            }
        }
        let is_bad = |mark: &Mark| bad.iter().any(|(other, _)| other == mark);
        let is_meant = |mark: &Mark| self.stale.iter().any(|stale| stale.mark == *mark) && !is_bad(mark);
        let gone =
            public.into_values().filter(|file| !file.gone && is_meant(&(file.locale.clone(), file.target.clone())));
        changed.extend(gone.map(|file| PublicFile { gone: true, changed_at: now, ..file }));
        let cleared = self.stale.iter().filter(|stale| !is_bad(&stale.mark)).cloned().collect();
        Done { changed, cleared, failed: bad.into_iter().next().map(|(_, error)| error) }
    }

    fn publish_file(&self, storage: &Storage, made: Made, now: UnixMs) -> Result<PublicFile, PublishError> {
        let Some(locale) = self.site.settings.locale(&made.locale) else {
            return Err(PublishError::Gate { file: made.name, fault: "its locale is none of the site's".to_owned() });
        };
        let file = format!("{}/{}", locale.base, made.name);
        made.judge(locale, now).map_err(|fault| PublishError::Gate { file: file.clone(), fault: fault.to_string() })?;
        let folder = storage.folder(self.site.id, &made.locale);
        let public = PublicFile {
            hash: made.packed.hash().to_vec(),
            bytes: made.packed.bytes,
            locale: made.locale,
            name: made.name,
            target: made.target,
            urls: made.urls,
            changed_at: now,
            gone: false,
        };
        let written = storage.publish(&folder, &public.name, &made.packed.dated(now));
        written.map_err(|error| PublishError::Storage { file, error })?;
        Ok(public)
    }
}
