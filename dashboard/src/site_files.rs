//! Files of a site: what is public in each language, whether it is as it is to be, and what changed in a file with its last
//! publication.

use askama::Template;
use axum::{Router, extract::Path, routing::get};
use postrider_core::{
    domain::{
        UnixMs,
        site::{change::Target, language::LanguageTag, settings::Site},
    },
    site::{Became, Compared, FileDiff, LineDiff, SHOWN_MAX},
    store::{FilePage, FileState, PUBLICATIONS_LOOKED_AT, SiteFile},
};

use crate::{
    Dashboard, filters,
    moment::Moment,
    page::{Frame, LATER, Refusal, Section, Shown, show, show_in_parts},
    pager::Pager,
    sites::{PublicationLine, find},
    visit::Visit,
};

/// Files of one page, and publications of one file.
const ROWS: u32 = 100;
const SOME: u32 = 20;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/sites/{site}/files", get(files)).route("/sites/{site}/files/{locale}/{name}", get(file))
}

#[derive(Template)]
#[template(path = "site_files.html")]
struct FilesPage {
    frame: Frame,
    slug: String,
    /// Words, query, and whether it is what is shown.
    locales: Vec<(String, String, bool)>,
    states: Vec<(String, String, bool)>,
    is_filtered: bool,
    rows: Vec<FileLine>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "site_file.html")]
struct FilePageOf {
    frame: Frame,
    slug: String,
    line: FileLine,
    /// Absent where the site has its language no more.
    address: Option<String>,
    publications: Vec<PublicationLine>,
    looked_at: u32,
    later: &'static str,
}

/// What changed in a file with its last publication.
#[derive(Template)]
#[template(path = "site_file_changes.html")]
struct ChangesPart {
    compared: Option<ComparedLines>,
    /// The versions could not be read.
    fault: Option<String>,
    shown_max: usize,
}

struct ComparedLines {
    before: Moment,
    after: Moment,
    added: u64,
    removed: u64,
    changed: u64,
    is_cut: bool,
    head: LineDiff,
    entries: Vec<(Became, String, LineDiff)>,
}

/// A file, in the list or by itself.
struct FileLine {
    locale: String,
    name: String,
    what: String,
    urls: u32,
    bytes: u64,
    changed: Moment,
    state: Option<FileState>,
    since: Option<Moment>,
}

impl FileLine {
    fn of(SiteFile { file, stale_since, held_since }: &SiteFile, state: Option<FileState>, now: UnixMs) -> Self {
        let since = match state {
            Some(FileState::Stale) => *stale_since,
            Some(FileState::Held) => *held_since,
            Some(FileState::Gone) => Some(file.changed_at),
            None => None,
        };
        Self {
            locale: file.locale.to_string(),
            name: file.name.clone(),
            what: what(&file.target),
            urls: file.urls,
            bytes: file.bytes,
            changed: Moment::of(file.changed_at, now),
            state,
            since: since.map(|at| Moment::of(at, now)),
        }
    }

    fn words(&self) -> &'static str {
        self.state.map_or("as it is to be", words)
    }

    /// As jobs that stand alike look.
    const fn class(&self) -> &'static str {
        match self.state {
            None => "succeeded",
            Some(FileState::Stale) => "running",
            Some(FileState::Held) => "dead",
            Some(FileState::Gone) => "cancelled",
        }
    }
}

fn what(target: &Target) -> String {
    match target {
        Target::Shard(shard) => format!("sitemap of {shard}"),
        Target::News => "news sitemap".to_owned(),
        Target::Feed => "feed".to_owned(),
        Target::Section(key) => format!("feed of {}", key.as_str()),
        Target::Index => "sitemap index".to_owned(),
    }
}

const fn words(state: FileState) -> &'static str {
    match state {
        FileState::Stale => "to be made again",
        FileState::Held => "held",
        FileState::Gone => "about to be removed",
    }
}

async fn files(visit: Visit, Path((_, slug)): Path<(String, String)>) -> Shown {
    let site = find(&visit, &slug).await?;
    let asked = asked(&visit, &site)?;
    let (found, more) = visit.scope().site_file_list(&site, &asked).await?;
    let last = found.last().filter(|_| more).map(|last| format!("{}/{}", last.file.locale, last.file.name));
    let rest = visit.query.without(&["before"]);
    let link = |name: &str, value: &str, is_asked: bool, words: &str| {
        let without = || match rest.query_without(&[name]) {
            rest if rest.is_empty() => "?".to_owned(),
            rest => rest,
        };
        let query = if value.is_empty() { without() } else { rest.query_with(name, value) };
        (words.to_owned(), query, is_asked)
    };
    let mut locales = vec![link("locale", "", asked.locale.is_none(), "all languages")];
    let tags = site.settings.locales.iter().map(|locale| &locale.tag);
    locales.extend(tags.map(|tag| link("locale", tag.as_str(), asked.locale.as_ref() == Some(tag), tag.as_str())));
    let mut states = vec![link("state", "", asked.state.is_none(), "all")];
    states.extend(FileState::ALL.map(|state| link("state", state.as_str(), asked.state == Some(state), words(state))));
    show(&FilesPage {
        frame: Frame::of(&visit, Section::Sites, format!("Files of {}", site.slug)),
        slug: site.slug.to_string(),
        locales,
        states,
        is_filtered: asked.locale.is_some() || asked.state.is_some(),
        pager: Pager::before(&visit.query, last),
        // What is asked for is what a row says, whatever else is the matter with it.
        rows: found.iter().map(|file| FileLine::of(file, asked.state.or(file.state()), visit.now)).collect(),
    })
}

/// What the address asks for.
fn asked(visit: &Visit, site: &Site) -> Result<FilePage, Refusal> {
    let query = &visit.query;
    let locale = query.text("locale").map(|text| {
        let known = site.settings.locales.iter().find(|locale| locale.tag.as_str() == text);
        known.map(|locale| locale.tag.clone()).ok_or_else(|| {
            Refusal::Bad(format!(
                "The site has no language {text:?}. Take it out of the address, or begin at the site."
            ))
        })
    });
    let state = query.text("state").map(|text| {
        let refused = |error| Refusal::Bad(format!("No file is {text:?}: {error}. Take it out of the address."));
        text.parse::<FileState>().map_err(refused)
    });
    let place = |text: &str| text.split_once('/').map(|(locale, name)| [locale.to_owned(), name.to_owned()]);
    let (locale, state, after) = (locale.transpose()?, state.transpose()?, query.before_by(place)?);
    Ok(FilePage { locale, state, is_public: false, after, limit: ROWS })
}

async fn file(visit: Visit, Path((_, slug, locale, name)): Path<(String, String, String, String)>) -> Shown {
    let site = find(&visit, &slug).await?;
    let missing = || Refusal::NotFound("file");
    let tag: LanguageTag = locale.parse().map_err(|_| missing())?;
    let found = visit.scope().site_file(&site, &tag, &name).await?.ok_or_else(missing)?;
    let publications = visit.scope().publications_of_file(&site, &found.file, SOME).await?;
    let base = site.settings.locale(&tag).map(|locale| locale.base.to_string());
    let page = FilePageOf {
        frame: Frame::of(&visit, Section::Sites, format!("{name} of {}", site.slug)),
        slug: site.slug.to_string(),
        line: FileLine::of(&found, found.state(), visit.now),
        address: base.map(|base| format!("{base}/{name}")),
        publications: publications.iter().map(|one| PublicationLine::of(one, visit.now)).collect(),
        looked_at: PUBLICATIONS_LOOKED_AT,
        later: LATER,
    };
    show_in_parts(&page, changes(visit, site, found))
}

/// What a large file's versions take to compare is nothing that the page's beginning waits for.
async fn changes(visit: Visit, site: Site, found: SiteFile) -> String {
    let compared = visit.dashboard.versions.compare(site.id, &found.file.locale, &found.file.name).await;
    let part = match compared {
        Ok(compared) => {
            let lines = compared.map(|compared| ComparedLines::of(compared, visit.now));
            ChangesPart { compared: lines, fault: None, shown_max: SHOWN_MAX }
        }
        Err(error) => {
            tracing::warn!(site = %site.slug, file = %found.file.name, %error, "two versions of a file cannot be compared");
            ChangesPart { compared: None, fault: Some(error.to_string()), shown_max: SHOWN_MAX }
        }
    };
    part.render().unwrap_or_else(|error| {
        tracing::error!(%error, "what changed in a file cannot be shown");
        String::new()
    })
}

impl ComparedLines {
    fn of(Compared { before_at, after_at, diff }: Compared, now: UnixMs) -> Self {
        let FileDiff { added, removed, changed, head, entries } = diff;
        let all = [added, removed, changed].map(u64::from);
        Self {
            before: Moment::of(before_at, now),
            after: Moment::of(after_at, now),
            is_cut: all.iter().sum::<u64>() > entries.len() as u64,
            added: all[0],
            removed: all[1],
            changed: all[2],
            head,
            entries: entries.into_iter().map(|entry| (entry.became, entry.address, entry.lines)).collect(),
        }
    }

    const fn is_same(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }
}
