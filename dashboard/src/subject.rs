//! Where an id leads: the page of what it names.

use postrider_core::domain::{
    Id, dead_letter::DeadLetter, email::EmailAddress, endpoint::Endpoint, event::Event, fingerprint::Fingerprint,
    job::Job, lane::LaneName, notification::Notification, notification_type::TypeKey, recipient::RecipientKey,
};
use postrider_core::store::Operation;

use crate::page::in_path;

/// The page of what an action was done to, below the tenant's own.
pub(crate) fn subject_path(action: &str, subject: &str) -> Option<String> {
    let named = match action.split('.').next() {
        Some("failure") => subject.parse::<Fingerprint>().ok().map(|id| format!("/failures/{id}")),
        Some("lane") => subject.parse::<LaneName>().ok().map(|name| format!("/lanes/{name}")),
        Some("recipient") => {
            subject.parse::<RecipientKey>().ok().map(|key| format!("/recipients/{}", in_path(key.as_str())))
        }
        Some("suppression") => {
            let address = subject.parse::<EmailAddress>().ok();
            address.map(|address| format!("/suppressions?q={}", in_path(address.as_str())))
        }
        Some("notification_type") => subject.parse::<TypeKey>().ok().map(|key| format!("/notification-types/{key}")),
        _ => None,
    };
    named.or_else(|| id_path(subject))
}

/// The page of an id that tells its kind.
pub(crate) fn id_path(id: &str) -> Option<String> {
    let section = match id.split_once('_')?.0 {
        "job" => id.parse::<Id<Job>>().ok().map(|_| "jobs"),
        "dl" => id.parse::<Id<DeadLetter>>().ok().map(|_| "dead-letters"),
        "ep" => id.parse::<Id<Endpoint>>().ok().map(|_| "endpoints"),
        "evt" => id.parse::<Id<Event>>().ok().map(|_| "events"),
        "ntf" => id.parse::<Id<Notification>>().ok().map(|_| "notifications"),
        "op" => id.parse::<Id<Operation>>().ok().map(|_| "operations"),
        _ => None,
    };
    section.map(|section| format!("/{section}/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_leads_to_its_page_where_it_has_one() {
        assert_eq!(subject_path("lane.update", "reports"), Some("/lanes/reports".to_owned()));
        assert_eq!(subject_path("recipient.lift_suppression", "a/b c"), None);
        assert_eq!(subject_path("recipient.lift_suppression", "a/b"), Some("/recipients/a%2Fb".to_owned()));
        assert_eq!(
            subject_path("suppression.put", "a+b@c.example"),
            Some("/suppressions?q=a%2Bb%40c.example".to_owned())
        );
        assert_eq!(subject_path("suppression.put", "(hidden)"), None);
        let failure = "0123456789abcdef";
        assert_eq!(subject_path("failure.judge", failure), Some(format!("/failures/{failure}")));
        for (action, subject) in [("user.create", "ada"), ("job.cancel", "job_1"), ("lane.update", "A/../B")] {
            assert_eq!(subject_path(action, subject), None, "{action} {subject}");
        }
    }
}
