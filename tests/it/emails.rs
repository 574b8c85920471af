//! E-mail: who gets it, what stands in it as others read it, and why somebody got none.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    App, Client, SOON, SmtpServer, Stack, eventually,
    notifying::{a_mail_type, a_reader, notified, planned, receipt},
};

on_both_stacks!(
    people_are_mailed_in_their_language_and_whoever_is_not_can_be_told_why,
    one_click_unsubscribes_and_a_look_changes_nothing,
    an_address_that_bounced_is_suppressed_for_whoever_has_it,
    a_notification_goes_by_the_channels_that_are_named,
    without_a_mail_server_nothing_is_accepted_that_needs_one,
);

const PUBLIC: &str = "https://postrider.example/";

async fn started(stack: Stack, server: &SmtpServer) -> App {
    let app = App::builder(stack)
        .env("POSTRIDER_SMTP_URL", server.url())
        .env("POSTRIDER_SMTP_FROM", "news@product.example")
        .env("POSTRIDER_PUBLIC_URL", PUBLIC)
        .start()
        .await;
    a_mail_type(&app.client).await;
    app
}

async fn mailed(client: &Client, recipients: &[&str]) -> (String, Value) {
    let id = notified(client, json!({ "type": "mail", "recipients": recipients, "data": { "who": "Zoë" } })).await;
    let receipt = planned(client, &id).await;
    (id, receipt)
}

async fn fate(client: &Client, id: &str, key: &str) -> Value {
    let shown = client.get(&format!("/v1/notifications/{id}/recipients/{key}")).send().await.expect(200);
    let channels = shown.body["channels"].as_array().unwrap();
    let on = channels.iter().find(|on| on["channel"] == "email").unwrap();
    assert!(on["job_id"].as_str().unwrap().starts_with("job_"));
    let last = shown.body["timeline"].as_array().unwrap().iter().rfind(|moment| moment["channel"] == "email").cloned();
    json!([on["fate"], on["reason"], last.unwrap_or_default()["what"]])
}

async fn people_are_mailed_in_their_language_and_whoever_is_not_can_be_told_why(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    let put = async |key: &str, body: Value| {
        app.client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&body).send().await.expect(201);
    };
    put("anna", json!({ "email": "anna@X.example", "locale": "de-AT" })).await;
    put("bob", json!({ "email": "bob@x.example" })).await;
    put("cleo", json!({ "email": "cleo@x.example", "preferences": { "social": { "email": false } } })).await;
    put("dan", json!({ "email": "d@x.example", "email_state": "suppressed", "email_reason": "asked us" })).await;
    put("gone", json!({ "email": "gone@x.example" })).await;
    put("policy", json!({ "email": "policy@x.example" })).await;
    let all = ["anna", "bob", "cleo", "dan", "gone", "policy", "nomail"];
    let (id, shown) = mailed(&app.client, &all).await;
    assert_eq!(shown["inbox"]["delivered"], 7);
    let suppressed = json!({ "preference": 1, "address_suppressed": 1, "bounced": 1, "no_address": 1 });
    let email = json!({ "planned": 7, "delivered": 2, "pending": 0, "dead": 1, "suppressed": suppressed });
    assert_eq!(shown["email"], email);
    assert_eq!(server.readers(), ["anna@x.example", "bob@x.example"]);
    let mail = server.mail_to("anna@x.example", SOON).await;
    assert_eq!(mail["defects"], json!([]));
    assert_eq!(
        [&mail["from"], &mail["header_to"], &mail["subject"]],
        ["news@product.example", "anna@x.example", "Zoë hat geschrieben"]
    );
    assert_eq!(
        [&mail["text"], &mail["html"]],
        ["Grüße, anna\r\n", "<p>Grüße, anna</p>"].map(|text| json!(text)).each_ref()
    );
    assert!(mail["date"].is_string());
    let english = server.mail_to("bob@x.example", SOON).await;
    assert_eq!(english["subject"], "Zoë posted");
    for (key, expected) in [
        ("anna", json!(["delivered", null, "delivered"])),
        ("cleo", json!(["suppressed", "preference", "suppressed"])),
        ("dan", json!(["suppressed", "address_suppressed", "suppressed"])),
        ("gone", json!(["suppressed", "bounced", "suppressed"])),
        ("nomail", json!(["suppressed", "no_address", "suppressed"])),
        ("policy", json!(["dead", null, "dead"])),
    ] {
        assert_eq!(fate(&app.client, &id, key).await, expected, "{key}");
    }
    // What died says what the server said, and is whole.
    let dead = app.client.all("/v1/dead-letters").await;
    assert_eq!((dead.len(), &dead[0]["kind"]), (1, &json!("notification.message")));
    assert!(dead[0]["last_error"].as_str().unwrap_or_default().contains("you may not send"), "{}", dead[0]);
    // Once it may be sent, it is by a replay, and the receipt says so.
    put_address(&app.client, "policy", "late@x.example").await;
    let letter = dead[0]["id"].as_str().unwrap();
    app.client.post(&format!("/v1/dead-letters/{letter}/replay")).send().await.expect(202);
    eventually("it is delivered", SOON, || async {
        let email = receipt(&app.client, &id).await.body["receipt"]["email"].clone();
        (email["delivered"] == 3 && email["dead"] == 0).then_some(())
    })
    .await;
    server.mail_to("late@x.example", SOON).await;
}

async fn put_address(client: &Client, key: &str, address: &str) {
    let path = format!("/v1/recipients/{key}");
    client.call(Method::PUT, &path).json(&json!({ "email": address })).send().await.expect(200);
}

async fn one_click_unsubscribes_and_a_look_changes_nothing(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_reader(&app.client, "anna", "anna@x.example").await;
    let (first, _) = mailed(&app.client, &["anna"]).await;
    let mail = server.mail_to("anna@x.example", SOON).await;
    assert_eq!(mail["unsubscribe_post"], "List-Unsubscribe=One-Click");
    let link = mail["unsubscribe"].as_str().unwrap().trim_start_matches('<').trim_end_matches('>');
    let path = link.strip_prefix(PUBLIC).map(|path| format!("/{path}")).expect("it leads to this server");
    let look = app.client.get(&path).without_token().send().await.expect(200);
    assert!(look.text.contains("social") && look.text.contains("<form method=\"post\""), "{}", look.text);
    assert_eq!(mailed(&app.client, &["anna"]).await.1["email"]["delivered"], 1);
    // As a mailbox does it (RFC 8058, section 3.1).
    let click = |path: String| {
        let call = app.client.post(&path).without_token();
        call.body("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click").send()
    };
    click(path.clone()).await.expect(200);
    click(path.clone()).await.expect(200);
    let profile = app.client.get("/v1/recipients/anna").send().await.expect(200);
    assert_eq!(profile.body["preferences"], json!({ "social": { "email": false } }));
    let (_, shown) = mailed(&app.client, &["anna"]).await;
    assert_eq!((&shown["email"]["suppressed"], &shown["inbox"]["delivered"]), (&json!({ "preference": 1 }), &json!(1)));
    click(format!("{path}?again=true")).await.expect(200);
    assert_eq!(mailed(&app.client, &["anna"]).await.1["email"]["delivered"], 1);
    assert_eq!(fate(&app.client, &first, "anna").await[0], "delivered");
    for forged in [path[..path.len() - 3].to_owned(), "/unsubscribe/abc.def".to_owned(), "/unsubscribe/abc".to_owned()]
    {
        app.client.get(&forged).without_token().send().await.expect(404);
        click(forged).await.expect(404);
    }
    app.client.delete("/v1/recipients/anna").send().await.expect(204);
    click(path).await.expect(404);
}

async fn an_address_that_bounced_is_suppressed_for_whoever_has_it(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_reader(&app.client, "one", "gone@x.example").await;
    assert_eq!(mailed(&app.client, &["one"]).await.1["email"]["suppressed"], json!({ "bounced": 1 }));
    a_reader(&app.client, "other", "gone@X.EXAMPLE").await;
    let other = app.client.get("/v1/recipients/other").send().await.expect(200);
    assert_eq!(other.body["email_state"], "suppressed");
    assert!(other.string("/email_reason").contains("no such mailbox"));
    assert_eq!(mailed(&app.client, &["other"]).await.1["email"]["suppressed"], json!({ "address_suppressed": 1 }));
    let listed = app.client.all("/v1/suppressions").await;
    assert_eq!(
        (listed.len(), &listed[0]["address"], &listed[0]["cause"]),
        (1, &json!("gone@x.example"), &json!("bounce"))
    );
    // A provider's report comes as a call, about an address that nobody may have.
    let path = "/v1/suppressions/angry@x.example";
    let put = |body: Value| app.client.call(Method::PUT, path).json(&body).send();
    put(json!({ "cause": "complaint" })).await.expect(200);
    let shown = app.client.get(path).send().await.expect(200);
    assert_eq!((shown.string("/cause").as_str(), shown.string("/reason").is_empty()), ("complaint", false));
    put(json!({ "cause": "anger" })).await.expect_problem(422, "invalid_body");
    put(json!({ "reason": "" })).await.expect_problem(422, "invalid_body");
    a_reader(&app.client, "angry", "angry@x.example").await;
    assert_eq!(mailed(&app.client, &["angry"]).await.1["email"]["suppressed"], json!({ "address_suppressed": 1 }));
    // Lifted, by itself or with a person.
    app.client.delete(path).send().await.expect(204);
    app.client.delete(path).send().await.expect_problem(404, "not_found");
    app.client.get(path).send().await.expect_problem(404, "not_found");
    assert_eq!(mailed(&app.client, &["angry"]).await.1["email"]["delivered"], 1);
    let verified = json!({ "email": "gone@x.example", "email_state": "verified" });
    app.client.call(Method::PUT, "/v1/recipients/one").json(&verified).send().await.expect(200);
    assert!(app.client.all("/v1/suppressions").await.is_empty());
    let other = app.client.get("/v1/recipients/other").send().await.expect(200);
    assert_eq!(other.body["email_state"], "unverified");
    let refused = app.client.get("/v1/suppressions/none").send().await.expect_problem(400, "bad_parameter");
    assert_eq!(refused.string("/errors/0/parameter"), "address");
}

async fn a_notification_goes_by_the_channels_that_are_named(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_reader(&app.client, "anna", "anna@x.example").await;
    let publish = |more: Value| {
        let mut body = json!({ "type": "mail", "recipients": ["anna"], "data": { "who": "a" } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let client = &app.client;
        async move { client.post("/v1/notifications").json(&body).send().await }
    };
    let id = publish(json!({ "channels": ["email"] })).await.expect(202).string("/id");
    assert_eq!(planned(&app.client, &id).await.as_object().unwrap().keys().collect::<Vec<_>>(), ["email"]);
    assert!(app.client.all("/v1/recipients/anna/inbox").await.is_empty());
    let id = publish(json!({ "channels": ["inbox"] })).await.expect(202).string("/id");
    assert_eq!(planned(&app.client, &id).await.as_object().unwrap().keys().collect::<Vec<_>>(), ["inbox"]);
    // Another category is another preference.
    let preferences = json!({ "email": "anna@x.example", "preferences": { "alerts": { "email": false } } });
    app.client.call(Method::PUT, "/v1/recipients/anna").json(&preferences).send().await.expect(200);
    let id = publish(json!({ "channels": ["email"], "category": "alerts" })).await.expect(202).string("/id");
    assert_eq!(planned(&app.client, &id).await["email"]["suppressed"], json!({ "preference": 1 }));
    for (more, pointer) in [
        (json!({ "channels": [] }), "/channels"),
        (json!({ "channels": ["push"] }), "/channels/0"),
        (json!({ "channels": ["pigeon"] }), "/channels/0"),
        (json!({ "category": "No" }), "/category"),
    ] {
        let refused = publish(more.clone()).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{more}");
    }
    assert_eq!(server.readers().len(), 1);
}

async fn without_a_mail_server_nothing_is_accepted_that_needs_one(stack: Stack) {
    let app = App::start(stack).await;
    a_mail_type(&app.client).await;
    let body = json!({ "type": "mail", "recipients": ["anna"], "data": { "who": "a" } });
    let refused = app.client.post("/v1/notifications").json(&body).send().await;
    let refused = refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY.as_u16(), "invalid_body");
    assert!(refused.string("/errors/0/detail").contains("POSTRIDER_SMTP_URL"));
    let body = json!({ "type": "mail", "recipients": ["anna"], "data": { "who": "a" }, "channels": ["inbox"] });
    app.client.post("/v1/notifications").json(&body).send().await.expect(202);
}
