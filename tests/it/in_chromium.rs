//! The dashboard in a real browser: a dead letter is mended, with and without scripts.

use crate::{
    dashboard::{PASSWORD, die, with_user},
    harness::{App, Chromium, Receiver, SOON, Script, Stack, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_edited_replayed_and_delivered() {
    mend_a_dead_letter(async |app| Chromium::start(app).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_edited_replayed_and_delivered_with_scripts_switched_off() {
    mend_a_dead_letter(async |app| Chromium::without_scripts(app).await).await;
}

async fn mend_a_dead_letter(start: impl AsyncFnOnce(&App) -> Chromium) {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    let [_] = die(&app, &receiver, [r#"{"n": 1}"#]).await;
    receiver.always("/hook", Script::status(200));
    let calls = receiver.requests("/hook").len();
    let chromium = start(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.click("nav a[href$='/dead-letters']").await;
    chromium.click("main td a[href*='/dead-letters/dl_']").await;
    chromium.await_text("HTTP 500").await;
    chromium.click("main a[href$='/edit']").await;
    chromium.fill("textarea[name=payload]", r#"{"n": 100}"#).await;
    chromium.click("form[action$='/edit'] button.main").await;
    chromium.await_text("Replay with this change?").await;
    chromium.click("form[action$='/replay'] button").await;
    let mended = || async { receiver.requests("/hook").get(calls).map(|call| call.body.clone()) };
    assert_eq!(eventually("it is delivered", SOON, mended).await, br#"{"n": 100}"#);
    let delivered = || async { app.client.all("/v1/jobs?state=succeeded").await.first().map(drop) };
    eventually("the replay's job has succeeded", SOON, delivered).await;
    chromium.open("/t/default/dead-letters?state=replayed").await;
    chromium.await_text("HTTP 500").await;
    assert_eq!(chromium.complaints().await, [""; 0]);
}
