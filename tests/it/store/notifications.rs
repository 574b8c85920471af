//! Fan-out by the store alone: plans and chunks that run twice, people who are removed, and what is removed by its age.

use std::{collections::BTreeMap, time::Duration};

use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::Cause,
        endpoint::Endpoint,
        event::EventType,
        job::{JobKind, JobState, Outcome},
        lane::LaneName,
        notification::{Audience, FateCounts, NamedTopic, Notification, Suppression},
        notification_type::{Definition, Urgency},
        preferences::Channel,
        recipient::{Recipient, RecipientKey},
    },
    store::{
        DeadLetterFilter, EventFilter, Finished, InboxCounts, InboxFilter, Item, Mark, NewJob, NewNotification,
        NotificationContents, Page, PutType, Recorded, Resolved, RetentionAges, Store, StoredNotification,
    },
};
use serde_json::json;

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    a_plan_that_runs_in_two_processes_at_once_makes_each_chunk_once,
    a_plan_that_runs_in_two_processes_at_once_makes_one_event,
    what_became_of_an_event_is_in_the_receipt_after_its_deliveries_are_removed,
    a_chunk_that_is_told_twice_at_once_is_told_once,
    whoever_is_removed_takes_their_inbox_along,
    an_old_notification_leaves_the_inboxes_and_their_counts,
    a_notification_that_is_not_told_yet_is_not_removed_however_old_it_is,
);

pub(super) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
pub(super) const AGES: RetentionAges =
    RetentionAges { payloads: WEEK, jobs: WEEK, resolved_dead_letters: WEEK, stats: WEEK, notifications: WEEK };

pub(super) fn keys(count: usize) -> Vec<RecipientKey> {
    (0..count).map(|n| format!("u{n:05}").parse().unwrap()).collect()
}

/// A notification that is stored and not planned.
async fn stored(at: &Fixture, recipients: Vec<RecipientKey>, topics: Vec<NamedTopic>) -> Id<Notification> {
    stored_with(at, recipients, topics, None).await
}

/// The same, of which endpoints are told by an event of this type.
async fn stored_with(
    at: &Fixture,
    recipients: Vec<RecipientKey>,
    topics: Vec<NamedTopic>,
    event_type: Option<EventType>,
) -> Id<Notification> {
    stored_as(at, recipients, topics, |of| of.event_type = event_type).await
}

/// The same, whose contents are set.
pub(super) async fn stored_as(
    at: &Fixture,
    recipients: Vec<RecipientKey>,
    topics: Vec<NamedTopic>,
    set: impl FnOnce(&mut NotificationContents),
) -> Id<Notification> {
    let scope = at.store.tenant(at.tenant.id);
    let definition: Definition = serde_json::from_value(json!({ "name": "T", "category": "c", "urgency": "normal",
        "default_locale": "en", "sample": {},
        "channels": { "inbox": { "templates": { "en": { "title": "t", "body": "b" } } } } }))
    .unwrap();
    let put = scope.put_notification_type(&"t".parse().unwrap(), &definition, at.now).await.unwrap();
    let (PutType::Made(kind) | PutType::Kept(kind)) = put else { panic!("{put:?}") };
    let mut of = NotificationContents {
        kind: kind.id,
        key: kind.key,
        version: kind.version,
        category: definition.category,
        urgency: Urgency::Normal,
        channels: vec![Channel::Inbox],
        event_type: None,
        collapse_key: None,
        data: b"{}".to_vec(),
    };
    set(&mut of);
    let id = Id::new();
    let job = NewJob::plain(
        JobKind::NotificationPlan,
        LaneName::of_notifications(Urgency::Normal),
        id.to_string().into_bytes(),
        at.now,
    );
    let audience = Audience { recipients, topics, actor: None };
    let new = NewNotification { id, of, audience, deliver_at: at.now, plan_job: job.id };
    at.publish(None, vec![Item { notification: Some(new), ..Item::jobs(vec![job]) }]).await;
    id
}

/// Plans all of it; how many jobs that made.
pub(super) async fn plan(store: &Store, id: Id<Notification>, now: UnixMs) -> usize {
    let mut jobs = 0;
    loop {
        let of = store.notification(id).await.unwrap().unwrap();
        let planned = store.plan_notification(&of, now).await.unwrap();
        jobs += planned.jobs.len();
        if !planned.more {
            return jobs;
        }
    }
}

pub(super) async fn told(at: &Fixture, id: Id<Notification>) -> StoredNotification {
    plan(&at.store, id, at.now).await;
    let mut n = 0;
    while let Some(chunk) = at.store.notification_chunk(id, n).await.unwrap() {
        at.store.tell_chunk(&chunk, &BTreeMap::new(), at.now).await.unwrap();
        n += 1;
    }
    at.store.notification(id).await.unwrap().unwrap()
}

pub(super) async fn person(at: &Fixture, key: &RecipientKey) -> Id<Recipient> {
    at.store.tenant(at.tenant.id).recipient(key).await.unwrap().unwrap().id
}

pub(super) async fn a_topic(at: &Fixture, key: &str, followers: &[RecipientKey]) -> NamedTopic {
    let scope = at.store.tenant(at.tenant.id);
    let (topic, _) = scope.put_topic(&key.parse().unwrap(), None, None, at.now).await.unwrap();
    for some in followers.chunks(1_000) {
        let changes = some.iter().map(|key| (key.clone(), true)).collect();
        scope.change_subscriptions(&topic, &changes, at.now).await.unwrap();
    }
    NamedTopic { id: topic.id, key: topic.key }
}

async fn a_plan_that_runs_in_two_processes_at_once_makes_each_chunk_once(stack: Stack) {
    let at = Fixture::make(stack).await;
    let all = keys(2_500);
    let topics = vec![a_topic(&at, "a", &all).await, a_topic(&at, "b", &all[..1_500]).await];
    let id = stored(&at, all[..3].to_vec(), topics).await;
    let other = at.second_process([7; 32]).await;
    let (one, two) = tokio::join!(plan(&at.store, id, at.now), plan(&other, id, at.now));
    assert_eq!(one + two, 3, "2,497 are not named");
    let scope = at.store.tenant(at.tenant.id);
    let of = at.store.notification(id).await.unwrap().unwrap();
    let receipt = scope.receipt(&of).await.unwrap();
    let counts = &receipt.channels[&Channel::Inbox];
    assert_eq!((counts.planned(), counts.pending, receipt.planning), (2_500, 2_500, None));
    assert_eq!(scope.job(of.plan_job).await.unwrap().unwrap().job.state, JobState::Pending);
}

async fn a_plan_that_runs_in_two_processes_at_once_makes_one_event(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoints = [at.endpoint().await, at.endpoint().await];
    let topic = a_topic(&at, "a", &keys(1_500)).await;
    let other = at.second_process([7; 32]).await;
    let kind: EventType = "a.b".parse().unwrap();
    for (named, topics) in [(2, vec![topic.clone()]), (2, Vec::new()), (0, vec![topic])] {
        let id = stored_with(&at, keys(named), topics, Some(kind.clone())).await;
        tokio::join!(plan(&at.store, id, at.now), plan(&other, id, at.now));
        plan(&at.store, id, at.now).await;
        let of = at.store.notification(id).await.unwrap().unwrap();
        let webhook = &at.store.tenant(at.tenant.id).receipt(&of).await.unwrap().channels[&Channel::Webhook];
        assert_eq!((webhook.planned(), webhook.pending), (endpoints.len() as u64, endpoints.len() as u64));
    }
    let scope = at.store.tenant(at.tenant.id);
    let events = scope.events(&EventFilter::default(), &Page { before: None, limit: 10 }).await.unwrap();
    assert_eq!(events.rows.len(), 3, "one for each notification");
    assert!(events.rows.iter().all(|summary| summary.deliveries.len() == endpoints.len()));
}

async fn what_became_of_an_event_is_in_the_receipt_after_its_deliveries_are_removed(stack: Stack) {
    let at = Fixture::make(stack).await;
    let [good, bad, gone] = [at.endpoint().await, at.endpoint().await, at.endpoint().await];
    let id = stored_with(&at, keys(1), Vec::new(), Some("a.b".parse().unwrap())).await;
    let of = told(&at, id).await;
    let scope = at.store.tenant(at.tenant.id);
    scope.cancel_job(of.plan_job, at.now).await.unwrap();
    let event = of.event.unwrap();
    let deliveries = scope.event(&event.to_string()).await.unwrap().unwrap().deliveries;
    let job_at = |endpoint: &Endpoint| deliveries.iter().find(|one| one.endpoint_id == endpoint.id).unwrap().job_id;
    let record = async |finished: Finished| assert_eq!(at.store.record(finished).await.unwrap(), Recorded::Applied);
    record(at.finished(job_at(&good), &good, 0, Outcome::Succeeded)).await;
    let dies = Outcome::Dead { cause: Cause::AttemptsSpent };
    record(at.finished(job_at(&bad), &bad, 0, dies)).await;
    let ages = RetentionAges { notifications: 52 * WEEK, ..AGES };
    let counts = |delivered: u64, pending: u64, dead: u64, cancelled: u64| {
        let suppressed = (cancelled > 0).then_some((Suppression::Cancelled, cancelled)).into_iter().collect();
        FateCounts { pending, delivered, dead, suppressed }
    };
    let receipt = async || scope.receipt(&of).await.unwrap().channels.remove(&Channel::Webhook).unwrap();
    assert_eq!(receipt().await, counts(1, 1, 1, 0));
    // Two are removed while the third is pending, and that one later.
    let later = at.now + 2 * WEEK;
    assert!(at.store.remove_old(&ages, later).await.unwrap().jobs >= 2);
    assert_eq!(receipt().await, counts(1, 1, 1, 0));
    let young = RetentionAges { notifications: WEEK, ..ages };
    at.store.remove_old(&young, later).await.unwrap();
    assert!(at.store.notification(id).await.unwrap().is_some(), "a delivery of it is pending");
    scope.cancel_job(job_at(&gone), at.now).await.unwrap();
    assert!(at.store.remove_old(&ages, later).await.unwrap().jobs >= 1);
    assert_eq!(receipt().await, counts(1, 0, 1, 1));
    assert_eq!(scope.event(&event.to_string()).await.unwrap(), None);
    // What is replayed then counts instead of what died, also when that is removed too.
    let page = Page { before: None, limit: 10 };
    let letter = scope.dead_letters(&DeadLetterFilter::default(), &page).await.unwrap().rows.remove(0);
    let replayed = scope.replay_dead_letter(letter.id, None, at.now).await.unwrap();
    let Resolved::Done(due) = replayed else { panic!("{replayed:?}") };
    assert_eq!(receipt().await, counts(1, 1, 0, 1));
    record(at.finished(due.id, &bad, 0, Outcome::Succeeded)).await;
    assert_eq!(receipt().await, counts(2, 0, 0, 1));
    assert!(at.store.remove_old(&ages, later).await.unwrap().jobs >= 1);
    assert_eq!(receipt().await, counts(2, 0, 0, 1));
    assert!(at.store.remove_old(&young, later).await.unwrap().notifications > 0);
    assert_eq!(at.store.notification(id).await.unwrap(), None);
}

async fn a_chunk_that_is_told_twice_at_once_is_told_once(stack: Stack) {
    let at = Fixture::make(stack).await;
    let id = stored(&at, keys(100), Vec::new()).await;
    plan(&at.store, id, at.now).await;
    let chunk = at.store.notification_chunk(id, 0).await.unwrap().unwrap();
    let other = at.second_process([7; 32]).await;
    let plain = BTreeMap::new();
    let (one, two) =
        tokio::join!(at.store.tell_chunk(&chunk, &plain, at.now), other.tell_chunk(&chunk, &plain, at.now));
    one.unwrap();
    two.unwrap();
    let scope = at.store.tenant(at.tenant.id);
    for key in keys(100) {
        let counts = scope.inbox_state(person(&at, &key).await).await.unwrap().counts;
        assert_eq!(counts, InboxCounts { unread: 1, unseen: 1 });
    }
}

async fn whoever_is_removed_takes_their_inbox_along(stack: Stack) {
    let at = Fixture::make(stack).await;
    let all = keys(2);
    let id = stored(&at, all.clone(), Vec::new()).await;
    told(&at, id).await;
    let scope = at.store.tenant(at.tenant.id);
    let [gone, stays] = [person(&at, &all[0]).await, person(&at, &all[1]).await];
    assert!(scope.delete_recipient(&all[0]).await.unwrap());
    assert_eq!(scope.inbox_state(gone).await.unwrap().counts, InboxCounts::default());
    assert_eq!(scope.inbox_item(gone, id).await.unwrap(), None);
    assert_eq!(scope.inbox_state(stays).await.unwrap().counts, InboxCounts { unread: 1, unseen: 1 });
}

async fn an_old_notification_leaves_the_inboxes_and_their_counts(stack: Stack) {
    let at = Fixture::make(stack).await;
    let all = keys(300);
    let topic = a_topic(&at, "a", &all).await;
    let id = stored(&at, all[..1].to_vec(), vec![topic]).await;
    let of = told(&at, id).await;
    let scope = at.store.tenant(at.tenant.id);
    let [reader, other] = [person(&at, &all[0]).await, person(&at, &all[7]).await];
    let read = Mark { read: Some(true), ..Mark::default() };
    scope.mark_inbox_item(reader, id, read, at.now).await.unwrap().unwrap();
    for job in [of.plan_job, postrider_core::domain::notification::chunk_job(id, 1)] {
        scope.cancel_job(job, at.now).await.unwrap();
    }
    let young = at.store.remove_old(&AGES, at.now).await.unwrap();
    assert_eq!(young.notifications, 0);
    let later = at.now + 2 * WEEK;
    assert!(at.store.remove_old(&AGES, later).await.unwrap().notifications > 0);
    assert_eq!(at.store.notification(id).await.unwrap(), None);
    assert_eq!(at.store.remove_old(&AGES, later).await.unwrap().notifications, 0);
    for recipient in [reader, other] {
        assert_eq!(scope.inbox_state(recipient).await.unwrap().counts, InboxCounts::default());
        let page = Page { before: None, limit: 10 };
        assert!(scope.inbox(recipient, InboxFilter::Current, &page).await.unwrap().rows.is_empty());
    }
}

async fn a_notification_that_is_not_told_yet_is_not_removed_however_old_it_is(stack: Stack) {
    let at = Fixture::make(stack).await;
    let waiting = stored(&at, keys(1), Vec::new()).await;
    let topic = a_topic(&at, "a", &keys(3)).await;
    let half = stored(&at, Vec::new(), vec![topic]).await;
    plan(&at.store, half, at.now).await;
    let of = at.store.notification(half).await.unwrap().unwrap();
    at.store.tenant(at.tenant.id).cancel_job(of.plan_job, at.now).await.unwrap();
    assert_eq!(at.store.remove_old(&AGES, at.now + 2 * WEEK).await.unwrap().notifications, 0);
    for id in [waiting, half] {
        assert!(at.store.notification(id).await.unwrap().is_some());
    }
}
