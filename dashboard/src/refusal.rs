//! What is shown where there is no page: what happened, to what, and what to do next. Whoever is signed in sees it within
//! the pages of the tenant, with a way back.

use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::{
    extract::{OriginalUri, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};
use postrider_core::{
    domain::user::UserRole,
    store::{NoPortal, StoreError},
};
use url::Url;

use crate::{
    assets::STYLE_PATH,
    filters,
    page::{Frame, Section},
    visit::Visit,
};

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody is signed in; where to go on after it.
    SignIn {
        next: String,
    },
    /// What is missing.
    NotFound(&'static str),
    /// What is to be removed, and is missing.
    Removed(&'static str),
    /// The user's role may not do it; the one that may.
    Role(UserRole),
    /// A form from elsewhere, or from a session that is over.
    Forged,
    /// A download that another site's page leads to.
    FromElsewhere,
    /// What a person can mend, in words.
    Bad(String),
    /// It was done already, or it cannot be done now, in words.
    Conflict(String),
    /// Somebody looks at an address that only takes forms.
    OnlyForms,
    TooSoon {
        seconds: u64,
    },
    /// A proxy names somebody who is no user here.
    UnknownToUs {
        name: String,
    },
    /// A link for integrators that opens nothing, or opens nothing any more.
    NoPortal(NoPortal),
    Store(StoreError),
    Broken(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoPortal> for Refusal {
    fn from(why: NoPortal) -> Self {
        match why {
            NoPortal::Store(error) => Self::Store(error),
            why => Self::NoPortal(why),
        }
    }
}

impl From<askama::Error> for Refusal {
    fn from(error: askama::Error) -> Self {
        Self::Broken(format!("the page cannot be rendered: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.leading_to(Some(("/", "To the overview")))
    }
}

impl Refusal {
    /// A form that shows something which somebody else has changed since.
    pub(crate) fn stale(what: &str) -> Self {
        Self::Conflict(format!(
            "Somebody else has changed {what} since this form was opened, and it would undo that. Open it again, look at \
            what is there now, and make your change once more."
        ))
    }

    /// What is missing where a form was to remove it.
    pub(crate) fn removed_already(self) -> Self {
        match self {
            Self::NotFound(what) => Self::Removed(what),
            other => other,
        }
    }

    /// As a page of its own, from which people go on to `home`.
    pub(crate) fn leading_to(self, home: Option<(&str, &str)>) -> Response {
        if let Self::SignIn { next } = &self {
            return Redirect::to(&sign_in_path(next)).into_response();
        }
        let words = self.words();
        let page = RefusalPage { style: &STYLE_PATH, title: words.title, detail: &words.detail, home };
        let mut response = words.respond(page.render());
        response.extensions_mut().insert(words);
        response
    }

    fn words(self) -> Words {
        let of = |status, title, detail: String| Words { status, title, detail, retry_after: None };
        match self {
            Self::SignIn { .. } => of(StatusCode::UNAUTHORIZED, "Sign in", "Nobody is signed in.".to_owned()),
            Self::NotFound(what) => of(
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is no {what} at this address. It may have been removed by its age, or not be yours to see."),
            ),
            Self::Removed(what) => of(
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is no {what} at this address, so nothing was done now. Most likely a first sending of the same form removed it, or somebody else did; or it is not yours to see."),
            ),
            Self::Role(role) => of(
                StatusCode::FORBIDDEN,
                "Not allowed",
                format!("Your role may not do this; the role {role} may. Ask somebody who manages the users."),
            ),
            Self::Forged => of(
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "The form did not come from a page of this session: it was opened before you signed in again, or by another site. Go back, reload the page, and send it again.".to_owned(),
            ),
            Self::FromElsewhere => of(
                StatusCode::FORBIDDEN,
                "Nothing was taken away",
                "Another site's page led to this download, and each one is noted with who took it. Open the list here, and take it from there.".to_owned(),
            ),
            Self::Bad(detail) => of(StatusCode::UNPROCESSABLE_ENTITY, "Nothing was done", detail),
            Self::Conflict(detail) => of(StatusCode::CONFLICT, "Nothing was done", detail),
            Self::OnlyForms => of(
                StatusCode::METHOD_NOT_ALLOWED,
                "There is nothing to see here",
                "This address takes a form that a page sends. What it did, it did when the form was sent; nothing was done now.".to_owned(),
            ),
            Self::TooSoon { seconds } => Words {
                retry_after: Some(seconds),
                ..of(
                    StatusCode::TOO_MANY_REQUESTS,
                    "Wait a moment",
                    format!("There were too many tries. Try again in {seconds} s."),
                )
            },
            Self::UnknownToUs { name } => of(
                StatusCode::FORBIDDEN,
                "You are no user here",
                format!("The proxy in front of this dashboard says that you are {name}, and there is no user of that name. An administrator can make one: postrider user create {name}"),
            ),
            Self::NoPortal(why) => of(StatusCode::FORBIDDEN, "This link does not open anything", no_portal(&why)),
            Self::Store(error) if error.is_unavailable() => {
                tracing::warn!(%error, "a page is not shown");
                let detail = match error {
                    // Its file may be gone, with all that is in it.
                    StoreError::Unreachable(_) => "Nothing is stored meanwhile. /readyz says what is wrong, and what to do.",
                    _ => "What was accepted is safe in it, and goes on once it answers. Reload this page in a moment; /readyz says what is wrong.",
                };
                of(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer", detail.to_owned())
            }
            Self::Store(error) => failed(&error.to_string()),
            Self::Broken(error) => failed(&error),
        }
    }
}

fn failed(error: &str) -> Words {
    tracing::error!(error, "a page is not shown");
    Words {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        title: "This page failed",
        detail: "The log of this process has the reason.".to_owned(),
        retry_after: None,
    }
}

fn no_portal(why: &NoPortal) -> String {
    let happened = match why {
        NoPortal::Expired => "Its time is over.",
        NoPortal::Revoked => "It was revoked.",
        NoPortal::Forged | NoPortal::Store(_) => "It is cut off or was changed, or this browser has opened none yet.",
    };
    format!("{happened} Ask whoever sent it to you for a new one; nothing that was sent to you is lost meanwhile.")
}

/// The sign-in that leads to a page of this host.
fn sign_in_path(next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/sign-in?next={next}")
}

/// What a refusal says, wherever it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    retry_after: Option<u64>,
}

impl Words {
    pub(crate) fn respond(&self, page: askama::Result<String>) -> Response {
        let mut response = match page {
            Ok(page) => (self.status, Html(page)).into_response(),
            Err(_) => (self.status, self.detail.clone()).into_response(),
        };
        let wait = self.retry_after.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
        response.headers_mut().extend(wait);
        response
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    style: &'a str,
    title: &'a str,
    detail: &'a str,
    /// Where to go on, and what that is called.
    home: Option<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "refusal_within.html")]
struct RefusalWithin {
    frame: Frame,
    detail: String,
    /// What it was about: an id or a name within the section.
    subject: Option<String>,
    /// The page that the reader came from.
    back: Option<String>,
}

/// Where a request's visit is kept while it is answered.
#[derive(Clone, Default)]
pub(crate) struct Seat(Arc<OnceLock<Visit>>);

impl Seat {
    /// Whoever comes first sits.
    pub(crate) fn take(&self, visit: &Visit) {
        self.0.get_or_init(|| visit.clone());
    }
}

/// Shows the refusals of a tenant's pages within its layout, as soon as it is known who is refused.
pub(crate) async fn within_layout(mut request: Request, next: Next) -> Response {
    let seat = Seat::default();
    request.extensions_mut().insert(seat.clone());
    let asked = Asked::of(&request);
    let mut response = next.run(request).await;
    let (Some(words), Some(visit)) = (response.extensions_mut().remove::<Words>(), seat.0.get()) else {
        return response;
    };
    let base = format!("/t/{}", visit.tenant.slug);
    let section = asked.uri.path().strip_prefix(&base).map_or(Section::Overview, Section::at);
    let page = RefusalWithin {
        frame: Frame::of(visit, section, words.title),
        detail: words.detail.clone(),
        subject: visit.subject.clone(),
        back: asked.back(&format!("{base}{}", section.path())),
    };
    words.respond(page.render())
}

/// A request, as far as its refusal tells of it.
struct Asked {
    method: Method,
    uri: Uri,
    referer: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
        Self { method: request.method().clone(), uri: uri.clone(), referer: referer(request.headers()) }
    }

    /// The path and query of the page that the reader came from, where it is one below `section`. Whoever wrote the header,
    /// it leads to this host.
    fn back(&self, section: &str) -> Option<String> {
        let came_from = Url::parse(self.referer.as_deref()?).ok()?;
        let (path, query) = (came_from.path(), came_from.query());
        let is_below = path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let address = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let is_this = self.method == Method::GET && self.uri.path_and_query().is_some_and(|asked| *asked == *address);
        (is_below && !is_this).then_some(address)
    }
}

fn referer(headers: &HeaderMap) -> Option<String> {
    headers.get(header::REFERER).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_to_a_page_of_the_same_section_and_never_elsewhere() {
        let back = |method: &Method, referer: &str| {
            let uri = Uri::from_static("/t/a/jobs/job_1?x=1");
            let asked = Asked { method: method.clone(), uri, referer: Some(referer.to_owned()) };
            asked.back("/t/a/jobs")
        };
        let of = |referer: &str| back(&Method::POST, referer);
        assert_eq!(of("http://any.example/t/a/jobs?tag=x&q=%22").as_deref(), Some("/t/a/jobs?tag=x&q=%22"));
        assert_eq!(of("http://any.example/t/a/jobs/job_1").as_deref(), Some("/t/a/jobs/job_1"));
        for other in [
            "",
            "/t/a/jobs",
            "http://h/t/a/jobsearch",
            "http://h/t/b/jobs",
            "http://h/t/a/jobs/../../../x",
            "http://h//evil.example/t/a/jobs",
            "javascript:/t/a/jobs",
        ] {
            let found = of(other);
            assert!(found.as_deref().is_none_or(|path| path.starts_with("/t/a/jobs")), "{other}: {found:?}");
        }
        assert_eq!(of("http://h//evil.example/t/a/jobs"), None);
        assert_eq!(back(&Method::GET, "http://h/t/a/jobs/job_1?x=1"), None, "the page that is refused");
    }
}
