//! Some files of a site on their way to the public: what is as it was stays, what changed passes the gate and is published,
//! and what is not made any more is about to go.

use std::{collections::HashMap, sync::Arc};

use postrider_core::{
    domain::{
        UnixMs,
        site::{
            change::{Mark, Target},
            language::LanguageTag,
            settings::Site,
        },
    },
    site::{Kept, Made, Storage, StorageError},
    store::{Hold, PublicFile, SitePart, Stale},
};

use super::PublishError;

/// What is to be published for some marks of one site.
pub(super) struct Part {
    pub(super) site: Arc<Site>,
    pub(super) stale: Vec<Stale>,
    /// What is public for these marks.
    pub(super) public: Vec<PublicFile>,
    /// Marks of which somebody has said that it is right to publish them, however few addresses are left.
    pub(super) confirmed: Arc<[Mark]>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) part: SitePart,
    pub(super) failed: Option<PublishError>,
}

impl Part {
    /// Publishes what was made for the marks. What fails of one keeps the others from nothing.
    pub(super) fn publish(self, storage: &Storage, made: Vec<Made>) -> Done {
        let key = |file: PublicFile| ((file.locale.clone(), file.name.clone()), file);
        let mut public: HashMap<(LanguageTag, String), PublicFile> = self.public.iter().cloned().map(key).collect();
        let (now, mut bad, mut judged) = (UnixMs::now(), Vec::new(), Vec::new());
        let held = self.held(&made, now);
        let is_held = |mark: &Mark| held.iter().any(|hold| hold.mark == *mark);
        for one in made {
            let mark = (one.locale.clone(), one.target.clone());
            if is_held(&mark) {
                continue;
            }
            let before = public.remove(&(one.locale.clone(), one.name.clone()));
            if before.is_some_and(|before| !before.gone && before.hash == one.packed.hash()) {
                continue;
            }
            match self.judge(storage, one, now) {
                Ok(file) => judged.push(file),
                Err(error) => bad.push((mark, error)),
            }
        }
        let (files, kept): (Vec<PublicFile>, Vec<Kept>) = judged.into_iter().unzip();
        let mut changed = Vec::new();
        for (file, written) in files.into_iter().zip(storage.publish(kept)) {
            match written {
                Ok(()) => changed.push(file),
                Err(error) => bad.push(((file.locale.clone(), file.target.clone()), self.unwritten(&file, error))),
            }
        }
        let is_bad = |mark: &Mark| bad.iter().any(|(other, _)| other == mark);
        let is_meant =
            |mark: &Mark| self.stale.iter().any(|stale| stale.mark == *mark) && !is_bad(mark) && !is_held(mark);
        let gone =
            public.into_values().filter(|file| !file.gone && is_meant(&(file.locale.clone(), file.target.clone())));
        changed.extend(gone.map(|file| PublicFile { gone: true, changed_at: now, ..file }));
        let cleared = self.stale.iter().filter(|stale| !is_bad(&stale.mark)).cloned().collect();
        let failed = bad.into_iter().next().map(|(_, error)| error);
        Done { part: SitePart { changed, cleared, held }, failed }
    }

    /// What lost so many addresses at once that a person is asked first.
    fn held(&self, made: &[Made], now: UnixMs) -> Vec<Hold> {
        let mut held = Vec::new();
        for mark in self.stale.iter().map(|stale| &stale.mark) {
            if !matches!(mark.1, Target::Shard(_)) || self.confirmed.contains(mark) {
                continue;
            }
            let public = self.public.iter().filter(|file| !file.gone && file.locale == mark.0 && file.target == mark.1);
            let urls_before: u32 = public.map(|file| file.urls).sum();
            let made = made.iter().filter(|one| one.locale == mark.0 && one.target == mark.1);
            let urls_after = made.map(|one| one.urls).sum();
            if fell_too_far(urls_before, urls_after) {
                held.push(Hold { mark: mark.clone(), urls_before, urls_after, since: now, confirmed: false });
            }
        }
        held
    }

    /// Has the gate read a file that was made.
    fn judge(&self, storage: &Storage, made: Made, now: UnixMs) -> Result<(PublicFile, Kept), PublishError> {
        let Some(locale) = self.site.settings.locale(&made.locale) else {
            return Err(PublishError::Gate { file: made.name, fault: "its locale is none of the site's".to_owned() });
        };
        made.judge(locale, now).map_err(|fault| {
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
            changed_at: now,
            gone: false,
        };
        let shelf = storage.shelf(self.site.id, &public.locale);
        let kept = Kept { shelf, name: public.name.clone(), gzip: made.packed.dated(now) };
        Ok((public, kept))
    }

    fn unwritten(&self, file: &PublicFile, error: StorageError) -> PublishError {
        let base = self.site.settings.locale(&file.locale).map(|locale| format!("{}/", locale.base));
        PublishError::Storage { file: format!("{}{}", base.unwrap_or_default(), file.name), error }
    }
}

/// More than a fifth, and more than one: a fault of a publisher's program takes pages away like this, while a single page is
/// taken away by people.
const fn fell_too_far(before: u32, after: u32) -> bool {
    after + 1 < before && (before - after) * 5 > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_fifth_and_more_than_one_is_too_many_at_once() {
        let none = [(10, 8), (1, 0), (3, 2), (5, 9), (0, 0)];
        let too_many = [(10, 7), (2, 0), (100, 79)];
        assert!(none.iter().all(|(before, after)| !fell_too_far(*before, *after)));
        assert!(too_many.iter().all(|(before, after)| fell_too_far(*before, *after)));
    }
}
