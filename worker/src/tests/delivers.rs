//! From a stored event to its receiver, and to the outcome in SQL.

use std::time::{Duration, Instant};

use postrider_core::{
    domain::{
        UnixMs,
        endpoint::{Endpoint, EndpointState},
        job::JobState,
        signature::{SignedHeaders, SigningSecret, verify},
    },
    store::{NewJob, Page},
};

use super::{
    PANIC,
    bench::{Bench, Receiver, until},
};

fn header(request: &str, name: &str) -> String {
    let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
    line.unwrap().split_once(": ").unwrap().1.to_owned()
}

#[tokio::test]
async fn an_event_reaches_its_endpoint_signed_and_byte_for_byte() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let worker = bench.start();
    let payload = br#"{"b":1.0,"a":  2e3}"#;
    let job = bench.publish(&endpoint, payload).await;
    bench.offer(&job).await;
    bench.until_state(job.id, JobState::Succeeded).await;
    worker.stop().await;

    let request = receiver.requests().remove(0);
    assert!(request.ends_with(std::str::from_utf8(payload).unwrap()), "{request}");
    let signed = SignedHeaders {
        id: header(&request, "webhook-id"),
        timestamp: header(&request, "webhook-timestamp"),
        signature: header(&request, "webhook-signature"),
    };
    assert!(verify(&SigningSecret::from_random([3; 32]), &signed, payload));
    assert_eq!(header(&request, "user-agent"), "Postrider/0.0.0");
    assert_eq!(header(&request, "content-type"), "application/json");
    assert_eq!(header(&request, "x-own"), "yes");
    let attempts = bench.attempts(job.id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].outcome.as_str(), attempts[0].status_code), ("succeeded", Some(200)));
}

#[tokio::test]
async fn what_was_stored_and_never_offered_is_found_by_the_sweep() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let job = bench.publish(&endpoint, b"{}").await;
    let worker = bench.start();
    bench.until_state(job.id, JobState::Succeeded).await;
    worker.stop().await;
}

async fn die(bench: &Bench, endpoint: &Endpoint) -> NewJob {
    let worker = bench.start();
    let job = bench.publish(endpoint, b"{}").await;
    bench.offer(&job).await;
    bench.until_state(job.id, JobState::Dead).await;
    worker.stop().await;
    job
}

#[tokio::test]
async fn failures_are_retried_and_end_as_one_dead_letter() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(500).await);
    let endpoint = bench.endpoint(&receiver.url(), &[0.02, 0.02]).await;
    let job = die(&bench, &endpoint).await;

    let attempts = bench.attempts(job.id).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(attempts.iter().all(|attempt| attempt.status_code == Some(500)));
    let store = bench.parts.store.tenant(bench.tenant);
    let page = Page { before: None, limit: 10 };
    let letters = store.dead_letters(&Default::default(), &page).await.unwrap();
    assert_eq!(letters.rows.len(), 1);
    assert_eq!(store.endpoint(endpoint.id).await.unwrap().unwrap().state, EndpointState::Failing);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_asked_once_and_disabled() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(410).await);
    let endpoint = bench.endpoint(&receiver.url(), &[0.02, 0.02]).await;
    die(&bench, &endpoint).await;

    assert_eq!(receiver.requests().len(), 1, "{:?}", receiver.requests());
    let endpoint = bench.parts.store.tenant(bench.tenant).endpoint(endpoint.id).await.unwrap().unwrap();
    assert_eq!(endpoint.state, EndpointState::Disabled);
    assert_eq!(endpoint.state_reason.as_deref(), Some("the receiver answered 410 Gone"));
}

#[tokio::test]
async fn an_executor_that_panics_is_a_failed_attempt() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[0.02]).await;
    let worker = bench.start();
    let (bad, good) = (bench.publish(&endpoint, PANIC).await, bench.publish(&endpoint, b"{}").await);
    bench.offer(&bad).await;
    bench.offer(&good).await;
    bench.until_state(bad.id, JobState::Dead).await;
    bench.until_state(good.id, JobState::Succeeded).await;
    worker.stop().await;

    let attempts = bench.attempts(bad.id).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome.as_str()).collect::<Vec<_>>(), ["panic", "panic"]);
    assert_eq!(bench.job(bad.id).await.lost_workers, 0);
}

#[tokio::test]
async fn a_delivery_whose_secret_cannot_be_read_is_never_sent_unsigned() {
    let (mut bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let endpoint = bench.endpoint(&receiver.url(), &[0.02]).await;
    let job = bench.publish(&endpoint, b"{}").await;
    bench.change_key().await;
    let worker = bench.start();
    bench.until_state(job.id, JobState::Dead).await;
    worker.stop().await;

    assert!(receiver.requests().is_empty());
    let attempts = bench.attempts(job.id).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome.as_str()).collect::<Vec<_>>(), ["invalid", "invalid"]);
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_waits_for_a_free_executor_is_not_run() {
    let (mut bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    bench.parts.settings.concurrency = 1;
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let worker = bench.start();
    // A receiver that has not answered yet gets half of the slots only.
    let proof = bench.publish(&endpoint, b"{}").await;
    bench.offer(&proof).await;
    until("the first answer", || async { bench.leased().await == 0 && receiver.requests().len() == 1 }).await;
    receiver.hold();
    let [runs, waits] = [bench.publish(&endpoint, b"{}").await, bench.publish(&endpoint, b"{}").await];
    bench.offer(&runs).await;
    until("the request", || async { receiver.requests().len() == 2 }).await;
    bench.offer(&waits).await;
    until("the row is read ahead", || async { bench.leased().await == 2 }).await;
    let read = Instant::now();
    assert!(bench.parts.store.tenant(bench.tenant).cancel_job(waits.id, UnixMs::now()).await.unwrap());
    until("its row is believed no more", || async { read.elapsed() > Duration::from_millis(1_500) }).await;
    receiver.let_go();
    until("both have ended", || async { bench.leased().await == 0 }).await;
    worker.stop().await;

    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(bench.job(waits.id).await.state, JobState::Cancelled);
    assert!(bench.attempts(waits.id).await.is_empty());
}

#[tokio::test]
async fn an_outcome_that_comes_late_changes_nothing() {
    let (bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    receiver.hold();
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let worker = bench.start();
    let job = bench.publish(&endpoint, b"{}").await;
    bench.offer(&job).await;
    until("the request", || async { receiver.requests().len() == 1 }).await;
    assert!(bench.parts.store.tenant(bench.tenant).cancel_job(job.id, UnixMs::now()).await.unwrap());
    receiver.let_go();
    until("the attempt", || async { bench.attempts(job.id).await.len() == 1 }).await;
    until("the verdict", || async { bench.leased().await == 0 }).await;
    worker.stop().await;

    assert!(bench.attempts(job.id).await[0].late);
    assert_eq!(bench.job(job.id).await.state, JobState::Cancelled);
}
