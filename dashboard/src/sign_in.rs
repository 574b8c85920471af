//! Signing in and out, and the first user of an installation.

use askama::Template;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use postrider_core::domain::{
    Id, UnixMs,
    user::{Actor, PASSWORD_CHARS, Reach, User, UserName, UserRole, judge_password},
};

use crate::{
    Dashboard,
    again::is_after_form,
    assets::STYLE_PATH,
    fields::Fields,
    page::{Refusal, Shown, base, show_with},
    session::{Session, no_cookie},
    visit::{SMALL_FORM_BYTES_MAX, client_address, form, signed_in, signed_in_at_proxy},
};

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/t", get(first_tenant))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/welcome", get(welcome_page).post(welcome))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    style: &'a str,
    has_users: bool,
    next: &'a str,
    /// They come from a form that did nothing.
    after_form: bool,
    name: &'a str,
    error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage<'a> {
    style: &'a str,
    key: &'a str,
    name: &'a str,
    chars_min: usize,
    error: Option<&'a str>,
}

/// The first of the tenants that the user may see.
async fn first_tenant(State(dashboard): State<Dashboard>, request: Request) -> Shown {
    let parts = request.into_parts().0;
    let user = signed_in(&parts, &dashboard, UnixMs::now()).await?.user;
    let tenants = dashboard.store.tenants_in_reach(&user.reach).await?;
    let first = tenants.first().ok_or(Refusal::NotFound("tenant that you may see"))?;
    Ok(Redirect::to(&base(first)).into_response())
}

async fn sign_in_page(State(dashboard): State<Dashboard>, request: Request) -> Shown {
    let parts = request.into_parts().0;
    let fields = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())?;
    let next = here(fields.text("next"));
    // Whom a proxy has signed in needs no password, and could not become somebody else by one.
    if signed_in_at_proxy(&parts, &dashboard).await?.is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    let has_users = dashboard.store.has_users().await?;
    let after_form = is_after_form(next);
    show_with(StatusCode::OK, &SignInPage { style: &STYLE_PATH, has_users, next, after_form, name: "", error: None })
}

async fn sign_in(State(dashboard): State<Dashboard>, request: Request) -> Shown {
    let (parts, body) = request.into_parts();
    let fields = form(&dashboard, &parts.headers, body, SMALL_FORM_BYTES_MAX).await?;
    let address = client_address(&parts, &dashboard.settings.trusted_proxies);
    let (name, password) = (fields.text("name").unwrap_or_default(), fields.raw("password").unwrap_or_default());
    let next = here(fields.text("next"));
    let parsed: Option<UserName> = name.parse().ok();
    let key = parsed.as_ref().map_or("", UserName::as_str);
    if let Err(wait) = dashboard.throttle.begin(address, key).await {
        return Err(Refusal::TooSoon { seconds: wait.as_secs() + 1 });
    }
    let known = match &parsed {
        Some(name) => dashboard.store.password_of(name).await?,
        None => None,
    };
    let (user, hash) = known.unzip();
    // One that could not be a password is not worth its hash.
    let right = judge_password(password).is_ok() && dashboard.passwords.verify(password.to_owned(), hash).await;
    match (&parsed, user.filter(|_| right)) {
        (Some(name), Some(user)) => {
            dashboard.throttle.succeeded(address, name.as_str()).await;
            begin(&dashboard, user, &Actor { name: name.clone(), address }, next).await
        }
        _ => {
            tracing::info!(name = key, %address, "somebody could not sign in to the dashboard");
            let error = Some("This name and this password do not belong together.");
            let after_form = is_after_form(next);
            let page = SignInPage { style: &STYLE_PATH, has_users: true, next, after_form, name, error };
            show_with(StatusCode::FORBIDDEN, &page)
        }
    }
}

async fn sign_out(State(dashboard): State<Dashboard>, request: Request) -> Shown {
    let (parts, body) = request.into_parts();
    form(&dashboard, &parts.headers, body, SMALL_FORM_BYTES_MAX).await?;
    if let Some(session) = Session::of(&parts.headers, dashboard.settings.tls) {
        dashboard.store.end_session(&session.hash()).await?;
    }
    Ok(with_cookie(Redirect::to("/sign-in").into_response(), no_cookie(dashboard.settings.tls)))
}

async fn welcome_page(State(dashboard): State<Dashboard>, request: Request) -> Shown {
    let fields = Fields::parse(request.uri().query().unwrap_or_default().as_bytes())?;
    let key = fields.text("key").unwrap_or_default();
    if !dashboard.store.is_first_user_key(key).await? {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let page = WelcomePage { style: &STYLE_PATH, key, name: "", chars_min: *PASSWORD_CHARS.start(), error: None };
    show_with(StatusCode::OK, &page)
}

/// Makes the first user, who may do everything, and signs it in.
async fn welcome(State(dashboard): State<Dashboard>, request: Request) -> Shown {
    let (parts, body) = request.into_parts();
    let fields = form(&dashboard, &parts.headers, body, SMALL_FORM_BYTES_MAX).await?;
    let key = fields.text("key").unwrap_or_default();
    if !dashboard.store.is_first_user_key(key).await? {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let (name, password) = (fields.text("name").unwrap_or_default(), fields.raw("password").unwrap_or_default());
    let user = match first_user(name, password) {
        Ok(user) => user,
        Err(error) => {
            let (chars_min, error) = (*PASSWORD_CHARS.start(), Some(error.as_str()));
            let page = WelcomePage { style: &STYLE_PATH, key, name, chars_min, error };
            return show_with(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    let actor = actor(&dashboard, &parts, &user.name);
    let hash = dashboard.passwords.hash(password.to_owned()).await;
    let hash = hash.map_err(|error| Refusal::Broken(error.to_string()))?;
    match dashboard.store.create_first_user(&user, &hash, key, &actor).await? {
        true => begin(&dashboard, user.id, &actor, "/t").await,
        false => Ok(Redirect::to("/sign-in").into_response()),
    }
}

fn first_user(name: &str, password: &str) -> Result<User, String> {
    let name = name.parse::<UserName>().map_err(|error| format!("{error}."))?;
    judge_password(password).map_err(|error| format!("The password {error}."))?;
    let now = UnixMs::now();
    Ok(User { id: Id::new(), name, role: UserRole::Admin, reach: Reach::Every, password_at: now, created_at: now })
}

fn actor(dashboard: &Dashboard, parts: &Parts, name: &UserName) -> Actor {
    Actor { name: name.clone(), address: client_address(parts, &dashboard.settings.trusted_proxies) }
}

/// Begins a session and goes on to `next`.
async fn begin(dashboard: &Dashboard, user: Id<User>, actor: &Actor, next: &str) -> Shown {
    let session = Session::new();
    dashboard.store.begin_session(&session.hash(), user, actor, UnixMs::now()).await?;
    Ok(with_cookie(Redirect::to(next).into_response(), session.cookie(dashboard.settings.tls)))
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// Where to go on: a path of this host, whoever wrote the link. What browsers take for another host is not.
fn here(next: Option<&str>) -> &str {
    let next = next.unwrap_or_default();
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_path = is_path && next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path { next } else { "/t" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_this_host_only() {
        assert_eq!(here(Some("/t/default/failures?a=b")), "/t/default/failures?a=b");
        for elsewhere in ["", "https://a.example", "//a.example", "/\\a.example", "/\t/a.example", "javascript:x"] {
            assert_eq!(here(Some(elsewhere)), "/t", "{elsewhere}");
        }
    }
}
