//! Lists that an operation leads to: what it was asked for, and what it did.

use postrider_core::{
    domain::{UnixMs, dead_letter::DeadLetterState},
    store::{DeadLetterFilter, Operation, OperationKind},
};
use url::form_urlencoded::Serializer;

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
        pairs.extend(end(operation).map(|until| ("until", until)));
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
fn end(operation: &Operation) -> Option<String> {
    operation.finished_at.map(|at| UnixMs(at.0 + 1).to_string())
}

/// A filter as the list of dead letters reads it: those that the operation brought to a state, or the open ones.
fn letters_query(operation: &Operation, filter: &DeadLetterFilter, done: Option<DeadLetterState>) -> String {
    // Each by its name, so that none is forgotten here.
    let DeadLetterFilter {
        kind,
        endpoint,
        event_type,
        fingerprint,
        status_code,
        q,
        payload,
        ids,
        since,
        until,
        resolved_since,
        resolved_until,
        state: _,
        tag,
    } = filter;
    let began = done.map(|_| operation.created_at);
    let ended = done.and_then(|_| end(operation));
    let pairs = [
        ("kind", kind.clone()),
        ("endpoint", endpoint.map(|id| id.to_string())),
        ("event_type", event_type.clone()),
        ("fingerprint", fingerprint.clone()),
        ("status", status_code.map(|status| status.to_string())),
        ("q", q.clone()),
        ("payload", payload.clone()),
        ("since", since.map(|at| at.to_string())),
        ("until", until.map(|at| at.to_string())),
        ("resolved_since", began.or(*resolved_since).map(|at| at.to_string())),
        ("resolved_until", ended.or_else(|| resolved_until.map(|at| at.to_string()))),
        ("tag", tag.as_ref().map(ToString::to_string)),
        ("state", done.map(|state| state.as_str().to_owned())),
    ];
    let mut pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    pairs.extend(ids.iter().map(|id| ("id", id.to_string())));
    query(&pairs)
}

fn query(pairs: &[(&'static str, String)]) -> String {
    format!("?{}", Serializer::new(String::new()).extend_pairs(pairs).finish())
}
