//! Browsers and whose they are, and keys that are made once.

use std::{collections::BTreeSet, time::Duration};

use postrider_core::{
    domain::{
        Id, UnixMs,
        egress::EndpointUrl,
        push::{NewPushSubscription, PushKeys, PushSubscription, SUBSCRIPTIONS_MAX},
        recipient::{NewRecipient, Profile, Recipient},
        vapid::VapidKey,
    },
    store::{Store, StoreError},
};

use super::Fixture;
use crate::harness::{SOON, Stack, eventually};

on_both_stacks!(
    a_browser_is_whose_who_handed_it_in_last,
    of_too_many_browsers_the_one_goes_that_was_not_handed_in_for_the_longest,
    browsers_that_change_hands_all_at_once_stay_one_each,
    the_browsers_of_many_are_found_at_once,
    a_key_is_made_once_by_whoever_asks_first,
    another_key_is_in_force_everywhere_soon,
    a_key_opens_by_the_encryption_key_alone,
);

async fn recipient(at: &Fixture, key: &str) -> Id<Recipient> {
    let new = NewRecipient { key: key.parse().unwrap(), email: None, profile: Profile::default() };
    let put = at.store.tenant(at.tenant.id).put_recipients(&[new], at.now).await.unwrap();
    put.into_values().next().unwrap().recipient.id
}

fn browser(n: usize) -> NewPushSubscription {
    let private = [u8::try_from(n % 200).unwrap() + 1; 32];
    NewPushSubscription {
        endpoint: EndpointUrl::stored(format!("https://push.example/{n}")),
        keys: PushKeys::new(*VapidKey::from_private(private).unwrap().public(), [7; 16]),
        expires_at: None,
    }
}

async fn put(at: &Fixture, of: Id<Recipient>, n: usize, later_s: u64) -> (PushSubscription, bool) {
    let now = at.now + Duration::from_secs(later_s);
    at.store.tenant(at.tenant.id).put_push_subscription(of, &browser(n), now).await.unwrap().unwrap()
}

async fn a_browser_is_whose_who_handed_it_in_last(stack: Stack) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    let (ada, bob) = (recipient(&at, "ada").await, recipient(&at, "bob").await);
    let (first, is_new) = put(&at, ada, 1, 0).await;
    assert!(is_new);
    assert_eq!((first.keys.clone(), first.endpoint.as_str()), (browser(1).keys, "https://push.example/1"));
    let (again, is_new) = put(&at, ada, 1, 1).await;
    assert_eq!((again.id, again.created_at, is_new), (first.id, first.created_at, false));
    assert_eq!(again.updated_at, at.now + Duration::from_secs(1));
    let end = Some(UnixMs(4_102_444_800_000));
    let with_end = NewPushSubscription { keys: browser(2).keys, expires_at: end, ..browser(1) };
    let (moved, is_new) = scope.put_push_subscription(bob, &with_end, at.now).await.unwrap().unwrap();
    assert_eq!((moved.id, moved.recipient_id, is_new), (first.id, bob, false));
    assert_eq!((moved.expires_at, moved.keys.clone()), (end, browser(2).keys));
    assert_eq!(scope.push_subscriptions(ada).await.unwrap(), []);
    assert_eq!(scope.push_subscriptions(bob).await.unwrap(), [moved]);
    // Neither is it removed by whose it was, nor seen by another tenant, whose browser has the same address.
    assert!(!scope.delete_push_subscription(ada, first.id).await.unwrap());
    assert!(!scope.delete_push_subscription_at(ada, "https://push.example/1").await.unwrap());
    let stranger = at.store.create_tenant(&"stranger".parse().unwrap(), "S", at.now).await.unwrap().id;
    let theirs = at.store.tenant(stranger);
    assert_eq!(theirs.push_subscriptions(bob).await.unwrap(), []);
    assert!(theirs.put_push_subscription(bob, &browser(3), at.now).await.unwrap().is_none());
    assert!(!theirs.delete_push_subscription(bob, first.id).await.unwrap());
    assert!(scope.delete_push_subscription_at(bob, "https://push.example/1").await.unwrap());
    // With its owner it goes too.
    put(&at, bob, 1, 0).await;
    assert!(scope.delete_recipient(&"bob".parse().unwrap()).await.unwrap());
    assert_eq!(scope.push_subscriptions(bob).await.unwrap(), []);
    assert!(scope.put_push_subscription(bob, &browser(1), at.now).await.unwrap().is_none());
    assert!(put(&at, ada, 1, 0).await.1, "nobody has it");
}

async fn of_too_many_browsers_the_one_goes_that_was_not_handed_in_for_the_longest(stack: Stack) {
    let at = Fixture::make(stack).await;
    let ada = recipient(&at, "ada").await;
    let max = usize::try_from(SUBSCRIPTIONS_MAX).unwrap();
    for n in 0..max {
        put(&at, ada, n, u64::try_from(n).unwrap()).await;
    }
    put(&at, ada, 0, 100).await;
    put(&at, ada, 99, 101).await;
    let kept = at.store.tenant(at.tenant.id).push_subscriptions(ada).await.unwrap();
    let shown: Vec<&str> = kept.iter().map(|kept| kept.endpoint.as_str().rsplit_once('/').unwrap().1).collect();
    let expected: Vec<String> = [99, 0].into_iter().chain((2..max).rev()).map(|n| n.to_string()).collect();
    assert_eq!(shown, expected);
}

async fn browsers_that_change_hands_all_at_once_stay_one_each(stack: Stack) {
    let at = Fixture::make(stack).await;
    let people = [recipient(&at, "ada").await, recipient(&at, "bob").await];
    let scope = at.store.tenant(at.tenant.id);
    // More than either may have, so that each put lets one go while the other may be about to take it.
    let browsers: Vec<NewPushSubscription> = (0..60).map(browser).collect();
    let puts = (0..240).map(|n| scope.put_push_subscription(people[n % 2], &browsers[n * 7 % 60], at.now));
    for put in futures::future::join_all(puts).await {
        assert!(put.unwrap().is_some());
    }
    let mut endpoints = BTreeSet::new();
    for person in people {
        let theirs = scope.push_subscriptions(person).await.unwrap();
        assert!(theirs.len() <= 2 * usize::try_from(SUBSCRIPTIONS_MAX).unwrap());
        assert!(theirs.into_iter().all(|one| endpoints.insert(one.endpoint.as_str().to_owned())));
    }
    // What was left over while somebody else was at it goes with the next.
    for person in people {
        scope.put_push_subscription(person, &browser(99), at.now).await.unwrap();
        let count = scope.push_subscriptions(person).await.unwrap().len();
        assert!(count <= usize::try_from(SUBSCRIPTIONS_MAX).unwrap(), "{count}");
    }
}

async fn the_browsers_of_many_are_found_at_once(stack: Stack) {
    let at = Fixture::make(stack).await;
    let mut people = Vec::new();
    for n in 0..300 {
        let person = recipient(&at, &format!("u{n}")).await;
        for browser in 0..n % 3 {
            put(&at, person, n * 3 + browser, 0).await;
        }
        people.push(person);
    }
    people.push(Id::new());
    let found = at.store.push_subscriptions(&people).await.unwrap();
    assert_eq!(found.len(), 200);
    for (n, person) in people.iter().enumerate().take(300) {
        assert_eq!(found.get(person).map_or(0, Vec::len), n % 3);
    }
    let gone = &found[&people[1]][0];
    at.store.forget_push_subscription(gone.id).await.unwrap();
    assert_eq!(at.store.push_subscriptions(&people).await.unwrap().len(), 199);
}

async fn a_key_is_made_once_by_whoever_asks_first(stack: Stack) {
    let at = Fixture::make(stack).await;
    let other = at.second_process([7; 32]).await;
    let scopes = [at.store.tenant(at.tenant.id), other.tenant(at.tenant.id)];
    let keys = futures::future::join_all((0..20).map(|n| scopes[n % 2].vapid(at.now))).await;
    let keys: Vec<_> = keys.into_iter().map(Result::unwrap).collect();
    assert!(keys.iter().all(|key| key == &keys[0]));
    let stranger = at.store.create_tenant(&"stranger".parse().unwrap(), "S", at.now).await.unwrap().id;
    assert_ne!(at.store.vapid(stranger).await.unwrap().key, keys[0].key);
    assert_eq!(*at.store.vapid(at.tenant.id).await.unwrap(), keys[0]);
}

async fn another_key_is_in_force_everywhere_soon(stack: Stack) {
    let at = Fixture::make(stack).await;
    let (other, scope) = (at.second_process([7; 32]).await, at.store.tenant(at.tenant.id));
    let made = other.vapid(at.tenant.id).await.unwrap();
    let subject = "mailto:ops@example.com".parse().unwrap();
    let named = scope.put_vapid(Some(&subject), None, at.now).await.unwrap();
    assert_eq!((&named.key, &named.subject), (&made.key, &Some(subject)));
    assert_ne!(named.id, made.id, "a token that was signed before names nobody");
    let key = VapidKey::from_private([9; 32]).unwrap();
    let set = scope.put_vapid(None, Some(&key), at.now).await.unwrap();
    assert_eq!((&set.key, &set.subject, set.created_at), (&key, &None, made.created_at));
    assert_eq!(*at.store.vapid(at.tenant.id).await.unwrap(), set);
    let heard = || async { (*other.vapid(at.tenant.id).await.unwrap() == set).then_some(()) };
    eventually("the other process has the key", SOON, heard).await;
}

async fn a_key_opens_by_the_encryption_key_alone(stack: Stack) {
    let at = Fixture::make(stack).await;
    let made = at.store.tenant(at.tenant.id).vapid(at.now).await.unwrap();
    assert_eq!(at.store.missing_keys().await.unwrap(), Vec::<String>::new());
    let stranger = at.second_process([8; 32]).await;
    let scope = stranger.tenant(at.tenant.id);
    assert!(matches!(scope.vapid(at.now).await, Err(StoreError::Unreadable { .. })));
    assert!(matches!(scope.put_vapid(None, None, at.now).await, Err(StoreError::Unreadable { .. })));
    assert_eq!(stranger.missing_keys().await.unwrap().len(), 1);
    let inspected = Store::inspect(at.database.url()).await.unwrap();
    assert_eq!(inspected.missing_keys(None).len(), 1);
    // Another one is taken all the same.
    let set = scope.put_vapid(None, Some(&made.key), at.now).await.unwrap();
    assert_eq!(scope.vapid(at.now).await.unwrap(), set);
}
