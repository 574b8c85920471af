//! Collapse keys by the store alone: chunks that are told twice, late, or at once with another of the same people.

use std::collections::BTreeMap;

use postrider_core::{
    domain::{
        Id,
        notification::{Notification, Suppression},
        preferences::Channel,
        recipient::RecipientKey,
    },
    store::{InboxCounts, InboxFilter, Mark, Page},
};

use super::{
    Fixture,
    notifications::{AGES, WEEK, a_topic, keys, person, plan, stored_as, told},
};
use crate::harness::Stack;

on_both_stacks!(
    a_chunk_that_is_told_twice_or_late_replaces_nothing_newer,
    chunks_of_a_key_at_once_in_two_processes_leave_one_item_each,
    what_was_replaced_is_removed_with_its_notification_and_its_recipient,
);

const ONE: InboxCounts = InboxCounts { unread: 1, unseen: 1 };

/// Of these people, with a key, in inboxes and by e-mail.
async fn stored(at: &Fixture, recipients: Vec<RecipientKey>, key: Option<&str>) -> Id<Notification> {
    stored_as(at, recipients, Vec::new(), |of| {
        of.channels = vec![Channel::Inbox, Channel::Email];
        of.collapse_key = key.map(|key| key.parse().unwrap());
    })
    .await
}

async fn items(at: &Fixture, key: &RecipientKey) -> (Vec<Id<Notification>>, InboxCounts) {
    let (scope, of) = (at.store.tenant(at.tenant.id), person(at, key).await);
    let rows = scope.inbox(of, InboxFilter::Current, &Page { before: None, limit: 10 }).await.unwrap().rows;
    (rows.into_iter().map(|item| item.of.id).collect(), scope.inbox_state(of).await.unwrap().counts)
}

async fn a_chunk_that_is_told_twice_or_late_replaces_nothing_newer(stack: Stack) {
    let at = Fixture::make(stack).await;
    let all = keys(3);
    let (first, second) = (stored(&at, all.clone(), Some("k")).await, stored(&at, all[..2].to_vec(), Some("k")).await);
    plan(&at.store, first, at.now).await;
    // Read before it is told, and told after the newer one, as by a process that hung.
    let late = at.store.notification_chunk(first, 0).await.unwrap().unwrap();
    told(&at, second).await;
    let news = at.store.tell_chunk(&late, &BTreeMap::new(), at.now).await.unwrap();
    assert_eq!(news.told.iter().map(|told| told.recipient).collect::<Vec<_>>(), [person(&at, &all[2]).await]);
    for _ in 0..2 {
        assert_eq!(at.store.tell_chunk(&late, &BTreeMap::new(), at.now).await.unwrap().told, []);
    }
    assert_eq!(items(&at, &all[0]).await, (vec![second], ONE));
    assert_eq!(items(&at, &all[2]).await, (vec![first], ONE));
    let scope = at.store.tenant(at.tenant.id);
    let of = at.store.notification(first).await.unwrap().unwrap();
    for (channel, [delivered, pending]) in [(Channel::Inbox, [1, 0]), (Channel::Email, [0, 1])] {
        let counts = scope.receipt(&of).await.unwrap().channels.remove(&channel).unwrap();
        assert_eq!((counts.planned(), counts.delivered, counts.pending), (3, delivered, pending), "{channel:?}");
        assert_eq!(counts.suppressed, BTreeMap::from([(Suppression::Collapsed, 2)]));
    }
}

/// Each goes to the same people in the same chunks, which two processes tell in opposite orders.
async fn chunks_of_a_key_at_once_in_two_processes_leave_one_item_each(stack: Stack) {
    let at = Fixture::make(stack).await;
    let all = keys(300);
    let topic = a_topic(&at, "a", &all).await;
    let other = at.second_process([7; 32]).await;
    let mut made = Vec::new();
    for _ in 0..6 {
        let named = all[..20].iter().rev().cloned().collect();
        let id = stored_as(&at, named, vec![topic.clone()], |of| {
            of.channels = vec![Channel::Inbox, Channel::Push, Channel::Email];
            of.collapse_key = Some("k".parse().unwrap());
        })
        .await;
        plan(&at.store, id, at.now).await;
        made.push(id);
    }
    let tell = async |store: &postrider_core::store::Store, id: Id<Notification>, n: u32| {
        let chunk = store.notification_chunk(id, n).await.unwrap().unwrap();
        store.tell_chunk(&chunk, &BTreeMap::new(), at.now).await.unwrap();
    };
    let forth = made.iter().flat_map(|id| [(*id, 0), (*id, 1)]).map(|(id, n)| tell(&at.store, id, n));
    let back = made.iter().rev().flat_map(|id| [(*id, 1), (*id, 0)]).map(|(id, n)| tell(&other, id, n));
    tokio::join!(futures::future::join_all(forth), futures::future::join_all(back));
    let newest = *made.iter().max().unwrap();
    for key in &all {
        assert_eq!(items(&at, key).await, (vec![newest], ONE), "{key}");
    }
    let scope = at.store.tenant(at.tenant.id);
    let of = at.store.notification(newest).await.unwrap().unwrap();
    let receipt = scope.receipt(&of).await.unwrap().channels;
    assert_eq!((receipt[&Channel::Inbox].delivered, receipt[&Channel::Email].pending), (300, 300));
}

async fn what_was_replaced_is_removed_with_its_notification_and_its_recipient(stack: Stack) {
    let at = Fixture::make(stack).await;
    let all = keys(3);
    let (first, second) = (stored(&at, all.clone(), Some("k")).await, stored(&at, all.clone(), Some("k")).await);
    let scope = at.store.tenant(at.tenant.id);
    told(&at, first).await;
    let read = Mark { read: Some(true), ..Mark::default() };
    scope.mark_inbox_item(person(&at, &all[1]).await, first, read, at.now).await.unwrap().unwrap();
    told(&at, second).await;
    let gone = person(&at, &all[2]).await;
    assert_eq!(scope.inbox_gone_after(gone, 1, 10).await.unwrap().0, [first]);
    assert!(scope.delete_recipient(&all[2]).await.unwrap());
    assert_eq!(scope.inbox_gone_after(gone, 1, 10).await.unwrap().0, []);
    for id in [first, second] {
        let plan = at.store.notification(id).await.unwrap().unwrap().plan_job;
        scope.cancel_job(plan, at.now).await.unwrap();
        let mail = postrider_core::domain::notification::batch_job(id, 0, Channel::Email);
        scope.cancel_job(mail, at.now).await.unwrap();
    }
    assert_eq!(items(&at, &all[0]).await, (vec![second], ONE));
    assert_eq!(items(&at, &all[1]).await, (vec![second, first], ONE));
    while at.store.remove_old(&AGES, at.now + 2 * WEEK).await.unwrap().notifications > 0 {}
    for key in &all[..2] {
        assert_eq!(items(&at, key).await, (Vec::new(), InboxCounts::default()));
        assert_eq!(scope.inbox_gone_after(person(&at, key).await, 1, 10).await.unwrap().0, []);
    }
    // Nothing of them is kept: an older one, as of a clock that was behind, takes its place again.
    let again = stored(&at, all[..1].to_vec(), Some("k")).await;
    let of = told(&at, again).await;
    let counts = scope.receipt(&of).await.unwrap().channels.remove(&Channel::Email).unwrap();
    assert_eq!(counts.pending, 1);
}
