//! Where links in mails lead by which people get no more of its category (RFC 8058). Looking changes nothing: whoever guards a mailbox
//! opens all links in it.

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use postrider_core::domain::{UnixMs, unsubscribe::Unsubscribe};
use serde::Deserialize;

use crate::{problem::Problem, state::ApiState};

const PAGE: &str = include_str!("unsubscribe.html");
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

pub(crate) fn router() -> Router<ApiState> {
    Router::new().route("/unsubscribe/{link}", get(show).post(act))
}

/// What is wanted.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// To get mail of the category again.
    #[serde(default)]
    again: bool,
}

/// What somebody sees.
struct Page {
    status: StatusCode,
    title: &'static str,
    text: String,
    /// What a button says, and where it leads.
    button: Option<(&'static str, &'static str)>,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let form = self.button.map_or_else(String::new, |(label, action)| {
            format!("<form method=\"post\" action=\"{action}\"><button>{label}</button></form>")
        });
        let page = PAGE.replace("{title}", self.title).replace("{text}", &self.text).replace("{form}", &form);
        (self.status, HEADERS, Html(page)).into_response()
    }
}

impl Page {
    fn unknown() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "This link leads nowhere",
            text: "It was cut short, or whom it is about is not known here any more. Open it from the mail again."
                .to_owned(),
            button: None,
        }
    }

    /// Of whoever gets mail of the category, or none.
    fn of(of: &Unsubscribe, is_subscribed: bool) -> Self {
        // A category has no characters that mean something in HTML.
        let category = of.category.as_str();
        let (title, text, button) = match is_subscribed {
            true => (
                "Unsubscribe",
                format!("You get e-mail of the kind “{category}”. Do you want no more of it?"),
                ("Unsubscribe", "?"),
            ),
            false => (
                "You are unsubscribed",
                format!("You get no more e-mail of the kind “{category}”."),
                ("Subscribe again", "?again=true"),
            ),
        };
        Self { status: StatusCode::OK, title, text, button: Some(button) }
    }
}

async fn show(State(api): State<ApiState>, Path(link): Path<String>) -> Result<Page, Problem> {
    let Some(of) = api.store().read_unsubscribe(&link) else { return Ok(Page::unknown()) };
    let is_subscribed = api.store().is_subscribed(&of).await?;
    Ok(is_subscribed.map_or_else(Page::unknown, |is_subscribed| Page::of(&of, is_subscribed)))
}

/// Called by a mailbox's own button (one click, whatever is in the body) and by the page's.
async fn act(
    State(api): State<ApiState>,
    Path(link): Path<String>,
    Query(Wanted { again }): Query<Wanted>,
) -> Result<Page, Problem> {
    let Some(of) = api.store().read_unsubscribe(&link) else { return Ok(Page::unknown()) };
    let is_known = api.store().subscribe(&of, again, UnixMs::now()).await?;
    Ok(if is_known { Page::of(&of, again) } else { Page::unknown() })
}
