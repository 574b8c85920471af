//! Endpoints in the store: who may change their state, and how long their secrets sign.

use std::{sync::Arc, time::Duration};

use postrider_core::{
    domain::{
        UnixMs,
        dead_letter::Cause,
        endpoint::{Endpoint, EndpointState},
        job::Outcome,
        signature::SigningSecret,
    },
    store::{EndpointChange, Finished, Recorded},
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    a_secret_signs_until_its_grace_is_over,
    a_rotation_lengthens_no_grace,
    what_another_process_changed_is_all_that_is_read_again,
    a_secret_that_no_key_opens_holds_up_nobody_else,
    an_outcome_undoes_no_state_that_a_person_has_set,
    an_endpoint_fails_since_its_first_failure_without_a_success,
);

async fn a_secret_signs_until_its_grace_is_over(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let scope = at.store.tenant(at.tenant.id);
    let old_until = at.now + Duration::from_secs(60);
    assert!(scope.rotate_secret(endpoint.id, &SigningSecret::from_random([2; 32]), old_until, at.now).await.unwrap());
    let endpoints = at.store.directory().endpoints(at.tenant.id).await.unwrap();
    let live = endpoints.get(endpoint.id).unwrap();
    assert_eq!(live.secrets(at.now), [SigningSecret::from_random([2; 32]), SigningSecret::from_random([1; 32])]);
    assert_eq!(live.secrets(old_until), [SigningSecret::from_random([2; 32])]);
    assert_eq!(live.endpoint.state, EndpointState::Active);
}

async fn a_rotation_lengthens_no_grace(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let scope = at.store.tenant(at.tenant.id);
    let minute = Duration::from_secs(60);
    for (n, grace) in [(2, minute), (3, 60 * minute)] {
        let secret = SigningSecret::from_random([n; 32]);
        assert!(scope.rotate_secret(endpoint.id, &secret, at.now + grace, at.now).await.unwrap());
    }
    let endpoints = at.store.directory().endpoints(at.tenant.id).await.unwrap();
    let signing = |now| endpoints.get(endpoint.id).unwrap().secrets(now);
    let [first, second, third] = [1, 2, 3].map(|n| SigningSecret::from_random([n; 32]));
    assert_eq!(signing(at.now), [third.clone(), second.clone(), first]);
    assert_eq!(signing(at.now + minute), [third, second]);
}

async fn what_another_process_changed_is_all_that_is_read_again(stack: Stack) {
    let at = Fixture::make(stack).await;
    let other = at.second_process([7; 32]).await;
    let [left, paused, moved, rotated, deleted] =
        [at.endpoint().await, at.endpoint().await, at.endpoint().await, at.endpoint().await, at.endpoint().await];
    let read = || async { other.directory().endpoints(at.tenant.id).await.unwrap() };
    let before = read().await;
    let scope = at.store.tenant(at.tenant.id);
    let pause = EndpointChange { state: EndpointState::Paused, reason: None, now: at.now };
    scope.change_endpoint_state(paused.id, &[EndpointState::Active], &pause).await.unwrap();
    scope.update_endpoint(moved.id, at.now, |settings| settings.description = "moved".to_owned()).await.unwrap();
    scope.rotate_secret(rotated.id, &SigningSecret::from_random([2; 32]), at.now, at.now).await.unwrap();
    let after_four = read().await;
    assert!(scope.delete_endpoint(deleted.id, at.now).await.unwrap());
    let made = at.endpoint().await;
    let (_, job, item) = at.event(&moved);
    at.publish(None, vec![item]).await;
    let gone = Some((EndpointState::Disabled, None));
    let outcome = Outcome::Dead { cause: Cause::Gone };
    at.store.record(Finished { endpoint_state: gone, ..at.finished(job, &moved, 0, outcome) }).await.unwrap();
    let after = read().await;
    assert!(Arc::ptr_eq(before.get(left.id).unwrap(), after.get(left.id).unwrap()), "it was read again");
    assert!(Arc::ptr_eq(after_four.get(paused.id).unwrap(), after.get(paused.id).unwrap()), "it was read again");
    assert_eq!(after.get(paused.id).unwrap().endpoint.state, EndpointState::Paused);
    assert_eq!(after_four.get(moved.id).unwrap().endpoint.settings.description, "moved");
    assert_eq!(after.get(moved.id).unwrap().endpoint.state, EndpointState::Disabled);
    assert_eq!(after.get(rotated.id).unwrap().secrets(at.now), [SigningSecret::from_random([2; 32])]);
    assert!(after.get(made.id).is_some() && after.get(deleted.id).is_none());
    assert_eq!((after_four.len(), after.len()), (5, 5));
}

async fn a_secret_that_no_key_opens_holds_up_nobody_else(stack: Stack) {
    let at = Fixture::make(stack).await;
    let sealed_before = at.endpoint().await;
    let other = at.second_process([8; 32]).await;
    assert_eq!(other.missing_keys().await.unwrap().len(), 1);
    assert_eq!(at.store.missing_keys().await.unwrap(), [""; 0]);
    let settings = sealed_before.settings.clone();
    let secret = SigningSecret::from_random([3; 32]);
    let sealed_now = other.tenant(at.tenant.id).create_endpoint(&settings, &secret, at.now).await.unwrap();
    let endpoints = other.directory().endpoints(at.tenant.id).await.unwrap();
    assert_eq!(endpoints.get(sealed_before.id).unwrap().secrets(at.now), []);
    assert_eq!(endpoints.get(sealed_now.id).unwrap().secrets(at.now), [secret]);
    assert!(at.store.tenant(at.tenant.id).delete_endpoint(sealed_before.id, at.now).await.unwrap());
    assert_eq!(other.missing_keys().await.unwrap(), [""; 0], "a deleted endpoint's secret is kept");
}

async fn an_outcome_undoes_no_state_that_a_person_has_set(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let scope = at.store.tenant(at.tenant.id);
    for set in [EndpointState::Paused, EndpointState::Disabled] {
        let change = EndpointChange { state: set, reason: Some("set".to_owned()), now: at.now };
        scope.change_endpoint_state(endpoint.id, &EndpointState::ALL, &change).await.unwrap();
        for said in [EndpointState::Failing, EndpointState::Active] {
            deliver(&at, &endpoint, said, at.now).await;
            let now = scope.endpoint(endpoint.id).await.unwrap().unwrap();
            assert_eq!((now.state, now.state_reason.as_deref()), (set, Some("set")), "after {said:?}");
        }
    }
}

async fn an_endpoint_fails_since_its_first_failure_without_a_success(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let hour = Duration::from_secs(3_600);
    let since_before = async |before| at.store.failing_since_before(before).await.unwrap().len();
    deliver(&at, &endpoint, EndpointState::Failing, at.now).await;
    deliver(&at, &endpoint, EndpointState::Failing, at.now + hour).await;
    assert_eq!([since_before(at.now).await, since_before(at.now + hour).await], [0, 1]);
    deliver(&at, &endpoint, EndpointState::Active, at.now + hour).await;
    assert_eq!(since_before(at.now + 2 * hour).await, 0);
    deliver(&at, &endpoint, EndpointState::Failing, at.now + 2 * hour).await;
    assert_eq!([since_before(at.now + 2 * hour).await, since_before(at.now + 3 * hour).await], [0, 1]);
}

/// A delivery that says this of its endpoint's state.
async fn deliver(at: &Fixture, endpoint: &Endpoint, said: EndpointState, now: UnixMs) {
    let (_, job, item) = at.event(endpoint);
    at.publish(None, vec![item]).await;
    let outcome = match said {
        EndpointState::Active => Outcome::Succeeded,
        _ => Outcome::Dead { cause: Cause::AttemptsSpent },
    };
    let finished = Finished { endpoint_state: Some((said, None)), now, ..at.finished(job, endpoint, 0, outcome) };
    assert_eq!(at.store.record(finished).await.unwrap(), Recorded::Applied);
}
