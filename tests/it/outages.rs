//! PostgreSQL or Redis away: what cannot be stored is refused, what was accepted is not lost, and all goes on by itself.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{Answer, App, Client, LONG, Line, PrivateRedis, Receiver, SOON, Script, Stack, eventually};

/// How long a refusal may take, on a busy machine too.
const REFUSAL: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_connections_to_postgresql_cut_it_refuses_and_then_goes_on() {
    refuses_and_then_goes_on(Line::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_silent_postgresql_it_refuses_and_then_goes_on() {
    refuses_and_then_goes_on(Line::Silent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_postgresql_that_takes_no_writes_it_refuses_and_then_goes_on() {
    let (app, receiver) = (App::start(Stack::Postgres).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.database().set_writable(false).await;
    let body = json!({ "type": "while.away", "payload": 1 });
    let refused = || async {
        let answer = app.client.post("/v1/events").json(&body).send().await.expect_problem(503, "unavailable");
        answer.header("retry-after").expect("a 503 says when to try again");
        let ready = app.client.get("/readyz").send().await;
        (ready.status == 503).then_some(())
    };
    eventually("readiness tells the truth", SOON, refused).await;
    app.database().set_writable(true).await;
    published_again(&app.client).await;
    receiver.wait_for("/hook", 1, SOON).await;
}

async fn refuses_and_then_goes_on(trouble: Line) {
    const LANES: usize = 3;
    const IN_FLIGHT: usize = 2 * LANES;
    let receiver = Receiver::start().await;
    let app = App::builder(Stack::Postgres).behind_a_proxy().start().await;
    let (let_go, held) = Script::held();
    receiver.always("/hook", held);
    app.client.create_lanes(LANES, &receiver.url("/hook"), json!({ "timeout_ms": 60_000 })).await;
    let mut accepted = HashSet::new();
    for n in 0..IN_FLIGHT {
        accepted.insert(app.client.publish(&format!("lane.{}", n % LANES), &n.to_string()).await);
    }
    receiver.wait_for("/hook", IN_FLIGHT, SOON).await;

    app.proxy().set(trouble);
    // What is in flight succeeds now, and its success cannot be stored.
    let_go.send(true).unwrap();
    for n in 0..3 {
        let asked = Instant::now();
        let body = json!({ "type": "while.away", "payload": n });
        let refused = app.client.post("/v1/events").json(&body).send().await.expect_problem(503, "unavailable");
        let wait = refused.header("retry-after").expect("a 503 says when to try again");
        assert!(wait.parse::<u32>().is_ok_and(|seconds| seconds > 0), "Retry-After: {wait}");
        assert!(asked.elapsed() < REFUSAL, "the refusal took {:?}", asked.elapsed());
    }
    let ready = app.client.get("/readyz").send().await.expect(503);
    assert_ne!(ready.string("/checks/database"), "ok", "{}", ready.text);
    assert_eq!(ready.string("/checks/queue"), "ok", "{}", ready.text);
    app.client.get("/healthz").send().await.expect(200);

    app.proxy().set(Line::Open);
    accepted.insert(published_again(&app.client).await);
    for event in &accepted {
        let job = await_success(&app.client, event).await;
        let good = job.list("/attempts").iter().filter(|attempt| attempt["outcome"] == "succeeded").count();
        assert_eq!(good, 1, "{}", job.text);
    }
    let stored: Vec<_> = app.client.all("/v1/events").await;
    assert_eq!(stored.len(), accepted.len(), "what was refused is not stored: {stored:#?}");
    assert_eq!(receiver.events("/hook").len(), accepted.len());
    app.client.get("/readyz").send().await.expect(200);
    // However many outcomes had to wait.
    for words in ["an outcome waits for the database", "outcomes that waited for the database"] {
        assert_eq!(app.log().matches(words).count(), 1, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_the_offers_that_fail_while_redis_is_away_the_first_and_the_end_are_logged() {
    const EVENTS: usize = 30;
    let (mut redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).start().await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    redis.kill();
    for n in 0..EVENTS {
        app.client.publish("while.away", &n.to_string()).await;
    }
    redis.restart().await;
    let again = || async {
        app.client.publish("back.again", "1").await;
        app.log().contains("the queue takes offers again").then_some(())
    };
    eventually("offers succeed again, and that is logged", SOON, again).await;
    receiver.wait_for_events("/hook", EVENTS, SOON).await;
    let log = app.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    assert_eq!(lines("not offered to the queue").len(), 1, "{log}");
    let ended = lines("the queue takes offers again");
    let ended: serde_json::Value = serde_json::from_str(ended.first().unwrap()).expect("a line of JSON");
    assert!(ended["jobs"].as_u64() >= Some(1) && ended["offers"].as_u64() >= Some(1), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_is_said_to_be_and_what_is_accepted_meanwhile_goes_out_after_it() {
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).start().await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    app.client.publish("a.b", "1").await;
    let ready = app.client.get("/readyz").send().await.expect(200);
    assert_eq!(ready.string("/status"), "degraded", "{}", ready.text);
    assert_eq!(ready.string("/checks/database"), "ok", "{}", ready.text);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    receiver.wait_for("/hook", 1, SOON).await;
    let ready = app.client.get("/readyz").send().await.expect(200);
    assert_eq!(ready.string("/status"), "ok", "{}", ready.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_kept_until_its_outcome_is_committed() {
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).behind_a_proxy().start().await;
    let (let_go, held) = Script::held();
    receiver.always("/hook", held);
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "timeout_ms": 60_000 })).await;
    let event = app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    app.proxy().set(Line::Cut);
    let_go.send(true).unwrap();
    let waits = || async { app.log().contains("an outcome waits for the database").then_some(()) };
    eventually("the outcome cannot be committed", SOON, waits).await;
    // What was told to the queue before would be in force by the end of another refusal.
    let body = json!({ "type": "while.away", "payload": 1 });
    app.client.post("/v1/events").json(&body).send().await.expect_problem(503, "unavailable");
    assert!(redis.holds("*}:f:*").await, "the lease was ended before its outcome was committed");
    app.proxy().set(Line::Open);
    await_success(&app.client, &event).await;
    let ended = || async { (!redis.holds("*}:f:*").await).then_some(()) };
    eventually("the lease ends", SOON, ended).await;
    assert_eq!(receiver.requests("/hook").len(), 1);
}

/// Publishes one event as soon as the server takes it again.
async fn published_again(client: &Client) -> String {
    let body = json!({ "type": "lane.0", "payload": 1 });
    let published = || async {
        let answer = client.post("/v1/events").header("idempotency-key", "after-healing").json(&body).send().await;
        (answer.status != 503).then(|| answer.expect(202).string("/id"))
    };
    eventually("events are accepted again", SOON, published).await
}

async fn await_success(client: &Client, event: &str) -> Answer {
    // Just after an outage one more answer may say that the database is away.
    let event_is_read =
        || async { (client.get(&format!("/v1/events/{event}")).send().await.status == 200).then_some(()) };
    eventually(&format!("{event} is read"), SOON, event_is_read).await;
    let job = format!("/v1/jobs/{}", client.job_of(event).await);
    let done = || async {
        let job = client.get(&job).send().await;
        (job.status != 503).then_some(job).filter(|job| job.string("/state") == "succeeded")
    };
    eventually(&format!("the delivery of {event} has succeeded"), LONG, done).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_redis_degrades_readiness_but_not_acceptance() {
    const EVENTS: usize = 10;
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).start().await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    redis.pause();
    for n in 0..EVENTS {
        let asked = Instant::now();
        app.client.publish("while.silent", &n.to_string()).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "event {n} was accepted after {:?}", asked.elapsed());
    }
    let ready = app.client.get("/readyz").send().await.expect(200);
    assert_eq!((ready.string("/status").as_str(), ready.string("/checks/database").as_str()), ("degraded", "ok"));
    assert_ne!(ready.string("/checks/queue"), "ok", "{}", ready.text);
    redis.resume();
    let came = receiver.wait_for_events("/hook", EVENTS, Duration::from_secs(10)).await;
    assert_eq!(came.len(), EVENTS);
    let healthy = || async { (app.client.get("/readyz").send().await.string("/status") == "ok").then_some(()) };
    eventually("readiness is ok again", SOON, healthy).await;
}
