//! Translations of a site that are not published, why, and what to write instead.

use askama::Template;
use axum::{Router, extract::Path, routing::get};
use postrider_core::{
    domain::UnixMs,
    store::{Quarantine, QuarantinePage},
};

use crate::{
    Dashboard,
    moment::Moment,
    page::{Frame, Section, Shown, show},
    pager::Pager,
    sites::find,
    visit::Visit,
};

const ROWS: u32 = 100;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/sites/{site}/quarantine", get(quarantine))
}

#[derive(Template)]
#[template(path = "site_quarantine.html")]
struct QuarantineList {
    frame: Frame,
    slug: String,
    rows: Vec<QuarantineLine>,
    pager: Pager,
}

pub(crate) struct QuarantineLine {
    pub(crate) key: String,
    pub(crate) locale: String,
    pub(crate) field: String,
    pub(crate) reason: String,
    pub(crate) since: Moment,
}

impl QuarantineLine {
    pub(crate) fn of(one: Quarantine, now: UnixMs) -> Self {
        let Quarantine { key, locale, field, reason, since } = one;
        Self { key, locale, field, reason, since: Moment::of(since, now) }
    }
}

async fn quarantine(visit: Visit, Path((_, slug)): Path<(String, String)>) -> Shown {
    let site = find(&visit, &slug).await?;
    // A tag has no space, and a key may have any character.
    let place = |text: &str| text.split_once(' ').map(|(locale, key)| [key.to_owned(), locale.to_owned()]);
    let after = visit.query.before_by(place)?;
    let page = QuarantinePage { locale: None, field: None, after, limit: ROWS };
    let (found, next) = visit.scope().quarantined(&site, &page).await?;
    show(&QuarantineList {
        frame: Frame::of(&visit, Section::Sites, format!("Quarantined of {}", site.slug)),
        slug: site.slug.to_string(),
        rows: found.into_iter().map(|one| QuarantineLine::of(one, visit.now)).collect(),
        pager: Pager::after(&visit.query, next.map(|[key, locale]| format!("{locale} {key}"))),
    })
}
