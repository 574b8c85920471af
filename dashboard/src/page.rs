//! What all pages have in common: the frame around them, their headers, and what is shown where there is no page.

use std::convert::Infallible;

use askama::Template;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use futures::{StreamExt, stream};
use postrider_core::{
    domain::{tenant::Tenant, user::UserRole},
    store::{NoPortal, StoreError},
};

use crate::{
    assets::{SCRIPT_PATH, STYLE_PATH},
    visit::Visit,
};

/// Nothing is loaded from elsewhere, nothing is framed, and no script runs but the one of this host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Pages show what receivers and publishers sent, and change from one moment to the next.
pub(crate) const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// The part of the dashboard that a page belongs to, in the order of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Failures,
    DeadLetters,
    Jobs,
    Lanes,
    Workers,
    Endpoints,
    Events,
    Operations,
    Audit,
    Users,
    Tokens,
    Settings,
}

impl Section {
    const ALL: [Self; 13] = [
        Self::Overview,
        Self::Failures,
        Self::DeadLetters,
        Self::Jobs,
        Self::Lanes,
        Self::Workers,
        Self::Endpoints,
        Self::Events,
        Self::Operations,
        Self::Audit,
        Self::Users,
        Self::Tokens,
        Self::Settings,
    ];

    /// Its name, its path behind the tenant's own, and the key that leads there after a `g`.
    const fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Overview => ("Overview", "", "o"),
            Self::Failures => ("Failures", "/failures", "f"),
            Self::DeadLetters => ("Dead letters", "/dead-letters", "d"),
            Self::Jobs => ("Jobs", "/jobs", "j"),
            Self::Lanes => ("Lanes", "/lanes", "l"),
            Self::Workers => ("Workers", "/workers", "w"),
            Self::Endpoints => ("Endpoints", "/endpoints", "e"),
            Self::Events => ("Events", "/events", "v"),
            Self::Operations => ("Operations", "/operations", "p"),
            Self::Audit => ("Audit", "/audit", "a"),
            Self::Users => ("Users", "/users", "u"),
            Self::Tokens => ("Tokens", "/tokens", "t"),
            Self::Settings => ("Settings", "/settings", "s"),
        }
    }

    /// Who sees it.
    const fn role(self) -> UserRole {
        match self {
            Self::Users | Self::Tokens | Self::Settings => UserRole::Admin,
            _ => UserRole::Viewer,
        }
    }
}

/// What stands around a page.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) section: Section,
    pub(crate) user: String,
    pub(crate) role: UserRole,
    pub(crate) tenant: Tenant,
    pub(crate) tenants: Vec<Tenant>,
    /// For the page's forms.
    pub(crate) token: String,
}

impl Frame {
    pub(crate) fn of(visit: &Visit, section: Section, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            user: visit.user.name.to_string(),
            role: visit.user.role,
            tenant: visit.tenant.clone(),
            tenants: visit.tenants.clone(),
            token: visit.session.form_token(),
        }
    }

    /// Where the tenant's pages begin.
    pub(crate) fn base(&self) -> String {
        base(&self.tenant)
    }

    pub(crate) fn style(&self) -> &'static str {
        &STYLE_PATH
    }

    /// Whether whoever looks may act.
    pub(crate) fn acts(&self) -> bool {
        self.role.may(UserRole::Operator)
    }

    pub(crate) fn script(&self) -> &'static str {
        &SCRIPT_PATH
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = Link> {
        Section::ALL.into_iter().filter(|section| self.role.may(section.role())).map(|section| {
            let (name, path, key) = section.about();
            Link { name, path: format!("{}{path}", self.base()), key, is_here: section == self.section }
        })
    }
}

/// A section in the navigation.
pub(crate) struct Link {
    pub(crate) name: &'static str,
    pub(crate) path: String,
    pub(crate) key: &'static str,
    pub(crate) is_here: bool,
}

/// Where a tenant's pages begin.
pub(crate) fn base(tenant: &Tenant) -> String {
    format!("/t/{}", tenant.slug)
}

/// A page, or what is shown in its place.
pub(crate) type Shown = Result<Response, Refusal>;

/// A page with the headers that all have.
pub(crate) fn show(page: &impl Template) -> Shown {
    show_with(StatusCode::OK, page)
}

pub(crate) fn show_with(status: StatusCode, page: &impl Template) -> Shown {
    Ok((status, HEADERS, Html(page.render()?)).into_response())
}

/// Where in a page stands what takes its time.
pub(crate) const LATER: &str = "<!-- later -->";

/// A page whose beginning is sent at once, and the rest of it once `later` has what stands at [`LATER`].
pub(crate) fn show_in_parts(page: &impl Template, later: impl Future<Output = String> + Send + 'static) -> Shown {
    let page = page.render()?;
    let (begin, end) = page.split_once(LATER).unwrap_or((page.as_str(), ""));
    let parts = stream::iter([begin.to_owned()]).chain(stream::once(later)).chain(stream::iter([end.to_owned()]));
    Ok((HEADERS, Html(Body::from_stream(parts.map(Ok::<_, Infallible>)))).into_response())
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody is signed in; where to go on after it.
    SignIn {
        next: String,
    },
    /// What is missing.
    NotFound(&'static str),
    /// The user's role may not do it; the one that may.
    Role(UserRole),
    /// A form from elsewhere, or from a session that is over.
    Forged,
    /// What a person can mend, in words.
    Bad(String),
    /// Somebody was faster, or it cannot be done now, in words.
    Conflict(String),
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

impl From<askama::Error> for Refusal {
    fn from(error: askama::Error) -> Self {
        Self::Broken(format!("the page cannot be rendered: {error}"))
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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.leading_to(Some(("/", "To the overview")))
    }
}

fn no_portal(why: NoPortal) -> String {
    let happened = match why {
        NoPortal::Expired => "Its time is over.",
        NoPortal::Forged => "It is cut off or was changed, or this browser has opened none yet.",
    };
    format!("{happened} Ask whoever sent it to you for a new one; nothing that was sent to you is lost meanwhile.")
}

impl Refusal {
    /// As a page from which people go on to `home`.
    pub(crate) fn leading_to(self, home: Option<(&str, &str)>) -> Response {
        let (status, title, detail) = match self {
            Self::SignIn { next } => return Redirect::to(&sign_in_path(&next)).into_response(),
            Self::NotFound(what) => (
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is no {what} at this address. It may have been removed by its age, or belong to a tenant that you do not see."),
            ),
            Self::Role(role) => (
                StatusCode::FORBIDDEN,
                "Not allowed",
                format!("Your role may not do this; the role {role} may. Ask somebody who manages the users."),
            ),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "The form did not come from a page of this session: it was opened before you signed in again, or by another site. Go back, reload the page, and send it again.".to_owned(),
            ),
            Self::Bad(detail) => (StatusCode::UNPROCESSABLE_ENTITY, "Nothing was done", detail),
            Self::Conflict(detail) => (StatusCode::CONFLICT, "Nothing was done", detail),
            Self::TooSoon { seconds } => {
                let detail = format!("There were too many tries. Try again in {seconds} s.");
                let mut response =
                    refusal(StatusCode::TOO_MANY_REQUESTS, "Wait a moment", &detail, home);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                return response;
            }
            Self::UnknownToUs { name } => (
                StatusCode::FORBIDDEN,
                "You are no user here",
                format!("The proxy in front of this dashboard says that you are {name}, and there is no user of that name. An administrator can make one: postrider user create {name}"),
            ),
            Self::NoPortal(why) => (StatusCode::FORBIDDEN, "This link does not open anything", no_portal(why)),
            Self::Store(error) if error.is_unavailable() => {
                tracing::warn!(%error, "a page is not shown");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The database does not answer",
                    "What was accepted is safe in it, and goes on once it answers. Reload this page in a moment; /readyz says what is wrong.".to_owned(),
                )
            }
            Self::Store(error) => {
                tracing::error!(%error, "a page is not shown");
                (StatusCode::INTERNAL_SERVER_ERROR, "This page failed", "The log of this process has the reason.".to_owned())
            }
            Self::Broken(error) => {
                tracing::error!(error, "a page is not shown");
                (StatusCode::INTERNAL_SERVER_ERROR, "This page failed", "The log of this process has the reason.".to_owned())
            }
        };
        refusal(status, title, &detail, home)
    }
}

fn refusal(status: StatusCode, title: &str, detail: &str, home: Option<(&str, &str)>) -> Response {
    let page = RefusalPage { style: &STYLE_PATH, title, detail, home };
    match page.render() {
        Ok(page) => (status, HEADERS, Html(page)).into_response(),
        Err(_) => (status, detail.to_owned()).into_response(),
    }
}

/// The sign-in that leads to a page of this host.
fn sign_in_path(next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/sign-in?next={next}")
}
