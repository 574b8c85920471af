//! The list of recipients, by what their keys begin with or by an e-mail address.

use askama::Template;
use axum::{Router, http::StatusCode, routing::get};
use postrider_core::{
    domain::{
        recipient::{Email, EmailState, Recipient},
        user::UserRole,
    },
    store::KeyPage,
};
use serde_json::{Value, json};

use crate::{
    Dashboard,
    faults::{Faults, Named},
    filter_form::{FieldsOf, FilterForm},
    how::How,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, show_with},
    pager::Pager,
    visit::Visit,
};

const ROWS: u32 = 50;
const Q: Named = ("q", "Key's beginning, or e-mail");

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/recipients", get(recipients))
}

#[derive(Template)]
#[template(path = "recipients.html")]
struct RecipientsPage {
    frame: Frame,
    form: FilterForm,
    rows: Vec<Line>,
    pager: Pager,
    how: How,
}

struct Line {
    key: String,
    email: Option<EmailLine>,
    locale: String,
    zone: String,
    changed: Moment,
}

/// An address, and whether it is written to.
pub(crate) struct EmailLine {
    /// As whoever looks may see it.
    pub(crate) address: String,
    pub(crate) state: &'static str,
    /// As jobs that stand alike look.
    pub(crate) class: &'static str,
    /// Why nothing is sent to it.
    pub(crate) reason: Option<String>,
}

impl EmailLine {
    pub(crate) fn of(email: &Email, shown: &Value) -> Self {
        let class = match email.state {
            EmailState::Unverified => "pending",
            EmailState::Verified => "succeeded",
            EmailState::Suppressed(_) => "dead",
        };
        Self {
            address: shown["email"].as_str().unwrap_or_default().to_owned(),
            state: email.state.as_str(),
            class,
            reason: email.state.reason().map(str::to_owned),
        }
    }
}

/// What is known of somebody as whoever looks may see it: what is hidden of payloads is hidden of people, by the names that the
/// API has for it.
pub(crate) fn shown(visit: &Visit, recipient: &Recipient) -> Value {
    let email = recipient.email.as_ref().map(|email| email.address.as_str());
    let attributes = recipient.profile.attributes.clone().into_map();
    let all = json!({ "key": recipient.key.as_str(), "email": email, "attributes": attributes });
    serde_json::from_str(&visit.body(all.to_string().as_bytes()).raw).unwrap_or_default()
}

/// Whether addresses are hidden from whoever looks.
pub(crate) fn hides_addresses(visit: &Visit) -> bool {
    let example = json!({ "email": "a@b.example" });
    serde_json::from_str::<Value>(&visit.body(example.to_string().as_bytes()).raw).ok() != Some(example)
}

async fn recipients(visit: Visit) -> Shown {
    let fields = &visit.query;
    let mut faults = Faults::default();
    faults.read(fields.only(&[Q.0, "before"], &[]).map(Some));
    let q = fields.text(Q.0).unwrap_or_default();
    // What is hidden is not to be found out by searching either.
    if q.contains('@') && hides_addresses(&visit) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let (found, next) = match faults.is_empty() {
        true => {
            let after = fields.text("before").map(str::to_owned);
            visit.scope().recipients(q, &KeyPage { after, limit: ROWS }).await?
        }
        false => (Vec::new(), None),
    };
    let of = FieldsOf { fields, faults: &faults };
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let body = json!({ "email": "bea@example.com", "locale": "de-AT", "time_zone": "Europe/Vienna",
        "attributes": { "name": "Bea" } });
    let page = RecipientsPage {
        frame: Frame::of(&visit, Section::Recipients, "Recipients"),
        form: of.form(vec![of.text(Q, "member-42 or bea@example.com")], visit.now),
        rows: found.iter().map(|recipient| line(&visit, recipient)).collect(),
        pager: Pager::after(fields, next.map(|key| key.to_string())),
        how: How::new(&visit, "publisher", &[("PUT", "/v1/recipients/member-42", body)]),
    };
    show_with(status, &page)
}

fn line(visit: &Visit, recipient: &Recipient) -> Line {
    let shown = shown(visit, recipient);
    Line {
        key: recipient.key.to_string(),
        email: recipient.email.as_ref().map(|email| EmailLine::of(email, &shown)),
        locale: recipient.profile.locale.as_ref().map(ToString::to_string).unwrap_or_default(),
        zone: recipient.profile.time_zone.as_ref().map(|zone| zone.name().to_owned()).unwrap_or_default(),
        changed: Moment::of(recipient.updated_at, visit.now),
    }
}
