//! A tenant's scope by itself, whatever its caller has checked before: it neither reads nor changes another's rows.

use postrider_core::{
    domain::{
        Id, UnixMs,
        endpoint::EndpointState,
        lane::{LaneKey, LaneName},
        signature::SigningSecret,
        tenant::{Role, Token},
    },
    store::{
        DeadLetterFilter, EndpointChange, EventFilter, Item, ItemResult, JobFilter, OperationKind, Page, Publication,
        Replay, Resolved,
    },
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    a_scope_reads_nothing_of_another_tenant,
    a_scope_changes_nothing_of_another_tenant,
    a_recovery_looks_at_its_own_tenant_s_events_only,
);

async fn a_scope_reads_nothing_of_another_tenant(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (event, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    let dead = at.die(&endpoint).await;
    let (own, stranger) = (at.store.tenant(at.tenant.id), stranger(&at).await);
    let theirs = at.store.tenant(stranger);
    let letters = own.dead_letters(&DeadLetterFilter::default(), &page()).await.unwrap();
    assert!(theirs.job(job).await.unwrap().is_none());
    assert!(theirs.attempts(dead).await.unwrap().is_empty());
    assert_eq!(own.endpoint_attempts(endpoint.id, &page()).await.unwrap().rows.len(), 1);
    assert!(theirs.endpoint_attempts(endpoint.id, &page()).await.unwrap().rows.is_empty());
    assert_eq!(own.health(&[endpoint.id]).await.unwrap()[&endpoint.id].success_rate(), Some(0.0));
    assert!(theirs.health(&[endpoint.id]).await.unwrap().is_empty());
    assert!(theirs.event(&event.to_string()).await.unwrap().is_none());
    assert!(theirs.endpoint(endpoint.id).await.unwrap().is_none());
    assert!(theirs.dead_letter(letters.rows[0].id).await.unwrap().is_none());
    assert!(theirs.jobs(&JobFilter::default(), &page(), at.now).await.unwrap().rows.is_empty());
    assert!(theirs.events(&EventFilter::default(), &page()).await.unwrap().rows.is_empty());
    assert!(theirs.endpoints(&page()).await.unwrap().rows.is_empty());
    assert!(theirs.dead_letters(&DeadLetterFilter::default(), &page()).await.unwrap().rows.is_empty());
    assert!(theirs.failures(None, 10).await.unwrap().is_empty());
    assert_eq!(theirs.count_open_dead_letters(&DeadLetterFilter::default()).await.unwrap().all, 0);
    assert_eq!(theirs.count_events(UnixMs(0), at.now).await.unwrap(), 0);
    assert_eq!(at.store.directory().endpoints(stranger).await.unwrap().len(), 0);
    let lane = |tenant| LaneKey { tenant, name: LaneName::of_endpoint(endpoint.id) };
    assert_eq!(at.store.lane_jobs(&lane(at.tenant.id), 10).await.unwrap().len(), 1);
    assert_eq!(at.store.lane_jobs(&lane(stranger), 10).await.unwrap(), []);
}

async fn a_scope_changes_nothing_of_another_tenant(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (_, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    at.die(&endpoint).await;
    let (own, stranger) = (at.store.tenant(at.tenant.id), stranger(&at).await);
    let theirs = at.store.tenant(stranger);
    let letter = own.dead_letters(&DeadLetterFilter::default(), &page()).await.unwrap().rows.remove(0).id;
    let kind = OperationKind::RecoverEndpoint { endpoint: endpoint.id, since: UnixMs(0), until: at.now };
    let replay = Replay { kind, total: None, rate_per_second: None };
    let operation = own.create_operation(&replay, at.now).await.unwrap().id;
    let token = Token {
        id: Id::new(),
        tenant_id: at.tenant.id,
        name: "ci".to_owned(),
        role: Some(Role::Viewer),
        expires_at: None,
        created_at: at.now,
    };
    own.create_token(&token, &[1; 32]).await.unwrap();
    let all = async || {
        let jobs = own.jobs(&JobFilter::default(), &page(), at.now).await.unwrap().rows;
        let letters = own.dead_letters(&DeadLetterFilter::default(), &page()).await.unwrap().rows;
        let endpoints = own.endpoints(&page()).await.unwrap().rows;
        (jobs, letters, endpoints, own.operation(operation).await.unwrap(), own.tokens(&page()).await.unwrap().rows)
    };
    let before = all().await;
    let later = at.now + std::time::Duration::from_secs(1);
    assert!(!theirs.cancel_job(job, later).await.unwrap());
    assert!(theirs.run_job_now(job, later).await.unwrap().is_none());
    let pause = EndpointChange { state: EndpointState::Paused, reason: None, now: later };
    assert!(theirs.change_endpoint_state(endpoint.id, &EndpointState::ALL, &pause).await.unwrap().is_none());
    let mine = |settings: &mut postrider_core::domain::endpoint::EndpointSettings| settings.description = "mine".into();
    assert!(theirs.update_endpoint(endpoint.id, later, mine).await.unwrap().is_none());
    assert!(!theirs.rotate_secret(endpoint.id, &SigningSecret::from_random([9; 32]), later, later).await.unwrap());
    assert!(!theirs.delete_endpoint(endpoint.id, later).await.unwrap());
    assert_eq!(theirs.replay_dead_letter(letter, None, later).await.unwrap(), Resolved::NotFound);
    assert_eq!(theirs.discard_dead_letter(letter, "mine", later).await.unwrap(), Resolved::NotFound);
    assert!(theirs.operation(operation).await.unwrap().is_none());
    assert!(!theirs.cancel_operation(operation, later).await.unwrap());
    assert!(!theirs.revoke_token(token.id).await.unwrap());
    assert!(theirs.tokens(&page()).await.unwrap().rows.is_empty());
    assert_eq!(all().await, before);
    let live = at.store.directory().endpoints(at.tenant.id).await.unwrap();
    assert_eq!(live.get(endpoint.id).unwrap().secrets(later), [SigningSecret::from_random([1; 32])]);
}

async fn a_recovery_looks_at_its_own_tenant_s_events_only(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let missed = || Item { jobs: Vec::new(), ..at.event(&endpoint).2 };
    at.publish(None, vec![missed()]).await;
    let stranger = stranger(&at).await;
    let published = Publication::new(None, vec![missed()], at.now, Box::new(|_: &[ItemResult]| String::new()));
    at.store.tenant(stranger).publish(published).await.unwrap();
    // Who asks for a recovery of an endpoint that is not theirs recovers nothing.
    for (tenant, seen) in [(at.tenant.id, 1), (stranger, 0)] {
        let kind = OperationKind::RecoverEndpoint { endpoint: endpoint.id, since: UnixMs(0), until: at.now };
        let replay = Replay { kind, total: None, rate_per_second: None };
        let operation = at.store.tenant(tenant).create_operation(&replay, at.now).await.unwrap().id;
        assert!(at.store.claim_operation(&[], at.now).await.unwrap().is_some());
        while at.store.step_operation(operation, 7, at.now).await.unwrap().more {}
        let ended = at.store.tenant(tenant).operation(operation).await.unwrap().unwrap();
        assert_eq!((ended.seen, ended.replayed), (seen, seen));
    }
}

async fn stranger(at: &Fixture) -> Id<postrider_core::domain::tenant::Tenant> {
    at.store.create_tenant(&"stranger".parse().unwrap(), "Stranger", at.now).await.unwrap().id
}

const fn page<T>() -> Page<T> {
    Page { before: None, limit: 100 }
}
