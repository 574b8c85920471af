//! Sitemaps that wait for somebody: what is held, and its confirmation, which is of what the page showed.

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::post,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postrider_core::{
    domain::{UnixMs, site::change::Target},
    site::sitemap_name,
    store::{ConfirmedSite, Hold},
};
use ring::digest::{SHA256, digest};

use crate::{
    Dashboard,
    moment::Moment,
    page::{Refusal, Shown, base},
    sites::find,
    visit::Deed,
};

/// Sitemaps that a refusal names.
const NAMED_MAX: usize = 5;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/sites/{site}/confirm", post(confirm))
}

pub(crate) struct HoldLine {
    pub(crate) locale: String,
    /// The first of its files.
    pub(crate) file: String,
    pub(crate) before: u32,
    pub(crate) after: u32,
    pub(crate) since: Moment,
    pub(crate) confirmed: bool,
}

impl HoldLine {
    pub(crate) fn of(hold: &Hold, now: UnixMs) -> Self {
        Self {
            locale: hold.mark.0.to_string(),
            file: file(hold),
            before: hold.urls_before,
            after: hold.urls_after,
            since: Moment::of(hold.since, now),
            confirmed: hold.confirmed,
        }
    }
}

/// The first file of what is held.
fn file(hold: &Hold) -> String {
    match &hold.mark.1 {
        Target::Shard(shard) => sitemap_name(*shard, 1),
        other => other.to_string(),
    }
}

/// What a form of the page carries of what it shows: how many sitemaps, how many addresses they would have, and a digest of it
/// all, since of a large site there are thousands.
pub(crate) fn seen(holds: &[Hold]) -> String {
    let line = |hold: &Hold| format!("{} {} {}\n", hold.mark.0, hold.mark.1, hold.urls_after);
    let all: String = holds.iter().map(line).collect();
    let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, all.as_bytes()));
    format!("{} {} {digest}", holds.len(), Hold::urls_after_of(holds))
}

async fn confirm(Path((_, slug)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let site = find(&visit, &slug).await?;
    let shown = fields.text("seen").unwrap_or_default();
    let job = match visit.scope().confirm_site(&site, visit.now, |holds| seen(holds) == shown).await? {
        ConfirmedSite::Done(_, job) => job,
        ConfirmedSite::Changed(holds) => return Err(changed(shown, &holds)),
    };
    visit.dashboard.dispatcher.offer(job.as_slice());
    Ok(Redirect::to(&format!("{}/sites/{}", base(&visit.tenant), site.slug)).into_response())
}

fn changed(shown: &str, holds: &[Hold]) -> Refusal {
    let was = match shown.split(' ').collect::<Vec<_>>()[..] {
        [count, urls, _] => format!("{count} held {}, with {urls} addresses in all", sitemaps(count)),
        _ => "no held sitemap".to_owned(),
    };
    Refusal::Conflict(match holds.len() {
        0 => format!(
            "The page showed {was}, and nothing is held any more: it was confirmed already, by a first sending of the same form \
            or by somebody else, or its pages were handed in again."
        ),
        count => format!(
            "The page showed {was}; by now there is something else, {count} {} with {} addresses in all: {}. Open the site again, \
            look at what is held, and confirm that.",
            sitemaps(&count.to_string()),
            Hold::urls_after_of(holds),
            named(holds)
        ),
    })
}

fn sitemaps(count: &str) -> &'static str {
    if count == "1" { "sitemap" } else { "sitemaps" }
}

/// The first of them.
fn named(holds: &[Hold]) -> String {
    let name = |hold: &Hold| format!("{} of {}, with {}", file(hold), hold.mark.0, hold.urls_after);
    let named = holds.iter().take(NAMED_MAX).map(name).collect::<Vec<_>>().join("; ");
    match holds.len().checked_sub(NAMED_MAX) {
        None | Some(0) => named,
        Some(more) => format!("{named}; and {more} more"),
    }
}
