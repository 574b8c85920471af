//! Lanes and workers on the dashboard and in the API: how they stand, and what is set for a lane while jobs wait in it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, with_user},
    harness::{App, Browser, PrivateRedis, Receiver, SOON, Script, Stack, clock_ahead, eventually},
};

on_both_stacks!(
    a_lane_without_an_endpoint_is_paused_limited_and_resumed,
    a_paused_lane_stays_paused_after_a_restart,
    an_endpoint_s_lane_follows_its_endpoint,
    a_viewer_sees_lanes_and_may_change_none,
    a_lane_of_another_tenant_is_not_seen,
    workers_are_shown_with_what_they_run,
    the_api_shows_and_changes_lanes,
);

async fn a_lane_without_an_endpoint_is_paused_limited_and_resumed(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/lanes").await.expect(200, "Nothing waits or runs now");
    let page = ada.open("/t/default/lanes/reports:daily").await.expect(200, "Pause");
    let token = page.field("token");
    let path = "/t/default/lanes/reports:daily";
    ada.send(&format!("{path}/pause"), &[("token", &token)]).await.expect(200, "Resume");
    let held = job(&app, &receiver, "/held", "reports:daily").await;
    let other = job(&app, &receiver, "/other", "reports:hourly").await;
    receiver.wait_for("/other", 1, SOON).await;
    let queued = async || Some(ada_lists(&app, &held, &other).await).filter(|queued| *queued);
    eventually("the paused lane's job waits while another has run", SOON, queued).await;
    assert!(receiver.requests("/held").is_empty(), "a paused lane runs nothing");
    ada.open("/t/default/lanes").await.expect(200, "state paused").expect(200, "reports%3Adaily");
    let wrong = [("token", token.as_str()), ("concurrency_max", "0")];
    ada.send(&format!("{path}/limits"), &wrong).await.expect(422, "0 is not from 1 to 1000");
    let limits = [("token", token.as_str()), ("concurrency_max", "3"), ("rate_per_second", "7")];
    let page = ada.send(&format!("{path}/limits"), &limits).await.expect(200, "value=\"3\"").expect(200, "value=\"7\"");
    assert!(page.text.contains("Resume"), "limits leave the pause as it is: {}", page.text);
    ada.send(&format!("{path}/resume"), &[("token", &token)]).await.expect(200, "Pause");
    receiver.wait_for("/held", 1, SOON).await;
    let audit = ada.open("/t/default/audit").await.expect(200, "lane.update");
    assert_eq!(audit.text.matches("<td>lane.update</td>").count(), 3, "{}", audit.text);
    assert!(audit.text.contains("reports:daily"), "{}", audit.text);
    ada.open("/t/default/lanes/No%20Lane").await.expect(404, "no lane");
}

async fn a_paused_lane_stays_paused_after_a_restart(stack: Stack) {
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.post("/v1/lanes/reports/pause").send().await.expect(200);
    app.kill();
    app.restart().await;
    job(&app, &receiver, "/held", "reports").await;
    job(&app, &receiver, "/other", "other").await;
    receiver.wait_for("/other", 1, SOON).await;
    let lane = app.client.get("/v1/lanes/reports").send().await.expect(200);
    assert_eq!(lane.body["paused"], json!(true), "{}", lane.text);
    assert!(receiver.requests("/held").is_empty(), "what is set for a lane is in SQL");
    app.client.post("/v1/lanes/reports/resume").send().await.expect(200);
    receiver.wait_for("/held", 1, SOON).await;
}

async fn an_endpoint_s_lane_follows_its_endpoint(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let path = format!("/t/default/lanes/{}", endpoint.id);
    let token = ada.open(&path).await.expect(200, "changes with it").field("token");
    ada.send(&format!("{path}/pause"), &[("token", &token)]).await.expect(200, "Resume");
    let limits = [("token", token.as_str()), ("concurrency_max", "2"), ("rate_per_second", "")];
    ada.send(&format!("{path}/limits"), &limits).await.expect(200, "value=\"2\"");
    let shown = async || app.client.get(&format!("/v1/endpoints/{}", endpoint.id)).send().await.expect(200).body;
    let now = shown().await;
    assert_eq!((&now["state"], &now["concurrency_max"]), (&json!("paused"), &json!(2)), "{now}");
    app.client.publish("a.b", "1").await;
    ada.send(&format!("{path}/resume"), &[("token", &token)]).await.expect(200, "Pause");
    receiver.wait_for("/hook", 1, SOON).await;
    assert_eq!(shown().await["state"], "active");
    let audit = ada.open("/t/default/audit").await.expect(200, "endpoint.pause").expect(200, "endpoint.update");
    assert!(audit.text.contains(&endpoint.id), "{}", audit.text);
    ada.open("/t/default/lanes/ep_00000000000000000000000000").await.expect(404, "no endpoint");
}

async fn a_viewer_sees_lanes_and_may_change_none(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    app.client.post("/v1/lanes/reports/pause").send().await.expect(200);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/lanes").await.expect(200, "reports");
    let page = ada.open("/t/default/lanes/reports").await.expect(200, "paused");
    assert!(!page.text.contains("/resume") && !page.text.contains("/limits"), "{}", page.text);
    ada.open("/t/default/workers").await.expect(200, "Heartbeat");
    for act in ["pause", "resume", "limits"] {
        ada.send(&format!("/t/default/lanes/reports/{act}"), &[]).await.expect(403, "the role operator may");
    }
    let script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let page = ada.open(&format!("/t/default/lanes/{script}")).await.expect(404, "no lane");
    assert!(!page.text.contains("<script>"), "{}", page.text);
}

async fn a_lane_of_another_tenant_is_not_seen(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let acme = app.client.new_tenant("acme").await;
    let (let_go, held) = Script::held();
    receiver.always("/held", held);
    acme.post("/v1/lanes/theirs/pause").send().await.expect(200);
    let body =
        json!({ "kind": "http.request", "lane": "busy", "args": { "url": receiver.url("/held"), "method": "GET" } });
    acme.post("/v1/jobs").json(&body).send().await.expect(202);
    receiver.wait_for("/held", 1, SOON).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/lanes").await.expect(200, "Lanes");
    assert!(!page.text.contains("theirs") && !page.text.contains("busy"), "{}", page.text);
    ada.open("/t/default/lanes/theirs").await.expect(200, "Nothing was ever queued in it");
    ada.open("/t/acme/lanes").await.expect(200, "theirs").expect(200, "busy");
    ada.open("/t/default/workers").await.expect(200, "1 of other tenants");
    ada.open("/t/acme/workers").await.expect(200, "<span class=\"soft\">busy</span>");
    assert!(app.client.get("/v1/lanes").send().await.expect(200).list("/data").is_empty());
    let_go.send(true).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_workers_that_died_hard_nobody_says_that_they_run() {
    let app = App::builder(Stack::Postgres).role("api").start().await;
    crate::dashboard::create_user(&app, "ada", "viewer");
    let mut worker = app.beside("worker").await;
    let today = app.beside("dashboard").await;
    let has_worker = || async {
        let mut ada = Browser::signed_in(&today, "ada", PASSWORD).await;
        ada.open("/t/default").await.text.contains("<dt>Workers</dt><dd>1</dd>").then_some(())
    };
    eventually("the worker is shown", SOON, has_worker).await;
    worker.kill();
    // As it is seen in a minute, when its lease is over.
    let later = app.beside_with("dashboard", &clock_ahead(60)).await;
    let mut ada = Browser::signed_in(&later, "ada", PASSWORD).await;
    let overview = ada.open("/t/default").await.expect(200, "No worker is running: nothing is delivered.").text;
    let workers = ada.open("/t/default/workers").await.expect(200, "so nothing is delivered").text;
    assert!(!overview.contains("All is well") && overview.contains("<dt>Workers</dt><dd>0</dd>"), "{overview}");
    let first = overview.split("<h2 id=\"trouble\">").nth(1).and_then(|rest| rest.split("<li>").nth(1)).unwrap();
    assert!(first.contains("No worker is running"), "{first}");
    assert!(workers.contains("No worker is running") && workers.contains("is lost</h2>"), "{workers}");
    assert!(!workers.contains("within 0 ms"), "{workers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_told_and_one_that_was_restarted_is_not() {
    let mut redis = PrivateRedis::start().await;
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).start().await;
    crate::dashboard::create_user(&app, "ada", "viewer");
    app.client.post("/v1/lanes/reports/pause").send().await.expect(200);
    let pages = app.beside("dashboard").await;
    let mut ada = Browser::signed_in(&pages, "ada", PASSWORD).await;
    ada.open("/t/default/lanes/reports").await.expect(200, "In the queue now");
    redis.kill();
    redis.restart().await;
    let page = ada.open("/t/default").await.expect(200, "In the queue now");
    assert!(!page.text.contains("The queue does not answer"), "{}", page.text);
    redis.kill();
    let page = ada.open("/t/default/lanes/reports").await.expect(200, "The queue does not answer");
    assert!(!page.text.contains("Nothing of it waits or runs."), "{}", page.text);
}

async fn workers_are_shown_with_what_they_run(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.always("/held", held);
    let id = job(&app, &receiver, "/held", "reports").await;
    receiver.wait_for("/held", 1, SOON).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/workers").await.expect(200, "http.request");
    let version = format!(">{}</td>", env!("CARGO_PKG_VERSION"));
    assert!(page.text.contains(&version) && page.text.contains(&format!("/t/default/jobs/{id}")), "{}", page.text);
    assert!(!page.text.contains("is late"), "{}", page.text);
    ada.open("/t/default").await.expect(200, &format!("/t/default/jobs/{id}"));
    let_go.send(true).unwrap();
    let started = Instant::now();
    while !ada.open("/t/default/workers").await.text.contains("nothing") {
        assert!(started.elapsed() < SOON, "the worker still runs something");
    }
}

async fn the_api_shows_and_changes_lanes(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let lane = |path: &str| app.client.get(&format!("/v1/lanes/{path}"));
    let fresh = lane("reports").send().await.expect(200).body;
    let defaults = json!({ "name": "reports", "paused": false, "concurrency_max": null, "rate_per_second": null, "ordered": false, "now": null });
    assert_eq!(fresh, defaults);
    let patch = |body: Value| app.client.patch("/v1/lanes/reports").json(&body);
    patch(json!({ "rate_per_second": 50, "concurrency_max": 4 })).send().await.expect(200);
    let changed = patch(json!({ "concurrency_max": null })).send().await.expect(200);
    assert_eq!((&changed.body["rate_per_second"], &changed.body["concurrency_max"]), (&json!(50), &json!(null)));
    let refused = patch(json!({ "rate_per_second": 0 })).send().await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/rate_per_second");
    app.client.post("/v1/lanes/reports/pause").send().await.expect(200);
    job(&app, &receiver, "/held", "reports").await;
    let waits = async || {
        let now = lane("reports").send().await.expect(200).body;
        (now["now"]["ready"] == 1 && now["paused"] == true).then_some(())
    };
    eventually("a job waits in the paused lane", SOON, waits).await;
    let listed = app.client.get("/v1/lanes").send().await.expect(200);
    assert_eq!(
        (listed.list("/data").len(), &listed.body["data"][0]["name"]),
        (1, &json!("reports")),
        "{}",
        listed.text
    );
    app.client.get("/v1/lanes/No%20Lane").send().await.expect_problem(404, "not_found");
    app.client.post("/v1/lanes/ep_00000000000000000000000000/pause").send().await.expect_problem(404, "not_found");
    app.client.post("/v1/lanes/reports/resume").send().await.expect(200);
    receiver.wait_for("/held", 1, SOON).await;
}

/// Whether one job waits and the other has succeeded.
async fn ada_lists(app: &App, waiting: &str, done: &str) -> bool {
    let state = async |id: &str| app.client.get(&format!("/v1/jobs/{id}")).send().await.expect(200).string("/state");
    state(waiting).await == "queued" && state(done).await == "succeeded"
}

async fn job(app: &App, receiver: &Receiver, path: &str, lane: &str) -> String {
    let body = json!({ "kind": "http.request", "lane": lane, "args": { "url": receiver.url(path), "method": "GET" } });
    app.client.post("/v1/jobs").json(&body).send().await.expect(202).string("/id")
}
