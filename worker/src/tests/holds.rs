//! Jobs that must not run now, or never again, and leases that must not be lost sight of.

use std::time::Duration;

use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        endpoint::EndpointState,
        job::{Job, JobState},
        lane::{Health, LaneKey, LaneName, Standing},
        tenant::Tenant,
    },
    queue::Lease,
    store::{EndpointChange, OperationKind, Replay},
};

use super::bench::{Bench, Receiver, until};
use crate::{leases::Leases, outcomes::health};

#[tokio::test]
async fn a_job_that_lost_three_workers_is_dead_without_running_again() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let job = bench.publish(&endpoint, b"{}").await;
    for worker in ["a", "b", "c"] {
        bench.parts.store.count_lost_workers(&[job.id], worker, UnixMs::now()).await.unwrap();
    }
    let worker = bench.start();
    bench.until_state(job.id, JobState::Dead).await;
    worker.stop().await;

    assert!(receiver.requests().is_empty());
    let attempts = bench.attempts(job.id).await;
    let lost = attempts.iter().map(|attempt| (attempt.outcome.as_str(), attempt.worker.as_deref().unwrap_or_default()));
    assert_eq!(lost.collect::<Vec<_>>(), [("lost", "a"), ("lost", "b"), ("lost", "c")]);
    assert_eq!(bench.job(job.id).await.attempt, 0);
}

#[tokio::test]
async fn a_paused_endpoint_s_delivery_waits_without_an_attempt() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let job = bench.publish(&endpoint, b"{}").await;
    // The queue is not told, as when the process that paused was killed in between.
    bench.offer(&job).await;
    change(&bench, &endpoint.id, EndpointState::Paused).await;
    let worker = bench.start();
    let paused = || async { bench.parts.queue.view(1).await.unwrap().lanes.first().is_some_and(|lane| lane.paused) };
    until("the pause", paused).await;
    until("the release", || async { bench.leased().await == 0 }).await;
    assert!(receiver.requests().is_empty());

    let endpoint = change(&bench, &endpoint.id, EndpointState::Active).await;
    bench.parts.dispatcher.tell(&endpoint.lane(), &endpoint.lane_settings()).await;
    bench.until_state(job.id, JobState::Succeeded).await;
    worker.stop().await;
    assert_eq!(bench.attempts(job.id).await.len(), 1);
}

async fn change(
    bench: &Bench,
    id: &Id<postrider_core::domain::endpoint::Endpoint>,
    state: EndpointState,
) -> postrider_core::domain::endpoint::Endpoint {
    let change = EndpointChange { state, reason: None, now: UnixMs::now() };
    let store = bench.parts.store.tenant(bench.tenant);
    store.change_endpoint_state(*id, &[EndpointState::Active, EndpointState::Paused], &change).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_retry_that_is_far_off_waits_in_sql() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(503).await);
    let endpoint = bench.endpoint(&receiver.url(), &[7200.0]).await;
    let worker = bench.start();
    let job = bench.publish(&endpoint, b"{}").await;
    bench.offer(&job).await;
    until("the attempt", || async { bench.attempts(job.id).await.len() == 1 }).await;
    until("the verdict", || async { bench.parts.queue.view(1).await.unwrap().totals.tickets == 0 }).await;
    worker.stop().await;

    let job = bench.job(job.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Pending, 1));
    assert!(job.run_at > UnixMs::now() + Duration::from_secs(3000));
}

#[tokio::test]
async fn an_ordered_lane_keeps_its_order_although_an_offer_failed() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let store = bench.parts.store.tenant(bench.tenant);
    store.update_endpoint(endpoint.id, UnixMs::now(), |settings| settings.ordered = true).await.unwrap().unwrap();
    let worker = bench.start();
    let first = bench.publish(&endpoint, b"1").await;
    bench.offer(&first).await;
    bench.until_state(first.id, JobState::Succeeded).await;
    // As when the queue was away for a moment.
    let missing = [bench.publish(&endpoint, b"2").await, bench.publish(&endpoint, b"3").await];
    let last = bench.publish(&endpoint, b"4").await;
    bench.offer(&last).await;
    bench.until_state(last.id, JobState::Succeeded).await;
    worker.stop().await;
    let bodies: Vec<String> =
        receiver.requests().iter().map(|request| request[request.len() - 1..].to_owned()).collect();
    assert_eq!(bodies, ["1", "2", "3", "4"]);
    assert_eq!(bench.attempts(missing[1].id).await.len(), 1);
}

#[tokio::test]
async fn an_ordered_lane_keeps_its_order_although_the_queue_was_emptied() {
    let (mut bench, receiver) = (Bench::new().await, Receiver::answering(500).await);
    let endpoint = bench.endpoint(&receiver.url(), &[7200.0]).await;
    let store = bench.parts.store.tenant(bench.tenant);
    store.update_endpoint(endpoint.id, UnixMs::now(), |settings| settings.ordered = true).await.unwrap().unwrap();
    let first = bench.publish(&endpoint, b"1").await;
    let worker = bench.start();
    until("the attempt", || async { bench.attempts(first.id).await.len() == 1 }).await;
    worker.stop().await;
    // The embedded queue is empty after a start.
    bench.empty_queue();
    let second = bench.publish(&endpoint, b"2").await;
    let worker = bench.start();
    bench.offer(&second).await;
    let leads = || async { bench.parts.queue.run_now(&endpoint.lane(), first.id).await.unwrap() };
    until("the lane to wait with the first", leads).await;
    worker.stop().await;
    assert_eq!(receiver.requests().len(), 1);
    assert!(bench.attempts(second.id).await.is_empty());
}

#[tokio::test]
async fn a_recovery_replays_what_died_and_its_replays_are_run() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let nowhere = bench.endpoint("http://127.0.0.1:1/", &[]).await;
    let worker = bench.start();
    let job = bench.publish(&nowhere, b"{}").await;
    bench.offer(&job).await;
    bench.until_state(job.id, JobState::Dead).await;
    let store = bench.parts.store.tenant(bench.tenant);
    let url = receiver.url();
    let moved = store.update_endpoint(nowhere.id, UnixMs::now(), |settings| {
        settings.url = postrider_core::domain::egress::EndpointUrl::stored(url);
    });
    moved.await.unwrap().unwrap();
    let kind = OperationKind::RecoverEndpoint { endpoint: nowhere.id, since: UnixMs(0), until: UnixMs::now() };
    store.create_operation(&Replay { kind, total: None, rate_per_second: Some(100) }, UnixMs::now()).await.unwrap();
    until("the delivery", || async { receiver.requests().len() == 1 }).await;
    worker.stop().await;
}

#[test]
fn a_receiver_s_health_follows_from_its_answer() {
    use AttemptClass as Class;
    for (class, status, expected) in [
        (Class::Succeeded, Some(204), Health::Good),
        (Class::HttpStatus, Some(500), Health::Bad),
        (Class::HttpStatus, Some(429), Health::Bad),
        (Class::HttpStatus, Some(404), Health::Neutral),
        (Class::HttpStatus, Some(410), Health::Neutral),
        (Class::Redirect, Some(302), Health::Neutral),
        (Class::Timeout, None, Health::Bad),
        (Class::Timeout, Some(200), Health::Bad),
        (Class::Tls, None, Health::Bad),
        (Class::Egress, None, Health::Neutral),
        (Class::Panic, None, Health::Neutral),
    ] {
        assert_eq!(health(class, status), expected, "{class} {status:?}");
    }
}

fn lease(job: Id<Job>, fence: u64) -> Lease {
    let name: LaneName = "lane".parse().unwrap();
    Lease { job, lane: LaneKey { tenant: Id::<Tenant>::new(), name }, fence, standing: Standing::Unknown }
}

#[tokio::test]
async fn a_job_that_is_claimed_again_while_it_runs_goes_on_under_the_new_lease() {
    let leases = Leases::new("test", 2);
    let (worker, job) = (leases.worker(), Id::new());
    let mut permits = leases.free_slots(1, Duration::ZERO, 2).await.unwrap();
    let slot = leases.hold(lease(job, 1), &worker, permits.split(1).unwrap()).unwrap();
    assert!(leases.hold(lease(job, 2), &worker, permits).is_none());
    assert_eq!(slot.end_lease().map(|lease| lease.fence), Some(2));
    assert_eq!(slot.end_lease(), None);
}

#[tokio::test]
async fn an_id_whose_lease_nobody_ended_is_retired_once_its_others_have() {
    let leases = Leases::new("test", 2);
    let worker = leases.worker();
    let mut permits = leases.free_slots(1, Duration::ZERO, 2).await.unwrap();
    let dropped = leases.hold(lease(Id::new(), 1), &worker, permits.split(1).unwrap()).unwrap();
    let running = leases.hold(lease(Id::new(), 2), &worker, permits).unwrap();
    drop(dropped);
    assert_ne!(leases.worker(), worker);
    assert_eq!(leases.to_retire(), []);
    assert!(leases.workers().contains(&worker));
    running.end_lease().unwrap();
    drop(running);
    assert_eq!(leases.to_retire(), std::slice::from_ref(&worker));
    leases.retired(&worker);
    assert_eq!(leases.workers(), [leases.worker()]);
}
