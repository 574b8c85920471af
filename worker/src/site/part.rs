//! Some files of a site on their way to the public: what is as it was stays, what changed passes the gate and is published,
//! and what is not made any more is about to go.

use std::{collections::HashMap, sync::Arc};

use postrider_core::{
    domain::{
        UnixMs,
        site::{change::Mark, language::LanguageTag, settings::Site},
    },
    site::{Gate, Kept, Made, Storage, StorageError},
    store::{Hold, PublicFile, SitePart, Stale},
};

use super::PublishError;

/// What is to be published for some marks of one site.
pub(super) struct Part {
    pub(super) site: Arc<Site>,
    pub(super) stale: Vec<Stale>,
    /// What is public for these marks.
    pub(super) public: Vec<PublicFile>,
    /// Marks whose files stay as they are until somebody has been asked.
    pub(super) held: Vec<Hold>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) part: SitePart,
    pub(super) failed: Option<PublishError>,
}

/// A part of which some files are public already.
pub(super) struct Publishing<'a> {
    part: Part,
    storage: &'a Storage,
    gate: Gate,
    now: UnixMs,
    /// What was public, and is not made again so far.
    before: HashMap<(LanguageTag, String), PublicFile>,
    /// What passed the gate, and is written soon.
    passed: Vec<(PublicFile, Kept)>,
    changed: Vec<PublicFile>,
    bad: Vec<(Mark, PublishError)>,
}

impl Done {
    pub(super) fn add(&mut self, other: Self) {
        let SitePart { changed, cleared, held } = other.part;
        self.part.changed.extend(changed);
        self.part.cleared.extend(cleared);
        self.part.held.extend(held);
        self.failed = self.failed.take().or(other.failed);
    }
}

impl Part {
    /// The same marks in so many parts at most, of some locales each.
    pub(super) fn split(self, parts: usize) -> Vec<Self> {
        let Self { site, stale, public, held } = self;
        let each = stale.len().div_ceil(parts.max(1)).max(1);
        let of = |stale: &[Stale]| {
            let is_of = |mark: &Mark| stale.iter().any(|stale| stale.mark == *mark);
            Self {
                site: Arc::clone(&site),
                stale: stale.to_vec(),
                public: public
                    .iter()
                    .filter(|file| is_of(&(file.locale.clone(), file.target.clone())))
                    .cloned()
                    .collect(),
                held: held.iter().filter(|hold| is_of(&hold.mark)).cloned().collect(),
            }
        };
        stale.chunks(each).map(of).collect()
    }

    pub(super) fn begin(mut self, storage: &Storage) -> Publishing<'_> {
        let key = |file: PublicFile| ((file.locale.clone(), file.name.clone()), file);
        let before = std::mem::take(&mut self.public).into_iter().map(key).collect();
        let (passed, changed, bad) = (Vec::new(), Vec::new(), Vec::new());
        Publishing { part: self, storage, gate: Gate::default(), now: UnixMs::now(), before, passed, changed, bad }
    }

    /// Publishes files of which none is held.
    pub(super) fn publish_all(self, storage: &Storage, made: Vec<Made>) -> Done {
        let mut publishing = self.begin(storage);
        made.into_iter().for_each(|made| publishing.publish(made));
        publishing.end()
    }

    fn unwritten(&self, file: &PublicFile, error: StorageError) -> PublishError {
        let base = self.site.settings.locale(&file.locale).map(|locale| format!("{}/", locale.base));
        PublishError::Storage { file: format!("{}{}", base.unwrap_or_default(), file.name), error }
    }
}

impl Publishing<'_> {
    /// Publishes a file that was made for one of the marks. What fails of one keeps the others from nothing.
    pub(super) fn publish(&mut self, made: Made) {
        let before = self.before.remove(&(made.locale.clone(), made.name.clone()));
        if before.is_some_and(|before| !before.gone && before.hash == made.packed.hash()) {
            return;
        }
        let mark = (made.locale.clone(), made.target.clone());
        match self.judge(made) {
            Ok(passed) => self.passed.push(passed),
            Err(error) => self.bad.push((mark, error)),
        }
        if self.passed.len() >= self.storage.at_once() {
            self.write();
        }
    }

    /// All that was made is public.
    pub(super) fn end(mut self) -> Done {
        self.write();
        let Part { stale, held, .. } = self.part;
        let is_bad = |mark: &Mark| self.bad.iter().any(|(other, _)| other == mark);
        let is_held = |mark: &Mark| held.iter().any(|hold| hold.mark == *mark);
        let is_meant = |mark: &Mark| stale.iter().any(|stale| stale.mark == *mark) && !is_bad(mark) && !is_held(mark);
        let gone = (self.before.into_values())
            .filter(|file| !file.gone && is_meant(&(file.locale.clone(), file.target.clone())));
        self.changed.extend(gone.map(|file| PublicFile { gone: true, changed_at: self.now, ..file }));
        let cleared = stale.iter().filter(|stale| !is_bad(&stale.mark)).cloned().collect();
        let failed = self.bad.into_iter().next().map(|(_, error)| error);
        Done { part: SitePart { changed: self.changed, cleared, held }, failed }
    }

    /// Has the gate read a file that was made.
    fn judge(&mut self, made: Made) -> Result<(PublicFile, Kept), PublishError> {
        let site = &self.part.site;
        let Some(locale) = site.settings.locale(&made.locale) else {
            return Err(PublishError::Gate { file: made.name, fault: "its locale is none of the site's".to_owned() });
        };
        self.gate.judge(&made, locale, self.now).map_err(|fault| {
            let file = format!("{}/{}", locale.base, made.name);
            PublishError::Gate { file, fault: fault.to_string() }
        })?;
        let public = PublicFile {
            hash: made.packed.hash().to_vec(),
            bytes: made.packed.bytes,
            locale: made.locale,
            name: made.name,
            target: made.target,
            urls: made.urls,
            changed_at: self.now,
            gone: false,
        };
        let shelf = self.storage.shelf(site.id, &public.locale);
        let kept = Kept { shelf, name: public.name.clone(), gzip: made.packed.dated(self.now) };
        Ok((public, kept))
    }

    fn write(&mut self) {
        let (files, kept): (Vec<PublicFile>, Vec<Kept>) = std::mem::take(&mut self.passed).into_iter().unzip();
        for (file, written) in files.into_iter().zip(self.storage.publish(kept)) {
            match written {
                Ok(()) => self.changed.push(file),
                Err(error) => {
                    let mark = (file.locale.clone(), file.target.clone());
                    self.bad.push((mark, self.part.unwritten(&file, error)));
                }
            }
        }
    }
}
