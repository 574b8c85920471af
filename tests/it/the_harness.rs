//! That the harness does what the other tests rest on: a receiver that records and misbehaves, a Redis that dies.

use std::time::Duration;

use crate::harness::{App, PrivateRedis, Receiver, SOON, Script, Stack};

fn http() -> reqwest::Client {
    crate::harness::install_tls_provider();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(500))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_records_each_request_and_follows_its_script() {
    let (receiver, http) = (Receiver::start().await, http());
    receiver.first("/a", [Script::status(500), Script::redirect("/b")], Script::big_body(200, 100_000));
    let post = |body: &'static str| http.post(receiver.url("/a")).header("webhook-id", "evt_1").body(body).send();
    assert_eq!(post("1").await.unwrap().status(), 500);
    assert_eq!(post("22").await.unwrap().headers()["location"], "/b");
    assert_eq!(post("").await.unwrap().bytes().await.unwrap().len(), 100_000);
    let requests = receiver.wait_for("/a", 3, SOON).await;
    let bodies: Vec<&str> = requests.iter().map(crate::harness::Recorded::text).collect();
    assert_eq!(bodies, ["1", "22", ""]);
    assert_eq!(receiver.events("/a")["evt_1"], 3);
    assert!(receiver.connections() >= 1);
    assert_eq!(http.get(receiver.url("/never-scripted")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_hangs_drips_closes_and_speaks_no_tls() {
    let (receiver, http) = (Receiver::start().await, http());
    receiver.always("/hangs", Script::Hang);
    assert!(http.get(receiver.url("/hangs")).send().await.unwrap_err().is_timeout());
    receiver.always("/drips", Script::Drip);
    let dripping = http.get(receiver.url("/drips")).send().await.unwrap();
    assert!(dripping.bytes().await.unwrap_err().is_timeout());
    receiver.always("/closes", Script::Close);
    assert!(http.get(receiver.url("/closes")).send().await.is_err());
    let plain = receiver.https_url("/");
    assert!(http.get(plain).send().await.unwrap_err().is_connect());
    for path in ["/hangs", "/drips"] {
        assert_eq!(receiver.requests(path).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_redis_keeps_its_data_when_killed_and_loses_it_when_flushed() {
    let mut redis = PrivateRedis::start().await;
    let set = redis::cmd("SET").arg("key").arg("value").clone();
    let get = redis::cmd("GET").arg("key").clone();
    set.exec_async(&mut connect(&redis).await).await.unwrap();
    redis.pause();
    redis.resume();
    // Answered after the append-only file was written; everysec only delays its fsync, which SIGKILL does not need.
    redis.kill();
    redis.restart().await;
    let kept: Option<String> = get.query_async(&mut connect(&redis).await).await.unwrap();
    assert_eq!(kept.as_deref(), Some("value"));
    redis.flush().await;
    let kept: Option<String> = get.query_async(&mut connect(&redis).await).await.unwrap();
    assert_eq!(kept, None);
}

async fn connect(redis: &PrivateRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

on_both_stacks!(a_server_comes_back_after_sigkill_and_ends_well_on_sigterm);

async fn a_server_comes_back_after_sigkill_and_ends_well_on_sigterm(stack: Stack) {
    let mut app = App::start(stack).await;
    app.kill();
    assert!(app.client.get("/healthz").try_send().await.is_err(), "a killed server does not answer");
    app.restart().await;
    app.client.get("/healthz").without_token().send().await.expect(200);
    assert!(app.terminate().await.success());
    app.restart().await;
    app.client.get("/readyz").without_token().send().await.expect(200);
}
