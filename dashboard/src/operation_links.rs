//! Lists that an operation leads to: what it was asked for, and what it did.

use postrider_core::{
    domain::{UnixMs, dead_letter::DeadLetterState},
    store::{DeadLetterFilter, Operation, OperationKind},
};
use url::form_urlencoded::Serializer;

use crate::dead_letters::written;

/// Ids that an address has room for.
const IDS_MAX: usize = 50;

/// A list, as a page links to it.
pub(crate) struct ListLink {
    pub(crate) words: &'static str,
    /// Below the tenant's own.
    pub(crate) path: String,
}

/// Lists of what an operation did and was asked for. Whoever may not search payloads is not led to a list that does, and
/// nobody to one that is longer than what was asked for.
pub(crate) fn links_of(operation: &Operation, sees_all: bool) -> Vec<ListLink> {
    let leads = |filter: &DeadLetterFilter| (sees_all || filter.payload.is_none()) && filter.ids.len() <= IDS_MAX;
    let link = |words, path| ListLink { words, path };
    let letters = |words, filter: &DeadLetterFilter, done: Option<DeadLetterState>| {
        link(words, format!("/dead-letters{}", letters_query(operation, filter, done)))
    };
    let jobs = |mut pairs: Vec<(&'static str, String)>| {
        pairs.push(("since", operation.created_at.to_string()));
        pairs.extend(end(operation).map(|until| ("until", until.to_string())));
        link("Jobs that were made meanwhile, its own among them", format!("/jobs{}", query(&pairs)))
    };
    match &operation.kind {
        OperationKind::RecoverEndpoint { endpoint, .. } => vec![jobs(vec![("lane", endpoint.to_string())])],
        OperationKind::ReplayDeadLetters { filter } if leads(filter) => {
            let lane = filter.endpoint.map(|endpoint| ("lane", endpoint.to_string()));
            let kind = filter.kind.clone().map(|kind| ("kind", kind));
            vec![
                letters("Those of its filter that were replayed while it ran", filter, Some(DeadLetterState::Replayed)),
                jobs(lane.into_iter().chain(kind).collect()),
                letters("What is still open of those that it was asked for", filter, None),
            ]
        }
        OperationKind::DiscardDeadLetters { filter, .. } if leads(filter) => vec![
            letters("Those of its filter that were discarded while it ran", filter, Some(DeadLetterState::Discarded)),
            letters("What is still open of those that it was asked for", filter, None),
        ],
        _ => Vec::new(),
    }
}

/// The first moment after an operation; `None` while it runs.
fn end(operation: &Operation) -> Option<UnixMs> {
    operation.finished_at.map(|at| UnixMs(at.0 + 1))
}

/// A filter as the list of dead letters reads it: those that the operation brought to a state, or the open ones.
fn letters_query(operation: &Operation, filter: &DeadLetterFilter, done: Option<DeadLetterState>) -> String {
    let began = done.map(|_| operation.created_at);
    let ended = done.and_then(|_| end(operation));
    let resolved_since = began.or(filter.resolved_since);
    let resolved_until = ended.or(filter.resolved_until);
    let fields = written(&DeadLetterFilter { resolved_since, resolved_until, ..filter.clone() });
    let mut pairs: Vec<_> = fields.into_iter().map(|((name, _), value)| (name, value)).collect();
    pairs.extend(done.map(|state| ("state", state.as_str().to_owned())));
    pairs.extend(filter.ids.iter().map(|id| ("id", id.to_string())));
    query(&pairs)
}

fn query(pairs: &[(&'static str, String)]) -> String {
    format!("?{}", Serializer::new(String::new()).extend_pairs(pairs).finish())
}
