//! Images and enclosures of a site's feeds: what was said of each, what it really is, and what to do where it cannot be used.

use askama::Template;
use axum::{Router, extract::Path, routing::get};
use postrider_core::{
    domain::{
        UnixMs,
        site::media::{Media, MediaState},
    },
    store::{MediaFilter, MediaPage},
};

use crate::{
    Dashboard, filters,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, show},
    pager::Pager,
    sites::find,
    visit::Visit,
};

const ROWS: u32 = 100;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/sites/{site}/media", get(media))
}

#[derive(Template)]
#[template(path = "site_media.html")]
struct MediaList {
    frame: Frame,
    slug: String,
    /// Words, query, and whether it is what is shown.
    states: [(&'static str, &'static str, bool); 5],
    rows: Vec<Line>,
    pager: Pager,
}

struct Line {
    url: String,
    what: &'static str,
    state: MediaState,
    fault: Option<String>,
    /// What was said of an enclosure beside what it is: the type, and the bytes.
    media_type: Beside<String>,
    length: Beside<u64>,
    looked: Option<Moment>,
}

struct Beside<T> {
    is: Option<T>,
    /// Where it is another.
    said: Option<T>,
}

impl<T: PartialEq> Beside<T> {
    fn of(is: Option<T>, said: Option<T>) -> Self {
        let said = if is.is_some() && said == is { None } else { said };
        Self { is, said }
    }
}

impl Line {
    fn of(media: Media, now: UnixMs) -> Self {
        let Media { url, is_image, state, media_type, length_bytes, said, .. } = media;
        Self {
            url,
            what: if is_image { "image" } else { "enclosure" },
            state,
            fault: media.fault,
            media_type: Beside::of(media_type, said.media_type),
            length: Beside::of(length_bytes, said.length_bytes),
            looked: media.checked_at.map(|at| Moment::of(at, now)),
        }
    }

    const fn words(&self) -> &'static str {
        match self.state {
            MediaState::Bad => "cannot be used",
            MediaState::Waiting => "to be looked at",
            MediaState::Good => "good",
        }
    }

    /// As jobs that stand alike look.
    const fn class(&self) -> &'static str {
        match self.state {
            MediaState::Bad => "dead",
            MediaState::Waiting => "running",
            MediaState::Good => "succeeded",
        }
    }
}

async fn media(visit: Visit, Path((_, slug)): Path<(String, String)>) -> Shown {
    let site = find(&visit, &slug).await?;
    let asked = visit.query.text("state").unwrap_or("bad");
    let filter = match asked {
        "all" => None,
        text => Some(text.parse::<MediaFilter>().map_err(|error| {
            Refusal::Bad(format!("{error}, and it is not all. Take it out of the address, or begin at the site."))
        })?),
    };
    let after = visit.query.before_by(|text| Some(text.to_owned()))?;
    let (found, more) = visit.scope().site_media_list(&site, &MediaPage { filter, after, limit: ROWS }).await?;
    let last = found.last().filter(|_| more).map(|last| last.url.clone());
    let link = |words, query, name: &str| (words, query, name == asked);
    show(&MediaList {
        frame: Frame::of(&visit, Section::Sites, format!("Images and enclosures of {}", site.slug)),
        slug: site.slug.to_string(),
        states: [
            link("cannot be used", "?state=bad", "bad"),
            link("to be looked at", "?state=waiting", "waiting"),
            link("good", "?state=good", "good"),
            link("not of the type that was said", "?state=other-type", "other-type"),
            link("all", "?state=all", "all"),
        ],
        pager: Pager::before(&visit.query, last),
        rows: found.into_iter().map(|media| Line::of(media, visit.now)).collect(),
    })
}
