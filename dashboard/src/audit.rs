//! What people did to a tenant's things.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{
        Id,
        user::{Reach, UserRole},
    },
    store::{AuditEntry, Page},
};

use serde_json::Value;

use crate::{
    Dashboard,
    moment::Moment,
    page::{Frame, Section, Shown, show},
    visit::Visit,
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/audit", get(audit))
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    rows: Vec<Line>,
    older: Option<String>,
    sees_installation: bool,
    of_installation: bool,
}

struct Line {
    at: Moment,
    actor: String,
    address: String,
    action: String,
    subject: String,
    change: String,
}

async fn audit(visit: Visit) -> Shown {
    let before = visit.query.text("before").and_then(|id| id.parse::<Id<AuditEntry>>().ok());
    let page = Page { before, limit: ROWS };
    let sees_installation = visit.may(UserRole::Admin) && visit.user.reach == Reach::Every;
    let of_installation = sees_installation && visit.query.text("of") == Some("installation");
    let listed = match of_installation {
        true => visit.dashboard.store.installation_audit(&page).await?,
        false => visit.scope().audit(&page).await?,
    };
    let older = listed.next.map(|next| visit.query.query_with("before", &next.to_string()));
    let rows = listed.rows.into_iter().map(|entry| line(&visit, entry)).collect();
    let frame = Frame::of(&visit, Section::Audit, "Audit");
    show(&AuditPage { frame, rows, older, sees_installation, of_installation })
}

fn line(visit: &Visit, entry: AuditEntry) -> Line {
    let seen = |value: Option<Value>| value.map(|value| with_urls_seen(visit, value));
    let change = match (seen(entry.before), seen(entry.after)) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (None, Some(after)) => after.to_string(),
        (Some(before), None) => before.to_string(),
        (None, None) => String::new(),
    };
    Line {
        at: Moment::of(entry.created_at, visit.now),
        actor: entry.actor,
        address: entry.address,
        action: entry.action,
        subject: entry.subject,
        change,
    }
}

/// The settings of an endpoint have its address.
fn with_urls_seen(visit: &Visit, mut value: Value) -> Value {
    if let Some(url) = value.get("url").and_then(Value::as_str) {
        value["url"] = visit.url(url).into();
    }
    value
}
