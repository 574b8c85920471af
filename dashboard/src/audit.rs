//! What people did to a tenant's things.

use askama::Template;
use axum::{Router, http::StatusCode, routing::get};
use postrider_core::{
    domain::{
        Id,
        user::{Reach, UserRole},
    },
    store::{AuditEntry, AuditFilter, Listed, Page},
};
use serde_json::Value;

use crate::{
    Dashboard,
    change::{Changed, How, changed},
    faults::{Faults, Named},
    filter_form::{FieldsOf, FilterForm},
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, show_with},
    pager::Pager,
    recipients::hides_addresses,
    subject::subject_path,
    visit::Visit,
};

const ROWS: u32 = 50;
/// Stands where an address is.
const HIDDEN: &str = "(hidden)";

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/audit", get(audit))
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    form: FilterForm,
    /// Somebody or something is asked for.
    is_asked: bool,
    rows: Vec<Line>,
    pager: Pager,
    sees_installation: bool,
    of_installation: bool,
}

struct Line {
    at: Moment,
    actor: String,
    address: String,
    action: String,
    subject: String,
    /// Its page.
    path: Option<String>,
    change: Vec<Changed>,
}

const ACTOR: Named = ("actor", "Who");
const ACTION: Named = ("action", "What, or its beginning");
const SUBJECT: Named = ("subject", "To what: id or name");

async fn audit(visit: Visit) -> Shown {
    let fields = &visit.query;
    let page = Page { before: fields.before::<Id<AuditEntry>>()?, limit: ROWS };
    let sees_installation = visit.may(UserRole::Admin) && visit.user.reach == Reach::Every;
    let of_installation = sees_installation && fields.text("of") == Some("installation");
    let text = |(name, _): Named| fields.text(name).map(str::to_owned);
    let filter = AuditFilter { actor: text(ACTOR), action: text(ACTION), subject: text(SUBJECT) };
    // What is hidden is not to be found out by searching either.
    if filter.subject.as_ref().is_some_and(|subject| subject.contains('@')) && hides_addresses(&visit) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let mut faults = Faults::default();
    faults.read(fields.only(&[ACTOR.0, ACTION.0, SUBJECT.0, "of", "before"], &[]).map(Some));
    let listed = match of_installation {
        _ if !faults.is_empty() => Listed { rows: Vec::new(), next: None },
        true => visit.dashboard.store.installation_audit(&filter, &page).await?,
        false => visit.scope().audit(&filter, &page).await?,
    };
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let of = FieldsOf { fields, faults: &faults };
    let asked = vec![of.text(ACTOR, ""), of.text(ACTION, "dead_letter"), of.text(SUBJECT, "dl_…")];
    let page = AuditPage {
        frame: Frame::of(&visit, Section::Audit, "Audit"),
        form: of.form(asked, visit.now),
        is_asked: filter != AuditFilter::default(),
        pager: Pager::searched(fields, &listed, ROWS, visit.now),
        rows: listed.rows.into_iter().map(|entry| line(&visit, entry)).collect(),
        sees_installation,
        of_installation,
    };
    show_with(status, &page)
}

fn line(visit: &Visit, mut entry: AuditEntry) -> Line {
    hide_addresses(visit, &mut entry);
    let [before, after] = with_urls_seen(visit, [entry.before, entry.after]);
    Line {
        at: Moment::of(entry.created_at, visit.now),
        path: subject_path(&entry.action, &entry.subject),
        change: changed(before, after),
        actor: entry.actor,
        address: entry.address,
        action: entry.action,
        subject: entry.subject,
    }
}

/// People's addresses, from whoever does not see them of people either.
fn hide_addresses(visit: &Visit, entry: &mut AuditEntry) {
    if !hides_addresses(visit) {
        return;
    }
    if entry.action.starts_with("suppression.") {
        HIDDEN.clone_into(&mut entry.subject);
    }
    if entry.action == "recipient.lift_suppression"
        && let Some(Value::Object(members)) = &mut entry.before
    {
        members.insert("address".to_owned(), HIDDEN.into());
    }
}

/// The settings of an endpoint have its address. Where it has changed in what is hidden of it, that is said.
fn with_urls_seen(visit: &Visit, mut values: [Option<Value>; 2]) -> [Option<Value>; 2] {
    let url = |value: &Option<Value>| value.as_ref()?.get("url")?.as_str().map(str::to_owned);
    let [was, is] = [url(&values[0]), url(&values[1])];
    let [mut shown_was, mut shown_is] = [&was, &is].map(|url| url.as_ref().map(|url| visit.url(url)));
    if was.is_some() && is.is_some() && was != is && shown_was == shown_is {
        shown_is = shown_is.map(|url| format!("{url} (hidden, changed)"));
    }
    for (value, url) in values.iter_mut().zip([shown_was.take(), shown_is.take()]) {
        if let (Some(Value::Object(members)), Some(url)) = (value, url) {
            members.insert("url".to_owned(), url.into());
        }
    }
    values
}
