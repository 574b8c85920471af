//! Mail servers that are away or refuse, and processes that are killed while they send: nobody is forgotten, the receipt adds up, and
//! hardly anybody gets a mail twice.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{
    App, Client, LONG, SOON, SmtpServer, Stack, eventually,
    notifying::{a_mail_type, notified, receipt},
};

on_both_stacks!(
    a_mail_server_that_is_away_loses_nobody,
    whoever_is_refused_for_now_is_tried_again_and_holds_up_nobody,
    a_server_that_refuses_all_says_nothing_about_people,
    somebody_at_whom_the_server_hangs_up_holds_up_nobody,
    a_process_that_is_killed_again_and_again_mails_hardly_anybody_twice,
    whoever_is_not_mailed_yet_by_a_cancelled_job_gets_no_mail,
);

const READERS: usize = 3_000;
const KILLS: u32 = 4;

async fn started(stack: Stack, server: &SmtpServer) -> App {
    let app = App::builder(stack)
        .env("POSTRIDER_SMTP_URL", server.url())
        .env("POSTRIDER_SMTP_FROM", "news@product.example")
        .start()
        .await;
    a_mail_type(&app.client).await;
    app
}

async fn email(client: &Client, id: &str) -> Value {
    receipt(client, id).await.body["receipt"]["email"].clone()
}

/// Waits until nobody is pending; the receipt.
async fn ended(client: &Client, id: &str) -> Value {
    eventually("nobody is pending", LONG, || async {
        let shown = receipt(client, id).await;
        (shown.body["state"] == "done").then(|| shown.body["receipt"]["email"].clone())
    })
    .await
}

/// A topic of people with addresses.
async fn readers(client: &Client, count: usize, address: impl Fn(usize) -> String) {
    client.call(reqwest::Method::PUT, "/v1/topics/a").json(&json!({})).send().await;
    for some in (0..count).collect::<Vec<_>>().chunks(500) {
        let people: Vec<Value> = some.iter().map(|n| json!({ "key": format!("u{n}"), "email": address(*n) })).collect();
        client.post("/v1/recipients/batch").json(&json!({ "recipients": people })).send().await.expect(200);
    }
    let lines: Vec<String> = (0..count).map(|n| json!({ "recipient": format!("u{n}") }).to_string()).collect();
    let import = client.post("/v1/topics/a/subscriptions/import").body("application/x-ndjson", lines.join("\n"));
    import.send().await.expect(200);
}

async fn published(client: &Client) -> String {
    let body = json!({ "type": "mail", "topics": ["a"], "data": { "who": "Zoë" }, "channels": ["email"] });
    notified(client, body).await
}

async fn a_mail_server_that_is_away_loses_nobody(stack: Stack) {
    let mut server = SmtpServer::start();
    let app = started(stack, &server).await;
    server.stop();
    readers(&app.client, 30, |n| format!("r{n}@x.example")).await;
    let id = published(&app.client).await;
    let job = eventually("its job has failed once", SOON, || async {
        let jobs = app.client.all("/v1/jobs?kind=notification.batch").await;
        jobs.into_iter().find(|job| job["attempt"].as_u64() >= Some(1))
    })
    .await;
    assert_eq!(email(&app.client, &id).await["pending"], 30);
    server.restart();
    app.client.post(&format!("/v1/jobs/{}/run-now", job["id"].as_str().unwrap())).send().await;
    assert_eq!(ended(&app.client, &id).await["delivered"], 30);
    assert_eq!(server.readers().len(), 30);
    assert!(app.client.all("/v1/dead-letters").await.is_empty());
}

async fn whoever_is_refused_for_now_is_tried_again_and_holds_up_nobody(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    readers(&app.client, 40, |n| if n == 7 { "later@grey.example".to_owned() } else { format!("r{n}@x.example") })
        .await;
    let id = published(&app.client).await;
    eventually("all others are delivered", SOON, || async {
        (email(&app.client, &id).await["delivered"] == 39).then_some(())
    })
    .await;
    let shown = app.client.get(&format!("/v1/notifications/{id}/recipients/u7")).send().await.expect(200);
    if shown.body["channels"][0]["fate"] == "pending" {
        assert!(shown.string("/channels/0/error").contains("greylisted"));
        assert_eq!(shown.body["timeline"][1]["what"], "failed");
    }
    let shown = ended(&app.client, &id).await;
    assert_eq!((&shown["delivered"], &shown["planned"]), (&json!(40), &json!(40)));
    let jobs = app.client.all("/v1/jobs?kind=notification.message").await;
    assert_eq!((jobs.len(), &jobs[0]["lane"]), (1, &json!("email:grey.example")));
    server.mail_to("later@grey.example", SOON).await;
}

async fn a_server_that_refuses_all_says_nothing_about_people(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    readers(&app.client, 60, |n| format!("policy{n}@x.example")).await;
    let id = published(&app.client).await;
    let job = eventually("its job has failed once", SOON, || async {
        let jobs = app.client.all("/v1/jobs?kind=notification.batch").await;
        jobs.into_iter().find(|job| job["attempt"].as_u64() >= Some(1))
    })
    .await;
    assert!(job["last_error"].as_str().unwrap().contains("you may not send"), "{job}");
    let shown = email(&app.client, &id).await;
    assert_eq!((&shown["pending"], &shown["dead"]), (&json!(60), &json!(0)));
    assert!(app.client.all("/v1/suppressions").await.is_empty());
    assert!(app.client.all("/v1/dead-letters").await.is_empty());
}

async fn somebody_at_whom_the_server_hangs_up_holds_up_nobody(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    readers(&app.client, 60, |n| if n == 0 { "poison@x.example".to_owned() } else { format!("r{n}@x.example") }).await;
    let id = published(&app.client).await;
    eventually("all others are delivered", LONG, || async {
        (email(&app.client, &id).await["delivered"] == 59).then_some(())
    })
    .await;
    let job = eventually("their own job has failed", SOON, || async {
        let jobs = app.client.all("/v1/jobs?kind=notification.message").await;
        jobs.into_iter().find(|job| job["attempt"].as_u64() >= Some(1))
    })
    .await;
    assert_eq!((&job["state"], &job["lane"]), (&json!("retrying"), &json!("email:x.example")));
    let batches = app.client.all("/v1/jobs?kind=notification.batch").await;
    assert!(batches.iter().all(|job| job["state"] == "succeeded"), "{batches:?}");
    assert_eq!(server.readers().len(), 59);
}

async fn a_process_that_is_killed_again_and_again_mails_hardly_anybody_twice(stack: Stack) {
    let server = SmtpServer::start();
    let mut app = started(stack, &server).await;
    readers(&app.client, READERS, |n| format!("r{n}@x.example")).await;
    let id = published(&app.client).await;
    for kill in 1..=KILLS {
        let until = u64::from(kill) * READERS as u64 / u64::from(KILLS + 1);
        eventually("so many are delivered", LONG, || async {
            (email(&app.client, &id).await["delivered"].as_u64() >= Some(until)).then_some(())
        })
        .await;
        app.kill();
        app.restart().await;
    }
    let shown = ended(&app.client, &id).await;
    let all = READERS as u64;
    assert_eq!(shown, json!({ "planned": all, "delivered": all, "pending": 0, "dead": 0, "suppressed": {} }));
    let mut mails: BTreeMap<String, u32> = BTreeMap::new();
    server.readers().into_iter().for_each(|reader| *mails.entry(reader).or_default() += 1);
    assert_eq!(mails.len(), READERS, "everybody got it");
    let more: u32 = mails.values().map(|count| count - 1).sum();
    // What was under way, or was not stored yet, at each kill: a quarter of a second of it.
    assert!(mails.values().all(|count| *count <= 1 + KILLS) && more < 1_000, "{more} were sent again");
    let mut ids: Vec<String> = server.mails().iter().map(|mail| mail["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), READERS, "what is sent twice has one id");
}

async fn whoever_is_not_mailed_yet_by_a_cancelled_job_gets_no_mail(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    readers(&app.client, 50, |n| format!("r{n}@x.example")).await;
    let lane = "/v1/lanes/fanout-email:normal";
    app.client.post(&format!("{lane}/pause")).send().await.expect(200);
    let id = published(&app.client).await;
    let job =
        eventually("its job waits", SOON, || async { app.client.all("/v1/jobs?kind=notification.batch").await.pop() })
            .await;
    app.client.post(&format!("/v1/jobs/{}/cancel", job["id"].as_str().unwrap())).send().await.expect(200);
    app.client.post(&format!("{lane}/resume")).send().await.expect(200);
    let shown = ended(&app.client, &id).await;
    assert_eq!(shown["suppressed"], json!({ "cancelled": 50 }));
    assert!(server.mails().is_empty());
}
