//! What people did to a tenant's things.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{
        Id, UnixMs,
        user::{Reach, UserRole},
    },
    store::{AuditEntry, Page},
};

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
    let rows = listed.rows.into_iter().map(|entry| line(entry, visit.now)).collect();
    let frame = Frame::of(&visit, Section::Audit, "Audit");
    show(&AuditPage { frame, rows, older, sees_installation, of_installation })
}

fn line(entry: AuditEntry, now: UnixMs) -> Line {
    let change = match (entry.before, entry.after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (None, Some(after)) => after.to_string(),
        (Some(before), None) => before.to_string(),
        (None, None) => String::new(),
    };
    Line {
        at: Moment::of(entry.created_at, now),
        actor: entry.actor,
        address: entry.address,
        action: entry.action,
        subject: entry.subject,
        change,
    }
}
