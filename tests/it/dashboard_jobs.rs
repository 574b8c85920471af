//! Jobs on the dashboard: found by what is known of them, and one of them whole.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, die, path_of, with_user},
    harness::{App, Browser, Page, Receiver, SOON, Script, Stack, eventually},
};

on_both_stacks!(
    jobs_are_found_by_each_filter,
    a_job_s_tags_are_kept_by_its_dead_letter_and_its_replay,
    a_delivery_s_page_shows_what_was_sent_beside_the_answer_and_what_is_still_ahead,
    an_operator_runs_a_job_now_and_cancels_another_and_both_are_noted,
    a_viewer_sees_no_action_on_a_job_and_may_do_none,
    an_edited_call_has_the_lane_and_the_attempts_of_what_it_is_now,
    the_headers_of_a_delivery_are_shown_with_a_doubt_once_its_endpoint_was_changed,
    a_dead_letter_shows_the_headers_of_its_last_call_whatever_became_of_its_endpoint,
    a_call_is_edited_and_replayed_and_its_secret_header_stays,
    replays_are_followed_both_ways,
    what_strangers_wrote_is_text_on_a_job_s_page,
);

async fn jobs_are_found_by_each_filter(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/broken", Script::status(500));
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let event = app.client.publish("a.b", r#"{"order": "needle-1"}"#).await;
    let broken =
        job(&app, json!({ "args": call(&receiver, "/broken"), "max_attempts": 1, "tags": ["red", "a_b"] })).await;
    let later = json!({ "args": call(&receiver, "/later"), "run_at": tomorrow(), "lane": "reports", "tags": ["red"] });
    let later = job(&app, later).await;
    let ended = async || {
        let jobs = app.client.all("/v1/jobs").await;
        (jobs.iter().filter(|job| job["finished_at"].is_string()).count() == 2).then_some(jobs)
    };
    let jobs = eventually("two jobs have ended", SOON, ended).await;
    let delivery =
        jobs.iter().find(|job| job["endpoint_id"] == endpoint.id).unwrap()["id"].as_str().unwrap().to_owned();
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (query, found) in [
        ("", vec![&later, &broken, &delivery]),
        ("?state=succeeded", vec![&delivery]),
        ("?state=dead", vec![&broken]),
        ("?state=scheduled", vec![&later]),
        ("?state=running", vec![]),
        ("?state=queued", vec![]),
        ("?kind=http.request", vec![&later, &broken]),
        ("?lane=reports", vec![&later]),
        ("?tag=red", vec![&later, &broken]),
        ("?tag=a_b", vec![&broken]),
        ("?tag=a-b", vec![]),
        ("?q=500", vec![&broken]),
        ("?payload=needle-1", vec![&delivery]),
        ("?payload=%2Flater", vec![&later]),
        ("?payload=needle-1&since=2099-01-01T00:00", vec![]),
        ("?since=2020-01-01T00:00&until=2099-01-01T00:00&tag=red", vec![&later, &broken]),
        (&format!("?id={event}"), vec![&delivery]),
        ("?before=job_00000000000000000000000001", vec![]),
    ] {
        let page = ada.open(&format!("/t/default/jobs{query}")).await.expect(200, "Jobs");
        assert_eq!(listed(&page).iter().collect::<Vec<_>>(), found, "{query}: {}", page.text);
    }
    ada.open("/t/default/jobs?id=nothing").await.expect(404, "no job or event");
    ada.open("/t/default/jobs?tag=Not+One").await.expect(422, "is no tag");
    ada.open("/t/default/jobs?state=dead&kind=noop").await.expect(200, "No job is like that");
}

async fn a_job_s_tags_are_kept_by_its_dead_letter_and_its_replay(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    receiver.always("/broken", Script::status(500));
    let body = |tags: Value| json!({ "kind": "http.request", "args": call(&receiver, "/broken"), "max_attempts": 1, "tags": tags });
    for (tags, pointer) in [
        (json!(["Red"]), "/tags/0"),
        (json!(["a", ""]), "/tags/1"),
        (json!((0..11).map(|n| n.to_string()).collect::<Vec<_>>()), "/tags"),
    ] {
        let refused = app.client.post("/v1/jobs").json(&body(tags)).send().await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{}", refused.text);
    }
    let id = job(&app, body(json!(["red", "team:a", "red"]))).await;
    job(&app, body(json!(null))).await;
    let dead = async || Some(app.client.all("/v1/dead-letters").await).filter(|letters| letters.len() == 2);
    eventually("both are dead", SOON, dead).await;
    let letters = app.client.all("/v1/dead-letters?tag=team:a").await;
    assert_eq!((letters.len(), &letters[0]["tags"]), (1, &json!(["red", "team:a"])));
    let shown = app.client.get(&format!("/v1/jobs/{id}")).send().await.expect(200);
    assert_eq!(shown.body["tags"], json!(["red", "team:a"]));
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/dead-letters?tag=red").await.expect(200, "http.request");
    let path = format!("/t/default/dead-letters/{}", letters[0]["id"].as_str().unwrap());
    assert!(page.text.contains(&path), "{}", page.text);
    let token = ada.open(&path).await.field("token");
    ada.send(&format!("{path}/replay"), &[("token", &token)]).await.expect(200, "replayed");
    let jobs = app.client.all("/v1/jobs?tag=red").await;
    assert_eq!((jobs.len(), &jobs[0]["tags"]), (2, &json!(["red", "team:a"])), "the replay has them too");
}

async fn a_delivery_s_page_shows_what_was_sent_beside_the_answer_and_what_is_still_ahead(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/hook", Script::Answer { status: 503, headers: Vec::new(), body: r#"{"why":"busy"}"#.into() });
    let extras = json!({ "retry_schedule_seconds": [3600, 7200, 40000],
        "headers": { "authorization": "Bearer hush", "x-api-key": "hush", "x-plain": "it's" } });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let event = app.client.publish("a.b", r#"{"order": "a'b"}"#).await;
    receiver.wait_for("/hook", 1, SOON).await;
    let retrying = async || app.client.all("/v1/jobs?state=retrying").await.pop();
    let job = eventually("it waits for its retry", SOON, retrying).await;
    let path = format!("/t/default/jobs/{}", job["id"].as_str().unwrap());
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let text = ada.open(&path).await.expect(200, "Request").text;
    for part in [
        "<span class=\"state retrying\">retrying</span>",
        "this one is retrying",
        "<g class=\"node retrying here\">",
        "<th scope=\"row\">webhook-id</th>",
        "<th scope=\"row\">authorization</th><td class=\"text\">(hidden)</td>",
        "<th scope=\"row\">x-plain</th><td class=\"text\">(hidden)</td>",
        "v1,(hidden)",
        "&#34;order&#34;: &#34;a&#39;b&#34;",
        "data-copy",
        "--header &#39;webhook-id: ",
        "<dt>Status</dt><dd>503</dd>",
        "&#34;why&#34;: &#34;busy&#34;",
        "Attempts, newest first",
        "<h2 id=\"ahead\">Still ahead</h2>",
        "<th scope=\"row\" class=\"n\">4</th>",
        "First and last error",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for link in [format!("/endpoints/{}", endpoint.id), format!("/events/{event}"), format!("/lanes/{}", endpoint.id)] {
        assert!(text.contains(&format!("href=\"/t/default{link}\"")), "{link}: {text}");
    }
    assert!(!text.contains("hush") && !text.contains(&endpoint.secret), "{text}");
    ada.open("/t/default/jobs/job_00000000000000000000000000").await.expect(404, "no job");
}

async fn an_operator_runs_a_job_now_and_cancels_another_and_both_are_noted(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let later = json!({ "args": call(&receiver, "/now"), "run_at": tomorrow() });
    let (hurried, cancelled) = (job(&app, later.clone()).await, job(&app, later).await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("/t/default/jobs/{hurried}")).await.expect(200, "Run now");
    let token = page.field("token");
    ada.send(&format!("/t/default/jobs/{hurried}/run-now"), &[("token", &token)]).await.expect(200, "Where it is");
    receiver.wait_for("/now", 1, SOON).await;
    let cancel = format!("/t/default/jobs/{cancelled}/cancel");
    ada.send(&cancel, &[("token", "AAAA")]).await.expect(403, "Nothing was done");
    let page = ada.send(&cancel, &[("token", &token)]).await.expect(200, "state cancelled");
    assert!(!page.text.contains("name=\"token\""), "nothing is left to do: {}", page.text);
    ada.send(&cancel, &[("token", &token)]).await.expect(409, "it is cancelled");
    let audit = ada.open("/t/default/audit").await.expect(200, "job.run_now").expect(200, "job.cancel");
    assert!(audit.text.contains(&hurried) && audit.text.contains(&cancelled), "{}", audit.text);
}

async fn a_viewer_sees_no_action_on_a_job_and_may_do_none(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let id = job(&app, json!({ "args": call(&receiver, "/never"), "run_at": tomorrow() })).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("/t/default/jobs/{id}")).await.expect(200, "scheduled");
    assert!(!page.text.contains("/run-now") && !page.text.contains("/cancel"), "{}", page.text);
    for act in ["run-now", "cancel"] {
        ada.send(&format!("/t/default/jobs/{id}/{act}"), &[]).await.expect(403, "the role operator may");
    }
    assert_eq!(app.client.all("/v1/jobs?state=scheduled").await.len(), 1);
}

async fn the_headers_of_a_delivery_are_shown_with_a_doubt_once_its_endpoint_was_changed(stack: Stack) {
    const DOUBT: &str = "The endpoint was changed";
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.client.publish("a.b", "1").await;
    let job = ended_job(&app).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&job).await.expect(200, "webhook-signature");
    assert!(!page.text.contains(DOUBT), "{}", page.text);
    let path = format!("/v1/endpoints/{}", endpoint.id);
    app.client.patch(&path).json(&json!({ "headers": { "x-key": "k" } })).send().await.expect(200);
    ada.open(&job).await.expect(200, DOUBT);
}

async fn a_dead_letter_shows_the_headers_of_its_last_call_whatever_became_of_its_endpoint(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/hook", Script::Hang);
    let headers = json!({ "x-first": "hush", "user-agent": "Shop/1" });
    let extras = json!({ "headers": headers, "retry_schedule_seconds": [], "timeout_ms": 2000 });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    app.client.publish("a.b", "1").await;
    // While it is under way already.
    receiver.wait_for("/hook", 1, SOON).await;
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let other = json!({ "url": receiver.url("/moved"), "headers": { "x-second": "k", "user-agent": "Shop/2" } });
    app.client.patch(&path).json(&other).send().await.expect(200);
    let dead = async || app.client.dead_letters(&endpoint.id).await.first().map(path_of);
    let letter = eventually("it is dead", SOON, dead).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let job = ended_job(&app).await;
    for is_deleted in [false, true] {
        if is_deleted {
            app.client.delete(&path).send().await.expect(204);
        }
        for page in [&letter, &job] {
            let page = ada.open(page).await.expect(200, "<td class=\"text\">Shop/1</td>");
            for part in ["x-first</th><td class=\"text\">(hidden)</td>", "v1,(hidden)", "/hook</span>"] {
                assert!(page.text.contains(part), "{part}: {}", page.text);
            }
            for wrong in ["hush", "x-second", "Shop/2", "The endpoint was changed", "not known any more"] {
                assert!(!page.text.contains(wrong), "{wrong}: {}", page.text);
            }
        }
    }
}

/// The page of the only job, once it has ended.
async fn ended_job(app: &App) -> String {
    let ended = async || {
        let jobs = app.client.all("/v1/jobs").await;
        let job = jobs.first().filter(|job| job["finished_at"].is_string())?;
        Some(format!("/t/default/jobs/{}", job["id"].as_str()?))
    };
    eventually("the job has ended", SOON, ended).await
}

async fn an_edited_call_has_the_lane_and_the_attempts_of_what_it_is_now(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    receiver.always("/broken", Script::status(500));
    for (lane, then) in [(json!(null), "host:localhost"), (json!("reports"), "reports")] {
        job(&app, json!({ "args": call(&receiver, "/broken"), "max_attempts": 1, "lane": lane })).await;
        let dead = async || app.client.all("/v1/dead-letters?state=open").await.first().map(path_of);
        let letter = eventually("the call is dead", SOON, dead).await;
        let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
        let token = ada.open(&letter).await.field("token");
        let url = receiver.url("/hook").replace("127.0.0.1", "localhost");
        let mended = json!({ "method": "POST", "url": url, "retry_schedule_seconds": [1, 1] }).to_string();
        let form = [("token", token.as_str()), ("payload", mended.as_str())];
        ada.send(&format!("{letter}/replay"), &form).await.expect(200, "replayed");
        let replayed = app.client.all("/v1/jobs").await.into_iter().next().unwrap();
        assert_eq!((&replayed["lane"], &replayed["max_attempts"]), (&json!(then), &json!(3)), "{replayed}");
    }
}

async fn a_call_is_edited_and_replayed_and_its_secret_header_stays(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    receiver.always("/broken", Script::status(500));
    let mut args = call(&receiver, "/broken");
    args["headers"] = json!({ "authorization": "Bearer sesame" });
    job(&app, json!({ "args": args, "max_attempts": 1 })).await;
    let dead = async || app.client.all("/v1/dead-letters").await.first().map(path_of);
    let letter = eventually("the call is dead", SOON, dead).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open(&letter).await.expect(200, "1 in all</a>");
    let edit = format!("{letter}/edit");
    let form = ada.open(&edit).await.expect(200, "Arguments of the call");
    assert!(!form.text.contains("sesame"), "{}", form.text);
    let token = form.field("token");
    let with = |url: &str, method: &str| {
        json!({ "method": method, "url": url, "headers": { "authorization": "(hidden)" }, "body": "n" }).to_string()
    };
    for (payload, words) in [
        (with(&receiver.url("/hook"), "FETCH"), "is not one of GET"),
        (with("ftp://example.com/", "POST"), "url: "),
        (with(&receiver.url("/hook"), "POST").replace("authorization", "x-other"), "no value of it to keep"),
        ("{".to_owned(), "no JSON"),
        // What a hidden value was meant for is the only place that it goes to.
        (with("http://127.0.0.1:19009/hook", "POST"), "meant for http://127.0.0.1:"),
        (with(&receiver.url("/hook"), "POST").replace("(hidden)", "Bearer (hidden)"), "stands for the whole value"),
    ] {
        ada.send(&edit, &[("token", token.as_str()), ("payload", &payload)]).await.expect(200, words);
    }
    let mended = with(&receiver.url("/hook"), "PUT");
    let form = [("token", token.as_str()), ("payload", mended.as_str())];
    ada.send(&edit, &form).await.expect(200, "Replay with this change?");
    ada.send(&format!("{letter}/replay"), &form).await.expect(200, "replayed");
    let calls = receiver.wait_for("/hook", 1, SOON).await;
    assert_eq!((calls[0].header("authorization"), calls[0].body.as_slice()), (Some("Bearer sesame"), b"n".as_slice()));
}

async fn replays_are_followed_both_ways(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&letter).await.field("token");
    ada.send(&format!("{letter}/replay"), &[("token", &token)]).await.expect(200, "replayed");
    let again = async || Some(app.client.all("/v1/dead-letters").await).filter(|letters| letters.len() == 2);
    let letters = eventually("the replay died too", SOON, again).await;
    let jobs = app.client.all("/v1/jobs").await;
    let mut paths: Vec<String> = Vec::new();
    for (kind, of) in [("jobs", &jobs), ("dead-letters", &letters)] {
        paths.extend(of.iter().map(|one| format!("/t/default/{kind}/{}", one["id"].as_str().unwrap())));
    }
    assert_eq!(paths.len(), 4);
    for path in &paths {
        let page = ada.open(path).await.expect(200, "Replays, oldest first");
        let (_, line) = page.text.split_once("class=\"lineage\"").unwrap();
        for other in paths.iter().filter(|other| *other != path) {
            assert!(line.contains(&format!("href=\"{other}\"")), "{other} on {path}: {line}");
        }
    }
}

async fn what_strangers_wrote_is_text_on_a_job_s_page(stack: Stack) {
    const SCRIPT: &str = "</code></pre></textarea><script>alert(1)</script>'\"><img src=x onerror=alert(1)>";
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    receiver.always("/job", Script::Answer { status: 500, headers: Vec::new(), body: SCRIPT.into() });
    receiver.always("/hook", Script::Answer { status: 500, headers: Vec::new(), body: SCRIPT.into() });
    let headers = json!({ "x-mine": SCRIPT });
    let args = json!({ "url": receiver.url("/job"), "method": "POST", "body": SCRIPT, "headers": headers });
    job(&app, json!({ "args": args, "max_attempts": 1, "unique_key": SCRIPT })).await;
    let extras = json!({ "retry_schedule_seconds": [], "headers": headers, "description": SCRIPT });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    app.client.publish("a.b", &json!({ "x": SCRIPT }).to_string()).await;
    let dead = async || Some(app.client.all("/v1/dead-letters").await).filter(|letters| letters.len() == 2);
    let letters = eventually("both are dead", SOON, dead).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let search: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    let mut paths: Vec<String> =
        ["q", "payload", "id", "tag", "since", "state"].map(|name| format!("/t/default/jobs?{name}={search}")).into();
    for letter in &letters {
        paths.push(format!("/t/default/dead-letters/{}", letter["id"].as_str().unwrap()));
        paths.push(format!("/t/default/jobs/{}", letter["job_id"].as_str().unwrap()));
    }
    for path in paths {
        let Page { text, .. } = ada.open(&path).await;
        for part in ["<script>", "<img", "</code></pre></textarea>"] {
            assert!(!text.contains(part), "{part} on {path}: {text}");
        }
    }
}

fn tomorrow() -> String {
    (jiff::Timestamp::now() + Duration::from_secs(86_400)).to_string()
}

/// The ids of the jobs that a page lists, in order.
fn listed(page: &Page) -> Vec<String> {
    let links = page.text.split("href=\"/t/default/jobs/").skip(1);
    links.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn call(receiver: &Receiver, path: &str) -> Value {
    json!({ "url": receiver.url(path), "method": "POST" })
}

/// Makes a job `http.request` with these fields beside its kind.
async fn job(app: &App, mut body: Value) -> String {
    body["kind"] = json!("http.request");
    app.client.post("/v1/jobs").json(&body).send().await.expect(202).string("/id")
}
