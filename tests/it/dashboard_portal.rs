//! The integrators' portal: what a signed link shows and does, and what it refuses.

use std::time::Duration;

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, with_user},
    harness::{App, Browser, Client, MadeEndpoint, Page, Receiver, SOON, Script, Stack, eventually},
};

const SCRIPT: &str = "</textarea></pre><script>alert(1)</script>'\"><img src=x onerror=alert(1)>";

on_both_stacks!(
    a_link_shows_a_tenant_s_endpoints_and_what_was_sent_to_them,
    an_integrator_tests_pauses_rotates_and_replays_and_all_is_noted,
    a_link_reaches_no_other_tenant_s_endpoint_and_none_that_it_does_not_name,
    a_link_that_is_forged_or_over_says_what_to_do,
    a_portal_s_cookie_and_an_operator_s_session_open_nothing_of_each_other,
    a_form_of_the_portal_from_elsewhere_changes_nothing,
    a_link_is_made_within_its_bounds_by_those_who_may_change_endpoints,
    what_strangers_wrote_is_text_on_every_page_of_the_portal,
);

async fn a_link_shows_a_tenant_s_endpoints_and_what_was_sent_to_them(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (endpoint, letter) = dead(&app.client, &receiver, r#"{"n": 1}"#).await;
    let mut guest = open(&app, &app.client, json!({})).await;
    let page = guest.open("/portal").await.expect(200, "Your endpoints");
    assert!(page.text.contains(&format!("/portal/endpoints/{endpoint}")), "{}", page.text);
    let page = guest.open(&format!("/portal/endpoints/{endpoint}")).await.expect(200, "What did not arrive");
    assert!(page.text.contains(&letter) && page.text.contains("HTTP status"), "{}", page.text);
    let attempt = page.text.split("/attempts/").nth(1).unwrap().split('"').next().unwrap();
    let page = guest.open(&format!("/portal/endpoints/{endpoint}/attempts/{attempt}")).await;
    let page = page.expect(200, "What you answered");
    for shown in ["{&#34;n&#34;: 1}", "no tea here", "webhook-id", "evt_"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(!page.text.contains("/t/default") && !page.text.contains("href=\"/\""), "{}", page.text);
    guest
        .open(&format!("/portal/endpoints/{endpoint}/attempts/att_00000000000000000000000000"))
        .await
        .expect(404, "no attempt");
}

async fn an_integrator_tests_pauses_rotates_and_replays_and_all_is_noted(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let (endpoint, letter) = dead(&app.client, &receiver, "1").await;
    let mut guest = open(&app, &app.client, json!({ "endpoint_ids": [endpoint] })).await;
    let path = format!("/portal/endpoints/{endpoint}");
    let page = guest.open(&path).await;
    let (token, replaces, once) = (page.field("token"), page.field("replaces"), page.once("job"));
    let token = [("token", token.as_str())];
    receiver.always("/hook", Script::status(200));
    let test = [token[0], ("once", once.as_str())];
    guest.send(&format!("{path}/test"), &test).await.expect(200, "The test went through");
    guest.send(&format!("{path}/pause"), &token).await.expect(200, "paused through the portal");
    guest.send(&format!("{path}/test"), &test).await.expect(409, "Resume it");
    guest.send(&format!("{path}/resume"), &token).await.expect(200, "state active");
    let rotate = format!("{path}/rotate-secret");
    let page = guest.send(&rotate, &[token[0], ("replaces", &replaces)]).await.expect(200, "whsec_");
    guest.send(&rotate, &[token[0], ("replaces", &replaces)]).await.expect(409, "This was done already");
    let secret = page.text.split("whsec_").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let calls = receiver.wait_for("/hook", 2, SOON).await.len();
    let replay = format!("{path}/dead-letters/{letter}/replay");
    let page = guest.send(&replay, &token).await.expect(200, "Attempts, newest first");
    assert!(!page.text.contains("What did not arrive"), "{}", page.text);
    guest.send(&replay, &token).await.expect(409, "already, by a first sending of the same form");
    receiver.wait_for("/hook", calls + 1, SOON).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let audit = ada.open("/t/default/audit").await.expect(200, "portal");
    for act in ["endpoint.test", "endpoint.pause", "endpoint.resume", "endpoint.rotate_secret", "dead_letter.replay"] {
        assert!(
            audit.text.contains(&format!("<td>portal</td><td>127.0.0.1</td><td>{act}</td>")),
            "{act}: {}",
            audit.text
        );
    }
    assert!(!audit.text.contains(&secret), "{}", audit.text);
}

async fn a_link_reaches_no_other_tenant_s_endpoint_and_none_that_it_does_not_name(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let acme = app.client.new_tenant("acme").await;
    let theirs = dead(&acme, &receiver, "1").await;
    let MadeEndpoint { id: own, .. } = app.client.create_endpoint(&receiver.url("/own"), json!({})).await;
    let unnamed = dead(&app.client, &receiver, "2").await;
    let mut guest = open(&app, &app.client, json!({ "endpoint_ids": [own] })).await;
    let page = guest.open("/portal").await.expect(200, &own);
    assert!(!page.text.contains(&theirs.0) && !page.text.contains(&unnamed.0), "{}", page.text);
    let token = guest.open(&format!("/portal/endpoints/{own}")).await.field("token");
    for (endpoint, letter) in [&theirs, &unnamed] {
        let path = format!("/portal/endpoints/{endpoint}");
        guest.open(&path).await.expect(404, "no endpoint");
        guest.open(&format!("{path}/attempts/att_00000000000000000000000000")).await.expect(404, "no endpoint");
        let replay = format!("dead-letters/{letter}/replay");
        for act in ["pause", "resume", "test", "rotate-secret", &replay] {
            guest.send(&format!("{path}/{act}"), &[("token", &token)]).await.expect(404, "no endpoint");
        }
        let through_own = format!("/portal/endpoints/{own}/{replay}");
        guest.send(&through_own, &[("token", &token)]).await.expect(404, "no dead letter");
    }
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), 1);
    assert_eq!(acme.all("/v1/dead-letters?state=open").await.len(), 1);
    let named = json!({ "endpoint_ids": [theirs.0] });
    let problem = app.client.post("/v1/endpoints/portal-link").json(&named).send().await;
    problem.expect_problem(422, "invalid_body");
}

async fn a_link_that_is_forged_or_over_says_what_to_do(stack: Stack) {
    let app = App::start(stack).await;
    let mut guest = Browser::new(&app);
    guest.open("/portal").await.expect(403, "Ask whoever sent it");
    let link = link(&app.client, json!({})).await;
    let (begin, rest) = link.split_at(link.find("link=").unwrap() + 5);
    let other = if rest.starts_with('B') { "C" } else { "B" };
    for forged in [String::new(), "AAAA".to_owned(), format!("{other}{}", &rest[1..]), rest.replace('.', "A")] {
        guest.open(&format!("{begin}{forged}")).await.expect(403, "cut off or was changed");
        guest.open("/portal").await.expect(403, "Ask whoever sent it");
    }
    let short = self::link(&app.client, json!({ "expires_in_seconds": 1 })).await;
    let over = async || {
        let mut guest = Browser::new(&app);
        let page = guest.open(&short).await;
        (page.status == 403 && page.text.contains("Its time is over")).then_some(page)
    };
    let page = eventually("the link is over", Duration::from_secs(20), over).await;
    assert!(page.text.contains("Ask whoever sent it") && !page.text.contains("href=\"/\""), "{}", page.text);
    assert_eq!(guest.open(&link).await.expect(200, "Your endpoints").path, "/portal");
}

async fn a_portal_s_cookie_and_an_operator_s_session_open_nothing_of_each_other(stack: Stack) {
    let app = with_user(stack, "admin").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/portal").await.expect(403, "Ask whoever sent it");
    let mut guest = open(&app, &app.client, json!({})).await;
    for path in ["/t", "/t/default", "/t/default/endpoints", "/t/default/audit"] {
        assert!(guest.open(path).await.path.starts_with("/sign-in"), "{path}");
    }
}

async fn a_form_of_the_portal_from_elsewhere_changes_nothing(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let link = link(&app.client, json!({})).await;
    let (mut guest, mut other) = (Browser::new(&app), Browser::new(&app));
    guest.open(&link).await.expect(200, "Your endpoints");
    other.open(&link).await.expect(200, "Your endpoints");
    let path = format!("/portal/endpoints/{id}");
    let token = guest.open(&path).await.field("token");
    let theirs = other.open(&path).await.field("token");
    let pause = format!("{path}/pause");
    guest.send_from_elsewhere(&pause, &[("token", &token)]).await.expect(403, "Nothing was done");
    for wrong in ["", "AAAA", &theirs] {
        guest.send(&pause, &[("token", wrong)]).await.expect(403, "Nothing was done");
    }
    guest.send(&pause, &[("token", &token)]).await.expect(200, "paused");
}

async fn a_link_is_made_within_its_bounds_by_those_who_may_change_endpoints(stack: Stack) {
    let app = App::start(stack).await;
    let ask = |body| app.client.post("/v1/endpoints/portal-link").json(&body).send();
    for bad in [
        json!({ "expires_in_seconds": 0 }),
        json!({ "expires_in_seconds": 604_801 }),
        json!({ "endpoint_ids": [] }),
        json!({ "endpoint_ids": ["ep_1"] }),
        json!({ "endpoints": [] }),
    ] {
        let answer = ask(bad).await;
        assert!([400, 422].contains(&answer.status), "{}", answer.text);
    }
    let made = ask(json!({ "expires_in_seconds": 604_800 })).await.expect(201);
    assert!(made.string("/url").contains("/portal/open?link=") && made.string("/expires_at").ends_with('Z'));
    app.client.post("/v1/endpoints/portal-link").send().await.expect(201);
    for role in ["viewer", "publisher"] {
        let token = json!({ "name": role, "role": role });
        let token = app.client.post("/v1/tokens").json(&token).send().await.expect(201).string("/token");
        let refused = app.client.with_token(&token).post("/v1/endpoints/portal-link").send().await;
        refused.expect_problem(403, "forbidden");
    }
}

async fn what_strangers_wrote_is_text_on_every_page_of_the_portal(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::Answer { status: 500, headers: Vec::new(), body: SCRIPT.into() });
    let extras = json!({ "description": SCRIPT, "retry_schedule_seconds": [] });
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    app.client.publish("a.b", &json!(SCRIPT).to_string()).await;
    let died = || async { (app.client.dead_letters(&id).await.len() == 1).then_some(()) };
    eventually("it is dead", SOON, died).await;
    let mut guest = open(&app, &app.client, json!({})).await;
    let path = format!("/portal/endpoints/{id}");
    let page = guest.open(&path).await;
    let (token, attempt) =
        (page.field("token"), page.text.split("/attempts/").nth(1).unwrap().split('"').next().unwrap());
    let attempt = guest.open(&format!("{path}/attempts/{attempt}")).await.expect(200, "alert(1)");
    let form = [("token", token.as_str()), ("once", &page.once("job"))];
    let test = guest.send(&format!("{path}/test"), &form).await.expect(200, "alert(1)");
    let bad = [("token", token.as_str()), ("grace_hours", SCRIPT)];
    let refused = guest.send(&format!("{path}/rotate-secret"), &bad).await.expect(422, "alert(1)");
    let list = guest.open("/portal").await.expect(200, "alert(1)");
    for Page { path, text, .. } in [page, attempt, test, refused, list] {
        for part in ["<script>", "<img", "</textarea></pre>"] {
            assert!(!text.contains(part), "{part} on {path}: {text}");
        }
    }
}

/// An endpoint and the dead letter of an event with this payload.
async fn dead(client: &Client, receiver: &Receiver, payload: &str) -> (String, String) {
    receiver.always("/hook", Script::Answer { status: 500, headers: Vec::new(), body: "no tea here".into() });
    let extras = json!({ "retry_schedule_seconds": [], "event_types": ["a.b"] });
    let MadeEndpoint { id, .. } = client.create_endpoint(&receiver.url("/hook"), extras).await;
    client.publish("a.b", payload).await;
    let died = || async { client.dead_letters(&id).await.pop() };
    let letter = eventually("it is dead", SOON, died).await;
    (id, letter["id"].as_str().unwrap().to_owned())
}

/// The path of a link.
pub(crate) async fn link(client: &Client, asked: serde_json::Value) -> String {
    let made = client.post("/v1/endpoints/portal-link").json(&asked).send().await.expect(201);
    let url = made.string("/url");
    url[url.find("/portal").unwrap()..].to_owned()
}

/// Somebody who has opened a link.
async fn open(app: &App, client: &Client, asked: serde_json::Value) -> Browser {
    let mut guest = Browser::new(app);
    let page = guest.open(&link(client, asked).await).await.expect(200, "Your endpoints");
    assert_eq!(page.path, "/portal", "the link does not stay in the address");
    guest
}
