//! Recoveries and bulk replays: what they take, whose they are, and that they end.

use std::time::Duration;

use super::{Fixture, gate::Gate};
use crate::harness::Stack;
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::Cause,
        endpoint::{Endpoint, EndpointState},
        job::Outcome,
    },
    store::{
        DeadLetterFilter, EndpointChange, Finished, Item, NewEvent, Operation, OperationKind, OperationState, Page,
        Recorded, Replay, Resolved, Step, Store,
    },
};

on_both_stacks!(
    a_recovery_replays_each_event_without_a_success_once,
    a_recovery_takes_what_the_endpoint_missed_in_its_range_and_nothing_else,
    a_bulk_replay_takes_what_was_dead_when_it_was_asked_for_and_can_be_delivered,
    a_cancelled_operation_makes_no_more_jobs,
    an_operation_is_one_process_s_until_that_is_silent,
);

const SECOND: Duration = Duration::from_secs(1);

async fn a_recovery_replays_each_event_without_a_success_once(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    for _ in 0..30 {
        at.die(&endpoint).await;
    }
    let (_, succeeded, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    at.store.record(at.finished(succeeded, &endpoint, 0, Outcome::Succeeded)).await.unwrap();
    let (_, _, pending) = at.event(&endpoint);
    at.publish(None, vec![pending]).await;
    let kind = OperationKind::RecoverEndpoint { endpoint: endpoint.id, since: UnixMs(0), until: at.now };
    let scope = at.store.tenant(at.tenant.id);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let replay = Replay { kind: kind.clone(), total: None, rate_per_second: None };
        let operation = scope.create_operation(&replay, at.now).await.unwrap();
        assert!(at.store.claim_operation(&[at.tenant.id], at.now).await.unwrap().is_none(), "its tenant is busy");
        assert_eq!(at.store.claim_operation(&[], at.now).await.unwrap().unwrap().id, operation.id);
        assert!(at.store.claim_operation(&[], at.now).await.unwrap().is_none());
        while at.store.step_operation(operation.id, 7, at.now).await.unwrap().more {}
        let ended = scope.operation(operation.id).await.unwrap().unwrap();
        ids.push((ended.seen, ended.replayed));
    }
    assert_eq!(ids, [(32, 30), (32, 0)]);
}

async fn a_recovery_takes_what_the_endpoint_missed_in_its_range_and_nothing_else(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let scope = at.store.tenant(at.tenant.id);
    let only = vec!["a.*".parse().unwrap()];
    scope.update_endpoint(endpoint.id, at.now, |settings| settings.event_types = only).await.unwrap().unwrap();
    let ten = 10 * SECOND;
    // When, which type, and whether it is what a recovery is for.
    let published = [(at.now - ten, "a.b"), (at.now + SECOND, "a.b"), (at.now + ten, "a.b"), (at.now + ten, "c.d")];
    for (now, kind) in published.into_iter().chain([(at.now + 3 * ten, "a.b")]) {
        let event = at.event(&endpoint).2.event.map(|event| NewEvent { kind: kind.parse().unwrap(), ..event });
        at.publish_at(now, None, vec![Item { event, ..Item::jobs(Vec::new()) }]).await;
    }
    let recovered = async |since: UnixMs, until: UnixMs| {
        let kind = OperationKind::RecoverEndpoint { endpoint: endpoint.id, since, until };
        let ended = run(&at, kind).await;
        (ended.seen, ended.replayed, ended.error)
    };
    assert_eq!(recovered(at.now + 2 * SECOND, at.now + 2 * ten).await, (2, 1, None));
    let all = (4, 1, None);
    assert_eq!(recovered(at.now - 2 * ten, at.now + 2 * ten).await, all, "what came before the endpoint is not its");
    let disabled = EndpointChange { state: EndpointState::Disabled, reason: None, now: at.now };
    scope.change_endpoint_state(endpoint.id, &[EndpointState::Active], &disabled).await.unwrap();
    let (_, replayed, error) = recovered(at.now - 2 * ten, at.now + 4 * ten).await;
    assert!(replayed == 0 && error.as_ref().is_some_and(|error| error.contains("disabled")), "{replayed} {error:?}");
}

async fn a_bulk_replay_takes_what_was_dead_when_it_was_asked_for_and_can_be_delivered(stack: Stack) {
    let at = Fixture::make(stack).await;
    let [kept, deleted] = [at.endpoint().await, at.endpoint().await];
    at.die(&kept).await;
    at.die(&deleted).await;
    die_at(&at, &kept, at.now + SECOND).await;
    assert!(at.store.tenant(at.tenant.id).delete_endpoint(deleted.id, at.now).await.unwrap());
    let ended = run(&at, all_dead_letters()).await;
    assert_eq!((ended.seen, ended.replayed, ended.skipped), (2, 1, 1));
}

async fn a_cancelled_operation_makes_no_more_jobs(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    for _ in 0..3 {
        at.die(&endpoint).await;
    }
    let scope = at.store.tenant(at.tenant.id);
    let operation = begin(&at, all_dead_letters()).await;
    let Step { jobs, more } = at.store.step_operation(operation, 1, at.now).await.unwrap();
    assert_eq!((jobs.len(), more), (1, true));
    assert!(scope.cancel_operation(operation, at.now).await.unwrap());
    assert_eq!(at.store.step_operation(operation, 1, at.now).await.unwrap(), Step { jobs: Vec::new(), more: false });
    let ended = scope.operation(operation).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.replayed), (OperationState::Cancelled, 1));
}

async fn an_operation_is_one_process_s_until_that_is_silent(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    for _ in 0..3 {
        at.die(&endpoint).await;
    }
    let other = at.second_process([7; 32]).await;
    let operation = begin(&at, all_dead_letters()).await;
    let made = async |store: &Store, now| store.step_operation(operation, 1, now).await.unwrap().jobs.len();
    assert!(other.claim_operation(&[], at.now).await.unwrap().is_none());
    assert_eq!(made(&other, at.now).await, 0);
    assert_eq!(made(&at.store, at.now).await, 1);
    let silent = at.now + 16 * SECOND;
    assert_eq!(other.claim_operation(&[], silent).await.unwrap().unwrap().id, operation);
    assert_eq!(made(&at.store, silent).await, 0, "it has another owner now");
    assert_eq!(made(&other, silent).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_of_a_recovery_and_replays_comes_first_an_event_gets_one_delivery() {
    for (recovers_first, replays_in_bulk) in [(false, true), (false, false), (true, true), (true, false)] {
        let at = Fixture::make(Stack::Postgres).await;
        let endpoint = at.endpoint().await;
        for _ in 0..9 {
            at.die(&endpoint).await;
        }
        let scope = at.store.tenant(at.tenant.id);
        let letters = scope.dead_letters(&DeadLetterFilter::default(), &Page { before: None, limit: 9 }).await.unwrap();
        let letter = letters.rows[4].id;
        let since = UnixMs(0);
        let recovery = begin(&at, OperationKind::RecoverEndpoint { endpoint: endpoint.id, since, until: at.now }).await;
        let bulk = begin(&at, all_dead_letters()).await;
        let recovers = async || at.store.step_operation(recovery, 100, at.now).await.unwrap().jobs.len();
        let replays = async || match replays_in_bulk {
            true => at.store.step_operation(bulk, 100, at.now).await.unwrap().jobs.len(),
            false => {
                usize::from(matches!(scope.replay_dead_letter(letter, None, at.now).await.unwrap(), Resolved::Done(_)))
            }
        };
        // Whoever makes jobs stands still before the first of them, with the dead letters locked.
        let gate = Gate::close(&at, "jobs").await;
        let (recovered, replayed, ()) = tokio::join!(
            async {
                gate.await_waiting(i64::from(!recovers_first)).await;
                recovers().await
            },
            async {
                gate.await_waiting(i64::from(recovers_first)).await;
                replays().await
            },
            async {
                gate.await_waiting(2).await;
                gate.open().await;
            }
        );
        let asked = if replays_in_bulk { 9 } else { 1 };
        let expected = if recovers_first { (9, 0) } else { (9 - asked, asked) };
        let case = format!("recovers first: {recovers_first}, in bulk: {replays_in_bulk}");
        assert_eq!((recovered, replayed), expected, "{case}");
        assert_eq!(at.store.due_jobs(None, at.now, 100).await.unwrap().len(), 9, "{case}");
    }
}

fn all_dead_letters() -> OperationKind {
    OperationKind::ReplayDeadLetters { filter: DeadLetterFilter::default() }
}

async fn die_at(at: &Fixture, endpoint: &Endpoint, now: UnixMs) {
    let (_, job, item) = at.event(endpoint);
    at.publish(None, vec![item]).await;
    let dead = at.finished(job, endpoint, 0, Outcome::Dead { cause: Cause::AttemptsSpent });
    assert_eq!(at.store.record(Finished { now, ..dead }).await.unwrap(), Recorded::Applied);
}

/// An operation that this process has taken on.
async fn begin(at: &Fixture, kind: OperationKind) -> Id<Operation> {
    let replay = Replay { kind, total: None, rate_per_second: None };
    let operation = at.store.tenant(at.tenant.id).create_operation(&replay, at.now).await.unwrap();
    assert_eq!(at.store.claim_operation(&[], at.now).await.unwrap().unwrap().id, operation.id);
    operation.id
}

async fn run(at: &Fixture, kind: OperationKind) -> Operation {
    let operation = begin(at, kind).await;
    while at.store.step_operation(operation, 7, at.now).await.unwrap().more {}
    at.store.tenant(at.tenant.id).operation(operation).await.unwrap().unwrap()
}
