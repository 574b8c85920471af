//! What is removed by its age, and what stays however old it is.

use std::time::Duration;

use postrider_core::{
    domain::{dead_letter::Cause, job::Outcome},
    store::{
        DeadLetterFilter, Finished, Item, NewEvent, OperationKind, Page, Published, Recorded, Replay, Resolved,
        RetentionAges,
    },
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    retention_removes_what_is_old_and_finished_only,
    an_age_begins_when_a_thing_has_ended_and_not_when_it_was_made,
    what_is_resolved_counted_or_remembered_stays_for_its_time,
);

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const AGES: RetentionAges =
    RetentionAges { payloads: WEEK, jobs: WEEK, resolved_dead_letters: WEEK, stats: WEEK, notifications: WEEK };

async fn retention_removes_what_is_old_and_finished_only(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    at.die(&endpoint).await;
    let (pending_event, pending, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    let young = at.store.remove_old(&AGES, at.now).await.unwrap();
    assert_eq!((young.jobs, young.events, young.payloads), (0, 0, 0));
    let removed = at.store.remove_old(&AGES, at.now + 2 * WEEK).await.unwrap();
    assert_eq!((removed.jobs, removed.attempts, removed.events, removed.dead_letters), (1, 1, 1, 0));
    let scope = at.store.tenant(at.tenant.id);
    assert!(scope.job(pending).await.unwrap().is_some());
    assert!(scope.event(&pending_event.to_string()).await.unwrap().unwrap().event.payload.is_some());
    let letters = scope.dead_letters(&DeadLetterFilter::default(), &Page { before: None, limit: 10 }).await.unwrap();
    assert_eq!(letters.rows.len(), 1);
}

async fn an_age_begins_when_a_thing_has_ended_and_not_when_it_was_made(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let scope = at.store.tenant(at.tenant.id);
    let (_, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    let ended = Finished { now: at.now + WEEK + DAY, ..at.finished(job, &endpoint, 0, Outcome::Succeeded) };
    assert_eq!(at.store.record(ended).await.unwrap(), Recorded::Applied);
    // An event that nobody wanted, for a week later.
    let (later, _, Item { event, .. }) = at.event(&endpoint);
    let event = event.map(|event| NewEvent { deliver_at: at.now + WEEK, ..event });
    at.publish(None, vec![Item { event, ..Item::jobs(Vec::new()) }]).await;
    let removed = at.store.remove_old(&AGES, at.now + WEEK + 2 * DAY).await.unwrap();
    assert_eq!((removed.jobs, removed.events, removed.payloads), (0, 0, 1));
    assert!(scope.job(job).await.unwrap().is_some(), "a job that ended yesterday");
    let later = scope.event(&later.to_string()).await.unwrap().unwrap();
    assert!(later.event.payload.is_some(), "an event that was due two days ago");
    let removed = at.store.remove_old(&AGES, at.now + 2 * WEEK + 2 * DAY).await.unwrap();
    assert_eq!((removed.jobs, removed.events), (1, 2));
}

async fn what_is_resolved_counted_or_remembered_stays_for_its_time(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let scope = at.store.tenant(at.tenant.id);
    let first = at.publish(Some(at.gate(1)), vec![at.event(&endpoint).2]).await;
    assert!(matches!(first, Published::Stored(_)));
    let (_, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    at.store.record(at.finished(job, &endpoint, 0, Outcome::Dead { cause: Cause::AttemptsSpent })).await.unwrap();
    let page = Page { before: None, limit: 1 };
    let letter = scope.dead_letters(&DeadLetterFilter::default(), &page).await.unwrap().rows.remove(0);
    assert!(matches!(scope.discard_dead_letter(letter.id, "seen", at.now).await.unwrap(), Resolved::Done(_)));
    let kind = OperationKind::ReplayDeadLetters { filter: DeadLetterFilter::default() };
    let replay = Replay { kind, total: None, rate_per_second: None };
    let operation = scope.create_operation(&replay, at.now).await.unwrap().id;
    assert!(scope.cancel_operation(operation, at.now).await.unwrap());

    let removed = at.store.remove_old(&AGES, at.now).await.unwrap();
    assert_eq!((removed.dead_letters, removed.others), (0, 0));
    let again = at.publish(Some(at.gate(1)), vec![at.event(&endpoint).2]).await;
    assert!(matches!(again, Published::Replayed { .. }), "its key is forgotten: {again:?}");
    assert_eq!(at.store.remove_old(&AGES, at.now + 6 * DAY).await.unwrap().dead_letters, 0);
    assert_eq!(at.store.remove_old(&AGES, at.now + 8 * DAY).await.unwrap().dead_letters, 1);
    assert!(scope.operation(operation).await.unwrap().is_none());
    assert!(scope.failures(None, 1).await.unwrap().is_empty());
    let anew = at.publish(Some(at.gate(2)), vec![at.event(&endpoint).2]).await;
    assert!(matches!(anew, Published::Stored(_)), "its key is kept: {anew:?}");
}
