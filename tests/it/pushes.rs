//! Notifications that are pushed: which browsers get them, and what becomes of those whose push service does not take them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    App, Client, LONG, PushBrowser, Receiver, SOON, Script, Stack, eventually,
    notifying::{a_push_type, notified, planned, receipt},
};

on_both_stacks!(
    all_browsers_of_somebody_get_it_and_read_it_alone,
    a_browser_that_is_gone_is_forgotten,
    a_browser_whose_service_fails_is_tried_again_and_no_other,
    a_browser_that_took_it_when_it_was_tried_again_is_not_pushed_to_for_another,
    a_push_service_that_fails_holds_up_nobody_of_another,
    what_is_refused_is_a_dead_letter_that_says_what_to_do,
);

async fn with_browsers(client: &Client, key: &str, endpoints: &[String]) {
    client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&json!({})).send().await;
    for (n, endpoint) in (1..).zip(endpoints) {
        let said = PushBrowser::new(n).subscription(endpoint);
        client.post(&format!("/v1/recipients/{key}/push-subscriptions")).json(&said).send().await.expect(201);
    }
}

async fn pushed(client: &Client, recipients: &[&str]) -> String {
    notified(client, json!({ "type": "push", "recipients": recipients, "data": { "who": "Zoë" } })).await
}

async fn all_browsers_of_somebody_get_it_and_read_it_alone(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    a_push_type(&app.client).await;
    with_browsers(&app.client, "anna", &[service.url("/phone"), service.url("/laptop")]).await;
    let id = pushed(&app.client, &["anna", "bob"]).await;
    let shown = planned(&app.client, &id).await;
    let suppressed = json!({ "no_subscription": 1 });
    assert_eq!(
        shown["push"],
        json!({ "planned": 2, "delivered": 1, "pending": 0, "dead": 0, "suppressed": suppressed })
    );
    for (n, path) in [(1, "/phone"), (2, "/laptop")] {
        let requests = service.requests(path);
        let [request] = requests.as_slice() else { panic!("{} pushes to {path}", requests.len()) };
        assert_eq!((request.header("urgency"), request.header("ttl")), (Some("high"), Some("86400")));
        let read = PushBrowser::new(n).read(request);
        let text: Value = serde_json::from_slice(&read.text).unwrap();
        assert_eq!(
            [&text["id"], &text["type"], &text["title"], &text["body"], &text["url"]],
            [id.as_str(), "push", "Zoë posted", "For anna", "/posts/1"]
        );
        assert!(read.claims["aud"].as_str().is_some_and(|origin| service.url("").starts_with(origin)));
        assert!(PushBrowser::new(3).try_read(request).is_err(), "another browser reads it");
    }
}

async fn a_browser_that_is_gone_is_forgotten(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    a_push_type(&app.client).await;
    service.always("/gone", Script::status(410));
    service.always("/lost", Script::status(404));
    with_browsers(&app.client, "anna", &[service.url("/gone"), service.url("/here")]).await;
    with_browsers(&app.client, "bob", &[service.url("/lost")]).await;
    let id = pushed(&app.client, &["anna", "bob"]).await;
    let shown = planned(&app.client, &id).await;
    assert_eq!(
        (&shown["push"]["delivered"], &shown["push"]["suppressed"]),
        (&json!(1), &json!({ "no_subscription": 1 }))
    );
    let left = app.client.get("/v1/recipients/anna/push-subscriptions").send().await.expect(200);
    let left: Vec<Value> = left.list("/data").iter().map(|one| one["endpoint"].clone()).collect();
    assert_eq!(left, [json!(service.url("/here"))]);
    planned(&app.client, &pushed(&app.client, &["anna", "bob"]).await).await;
    let counts = ["/gone", "/lost", "/here"].map(|path| service.requests(path).len());
    assert_eq!(counts, [1, 1, 2]);
}

async fn a_browser_whose_service_fails_is_tried_again_and_no_other(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    a_push_type(&app.client).await;
    let busy = Script::status(429).with_header("retry-after", "1");
    service.first("/busy", [busy.clone()], Script::status(201));
    service.first("/alone", [busy], Script::status(201));
    with_browsers(&app.client, "anna", &[service.url("/busy"), service.url("/fine")]).await;
    with_browsers(&app.client, "bob", &[service.url("/alone")]).await;
    let id = pushed(&app.client, &["anna", "bob"]).await;
    // Anna has it by her other browser; Bob waits.
    let shown = eventually("anna is reached", SOON, || async {
        let push = receipt(&app.client, &id).await.body["receipt"]["push"].clone();
        (push["delivered"].as_u64() >= Some(1)).then_some(push)
    })
    .await;
    assert_eq!(shown["dead"], 0);
    assert_eq!(planned(&app.client, &id).await["push"]["delivered"], 2);
    let first = service.wait_for("/busy", 2, SOON).await;
    assert!(first[1].at - first[0].at >= Duration::from_secs(1), "it was asked to wait for a second");
    assert_eq!(service.requests("/alone").len(), 2);
    let jobs = app.client.all("/v1/jobs?kind=notification.message").await;
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job["lane"] == "push:127.0.0.1"), "{jobs:?}");
    eventually("both jobs are done", SOON, || async {
        let jobs = app.client.all("/v1/jobs?kind=notification.message&state=succeeded").await;
        (jobs.len() == 2).then_some(())
    })
    .await;
    assert_eq!(service.requests("/fine").len(), 1, "who has it is not pushed to again");
}

async fn a_browser_that_took_it_when_it_was_tried_again_is_not_pushed_to_for_another(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    a_push_type(&app.client).await;
    let busy = Script::status(429).with_header("retry-after", "1");
    service.first("/late", [busy.clone()], Script::status(201));
    service.first("/later", [busy.clone(), busy], Script::status(201));
    with_browsers(&app.client, "anna", &["/late", "/later"].map(|path| service.url(path))).await;
    let id = pushed(&app.client, &["anna"]).await;
    service.wait_for("/later", 3, SOON).await;
    assert_eq!(planned(&app.client, &id).await["push"]["delivered"], 1);
    eventually("its job is done", SOON, || async {
        app.client.all("/v1/jobs?kind=notification.message&state=succeeded").await.pop()
    })
    .await;
    assert_eq!(["/late", "/later"].map(|path| service.requests(path).len()), [2, 3]);
}

async fn a_push_service_that_fails_holds_up_nobody_of_another(stack: Stack) {
    let (app, down, fine) = (App::start(stack).await, Receiver::start().await, Receiver::start().await);
    a_push_type(&app.client).await;
    let elsewhere = down.url("/p").replace("127.0.0.1", "localhost");
    let keys: Vec<String> = (0..300).map(|n| format!("u{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        down.always(&format!("/p{n}"), Script::status(503));
        let endpoint = if n % 2 == 0 { format!("{elsewhere}{n}") } else { fine.url(&format!("/p{n}")) };
        with_browsers(&app.client, key, &[endpoint]).await;
    }
    // Their own lane is paused, so that only what the batch tries is counted.
    app.client.post("/v1/lanes/push:localhost/pause").send().await.expect(200);
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let id = pushed(&app.client, &names).await;
    let push = eventually("the others are reached", LONG, || async {
        let push = receipt(&app.client, &id).await.body["receipt"]["push"].clone();
        (push["delivered"] == 150).then_some(push)
    })
    .await;
    assert_eq!((&push["pending"], &push["dead"]), (&json!(150), &json!(0)));
    eventually("all who wait have a job of their own", LONG, || async {
        let jobs = app.client.all("/v1/jobs?kind=notification.message").await;
        (jobs.len() == 150).then_some(())
    })
    .await;
    let tried = (0..300).map(|n| down.requests(&format!("/p{n}")).len()).sum::<usize>();
    assert!(tried < 100, "a service that fails was asked {tried} times");
}

async fn what_is_refused_is_a_dead_letter_that_says_what_to_do(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    a_push_type(&app.client).await;
    service.always("/p", Script::status(403));
    with_browsers(&app.client, "anna", &[service.url("/p")]).await;
    let id = pushed(&app.client, &["anna"]).await;
    let shown = planned(&app.client, &id).await;
    assert_eq!((&shown["push"]["dead"], &shown["push"]["pending"]), (&json!(1), &json!(0)));
    let dead = app.client.all("/v1/dead-letters").await;
    assert!(dead[0]["last_error"].as_str().unwrap().contains("GET /v1/push"), "{}", dead[0]);
    let one = app.client.get(&format!("/v1/notifications/{id}/recipients/anna")).send().await.expect(200);
    assert_eq!(one.string("/channels/0/fate"), "dead");
    assert!(one.string("/channels/0/error").contains("GET /v1/push"));
    // Once the service takes it, it is replayed from there.
    service.always("/p", Script::status(201));
    let letter = dead[0]["id"].as_str().unwrap();
    app.client.post(&format!("/v1/dead-letters/{letter}/replay")).send().await.expect(202);
    eventually("it is delivered", SOON, || async {
        (receipt(&app.client, &id).await.body["receipt"]["push"]["delivered"] == 1).then_some(())
    })
    .await;
}
