//! What people read in an alert.

use postrider_core::{domain::site::settings::Site, store::AlertMessage};
use serde_json::{Value, json};

pub(super) const fn state(message: &AlertMessage) -> &'static str {
    if message.recovered { "recovered" } else { "raised" }
}

/// A subject of one line, and all of it.
pub(super) fn of(site: &Site, message: &AlertMessage) -> (String, String) {
    let (slug, alert) = (&site.slug, &message.alert);
    let subject = match message.recovered {
        false => format!("Site {slug}: {}", alert.cause),
        true => format!("Site {slug}: {} is over", alert.cause),
    };
    let text = match message.recovered {
        false => format!("Site {slug} is {} since {}: {}.", alert.cause, alert.raised_at, alert.detail),
        true => format!(
            "Site {slug} was {} from {} to {}: {}.",
            alert.cause,
            alert.raised_at,
            alert.recovered_at.map(|at| at.to_string()).unwrap_or_default(),
            alert.cause.recovered()
        ),
    };
    (subject, text)
}

pub(super) fn payload(site: &Site, message: &AlertMessage, text: &str) -> Value {
    let alert = &message.alert;
    json!({
        "site": site.slug.as_str(),
        "alert": alert.id,
        "cause": alert.cause.as_str(),
        "state": state(message),
        "detail": alert.detail,
        "text": text,
        "raised_at": alert.raised_at.to_string(),
        "recovered_at": alert.recovered_at.map(|at| at.to_string()),
    })
}
