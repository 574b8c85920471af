//! What people change, in the transaction that changes it: what changes nothing is noted by nobody, and whoever saw what was
//! there before another change is told apart from whoever saw that one.

use std::time::Duration;

use postrider_core::{
    domain::{endpoint::EndpointState, user::Actor},
    store::{AuditFilter, Changed, EndpointChange, FailureVerdict, Judgement, Page, Scope},
};
use serde_json::{Value, json};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    a_state_that_is_so_already_is_not_noted,
    two_changes_within_a_millisecond_are_told_apart,
    a_failure_that_came_back_is_resolved_again_in_the_same_words,
);

async fn a_state_that_is_so_already_is_not_noted(stack: Stack) {
    let at = Fixture::make(stack).await;
    let (endpoint, ada) = (at.endpoint().await, ada());
    let scope = at.store.tenant(at.tenant.id).acting(&ada);
    for reason in ["theirs", "theirs", "ours", "ours"] {
        let change = EndpointChange { state: EndpointState::Paused, reason: Some(reason.to_owned()), now: at.now };
        let paused = scope.change_endpoint_state(endpoint.id, &EndpointState::ALL, &change).await.unwrap().unwrap();
        assert_eq!((paused.state, paused.state_reason.as_deref()), (EndpointState::Paused, Some(reason)));
    }
    let same = scope.update_endpoint(endpoint.id, at.now, |_| ()).await.unwrap().unwrap();
    assert_eq!(same.updated_at, endpoint.updated_at, "whoever has seen it has seen all of it");
    let reason = |reason| Some(json!({ "state": "paused", "reason": reason }));
    assert_eq!(
        noted(&scope).await,
        [(reason("theirs"), reason("ours")), (Some(json!({ "state": "active" })), Some(json!({ "state": "paused" }))),]
    );
}

async fn two_changes_within_a_millisecond_are_told_apart(stack: Stack) {
    let at = Fixture::make(stack).await;
    let (endpoint, ada) = (at.endpoint().await, ada());
    at.die(&endpoint).await;
    let scope = at.store.tenant(at.tenant.id).acting(&ada);
    let fingerprint = scope.failures(None, 1).await.unwrap().remove(0).fingerprint;
    let (mut seen, mut said) = (vec![endpoint.updated_at], vec![None]);
    for text in ["one", "other"] {
        let changed = scope.update_endpoint(endpoint.id, at.now, |settings| settings.description = text.to_owned());
        seen.push(changed.await.unwrap().unwrap().updated_at);
        let judgement = Judgement { verdict: FailureVerdict::Acknowledged, note: Some(text), now: at.now };
        assert_eq!(scope.judge_failure(&fingerprint, &judgement, |_| true).await.unwrap(), Changed::Done(()));
        said.push(scope.failure(&fingerprint).await.unwrap().unwrap().verdict_at);
    }
    assert!(seen.is_sorted_by(|a, b| a < b) && said.is_sorted_by(|a, b| a < b), "{seen:?} {said:?}");
}

async fn a_failure_that_came_back_is_resolved_again_in_the_same_words(stack: Stack) {
    let at = Fixture::make(stack).await;
    at.die(&at.endpoint().await).await;
    let scope = at.store.tenant(at.tenant.id);
    let fingerprint = scope.failures(None, 1).await.unwrap().remove(0).fingerprint;
    for (now, is_back) in [(at.now - Duration::from_secs(1), true), (at.now + Duration::from_secs(1), false)] {
        let judgement = Judgement { verdict: FailureVerdict::Resolved, note: Some("mended"), now };
        assert_eq!(scope.judge_failure(&fingerprint, &judgement, |_| true).await.unwrap(), Changed::Done(()));
        assert_eq!(scope.failure(&fingerprint).await.unwrap().unwrap().is_regressed(), is_back);
    }
}

fn ada() -> Actor {
    Actor { name: "ada".parse().unwrap(), address: [127, 0, 0, 1].into() }
}

/// What was there before and after each change, newest first.
async fn noted(scope: &Scope<'_>) -> Vec<(Option<Value>, Option<Value>)> {
    let page = Page { before: None, limit: 100 };
    let listed = scope.audit(&AuditFilter::default(), &page).await.unwrap();
    listed.rows.into_iter().map(|entry| (entry.before, entry.after)).collect()
}
