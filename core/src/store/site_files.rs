//! The files of a site as people look through them: what each is, whether it is as it is to be, and what published it.

use super::{
    Scope, SitePublication, StoreError,
    site_build::{FileRow, PublicFile},
    site_publications,
    sql::{Sql, sql},
};
use crate::domain::{
    UnixMs,
    site::{language::LanguageTag, settings::Site},
};

/// A file and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFile {
    pub file: PublicFile,
    /// When the oldest change was accepted that is not in it.
    pub stale_since: Option<UnixMs>,
    /// Since when a person is asked whether it may lose as many addresses as it would.
    pub held_since: Option<UnixMs>,
}

/// Files of one kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// A change waits that is not in it.
    Stale,
    /// A person is asked first.
    Held,
    /// No index names it any more, and it is about to be removed.
    Gone,
}

/// A part of the list of a site's files: by locale, and the newest months first.
#[derive(Clone, Debug, Default)]
pub struct FilePage {
    pub locale: Option<LanguageTag>,
    pub state: Option<FileState>,
    /// Those alone that have an address: without languages that the site has no more, and without what no index names, unless it
    /// is asked for.
    pub is_public: bool,
    /// Those that come after this locale and name.
    pub after: Option<[String; 2]>,
    /// Rows at most.
    pub limit: u32,
}

const SELECT: &str = "SELECT f.locale, f.name, f.target, f.hash, f.bytes, f.urls, f.changed_at, f.gone, \
    m.oldest_at AS stale_since, h.since AS held_since FROM site_files f \
    LEFT JOIN site_marks m ON m.site_id = f.site_id AND m.locale = f.locale AND m.target = f.target AND m.held = 0 \
    LEFT JOIN site_holds h ON h.site_id = f.site_id AND h.locale = f.locale AND h.target = f.target AND h.confirmed = 0";
/// Publications of a locale, newest first, among which those of a file are looked for.
pub const PUBLICATIONS_LOOKED_AT: u32 = 1_000;

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    file: FileRow,
    stale_since: Option<i64>,
    held_since: Option<i64>,
}

impl Row {
    fn read(self) -> Result<SiteFile, StoreError> {
        Ok(SiteFile {
            file: self.file.read()?,
            stale_since: self.stale_since.map(UnixMs),
            held_since: self.held_since.map(UnixMs),
        })
    }
}

impl FileState {
    pub const ALL: [Self; 3] = [Self::Stale, Self::Held, Self::Gone];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Held => "held",
            Self::Gone => "gone",
        }
    }

    const fn condition(self) -> &'static str {
        match self {
            Self::Stale => " AND m.oldest_at IS NOT NULL",
            Self::Held => " AND h.since IS NOT NULL",
            Self::Gone => " AND f.gone = 1",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is stale, held or gone")]
pub struct FileStateError;

impl std::str::FromStr for FileState {
    type Err = FileStateError;
    fn from_str(text: &str) -> Result<Self, FileStateError> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(FileStateError)
    }
}

impl SiteFile {
    /// What is the matter with it before all else; `None` where it is public as it is to be.
    #[must_use]
    pub const fn state(&self) -> Option<FileState> {
        match self {
            Self { file: PublicFile { gone: true, .. }, .. } => Some(FileState::Gone),
            Self { held_since: Some(_), .. } => Some(FileState::Held),
            Self { stale_since: Some(_), .. } => Some(FileState::Stale),
            _ => None,
        }
    }
}

impl Scope<'_> {
    /// A page of a site's files, and whether there are more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_file_list(&self, site: &Site, page: &FilePage) -> Result<(Vec<SiteFile>, bool), StoreError> {
        let mut select = of(site);
        if let Some(locale) = &page.locale {
            select = select.and(" AND f.locale = ", locale.as_str());
        }
        if let Some(state) = page.state {
            select = select.then(state.condition());
        }
        if page.is_public {
            let tags = site.settings.locales.iter().map(|locale| locale.tag.as_str());
            select = select.then(" AND f.locale").any(tags);
            if page.state != Some(FileState::Gone) {
                select = select.then(" AND f.gone = 0");
            }
        }
        if let Some([locale, name]) = &page.after {
            select = select
                .and(" AND (f.locale > ", locale.as_str())
                .and(" OR (f.locale = ", locale.as_str())
                .and(" AND f.name < ", name.as_str())
                .then("))");
        }
        let select = select.then(" ORDER BY f.locale, f.name DESC").and(" LIMIT ", i64::from(page.limit) + 1);
        let rows: Vec<Row> = self.store.pool.fetch(select).await?;
        let more = rows.len() > page.limit as usize;
        let files = rows.into_iter().take(page.limit as usize).map(Row::read).collect::<Result<_, _>>()?;
        Ok((files, more))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn site_file(
        &self,
        site: &Site,
        locale: &LanguageTag,
        name: &str,
    ) -> Result<Option<SiteFile>, StoreError> {
        let select = of(site).and(" AND f.locale = ", locale.as_str()).and(" AND f.name = ", name);
        let row: Option<Row> = self.store.pool.fetch_one(select).await?;
        row.map(Row::read).transpose()
    }

    /// What changed a file, newest first, among the last [`PUBLICATIONS_LOOKED_AT`] publications of its locale.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn publications_of_file(
        &self,
        site: &Site,
        file: &PublicFile,
        limit: u32,
    ) -> Result<Vec<SitePublication>, StoreError> {
        let select = sql("SELECT p.id, p.locale, p.accepted_at, p.published_at, p.read_at, p.files, p.urls, p.bytes \
            FROM (SELECT * FROM site_publications")
        .and(" WHERE site_id = ", site.id)
        .and(" AND locale = ", file.locale.as_str())
        .and(" ORDER BY id DESC LIMIT ", PUBLICATIONS_LOOKED_AT)
        .then(") AS p JOIN site_publication_files c ON c.publication_id = p.id")
        .and(" WHERE c.name = ", file.name.as_str())
        .and(" ORDER BY p.id DESC LIMIT ", limit);
        let rows: Vec<site_publications::Row> = self.store.pool.fetch(select).await?;
        rows.into_iter().map(site_publications::Row::read).collect()
    }
}

fn of(site: &Site) -> Sql {
    sql(SELECT).and(" WHERE f.site_id = ", site.id)
}
