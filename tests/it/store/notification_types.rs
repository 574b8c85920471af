//! Types of notifications as they are kept: each version, also of what was removed, and who changed it.

use std::net::{IpAddr, Ipv4Addr};

use postrider_core::{
    domain::{
        notification_type::{Definition, NotificationType, TYPES_PER_TENANT_MAX, TypeKey},
        user::{Actor, UserName},
    },
    store::{AuditFilter, Page, PutType},
};
use serde_json::json;

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    what_a_type_was_at_each_version_is_read_also_when_it_was_removed,
    what_somebody_does_to_a_type_is_noted,
    a_tenant_has_so_many_types_and_no_more,
);

fn definition(title: &str) -> Definition {
    let notice = json!({ "title": title, "body": "b" });
    serde_json::from_value(json!({ "name": "n", "category": "c", "urgency": "low", "default_locale": "en",
        "channels": { "inbox": { "templates": { "en": notice } } }, "sample": {} }))
    .unwrap()
}

fn kept(put: PutType) -> NotificationType {
    match put {
        PutType::Made(kept) | PutType::Kept(kept) => kept,
        PutType::TooMany => panic!("too many"),
    }
}

async fn what_a_type_was_at_each_version_is_read_also_when_it_was_removed(stack: Stack) {
    let at = Fixture::make(stack).await;
    let (scope, key): (_, TypeKey) = (at.store.tenant(at.tenant.id), "t".parse().unwrap());
    let put = async |title: &str| kept(scope.put_notification_type(&key, &definition(title), at.now).await.unwrap());
    let first = put("a").await;
    let versions = [put("a").await.version, put("b").await.version, put("b").await.version, put("a").await.version];
    assert_eq!(versions, [1, 2, 2, 3]);
    assert!(scope.delete_notification_type(&key, at.now).await.unwrap());
    assert!(!scope.delete_notification_type(&key, at.now).await.unwrap());
    assert_eq!(scope.notification_type(&key).await.unwrap(), None);
    let again = put("c").await;
    assert!(again.id != first.id && again.version == 1, "{again:?}");
    for (version, title) in [(1, Some("a")), (2, Some("b")), (3, Some("a")), (4, None)] {
        let was = at.store.notification_type_version(first.id, version).await.unwrap();
        assert_eq!(was, title.map(definition), "{version}");
    }
}

async fn what_somebody_does_to_a_type_is_noted(stack: Stack) {
    let at = Fixture::make(stack).await;
    let name: UserName = "ada".parse().unwrap();
    let ada = Actor { name, address: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let (scope, key): (_, TypeKey) = (at.store.tenant(at.tenant.id).acting(&ada), "t".parse().unwrap());
    for title in ["a", "a", "b"] {
        drop(scope.put_notification_type(&key, &definition(title), at.now).await.unwrap());
    }
    scope.delete_notification_type(&key, at.now).await.unwrap();
    let filter = AuditFilter::default();
    let noted = scope.audit(&filter, &Page { before: None, limit: 9 }).await.unwrap().rows;
    let told: Vec<_> = noted.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
    let actions = ["delete", "update", "create"].map(|action| format!("notification_type.{action}"));
    assert_eq!(told, actions.each_ref().map(|action| (action.as_str(), "t")));
    let versions = noted
        .iter()
        .map(|entry| [&entry.before, &entry.after].map(|side| side.as_ref().map(|side| side["version"].clone())));
    let versions: Vec<_> = versions.collect();
    let version = |version: u32| Some(json!(version));
    assert_eq!(versions, [[version(2), None], [version(1), version(2)], [None, version(1)]]);
}

async fn a_tenant_has_so_many_types_and_no_more(stack: Stack) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    let put =
        async |n: u32| scope.put_notification_type(&format!("t{n}").parse().unwrap(), &definition("a"), at.now).await;
    for n in 0..TYPES_PER_TENANT_MAX {
        assert!(matches!(put(n).await.unwrap(), PutType::Made(_)), "{n}");
    }
    assert_eq!(put(TYPES_PER_TENANT_MAX).await.unwrap(), PutType::TooMany);
    assert!(matches!(put(0).await.unwrap(), PutType::Kept(_)));
    assert!(scope.delete_notification_type(&"t0".parse().unwrap(), at.now).await.unwrap());
    assert!(matches!(put(TYPES_PER_TENANT_MAX).await.unwrap(), PutType::Made(_)));
}
