//! Users: that some administrator stays whoever removes whom, and who makes the first one.

use std::net::{IpAddr, Ipv4Addr};

use postrider_core::{
    domain::{
        Id, UnixMs,
        user::{Actor, Reach, User, UserRole},
    },
    store::{Changed, Store},
};

use super::{Fixture, gate::Gate};
use crate::harness::Stack;

on_both_stacks!(
    of_two_administrators_who_remove_each_other_one_stays,
    of_two_administrators_who_demote_each_other_one_stays,
    a_key_makes_no_first_user_once_there_was_one,
);

async fn of_two_administrators_who_remove_each_other_one_stays(stack: Stack) {
    let at = Fixture::make(stack).await;
    let [ada, bob] = [make(&at, "ada").await, make(&at, "bob").await];
    let removed = async |user: &User, by: &User| at.store.remove_user(&user.name, &actor(by)).await.unwrap();
    let removals = beside(&at, removed(&ada, &bob), removed(&bob, &ada)).await;
    assert!(one_is_done_and_one_refused(&removals), "{removals:?}");
    let [left] = at.store.users().await.unwrap().try_into().unwrap();
    assert_eq!(left.role, UserRole::Admin);
    let shell = Actor { name: "command-line".parse().unwrap(), ..actor(&left) };
    assert!(matches!(at.store.remove_user(&left.name, &shell).await.unwrap(), Changed::Done(_)), "on the server");
}

async fn of_two_administrators_who_demote_each_other_one_stays(stack: Stack) {
    let at = Fixture::make(stack).await;
    let [ada, bob] = [make(&at, "ada").await, make(&at, "bob").await];
    let demoted = async |user: &User, by: &User| {
        let change = |now: &User| Some((UserRole::Viewer, now.reach.clone()));
        at.store.change_user(&user.name, &actor(by), change).await.unwrap()
    };
    let changes = beside(&at, demoted(&ada, &bob), demoted(&bob, &ada)).await;
    assert!(one_is_done_and_one_refused(&changes), "{changes:?}");
    let users = at.store.users().await.unwrap();
    assert_eq!(users.iter().filter(|user| user.role == UserRole::Admin).count(), 1, "{users:?}");
}

async fn a_key_makes_no_first_user_once_there_was_one(stack: Stack) {
    let at = Fixture::make(stack).await;
    let key = at.store.first_user_key().await.unwrap();
    assert!(at.store.is_first_user_key(&key).await.unwrap());
    let first = async |store: &Store, user: &User, key: &str| {
        store.create_first_user(user, "hash", key, &actor(user)).await.unwrap()
    };
    let [ada, eve] = [admin("ada"), admin("eve")];
    assert!(!first(&at.store, &eve, "AAAA").await && first(&at.store, &ada, &key).await);
    let shell = Actor { name: "command-line".parse().unwrap(), ..actor(&ada) };
    assert!(matches!(at.store.remove_user(&ada.name, &shell).await.unwrap(), Changed::Done(_)));
    assert!(!at.store.is_first_user_key(&key).await.unwrap() && !first(&at.store, &eve, &key).await);
    let other = at.store.first_user_key().await.unwrap();
    assert!(at.store.is_first_user_key(&other).await.unwrap() && first(&at.store, &eve, &other).await);
}

/// Both at the same moment: with PostgreSQL neither commits before the other has come as far as it can.
async fn beside(
    at: &Fixture,
    one: impl Future<Output = Changed<User>>,
    other: impl Future<Output = Changed<User>>,
) -> [Changed<User>; 2] {
    if at.stack == Stack::Sqlite {
        return tokio::join!(one, other).into();
    }
    let gate = Gate::close(at, "audit_log").await;
    let open = async {
        gate.await_waiting(2).await;
        gate.open().await;
    };
    let (one, other, ()) = tokio::join!(one, other, open);
    [one, other]
}

fn one_is_done_and_one_refused(changes: &[Changed<User>]) -> bool {
    let count = |is: fn(&Changed<User>) -> bool| changes.iter().filter(|&change| is(change)).count();
    (count(|change| matches!(change, Changed::Done(_))), count(|change| *change == Changed::Refused)) == (1, 1)
}

async fn make(at: &Fixture, name: &str) -> User {
    let user = User { created_at: at.now, password_at: at.now, ..admin(name) };
    at.store.create_user(&user, "hash", &actor(&user)).await.unwrap();
    user
}

fn admin(name: &str) -> User {
    let now = UnixMs::now();
    let name = name.parse().unwrap();
    User { id: Id::new(), name, role: UserRole::Admin, reach: Reach::Every, password_at: now, created_at: now }
}

fn actor(user: &User) -> Actor {
    Actor { name: user.name.clone(), address: IpAddr::from(Ipv4Addr::LOCALHOST) }
}
