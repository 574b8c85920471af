//! Jobs of kind `http.request`: made, run, held back, ended and found again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, App, Client, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    a_call_reaches_its_receiver_with_its_method_headers_and_body,
    a_call_at_a_time_is_not_made_before_it,
    a_unique_key_makes_one_job_while_it_is_pending,
    a_cancelled_job_never_runs,
    a_scheduled_job_can_be_run_now,
    bad_jobs_are_refused_with_the_place_of_the_fault,
    max_attempts_ends_a_job_before_its_schedule_does,
    an_urgent_job_overtakes_what_waits_in_its_lane,
    jobs_are_found_by_state_kind_lane_and_key,
    a_job_that_does_nothing_succeeds_and_takes_no_arguments,
    a_page_of_running_or_queued_jobs_is_full_while_there_are_more,
);

async fn a_call_reaches_its_receiver_with_its_method_headers_and_body(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let args = json!({
        "method": "PUT",
        "url": receiver.url("/things/7?full=1"),
        "headers": { "x-trace": "abc", "content-type": "text/plain" },
        "body": "  as it stands\n",
    });
    let job = made(&app.client, json!({ "kind": "http.request", "args": args })).await;
    let call = receiver.wait_for("/things/7?full=1", 1, SOON).await.remove(0);
    assert_eq!((call.method.as_str(), call.text()), ("PUT", "  as it stands\n"));
    assert_eq!((call.header("x-trace"), call.header("content-type")), (Some("abc"), Some("text/plain")));
    let job = await_state(&app.client, &job, "succeeded").await;
    assert_eq!(job.list("/attempts").len(), 1);
    assert_eq!(job.body.pointer("/attempts/0/status_code"), Some(&json!(200)));
}

async fn a_call_at_a_time_is_not_made_before_it(stack: Stack) {
    const AHEAD: Duration = Duration::from_millis(1_500);
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (asked, run_at) = (Instant::now(), jiff::Timestamp::now() + AHEAD);
    let body = json!({ "kind": "http.request", "args": get(&receiver, "/later"), "run_at": run_at.to_string() });
    let job = made(&app.client, body).await;
    assert_eq!(shown(&app.client, &job).await.string("/state"), "scheduled");
    let waited = receiver.wait_for("/later", 1, SOON).await[0].at - asked;
    // Times are stored with milliseconds.
    assert!(waited + Duration::from_millis(2) >= AHEAD, "it came after {waited:?}");
}

async fn a_unique_key_makes_one_job_while_it_is_pending(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.always("/once", held);
    let body = json!({ "kind": "http.request", "args": get(&receiver, "/once"), "unique_key": "report-7" });
    let first = made(&app.client, body.clone()).await;
    let again = app.client.post("/v1/jobs").json(&body).send().await.expect(202);
    assert_eq!((again.string("/id"), &again.body["existing"]), (first.clone(), &json!(true)));
    let_go.send(true).unwrap();
    await_state(&app.client, &first, "succeeded").await;
    let next = made(&app.client, body).await;
    assert_ne!(next, first, "the first has ended, so this is another");
    receiver.wait_for("/once", 2, SOON).await;
}

async fn a_cancelled_job_never_runs(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let soon = jiff::Timestamp::now() + Duration::from_millis(1_000);
    let later = soon + Duration::from_millis(500);
    let scheduled = |path: &str, at: jiff::Timestamp| json!({ "kind": "http.request", "args": get(&receiver, path), "run_at": at.to_string() });
    let cancelled = made(&app.client, scheduled("/cancelled", soon)).await;
    let kept = made(&app.client, scheduled("/kept", later)).await;
    let path = format!("/v1/jobs/{cancelled}/cancel");
    assert_eq!(app.client.post(&path).send().await.expect(200).string("/state"), "cancelled");
    app.client.post(&path).send().await.expect_problem(409, "job_finished");
    await_state(&app.client, &kept, "succeeded").await;
    assert!(receiver.requests("/cancelled").is_empty(), "a cancelled job has run");
    assert_eq!(shown(&app.client, &cancelled).await.string("/state"), "cancelled");
}

async fn a_scheduled_job_can_be_run_now(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    // One that waits in SQL only, and one whose ticket waits in the queue.
    for (ahead_s, path) in [(24 * 3600, "/far"), (200, "/near")] {
        let at = jiff::Timestamp::now() + Duration::from_secs(ahead_s);
        let body = json!({ "kind": "http.request", "args": get(&receiver, path), "run_at": at.to_string() });
        let job = made(&app.client, body).await;
        app.client.post(&format!("/v1/jobs/{job}/run-now")).send().await.expect(202);
        receiver.wait_for(path, 1, SOON).await;
        await_state(&app.client, &job, "succeeded").await;
        app.client.post(&format!("/v1/jobs/{job}/run-now")).send().await.expect_problem(409, "job_finished");
    }
}

async fn bad_jobs_are_refused_with_the_place_of_the_fault(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let good = json!({ "kind": "http.request", "args": get(&receiver, "/never") });
    let cases: [(&str, Value, &str); 8] = [
        ("/kind", json!("no.such.kind"), "/kind"),
        ("/args/url", json!("ftp://example.com/"), "/args/url"),
        ("/args/method", json!("BREW"), "/args/method"),
        ("/args/colour", json!("red"), "/args/colour"),
        ("/max_attempts", json!(0), "/max_attempts"),
        ("/priority", json!(10), "/priority"),
        ("/run_at", json!("tomorrow"), "/run_at"),
        ("/lane", json!("ep_mine"), "/lane"),
    ];
    for (place, value, pointer) in cases {
        let mut body = good.clone();
        let (object, field) = place.rsplit_once('/').unwrap();
        body.pointer_mut(object).unwrap()[field] = value;
        let refused = app.client.post("/v1/jobs").json(&body).send().await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{}", refused.text);
    }
    assert!(app.client.all("/v1/jobs").await.is_empty(), "a refused job is stored");
}

async fn max_attempts_ends_a_job_before_its_schedule_does(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/broken", Script::status(500));
    let mut args = get(&receiver, "/broken");
    args["retry_schedule_seconds"] = json!(vec![0.05; 9]);
    let job = made(&app.client, json!({ "kind": "http.request", "args": args, "max_attempts": 2 })).await;
    let dead = await_state(&app.client, &job, "dead").await;
    assert_eq!((dead.list("/attempts").len(), receiver.requests("/broken").len()), (2, 2));
    let letters = app.client.all("/v1/dead-letters?kind=http.request").await;
    assert_eq!((letters.len(), letters[0]["job_id"].as_str()), (1, Some(job.as_str())));
    let letter = letters[0]["id"].as_str().unwrap();
    let letter = app.client.get(&format!("/v1/dead-letters/{letter}")).send().await.expect(200);
    assert_eq!(letter.body["payload"]["url"], args["url"], "a dead letter keeps the call's arguments");
}

async fn an_urgent_job_overtakes_what_waits_in_its_lane(stack: Stack) {
    const WAITING: usize = 60;
    const URGENT: usize = 4;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.always("/work", held);
    let job = |n: usize, priority: u8| {
        let mut args = get(&receiver, "/work");
        args["headers"] = json!({ "x-priority": priority.to_string(), "x-number": n.to_string() });
        json!({ "kind": "http.request", "args": args, "lane": "reports", "priority": priority })
    };
    for n in 0..WAITING {
        made(&app.client, job(n, 0)).await;
    }
    let begun = receiver.wait_for("/work", 1, SOON).await.len();
    assert!(begun < WAITING / 2, "the lane takes {begun} at once, so nothing waits");
    for n in 0..URGENT {
        made(&app.client, job(n, 9)).await;
    }
    let_go.send(true).unwrap();
    let calls = receiver.wait_for("/work", WAITING + URGENT, SOON).await;
    let urgent =
        |(place, call): (usize, &crate::harness::Recorded)| (call.header("x-priority") == Some("9")).then_some(place);
    let places: Vec<usize> = calls.iter().enumerate().filter_map(urgent).collect();
    assert!(places.iter().all(|place| *place < WAITING / 2), "urgent jobs came at {places:?} of {}", calls.len());
}

async fn a_job_that_does_nothing_succeeds_and_takes_no_arguments(stack: Stack) {
    let app = App::start(stack).await;
    let job = made(&app.client, json!({ "kind": "noop", "args": {} })).await;
    let path = format!("/v1/jobs/{job}");
    let done = || async { Some(app.client.get(&path).send().await).filter(|job| job.string("/state") == "succeeded") };
    let done = eventually("it has succeeded", SOON, done).await;
    assert_eq!((done.string("/lane"), done.list("/attempts").len()), ("noop".to_owned(), 1));
    let refused = json!({ "kind": "noop", "args": { "url": "https://example.com" } });
    app.client.post("/v1/jobs").json(&refused).send().await.expect_problem(422, "invalid_body");
}

async fn jobs_are_found_by_state_kind_lane_and_key(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let tomorrow = (jiff::Timestamp::now() + Duration::from_secs(24 * 3600)).to_string();
    let args = get(&receiver, "/list");
    let done = made(&app.client, json!({ "kind": "http.request", "args": args, "lane": "mail" })).await;
    let waits = json!({ "kind": "http.request", "args": args, "run_at": tomorrow, "unique_key": "key-1" });
    let waits = made(&app.client, waits).await;
    await_state(&app.client, &done, "succeeded").await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let delivery = app.client.job_of(&app.client.publish("a.b", "1").await).await;
    await_state(&app.client, &delivery, "succeeded").await;
    for (query, expected) in [
        ("state=scheduled", vec![&waits]),
        ("state=succeeded", vec![&delivery, &done]),
        ("kind=webhook.deliver", vec![&delivery]),
        ("kind=http.request", vec![&waits, &done]),
        ("lane=mail", vec![&done]),
        ("q=key-1", vec![&waits]),
        ("kind=http.request&state=succeeded", vec![&done]),
        ("state=dead", vec![]),
    ] {
        let found = app.client.all(&format!("/v1/jobs?{query}")).await;
        let ids: Vec<&str> = found.iter().map(|job| job["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
    }
    app.client.get("/v1/jobs?state=lost").send().await.expect_problem(400, "bad_parameter");
}

async fn a_page_of_running_or_queued_jobs_is_full_while_there_are_more(stack: Stack) {
    const PENDING: usize = 60;
    const LANES: usize = 4;
    /// A lane has two calls in flight before the first of them is answered.
    const RUNNING: usize = 2 * LANES;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.always("/held", held);
    let mut args = get(&receiver, "/held");
    args["timeout_ms"] = json!(60_000);
    for n in 0..PENDING {
        let lane = format!("reports-{}", n % LANES);
        made(&app.client, json!({ "kind": "http.request", "args": args, "lane": lane })).await;
    }
    receiver.wait_for("/held", RUNNING, SOON).await;
    for (state, count) in [("running", RUNNING), ("queued", PENDING - RUNNING)] {
        let pages = pages_of(&app.client, &format!("state={state}&limit=5")).await;
        let (_, before_the_last) = pages.split_last().unwrap();
        assert!(before_the_last.iter().all(|page| page.len() == 5), "{state}: a page is not full: {pages:?}");
        let ids: Vec<&String> = pages.iter().flatten().collect();
        assert_eq!(ids.len(), count, "{state}");
        assert!(ids.is_sorted_by(|newer, older| newer > older), "{state}: newest first and none twice");
    }
    let_go.send(true).unwrap();
}

/// The ids of a list of jobs, page by page.
async fn pages_of(client: &Client, query: &str) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/jobs?{query}{cursor}")).send().await.expect(200);
        pages.push(page.list("/data").iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

fn get(receiver: &Receiver, path: &str) -> Value {
    json!({ "method": "GET", "url": receiver.url(path) })
}

async fn made(client: &Client, body: Value) -> String {
    let made = client.post("/v1/jobs").json(&body).send().await.expect(202);
    assert_eq!(made.body["existing"], false, "{}", made.text);
    made.string("/id")
}

async fn shown(client: &Client, job: &str) -> Answer {
    client.get(&format!("/v1/jobs/{job}")).send().await.expect(200)
}

async fn await_state(client: &Client, job: &str, state: &str) -> Answer {
    let reached = || async { Some(shown(client, job).await).filter(|job| job.string("/state") == state) };
    eventually(&format!("{job} is {state}"), SOON, reached).await
}
