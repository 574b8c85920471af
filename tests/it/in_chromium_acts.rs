//! What an operator does on the dashboard in a real browser, with its script: figures that live, many dead letters at once,
//! a lane that is paused, a secret that is made anew; and a viewer, who is offered nothing of it.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, with_user},
    harness::{App, Chromium, Receiver, SOON, Script, Stack, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_change_by_themselves_while_a_receiver_fails() {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [] })).await;
    let chromium = Chromium::start(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.await_text("All is well").await;
    chromium.await_text("Live").await;
    receiver.always("/hook", Script::status(500));
    app.client.publish("a.b", "1").await;
    chromium.await_text("is failing").await;
    chromium.await_text("HTTP 500").await;
    // The group that has just appeared is opened by keys alone: the first link of the first row.
    chromium.script("document.querySelector('main td a').focus()").await;
    chromium.click("main td a[href*='/failures/']").await;
    chromium.await_text("Open dead letters").await;
    chromium.await_text(&receiver.url("/hook")).await;
    assert_eq!(chromium.complaints().await, [""; 0]);
    drop(endpoint);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_are_replayed_by_filter_and_another_bulk_is_ended_halfway() {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    die_together(&app, &receiver, 520).await;
    receiver.always("/hook", Script::status(200));
    let chromium = Chromium::start(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.open("/t/default/dead-letters?event_type=a.few").await;
    chromium.click("a[href*='act=replay']").await;
    chromium.await_text("Replay 20 dead letters?").await;
    chromium.fill("#rate", "2").await;
    chromium.click("main form button.main").await;
    chromium.await_text("Looked at").await;
    let begun = async || {
        let seen = chromium.script("return document.querySelector('progress').value").await;
        seen.as_f64().filter(|seen| *seen > 0.0)
    };
    eventually("the progress moves by itself", SOON, begun).await;
    chromium.click("form[action$='/cancel'] button").await;
    chromium.await_text("cancelled").await;
    let left = app.client.all("/v1/dead-letters?state=open&event_type=a.few").await.len();
    assert!((1..20).contains(&left), "{left} are left");
    chromium.open("/t/default/dead-letters?event_type=a.b").await;
    chromium.click("a[href*='act=replay']").await;
    chromium.await_text("Replay 500 dead letters?").await;
    chromium.click("main form button.main").await;
    chromium.await_text("500 replayed").await;
    assert_eq!(app.client.all("/v1/dead-letters?state=open&event_type=a.b").await.len(), 0);
    assert_eq!(chromium.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_is_paused_and_a_secret_is_made_anew() {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    let chromium = Chromium::start(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.open(&format!("/t/default/lanes/{}", endpoint.id)).await;
    chromium.click("form[action$='/pause'] button").await;
    chromium.await_text("paused").await;
    app.client.publish("a.b", "2").await;
    chromium.open(&format!("/t/default/endpoints/{}", endpoint.id)).await;
    chromium.script("document.querySelectorAll('details').forEach(one => { one.open = true; })").await;
    chromium.click("form[action$='/rotate-secret'] button").await;
    chromium.await_text("whsec_").await;
    chromium.open(&format!("/t/default/lanes/{}", endpoint.id)).await;
    assert_eq!(receiver.requests("/hook").len(), 1, "nothing was delivered while the lane was paused");
    chromium.click("form[action$='/resume'] button").await;
    receiver.wait_for("/hook", 2, SOON).await;
    assert_eq!(chromium.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_is_offered_nothing_that_would_be_refused() {
    let (app, receiver) = (App::start(Stack::Sqlite).await, Receiver::start().await);
    create_user(&app, "vic", "viewer");
    die_together(&app, &receiver, 2).await;
    let chromium = Chromium::start(&app).await;
    chromium.sign_in("vic", PASSWORD).await;
    for page in crate::in_chromium_pages::walk(&chromium).await {
        chromium.open(&page).await;
        let posts = chromium.script("return [...document.querySelectorAll('form[method=post]')].map(form => form.getAttribute('action')).join(' ')").await;
        assert_eq!(posts, "/sign-out", "forms on {page}");
        assert_eq!(chromium.complaints().await, [""; 0], "{page}");
    }
}

/// So many dead letters of the types `a.b` and, the last 20, `a.few`.
pub(crate) async fn die_together(app: &App, receiver: &Receiver, count: usize) {
    receiver.always("/hook", Script::status(500));
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [] })).await;
    let kind = |place: usize| if count - place <= 20 { "a.few" } else { "a.b" };
    let events: Vec<_> = (0..count).map(|place| json!({ "type": kind(place), "payload": place })).collect();
    app.client.post("/v1/events/batch").json(&json!({ "events": events })).send().await.expect(202);
    let dead = async || (app.client.all("/v1/dead-letters?state=open").await.len() == count).then_some(());
    eventually("all are dead", SOON, dead).await;
}
