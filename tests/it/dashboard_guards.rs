//! What guards the dashboard and the portal: sizes of forms, streams of those who are gone, links that are ended, addresses
//! and names that deceive, headers on every answer.

use std::time::Duration;

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, die, with_user},
    harness::{App, Browser, MadeEndpoint, Receiver, SOON, Script, Stack, eventually, good},
};

on_both_stacks!(
    a_form_has_the_size_of_what_it_takes,
    a_page_is_told_nothing_more_once_its_reader_is_gone,
    links_to_the_portal_are_ended_all_at_once,
    an_integrator_lifts_no_pause_that_an_operator_has_set,
    the_first_user_s_link_is_shown_again_once_the_last_user_is_removed,
    what_an_address_says_in_its_query_is_hidden_from_viewers,
    names_hold_no_character_that_nobody_sees,
    every_answer_says_what_browsers_may_do_with_it,
    a_link_to_the_portal_is_built_upon_no_stranger_s_host,
);

async fn a_form_has_the_size_of_what_it_takes(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&letter).await.field("token");
    let long = "a".repeat(70_000);
    let form = [("token", token.as_str()), ("reason", "none"), ("more", &long)];
    ada.send(&format!("{letter}/discard"), &form).await.expect(422, "more than 65536 bytes");
    let payload = format!("\"{long}\"");
    let form = [("token", token.as_str()), ("payload", payload.as_str())];
    ada.send(&format!("{letter}/edit"), &form).await.expect(200, "Replay with this payload");
    ada.send(&format!("{letter}/replay"), &form).await.expect(200, "replayed");
}

async fn a_page_is_told_nothing_more_once_its_reader_is_gone(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    create_user(&app, "bob", "viewer");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let bob = Browser::signed_in(&app, "bob", PASSWORD).await;
    let [mut of_ada, mut of_bob] = [ada.stream("/t/default/live").await, bob.stream("/t/default/live").await];
    ada.send("/sign-out", &[]).await;
    good(app.shell(&["user", "remove", "bob"]));
    for stream in [&mut of_ada, &mut of_bob] {
        let ended = tokio::time::timeout(Duration::from_secs(30), async {
            while matches!(stream.chunk().await, Ok(Some(_))) {}
        });
        ended.await.expect("the stream ends");
    }
}

async fn links_to_the_portal_are_ended_all_at_once(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let acme = app.client.new_tenant("acme").await;
    let [first, second] = [link(&app).await, link(&app).await];
    let theirs = acme.post("/v1/endpoints/portal-link").send().await.expect(201).string("/url");
    let mut guest = Browser::new(&app);
    guest.open(&first).await.expect(200, "Your endpoints");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open("/t/default/endpoints").await.expect(200, "End all links").field("token");
    let page = ada.send("/t/default/endpoints/end-portal-links", &[("token", &token)]).await;
    page.expect(200, "are ended");
    guest.open("/portal").await.expect(403, "It was revoked");
    Browser::new(&app).open(&second).await.expect(403, "It was revoked");
    let third = link(&app).await;
    Browser::new(&app).open(&third).await.expect(200, "Your endpoints");
    app.client.delete("/v1/endpoints/portal-link").send().await.expect(204);
    app.client.delete("/v1/endpoints/portal-link").send().await.expect(204);
    Browser::new(&app).open(&third).await.expect(403, "It was revoked");
    Browser::new(&app).open(&theirs[theirs.find("/portal").unwrap()..]).await.expect(200, "Your endpoints");
    ada.open("/t/default/audit").await.expect(200, "portal.revoke_links");
    let viewer = json!({ "name": "v", "role": "viewer" });
    let viewer = app.client.post("/v1/tokens").json(&viewer).send().await.expect(201).string("/token");
    let refused = app.client.with_token(&viewer).delete("/v1/endpoints/portal-link").send().await;
    refused.expect_problem(403, "forbidden");
}

async fn an_integrator_lifts_no_pause_that_an_operator_has_set(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let (path, theirs) = (format!("/portal/endpoints/{id}"), format!("/t/default/endpoints/{id}"));
    let mut guest = Browser::new(&app);
    guest.open(&link(&app).await).await.expect(200, "Your endpoints");
    let token = guest.open(&path).await.field("token");
    let token = [("token", token.as_str())];
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let of_ada = ada.open(&theirs).await.field("token");
    ada.send(&format!("{theirs}/pause"), &[("token", &of_ada)]).await.expect(200, "paused by ada");
    let page = guest.open(&path).await.expect(200, "only they resume it");
    assert!(!page.text.contains("/resume"), "{}", page.text);
    for page in [page, guest.open("/portal").await] {
        assert!(!page.text.contains("by ada"), "who it was is no integrator's business: {}", page.text);
    }
    guest.send(&format!("{path}/resume"), &token).await.expect(409, "Ask them to resume it");
    ada.open(&theirs).await.expect(200, "paused by ada");
    ada.send(&format!("{theirs}/resume"), &[("token", &of_ada)]).await.expect(200, "state active");
    guest.send(&format!("{path}/pause"), &token).await.expect(200, "paused through the portal");
    guest.send(&format!("{path}/resume"), &token).await.expect(200, "state active");
    guest.send(&format!("{path}/pause"), &token).await.expect(200, "paused through the portal");
    ada.send(&format!("{theirs}/pause"), &[("token", &of_ada)]).await.expect(200, "paused by ada");
    guest.send(&format!("{path}/resume"), &token).await.expect(409, "Ask them to resume it");
}

async fn the_first_user_s_link_is_shown_again_once_the_last_user_is_removed(stack: Stack) {
    let mut app = with_user(stack, "admin").await;
    create_user(&app, "bob", "viewer");
    assert!(!good(app.shell(&["user", "remove", "bob"])).contains("last"));
    app.terminate().await;
    app.restart().await;
    assert_eq!(app.log().matches("/welcome?key=").count(), 1, "at the first start alone");
    assert!(good(app.shell(&["user", "remove", "ada"])).contains("was the last user"));
    Browser::new(&app).open("/").await.expect(200, "start it again");
    let log = app.log();
    let old = log.split("/welcome?key=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    let old = format!("/welcome?key={old}");
    assert_eq!(Browser::new(&app).open(&old).await.path, "/sign-in", "it was for the first one");
    app.terminate().await;
    app.restart().await;
    let log = app.log();
    let key = log.rsplit("/welcome?key=").next().and_then(|rest| rest.split_whitespace().next()).expect("a link");
    assert_eq!(log.matches("/welcome?key=").count(), 2, "{log}");
    assert_eq!(Browser::new(&app).open(&old).await.path, "/sign-in");
    Browser::new(&app).open(&format!("/welcome?key={key}")).await.expect(200, "first user");
}

async fn what_an_address_says_in_its_query_is_hidden_from_viewers(stack: Stack) {
    const SECRET: &str = "hush-hush";
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    create_user(&app, "olga", "operator");
    let url = format!("{}?token={SECRET}", receiver.url("/hook"));
    receiver.always(&format!("/hook?token={SECRET}"), Script::status(500));
    let extras = json!({ "retry_schedule_seconds": [] });
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&url, extras).await;
    let event = app.client.publish("a.b", "1").await;
    let call = json!({ "kind": "http.request", "max_attempts": 1, "args": { "url": url, "method": "POST" } });
    app.client.post("/v1/jobs").json(&call).send().await.expect(202);
    let dead = || async { Some(app.client.all("/v1/dead-letters").await).filter(|letters| letters.len() == 2) };
    let letters = eventually("both are dead", SOON, dead).await;
    let mut olga = Browser::signed_in(&app, "olga", PASSWORD).await;
    let form = olga.open(&format!("/t/default/endpoints/{id}/edit")).await.expect(200, SECRET);
    let token = form.field("token");
    let form = [("token", token.as_str()), ("url", &url), ("timeout_ms", "900")];
    let other = [form[0], ("url", &format!("{url}&n=1")), form[2]];
    olga.send(&format!("/t/default/endpoints/{id}/edit"), &other).await.expect(200, "900 ms");
    let mut paths: Vec<String> = letters.iter().map(crate::dashboard::path_of).collect();
    paths.extend(letters.iter().map(|letter| format!("/t/default/jobs/{}", letter["job_id"].as_str().unwrap())));
    paths.extend(
        letters.iter().map(|letter| format!("/t/default/failures/{}", letter["fingerprint"].as_str().unwrap())),
    );
    for section in ["", "/failures", "/dead-letters", "/jobs", "/lanes", "/workers", "/endpoints", "/events", "/audit"]
    {
        paths.push(format!("/t/default{section}"));
    }
    for format in ["csv", "jsonl"] {
        paths.push(format!("/t/default/dead-letters/export?format={format}"));
    }
    paths.extend([format!("/t/default/endpoints/{id}"), format!("/t/default/events/{event}")]);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut shown = 0;
    for path in &paths {
        let page = ada.open(path).await.expect(200, "");
        assert!(!page.text.contains(SECRET), "{path}: {}", page.text);
        shown += usize::from(olga.open(path).await.text.contains(SECRET));
    }
    assert!(shown >= 12, "operators see it: on {shown} of {} pages", paths.len());
    ada.open(&format!("/t/default/endpoints/{id}")).await.expect(200, "?token=(hidden)");
}

async fn names_hold_no_character_that_nobody_sees(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/tokens").await;
    let (token, id) = (page.field("token"), page.once("tok"));
    for unseen in ["\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}"] {
        let name = format!("a{unseen}b");
        let tenant = json!({ "slug": "other", "name": name });
        app.client.post("/v1/tenants").json(&tenant).send().await.expect_problem(422, "invalid_body");
        let endpoint = json!({ "url": receiver.url("/hook"), "description": name });
        app.client.post("/v1/endpoints").json(&endpoint).send().await.expect_problem(422, "invalid_body");
        let event = json!({ "type": name, "payload": 1 });
        app.client.post("/v1/events").json(&event).send().await.expect_problem(422, "invalid_body");
        let job = json!({ "kind": "http.request", "tags": [name], "args": { "url": receiver.url("/hook") } });
        app.client.post("/v1/jobs").json(&job).send().await.expect_problem(422, "invalid_body");
        let form = [("token", token.as_str()), ("once", &id), ("name", &name), ("role", "viewer")];
        ada.send("/t/default/tokens", &form).await.expect(422, "which nobody sees");
        let form = [form[0], ("name", name.as_str()), ("role", "viewer"), ("every", "1")];
        ada.send("/t/default/users", &form).await.expect(422, "a user&#39;s name is");
    }
}

async fn every_answer_says_what_browsers_may_do_with_it(stack: Stack) {
    let app = with_user(stack, "admin").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default").await.text;
    let asset = |end: &str| {
        let path = page.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(end));
        path.unwrap_or_else(|| panic!("no {end}")).to_owned()
    };
    let assets = [asset(".css"), asset(".js"), asset(".svg")];
    let others = [
        "/",
        "/t",
        "/t/default",
        "/t/default/nothing",
        "/t/default/jobs/job_1",
        "/t/none",
        "/sign-in",
        "/welcome",
        "/portal",
        "/portal/open?link=x",
        "/t/default/live",
        "/t/default/dead-letters/export?format=csv",
    ];
    let stranger = Browser::new(&app);
    let mut answers = vec![("/t/default", stranger.stream("/t/default").await)];
    for path in others.into_iter().chain(assets.iter().map(String::as_str)) {
        answers.push((path, ada.stream(path).await));
    }
    for (path, answer) in answers {
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        let kept = if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(header("cache-control"), kept, "{path}");
    }
}

async fn a_link_to_the_portal_is_built_upon_no_stranger_s_host(stack: Stack) {
    let app = App::start(stack).await;
    let ask = |host: &str| app.client.post("/v1/endpoints/portal-link").header("host", host).send();
    for host in ["evil.example", "127.0.0.1.evil.example:7077", "10.0.0.1"] {
        let refused = ask(host).await.expect_problem(409, "no_public_url");
        assert!(refused.string("/detail").contains("POSTRIDER_PUBLIC_URL"), "{}", refused.text);
    }
    assert!(ask("localhost:1").await.expect(201).string("/url").starts_with("http://localhost:1/portal/open?link="));
    let app = App::builder(stack).env("POSTRIDER_PUBLIC_URL", "https://hooks.example/").start().await;
    let made = app.client.post("/v1/endpoints/portal-link").header("host", "evil.example").send().await.expect(201);
    assert!(made.string("/url").starts_with("https://hooks.example/portal/open?link="), "{}", made.text);
}

/// The path of a link to all endpoints.
async fn link(app: &App) -> String {
    let url = app.client.post("/v1/endpoints/portal-link").send().await.expect(201).string("/url");
    url[url.find("/portal").unwrap()..].to_owned()
}
