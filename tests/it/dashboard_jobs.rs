//! Jobs on the dashboard: found by what is known of them, and one of them whole.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, with_user},
    harness::{App, Browser, Page, Receiver, SOON, Script, Stack, eventually},
};

on_both_stacks!(jobs_are_found_by_each_filter, a_job_s_tags_are_kept_by_its_dead_letter_and_its_replay,);

async fn jobs_are_found_by_each_filter(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/broken", Script::status(500));
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let event = app.client.publish("a.b", r#"{"order": "needle-1"}"#).await;
    let broken =
        job(&app, json!({ "args": call(&receiver, "/broken"), "max_attempts": 1, "tags": ["red", "a_b"] })).await;
    let later = json!({ "args": call(&receiver, "/later"), "run_at": (jiff::Timestamp::now() + Duration::from_secs(86_400)).to_string(), "lane": "reports", "tags": ["red"] });
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
