//! What all pages have in common: the sections of the dashboard, and the frame around a page.

use std::convert::Infallible;

use askama::Template;
use axum::{
    body::Body,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use futures::{StreamExt, stream};
use postrider_core::domain::{tenant::Tenant, user::UserRole};
use url::form_urlencoded::byte_serialize;

pub(crate) use crate::refusal::Refusal;
use crate::{
    assets::{SCRIPT_PATH, STYLE_PATH},
    visit::Visit,
};

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
    Notifications,
    Recipients,
    Suppressions,
    Topics,
    Types,
    Sites,
    Operations,
    Audit,
    Users,
    Tokens,
    Settings,
}

impl Section {
    const ALL: [Self; 19] = [
        Self::Overview,
        Self::Failures,
        Self::DeadLetters,
        Self::Jobs,
        Self::Lanes,
        Self::Workers,
        Self::Endpoints,
        Self::Events,
        Self::Notifications,
        Self::Recipients,
        Self::Suppressions,
        Self::Topics,
        Self::Types,
        Self::Sites,
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
            Self::Notifications => ("Notifications", "/notifications", "n"),
            Self::Recipients => ("Recipients", "/recipients", "r"),
            Self::Suppressions => ("Suppressions", "/suppressions", "x"),
            Self::Topics => ("Topics", "/topics", "c"),
            Self::Types => ("Types", "/notification-types", "y"),
            Self::Sites => ("Sites", "/sites", "i"),
            Self::Operations => ("Operations", "/operations", "p"),
            Self::Audit => ("Audit", "/audit", "a"),
            Self::Users => ("Users", "/users", "u"),
            Self::Tokens => ("Tokens", "/tokens", "t"),
            Self::Settings => ("Settings", "/settings", "s"),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.about().0
    }

    /// Its path behind a tenant's own.
    pub(crate) const fn path(self) -> &'static str {
        self.about().1
    }

    /// The one that a path behind a tenant's own lies in.
    pub(crate) fn at(path: &str) -> Self {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let is_it = |section: &Self| section.path().trim_start_matches('/') == first;
        Self::ALL.into_iter().find(is_it).unwrap_or(Self::Overview)
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
    /// A form did nothing since its session was over.
    pub(crate) after_form: bool,
    /// A proxy has signed the user in, and it alone signs them out.
    pub(crate) proxied: bool,
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
            after_form: visit.after_form,
            proxied: visit.proxied,
        }
    }

    /// Where the tenant's pages begin.
    pub(crate) fn base(&self) -> String {
        base(&self.tenant)
    }

    /// Where the section of this page begins.
    pub(crate) fn section_path(&self) -> String {
        format!("{}{}", self.base(), self.section.path())
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

/// A text as one part of a path.
pub(crate) fn in_path(text: &str) -> String {
    byte_serialize(text.as_bytes()).map(|part| if part == "+" { "%20" } else { part }).collect()
}

/// A page, or what is shown in its place.
pub(crate) type Shown = Result<Response, Refusal>;

pub(crate) fn show(page: &impl Template) -> Shown {
    show_with(StatusCode::OK, page)
}

pub(crate) fn show_with(status: StatusCode, page: &impl Template) -> Shown {
    Ok((status, Html(page.render()?)).into_response())
}

/// Where in a page stands what takes its time.
pub(crate) const LATER: &str = "<!-- later -->";

/// A page whose beginning is sent at once, and the rest of it once `later` has what stands at [`LATER`].
pub(crate) fn show_in_parts(page: &impl Template, later: impl Future<Output = String> + Send + 'static) -> Shown {
    let page = page.render()?;
    let (begin, end) = page.split_once(LATER).unwrap_or((page.as_str(), ""));
    let parts = stream::iter([begin.to_owned()]).chain(stream::once(later)).chain(stream::iter([end.to_owned()]));
    Ok(Html(Body::from_stream(parts.map(Ok::<_, Infallible>))).into_response())
}
