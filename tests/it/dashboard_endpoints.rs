//! Endpoints at the dashboard: how they do, their settings, and what operators do to them.

use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, die, with_user},
    harness::{App, Browser, MadeEndpoint, Page, Receiver, SOON, Script, Stack, eventually},
};

const SCRIPT: &str = "</textarea></pre><script>alert(1)</script>'\"><img src=x onerror=alert(1)>";

on_both_stacks!(
    an_endpoint_shows_its_health_and_what_was_tried,
    an_endpoint_is_made_changed_and_deleted_with_a_note_of_what_was_there,
    what_is_wrong_with_a_setting_is_told_at_its_field,
    an_endpoint_is_paused_resumed_and_tested,
    a_secret_is_shown_once_and_never_noted,
    a_viewer_sees_endpoints_and_may_change_none,
    nobody_sees_another_tenant_s_endpoint,
    what_strangers_wrote_is_text_on_pages_of_endpoints,
);

async fn an_endpoint_shows_its_health_and_what_was_tried(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/endpoints").await.expect(200, "There is none");
    let letters = die(&app, &receiver, ["1", "2", "3"]).await;
    let endpoint = only_endpoint(&app).await;
    receiver.always("/hook", Script::status(200));
    let event = app.client.publish("a.b", "4").await;
    let job = app.client.job_of(&event).await;
    let succeeded = || async {
        let shown = app.client.get(&format!("/v1/jobs/{job}")).send().await.expect(200);
        (shown.body["state"] == "succeeded").then_some(())
    };
    eventually("the fourth goes through", SOON, succeeded).await;
    assert_eq!(letters.len(), 3);
    let list = ada.open("/t/default/endpoints").await.expect(200, "25.0 %");
    assert!(list.text.contains(&format!("/t/default/endpoints/{endpoint}")), "{}", list.text);
    let page = ada.open(&format!("/t/default/endpoints/{endpoint}")).await.expect(200, "25.0 %");
    assert_eq!(page.text.matches("HTTP status").count(), 3, "{}", page.text);
    assert!(page.text.contains(&format!("/t/default/jobs/{job}")), "{}", page.text);
    assert!(page.text.contains(&format!("/t/default/dead-letters?endpoint={endpoint}")), "{}", page.text);
    // The newest is the one that went through.
    let first = page.text.find("/t/default/jobs/").unwrap();
    assert!(page.text[first..].starts_with(&format!("/t/default/jobs/{job}")));
    ada.open("/t/default/endpoints/ep_00000000000000000000000000").await.expect(404, "no endpoint");
}

async fn an_endpoint_is_made_changed_and_deleted_with_a_note_of_what_was_there(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let form = ada.open("/t/default/endpoints/new").await.expect(200, "A new endpoint");
    let (token, id) = (form.field("token"), form.once("ep"));
    let url = receiver.url("/hook");
    let made =
        [("token", token.as_str()), ("once", &id), ("url", &url), ("event_types", "a.b, c.*"), ("retries", "1, 2")];
    let page = ada.send("/t/default/endpoints", &made).await.expect(201, "whsec_");
    assert!(page.text.contains("shown this once"), "{}", page.text);
    let endpoint = only_endpoint(&app).await;
    let path = format!("/t/default/endpoints/{endpoint}");
    let shown = ada.open(&path).await.expect(200, "a.b, c.*");
    assert!(!shown.text.contains("whsec_"), "{}", shown.text);

    let form = ada.open(&format!("{path}/edit")).await.expect(200, "a.b, c.*");
    let mut fields = vec![("token", token.as_str()), ("url", &url), ("event_types", "a.b, c.*"), ("retries", "1, 2")];
    fields.extend([("timeout_ms", "2500"), ("description", "orders"), ("ordered", "yes")]);
    assert!(form.text.contains("value=\"1, 2\""), "{}", form.text);
    let page = ada.send(&format!("{path}/edit"), &fields).await.expect(200, "2 s 500 ms");
    assert_eq!(page.path, path);
    let seen = form.field("seen");
    let again = [&fields[..], &[("seen", &seen)]].concat();
    ada.send(&format!("{path}/edit"), &again).await.expect(200, "2 s 500 ms");
    let stale = ada.send(&format!("{path}/edit"), &[&[("description", "invoices")], &again[..]].concat()).await;
    stale.expect(409, "Somebody else has changed these settings");
    let now = app.client.get(&format!("/v1/endpoints/{endpoint}")).send().await.expect(200).body;
    assert_eq!(
        (&now["timeout_ms"], &now["ordered"], &now["description"]),
        (&json!(2500), &json!(true), &json!("orders"))
    );
    assert_eq!(now["retry_schedule_seconds"], json!([1.0, 2.0]));

    ada.open(&format!("{path}/delete")).await.expect(200, "Delete this endpoint?");
    let page = ada.send(&format!("{path}/delete"), &[("token", &token)]).await.expect(200, "There is none");
    assert_eq!(page.path, "/t/default/endpoints");
    ada.open(&path).await.expect(404, "no endpoint");
    let audit = unescaped(&ada.open("/t/default/audit").await.expect(200, "endpoint.create"));
    for noted in ["endpoint.update", "timeout ms</dt><dd><del>15000</del> → <ins>2500</ins>", "endpoint.delete"] {
        assert!(audit.contains(noted), "{noted}: {audit}");
    }
    assert!(!audit.contains("whsec_"), "{audit}");
}

async fn what_is_wrong_with_a_setting_is_told_at_its_field(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open("/t/default/endpoints/new").await.field("token");
    let bad = [("token", token.as_str()), ("url", "http://169.254.169.254/"), ("timeout_ms", "5"), ("retries", "soon")];
    let page = ada.send("/t/default/endpoints", &bad).await.expect(422, "Nothing was saved");
    for told in ["href=\"#url\"", "href=\"#timeout_ms\"", "href=\"#retries\"", "value=\"soon\""] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(app.client.all("/v1/endpoints").await.is_empty());
}

async fn an_endpoint_is_paused_resumed_and_tested(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/t/default/endpoints/{id}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, tested, once) = (page.field("token"), page.once("job"), page.once("op"));
    let token = vec![("token", token.as_str())];
    let page = ada.send(&format!("{path}/pause"), &token).await.expect(200, "paused by ada");
    assert!(page.path == path && page.text.contains("/resume") && !page.text.contains("/pause\""), "{}", page.text);
    let test = async |ada: &mut Browser, once: &str| {
        ada.send(&format!("{path}/test"), &[token.as_slice(), &[("once", once)]].concat()).await
    };
    test(&mut ada, &tested).await.expect(409, "Resume it");
    let page = ada.send(&format!("{path}/resume"), &token).await.expect(200, "state active");
    receiver.always("/hook", Script::Answer { status: 418, headers: Vec::new(), body: "short and stout".into() });
    let page = test(&mut ada, &page.once("job")).await.expect(200, "The test failed");
    assert!(page.text.contains("418") && page.text.contains("short and stout"), "{}", page.text);
    receiver.always("/hook", Script::status(204));
    test(&mut ada, &page.once("job")).await.expect(200, "The test went through");
    let audit = unescaped(&ada.open("/t/default/audit").await);
    assert_eq!(audit.matches("<td>endpoint.test</td>").count(), 2, "{audit}");
    assert!(audit.contains("<del>active</del> → <ins>paused</ins>"), "{audit}");
    assert!(audit.contains("<del>paused</del> → <ins>active</ins>"), "{audit}");
    ada.send(&format!("{path}/recover"), &token).await.expect(422, "Since when?");
    let since = [token.as_slice(), &[("since", "2026-01-31T12:00"), ("once", &once)]].concat();
    let page = ada.send(&format!("{path}/recover"), &since).await;
    assert!(page.path.starts_with("/t/default/operations/op_"), "{}", page.path);
    let audit = ada.open("/t/default/audit").await;
    assert!(audit.text.contains("operation.start"), "{}", audit.text);
}

async fn a_secret_is_shown_once_and_never_noted(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let made = app.client.create_endpoint(&receiver.url("/hook"), json!({ "headers": { "x-key": "hush-hush" } })).await;
    let path = format!("/t/default/endpoints/{}", made.id);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, replaces) = (page.field("token"), page.field("replaces"));
    let rotate = format!("{path}/rotate-secret");
    ada.send(&rotate, &[("token", &token), ("grace_hours", "721")]).await.expect(422, "from 0 to 720");
    let form = [("token", token.as_str()), ("replaces", &replaces), ("grace_hours", "0")];
    let page = ada.send(&rotate, &form).await.expect(200, "whsec_");
    let secret = page.text.split("whsec_").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(!made.secret.contains(&secret), "another one");
    let form = ada.open(&format!("{path}/edit")).await;
    let mut fields: Vec<(&str, String)> = vec![("token", token.clone()), ("timeout_ms", "700".to_owned())];
    fields
        .push(("url", form.text.split("name=\"url\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ada.send(&format!("{path}/edit"), &fields).await.expect(200, "700 ms");
    ada.send(&format!("{path}/delete"), &[("token", &token)]).await.expect(200, "Endpoints");
    let audit = unescaped(&ada.open("/t/default/audit").await.expect(200, "endpoint.rotate_secret"));
    assert!(audit.contains("old secret signs until") && audit.contains("x-key"), "{audit}");
    for hidden in [secret.as_str(), "whsec_", "hush-hush"] {
        assert!(!audit.contains(hidden), "{hidden}: {audit}");
    }
}

async fn a_viewer_sees_endpoints_and_may_change_none(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/t/default/endpoints/{id}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for page in ["/t/default/endpoints", &path] {
        let page = ada.open(page).await.expect(200, "/hook");
        let main = page.text.split("<main").nth(1).unwrap();
        for refused in ["method=\"post\"", "/new", "/edit", "/delete"] {
            assert!(!main.contains(refused), "{refused}: {main}");
        }
    }
    for page in ["/t/default/endpoints/new", &format!("{path}/edit"), &format!("{path}/delete")] {
        ada.open(page).await.expect(403, "the role operator may");
    }
    for act in ["pause", "resume", "test", "rotate-secret", "recover", "delete", "edit"] {
        ada.send(&format!("{path}/{act}"), &[]).await.expect(403, "the role operator may");
    }
    ada.send("/t/default/endpoints", &[("url", "https://a.example/")]).await.expect(403, "the role operator may");
    assert_eq!(app.client.all("/v1/endpoints").await.len(), 1);
}

async fn nobody_sees_another_tenant_s_endpoint(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let acme = app.client.new_tenant("acme").await;
    let MadeEndpoint { id, .. } = acme.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/acme/endpoints").await.expect(200, &id);
    let token = ada.open(&format!("/t/acme/endpoints/{id}")).await.field("token");
    let path = format!("/t/default/endpoints/{id}");
    ada.open(&path).await.expect(404, "no endpoint");
    for act in ["pause", "resume", "test", "rotate-secret", "recover", "delete", "edit"] {
        ada.send(&format!("{path}/{act}"), &[("token", &token)]).await.expect(404, "no endpoint");
    }
}

async fn what_strangers_wrote_is_text_on_pages_of_endpoints(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let extras = json!({ "description": SCRIPT, "metadata": { SCRIPT: SCRIPT } });
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    receiver.always("/hook", Script::Answer { status: 500, headers: Vec::new(), body: SCRIPT.into() });
    let path = format!("/t/default/endpoints/{id}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, once) = (page.field("token"), page.once("job"));
    let test =
        ada.send(&format!("{path}/test"), &[("token", &token), ("once", &once)]).await.expect(200, "The test failed");
    let bad = [("token", token.as_str()), ("url", SCRIPT), ("retries", SCRIPT), ("description", SCRIPT)];
    let refused = ada.send(&format!("{path}/edit"), &bad).await.expect(422, "Nothing was saved");
    let mut pages = vec![test, refused];
    for page in ["/t/default/endpoints", &path, &format!("{path}/edit"), &format!("{path}/delete")] {
        pages.push(ada.open(page).await.expect(200, ""));
    }
    for Page { path, text, .. } in pages {
        for part in ["<script>", "<img", "</textarea></pre>"] {
            assert!(!text.contains(part), "{part} on {path}: {text}");
        }
    }
}

async fn only_endpoint(app: &App) -> String {
    let endpoints: Vec<Value> = app.client.all("/v1/endpoints").await;
    assert_eq!(endpoints.len(), 1);
    endpoints[0]["id"].as_str().unwrap().to_owned()
}

fn unescaped(page: &Page) -> String {
    page.text.replace("&#34;", "\"").replace("&#38;", "&")
}
