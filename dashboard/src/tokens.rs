//! A tenant's API tokens. Their texts are shown once.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        line::judge_line,
        tenant::{Role, Token},
        token_text::TokenText,
        user::UserRole,
    },
    store::{Page, StoreError},
};

use crate::{
    Dashboard,
    moment::Moment,
    once::{id_of_form, made_already},
    page::{Frame, Refusal, Section, Shown, base, show},
    pager::Pager,
    secret_once::SecretPage,
    visit::{Deed, Visit},
};

const ROWS: u32 = 50;
const DAYS_MAX: i64 = 3_650;
const DAY_MS: i64 = 86_400_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/tokens", get(tokens).post(create)).route("/tokens/{id}/revoke", post(revoke))
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    rows: Vec<Line>,
    pager: Pager,
    roles: [(&'static str, &'static str); 4],
    /// Of the token that the form makes.
    id: String,
}

struct Line {
    id: String,
    name: String,
    role: &'static str,
    made: Moment,
    ends: Option<Moment>,
}

async fn tokens(visit: Visit) -> Shown {
    if !visit.may(UserRole::Admin) {
        return Err(Refusal::Role(UserRole::Admin));
    }
    let before = visit.query.before::<Id<Token>>()?;
    let listed = visit.scope().tokens(&Page { before, limit: ROWS }).await?;
    let pager = Pager::of(&visit.query, &listed);
    let line = |token: Token| Line {
        id: token.id.to_string(),
        name: token.name,
        role: token.role.map_or("administrator", Role::as_str),
        made: Moment::of(token.created_at, visit.now),
        ends: token.expires_at.map(|at| Moment::of(at, visit.now)),
    };
    let roles = Role::ALL.map(|role| (role.as_str(), words(role)));
    let rows = listed.rows.into_iter().map(line).collect();
    let (frame, id) = (Frame::of(&visit, Section::Tokens, "API tokens"), Id::<Token>::new().to_string());
    show(&TokensPage { frame, rows, pager, roles, id })
}

const fn words(role: Role) -> &'static str {
    match role {
        Role::Admin => "everything of the tenant",
        Role::Publisher => "hands in events and jobs",
        Role::Operator => "all but tokens",
        Role::Viewer => "reads",
    }
}

async fn create(deed: Deed) -> Shown {
    deed.needs(UserRole::Admin)?;
    let Deed { visit, fields } = deed;
    let name = fields.text("name").unwrap_or_default();
    judge_line(name).map_err(|error| Refusal::Bad(format!("The name {error}. Go back and mend it.")))?;
    let role: Role = fields
        .text("role")
        .unwrap_or_default()
        .parse()
        .map_err(|error| Refusal::Bad(format!("{error}. Go back and choose one.")))?;
    let days = fields.text("days").map(|days| {
        let days = days.parse::<i64>().ok().filter(|days| (1..=DAYS_MAX).contains(days));
        days.ok_or_else(|| Refusal::Bad(format!("A token lives for 1 to {DAYS_MAX} days. Go back and mend it.")))
    });
    let expires_at = days.transpose()?.map(|days| UnixMs(visit.now.0 + days * DAY_MS));
    let text = TokenText::from_random(rand::random());
    let token = Token {
        id: id_of_form(&fields, visit.now)?,
        tenant_id: visit.tenant.id,
        name: name.to_owned(),
        role: Some(role),
        expires_at,
        created_at: visit.now,
    };
    match visit.scope().create_token(&token, &text.hash()).await {
        Err(StoreError::Exists(_)) => return Err(made_already("token", "revoke it and make another")),
        made => made?,
    }
    show(&SecretPage {
        frame: Frame::of(&visit, Section::Tokens, "API token"),
        title: format!("The token {}", token.name),
        text: "It is sent as `Authorization: Bearer …`. It is not shown again; whoever loses it needs a new one.",
        secret: text.reveal().to_owned(),
        back: format!("{}/tokens", base(&visit.tenant)),
    })
}

async fn revoke(Path((_, id)): Path<(String, String)>, deed: Deed) -> Shown {
    deed.needs(UserRole::Admin)?;
    let Deed { visit, .. } = deed;
    let Ok(id) = id.parse::<Id<Token>>() else { return Err(Refusal::NotFound("token")) };
    match visit.scope().revoke_token(id).await? {
        true => Ok(Redirect::to(&format!("{}/tokens", base(&visit.tenant))).into_response()),
        false => Err(Refusal::Removed("token")),
    }
}
