//! Where an id leads: the page of what it names.

use postrider_core::domain::{
    Id, dead_letter::DeadLetter, endpoint::Endpoint, event::Event, fingerprint::Fingerprint, job::Job, lane::LaneName,
};
use postrider_core::store::Operation;

/// A part of a text, and the page that it names where it is an id.
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) path: Option<String>,
}

/// The page of what an action was done to, below the tenant's own.
pub(crate) fn subject_path(action: &str, subject: &str) -> Option<String> {
    let named = match action.split('.').next() {
        Some("failure") => subject.parse::<Fingerprint>().ok().map(|id| format!("/failures/{id}")),
        Some("lane") => subject.parse::<LaneName>().ok().map(|name| format!("/lanes/{name}")),
        _ => None,
    };
    named.or_else(|| id_path(subject))
}

/// The page of an id that tells its kind.
fn id_path(id: &str) -> Option<String> {
    let section = match id.split_once('_')?.0 {
        "job" => id.parse::<Id<Job>>().ok().map(|_| "jobs"),
        "dl" => id.parse::<Id<DeadLetter>>().ok().map(|_| "dead-letters"),
        "ep" => id.parse::<Id<Endpoint>>().ok().map(|_| "endpoints"),
        "evt" => id.parse::<Id<Event>>().ok().map(|_| "events"),
        "op" => id.parse::<Id<Operation>>().ok().map(|_| "operations"),
        _ => None,
    };
    section.map(|section| format!("/{section}/{id}"))
}

/// A JSON text in pieces, those that are ids by themselves.
pub(crate) fn pieces(json: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (place, part) in json.split('"').enumerate() {
        let quote = if place == 0 { "" } else { "\"" };
        let path = id_path(part);
        match pieces.last_mut() {
            Some(last) if last.path.is_none() => last.text.push_str(quote),
            _ => pieces.push(Piece { text: quote.to_owned(), path: None }),
        }
        match pieces.last_mut() {
            Some(last) if path.is_none() => last.text.push_str(part),
            _ => pieces.push(Piece { text: part.to_owned(), path }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_within_a_change_lead_to_their_pages() {
        let job = Id::<Job>::new();
        let change = format!("{{\"job\":\"{job}\",\"state\":\"replayed\"}}");
        let pieces = pieces(&change);
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts.concat(), change);
        assert_eq!(texts[1], job.to_string());
        assert_eq!(pieces[1].path, Some(format!("/jobs/{job}")));
        assert_eq!(pieces.iter().filter(|piece| piece.path.is_some()).count(), 1);
    }

    #[test]
    fn a_subject_leads_to_its_page_where_it_has_one() {
        assert_eq!(subject_path("lane.update", "reports"), Some("/lanes/reports".to_owned()));
        let failure = "0123456789abcdef";
        assert_eq!(subject_path("failure.judge", failure), Some(format!("/failures/{failure}")));
        for (action, subject) in [("user.create", "ada"), ("job.cancel", "job_1"), ("lane.update", "A/../B")] {
            assert_eq!(subject_path(action, subject), None, "{action} {subject}");
        }
    }
}
