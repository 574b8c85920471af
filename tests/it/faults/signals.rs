//! SIGTERM and SIGINT: what runs ends, what waits goes on elsewhere at once, and a second one hurries.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{
    ADMIN_TOKEN, App, Books, Load, PrivateRedis, Publishing, Receiver, SOON, Script, Stack, eventually, rounds,
};

on_both_stacks!(
    a_stop_under_load_loses_and_doubles_none_and_nothing_waits_for_a_lease,
    what_runs_at_a_stop_ends_well_and_nothing_more_is_begun,
    what_does_not_end_within_the_grace_is_given_back,
    a_second_signal_ends_at_once_and_what_it_cuts_runs_again,
);

/// The default grace, which a stop may take.
const GRACE: Duration = Duration::from_secs(30);
/// A lease lasts 15 s: what goes on sooner did not wait for one.
const PROMPT: Duration = Duration::from_secs(8);
const A_WHILE: Duration = Duration::from_secs(1);
const SLOTS: &str = "POSTRIDER_WORKER_CONCURRENCY";
const LANES: usize = 3;
/// A new lane begins with two calls at a time.
const IN_FLIGHT: usize = 2 * LANES;
const WAITING: usize = 20;

async fn a_stop_under_load_loses_and_doubles_none_and_nothing_waits_for_a_lease(stack: Stack) {
    let (stops, events) = (rounds(3, 10), rounds(1_500, 5_000));
    // With few slots a job is read ahead, with many all of them run.
    let app = App::builder(stack).env(SLOTS, "2");
    let (mut app, receiver) = (app.start().await, Receiver::start().await);
    receiver.always("/hook", Script::Late(Duration::from_millis(10)));
    app.client.create_lanes(LANES, &receiver.url("/hook"), json!({})).await;
    let load = Load { kind: |n| format!("lane.{}", n % LANES), ..Load::of(events) };
    let publishing = Publishing::start(&app.client, &load);
    for stop in 0..stops {
        let ahead = rand::random_range(50..events / 2 / stops);
        publishing.wait_for((publishing.accepted_count() + ahead).min(events)).await;
        app.signal(if stop % 2 == 0 { "TERM" } else { "INT" });
        let status = app.ended(GRACE).await;
        assert!(status.success(), "a graceful stop ends with {status}");
        let accepted = publishing.accepted();
        app.restart_with(SLOTS, if stop % 2 == 0 { "1024" } else { "2" }).await;
        receiver.wait_for_all("/hook", &accepted, PROMPT).await;
    }
    let accepted = publishing.finish().await;
    assert_eq!(accepted.len(), events);
    Books::of(&accepted).balance(&app.client, &receiver).await;
}

async fn what_runs_at_a_stop_ends_well_and_nothing_more_is_begun(stack: Stack) {
    for signal in ["TERM", "INT"] {
        let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
        let (let_go, held) = Script::held();
        receiver.always("/hook", held.clone());
        let mut accepted = in_flight_and_waiting(&app, &receiver).await;
        // A caller who waits for an answer, too.
        receiver.always("/test", held);
        let tested = app.client.create_endpoint(&receiver.url("/test"), json!({ "event_types": ["none"] })).await;
        let test = app.client.post(&format!("/v1/endpoints/{}/test", tested.id));
        let test = tokio::spawn(test.send());
        receiver.wait_for("/test", 1, SOON).await;

        app.signal(signal);
        await_words(&app, "stopping").await;
        // What runs takes its time.
        let told = Instant::now();
        eventually("a second is over", SOON, || async { (told.elapsed() > A_WHILE).then_some(()) }).await;
        let_go.send(true).unwrap();
        let status = app.ended(GRACE).await;
        assert!(status.success(), "SIG{signal}: {status}");
        assert_eq!(receiver.requests("/hook").len(), IN_FLIGHT, "SIG{signal}: more is begun while it stops");
        let answer = test.await.unwrap().expect(200);
        assert_eq!(answer.body["outcome"], "succeeded", "{}", answer.text);

        app.restart().await;
        receiver.wait_for_events("/hook", IN_FLIGHT + WAITING, PROMPT).await;
        accepted.push(receiver.requests("/test")[0].event_id().to_owned());
        Books::of(&accepted).balance(&app.client, &receiver).await;
    }
}

async fn what_does_not_end_within_the_grace_is_given_back(stack: Stack) {
    const SHORT: Duration = Duration::from_secs(1);
    let app = App::builder(stack).env("POSTRIDER_SHUTDOWN_GRACE_SECONDS", SHORT.as_secs().to_string());
    let (mut app, receiver) = (app.start().await, Receiver::start().await);
    receiver.always("/hook", Script::Hang);
    let accepted = in_flight_and_waiting(&app, &receiver).await;
    let told = Instant::now();
    app.signal("TERM");
    assert!(app.ended(SHORT + PROMPT).await.success());
    assert!(told.elapsed() >= SHORT, "the grace was {:?}", told.elapsed());
    cut_jobs_run_again(&mut app, &receiver, &accepted).await;
}

async fn a_second_signal_ends_at_once_and_what_it_cuts_runs_again(stack: Stack) {
    for signal in ["TERM", "INT"] {
        let app = App::builder(stack).env("POSTRIDER_SHUTDOWN_GRACE_SECONDS", "300");
        let (mut app, receiver) = (app.start().await, Receiver::start().await);
        receiver.always("/hook", Script::Hang);
        let accepted = in_flight_and_waiting(&app, &receiver).await;
        let _unfinished = unfinished_request(&app).await;
        app.signal(signal);
        await_words(&app, "stopping").await;
        let hurried = Instant::now();
        app.signal(signal);
        let status = app.ended(PROMPT).await;
        assert!(status.success(), "a second SIG{signal}: {status}");
        eprintln!("after the second SIG{signal} it ended within {:?}", hurried.elapsed());
        cut_jobs_run_again(&mut app, &receiver, &accepted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_worker_had_read_ahead_runs_at_another_at_once() {
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    // One call at a time, and one job read ahead.
    let api = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url());
    let api = api.env(SLOTS, "1").role("api").start().await;
    let mut stopped = api.beside("worker").await;
    api.client.create_endpoint(&receiver.url("/hook"), json!({ "timeout_ms": 60_000 })).await;
    // A lane that has not answered yet gets one job only.
    let mut accepted = vec![api.client.publish("a.b", "0").await];
    receiver.wait_for("/hook", 1, SOON).await;
    redis.await_leases(0).await;
    let (let_go, held) = Script::held();
    receiver.first("/hook", [held], Script::status(200));
    for n in 1..=WAITING {
        accepted.push(api.client.publish("a.b", &n.to_string()).await);
    }
    receiver.wait_for("/hook", 2, SOON).await;
    redis.await_leases(2).await;
    let _other = api.beside("worker").await;
    stopped.signal("TERM");
    await_words(&stopped, "stopping").await;
    // Its own call is still under way.
    receiver.wait_for_events("/hook", accepted.len(), PROMPT).await;
    let_go.send(true).unwrap();
    assert!(stopped.ended(GRACE).await.success());
    Books::of(&accepted).balance(&api.client, &receiver).await;
}

/// Publishes what fills the lanes' calls, waits until that is on its way, and publishes what has to wait behind it.
async fn in_flight_and_waiting(app: &App, receiver: &Receiver) -> Vec<String> {
    app.client.create_lanes(LANES, &receiver.url("/hook"), json!({ "timeout_ms": 60_000 })).await;
    let mut accepted = Vec::new();
    for n in 0..IN_FLIGHT + WAITING {
        accepted.push(app.client.publish(&format!("lane.{}", n % LANES), &n.to_string()).await);
        if n + 1 == IN_FLIGHT {
            receiver.wait_for("/hook", IN_FLIGHT, SOON).await;
        }
    }
    accepted
}

/// Restarts it: what was in flight comes once more, and no worker counts as lost.
async fn cut_jobs_run_again(app: &mut App, receiver: &Receiver, accepted: &Vec<String>) {
    assert_eq!(receiver.requests("/hook").len(), IN_FLIGHT);
    receiver.always("/hook", Script::status(200));
    app.restart().await;
    receiver.wait_for("/hook", 2 * IN_FLIGHT + WAITING, PROMPT).await;
    let books = Books { duplicates_max: IN_FLIGHT, ..Books::of(accepted) };
    books.balance(&app.client, receiver).await;
    assert_eq!(receiver.requests("/hook").len(), 2 * IN_FLIGHT + WAITING);
    let jobs = app.client.all("/v1/jobs").await;
    assert!(jobs.iter().all(|job| job["lost_workers"] == 0 && job["attempt"] == 1), "{jobs:#?}");
}

async fn await_words(app: &App, words: &str) {
    eventually(&format!("it says {words:?}"), SOON, || async { app.log().contains(words).then_some(()) }).await;
}

/// A caller whose request never ends; the server is reading its body.
async fn unfinished_request(app: &App) -> TcpStream {
    let url = app.url();
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).expect("the server listens");
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
        content-type: application/json\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a head is sent");
    // It says so when it begins to read the body.
    let mut said = [0; 12];
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    std::io::Read::read_exact(&mut stream, &mut said).expect("the server reads");
    assert_eq!(&said, b"HTTP/1.1 100");
    stream.write_all(b"{\"type\": \"").expect("the body's beginning is sent");
    stream
}
