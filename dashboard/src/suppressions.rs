//! Addresses that nothing is sent to: since when and why, who has them, one more by hand, and letting one be written to again.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        UnixMs,
        email::EmailAddress,
        recipient::RecipientKey,
        suppression::{SuppressedAddress, SuppressionCause, judge_reason},
        user::UserRole,
    },
    store::KeyPage,
};
use serde_json::json;

use crate::{
    Dashboard,
    faults::{Faults, Named},
    filter_form::{FieldsOf, FilterForm},
    how::How,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, in_path, show_with},
    pager::Pager,
    recipients::hides_addresses,
    visit::{Deed, Visit},
};

const ROWS: u32 = 50;
/// Those who have an address, as a line names them; whether there are more is said.
const OWNERS: u8 = 3;
const Q: Named = ("q", "Address's beginning");
const ADDRESS: Named = ("address", "Address");
const CAUSE: Named = ("cause", "Cause");
const REASON: Named = ("reason", "Reason");

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/suppressions", get(suppressions).post(put)).route("/suppressions/lift", post(lift))
}

#[derive(Template)]
#[template(path = "suppressions.html")]
struct SuppressionsPage {
    frame: Frame,
    form: FilterForm,
    rows: Vec<Line>,
    pager: Pager,
    how: How,
    /// With what each means.
    causes: [(&'static str, &'static str); SuppressionCause::ALL.len()],
}

struct Line {
    address: String,
    cause: &'static str,
    /// As jobs that stand alike look.
    class: &'static str,
    reason: String,
    owners: Vec<String>,
    has_more: bool,
    since: Moment,
}

async fn suppressions(visit: Visit) -> Shown {
    // A list without what it lists says nothing.
    if hides_addresses(&visit) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let fields = &visit.query;
    let mut faults = Faults::default();
    faults.read(fields.only(&[Q.0, "before"], &[]).map(Some));
    let (found, next) = match faults.is_empty() {
        true => {
            let after = fields.text("before").map(str::to_owned);
            visit.scope().suppressions(&as_kept(fields.text(Q.0)), &KeyPage { after, limit: ROWS }).await?
        }
        false => (Vec::new(), None),
    };
    let addresses: Vec<EmailAddress> = found.iter().map(|one| one.address.clone()).collect();
    let mut owners = visit.scope().recipients_at(&addresses, u32::from(OWNERS) + 1).await?;
    let of = FieldsOf { fields, faults: &faults };
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = SuppressionsPage {
        frame: Frame::of(&visit, Section::Suppressions, "Suppressions"),
        form: of.form(vec![of.text(Q, "bea@ or bea@example.com")], visit.now),
        rows: found.into_iter().map(|one| line(&visit, one, &mut owners)).collect(),
        pager: Pager::after(fields, next.map(String::from)),
        how: How::new(
            &visit,
            "publisher",
            &[("PUT", "/v1/suppressions/angry@member.example", json!({ "cause": "complaint" }))],
        ),
        causes: SuppressionCause::ALL.map(|cause| (cause.as_str(), cause.usual_reason())),
    };
    show_with(status, &page)
}

/// What an address begins with, as addresses are kept: what comes after the @ is in lower case.
fn as_kept(q: Option<&str>) -> String {
    let q = q.unwrap_or_default();
    q.split_once('@').map_or_else(|| q.to_owned(), |(name, host)| format!("{name}@{}", host.to_lowercase()))
}

fn line(visit: &Visit, of: SuppressedAddress, owners: &mut BTreeMap<EmailAddress, Vec<RecipientKey>>) -> Line {
    let owners = owners.remove(&of.address).unwrap_or_default();
    Line {
        cause: of.cause.as_str(),
        class: match of.cause {
            SuppressionCause::Bounce | SuppressionCause::Complaint => "dead",
            SuppressionCause::Manual => "cancelled",
        },
        address: of.address.into(),
        reason: of.reason,
        has_more: owners.len() > usize::from(OWNERS),
        owners: owners.iter().take(OWNERS.into()).map(ToString::to_string).collect(),
        since: Moment::of(of.created_at, visit.now),
    }
}

async fn put(Deed { visit, fields }: Deed) -> Shown {
    let mut faults = Faults::default();
    let address = faults.keep(ADDRESS, fields.text(ADDRESS.0).unwrap_or_default().parse::<EmailAddress>());
    let cause = faults.keep(CAUSE, fields.text(CAUSE.0).unwrap_or_default().parse::<SuppressionCause>());
    let reason = fields.text(REASON.0);
    faults.keep(REASON, reason.map_or(Ok(()), judge_reason));
    let (Some(address), Some(cause), true) = (address, cause, faults.is_empty()) else {
        return Err(faults.result().err().unwrap_or(Refusal::Forged));
    };
    let reason = reason.unwrap_or(cause.usual_reason());
    visit.scope().put_suppression(&address, cause, reason, UnixMs::now()).await?;
    Ok(Redirect::to(&listed(&visit, &address)).into_response())
}

fn listed(visit: &Visit, address: &EmailAddress) -> String {
    format!("{}/suppressions?q={}", base(&visit.tenant), in_path(address.as_str()))
}

async fn lift(Deed { visit, fields }: Deed) -> Shown {
    let address = fields.parsed::<EmailAddress>(ADDRESS, "e-mail address")?;
    let address = address.ok_or(Refusal::NotFound("suppression"))?;
    match visit.scope().lift_suppression(&address).await? {
        true => Ok(Redirect::to(&format!("{}/suppressions", base(&visit.tenant))).into_response()),
        false => Err(Refusal::Removed("suppression")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_for_as_it_is_kept() {
        for (typed, kept) in [(None, ""), (Some("Bea"), "Bea"), (Some("Bea@Ex"), "Bea@ex"), (Some("@A@B"), "@a@b")] {
            assert_eq!(as_kept(typed), kept);
        }
    }
}
