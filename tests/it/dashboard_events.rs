//! Events at the dashboard: found by id, type and time, shown with their deliveries as a tree, sent once more.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, die, with_user},
    harness::{App, Browser, MadeEndpoint, Page, Receiver, SOON, Script, Stack, eventually},
};

const SCRIPT: &str = "</textarea></pre><script>alert(1)</script>'\"><img src=x onerror=alert(1)>";

on_both_stacks!(
    an_event_is_found_by_id_type_and_time,
    an_event_s_deliveries_are_a_tree_with_the_replays_of_their_dead_letters,
    an_event_is_replayed_to_chosen_endpoints_or_to_all_that_want_it,
    a_viewer_sees_events_and_may_replay_none,
    what_strangers_wrote_is_text_on_pages_of_events,
);

async fn an_event_is_found_by_id_type_and_time(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/events").await.expect(200, "There is no event yet");
    let body = json!({ "type": "order.paid", "payload": { "n": 1 }, "id": "own-1:a" });
    app.client.post("/v1/events").json(&body).send().await.expect(202);
    let given = app.client.publish("order.sent", "2").await;
    let page = ada.open("/t/default/events").await.expect(200, "no endpoint wanted it");
    assert!(page.text.contains("own-1:a") && page.text.contains(&given), "{}", page.text);
    let page = ada.open("/t/default/events?type=order.paid").await.expect(200, "own-1:a");
    assert!(!page.text.contains(&given), "{}", page.text);
    ada.open("/t/default/events?until=2026-01-01T00:00").await.expect(200, "No event is like that");
    ada.open("/t/default/events?since=2026-01-01T00:00").await.expect(200, "own-1:a");
    ada.open("/t/default/events?type=A+b").await.expect(422, "no event type");
    let page = ada.open("/t/default/events?id=own-1:a").await.expect(200, "order.paid");
    assert!(page.path.starts_with("/t/default/events/evt_"), "{}", page.path);
    let page = ada.open(&format!("/t/default/events?id={given}")).await.expect(200, "order.sent");
    assert_eq!(page.path, format!("/t/default/events/{given}"));
    ada.open("/t/default/events?id=unknown").await.expect(404, "no event");
    let made = app.client.new_tenant("acme").await;
    let theirs = made.publish("a.b", "1").await;
    ada.open(&format!("/t/default/events/{theirs}")).await.expect(404, "no event");
    ada.open(&format!("/t/default/events?id={theirs}")).await.expect(404, "no event");
}

async fn an_event_s_deliveries_are_a_tree_with_the_replays_of_their_dead_letters(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, [r#"{"n":1}"#]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    receiver.always("/hook", Script::status(200));
    let token = ada.open(&letter).await.field("token");
    ada.send(&format!("{letter}/replay"), &[("token", &token)]).await.expect(200, "replayed");
    let event = only_event(&app).await;
    let path = format!("/t/default/events/{event}");
    settled(&app, &event, 2).await;
    let page = ada.open(&path).await.expect(200, "replayed:");
    let tree = page.text.split("class=\"tree\"").nth(1).unwrap().split("</ul>").next().unwrap();
    assert_eq!((tree.matches("<ol>").count(), tree.matches("/jobs/job_").count()), (1, 2), "{tree}");
    assert!(tree.contains(&letter) && tree.contains("state dead") && tree.contains("state succeeded"), "{tree}");
    assert!(page.text.contains("&#34;n&#34;: 1"), "laid out: {}", page.text);
    let list = ada.open("/t/default/events").await;
    assert!(list.text.contains("1 dead") && list.text.contains("1 succeeded"), "{}", list.text);
}

async fn an_event_is_replayed_to_chosen_endpoints_or_to_all_that_want_it(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let mut endpoints = Vec::new();
    for hook in ["/one", "/two"] {
        endpoints.push(app.client.create_endpoint(&receiver.url(hook), json!({})).await.id);
    }
    let event = app.client.publish("a.b", "1").await;
    settled(&app, &event, 2).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let path = format!("/t/default/events/{event}");
    let page = ada.open(&path).await.expect(200, "To these");
    let (token, once) = (page.field("token"), page.once("job"));
    let once = ("once", once.as_str());
    let replay = format!("{path}/replay");
    ada.send(&replay, &[("token", &token)]).await.expect(422, "No endpoint was chosen");
    let stranger = app.client.new_tenant("acme").await.create_endpoint(&receiver.url("/no"), json!({})).await.id;
    ada.send(&replay, &[("token", &token), once, ("endpoint", &stranger)]).await.expect(404, "no endpoint");
    ada.send(&replay, &[("token", &token), once, ("endpoint", &endpoints[1])]).await.expect(200, "Where it went");
    settled(&app, &event, 3).await;
    ada.send(&replay, &[("token", &token), ("to", "all")]).await.expect(422, "No endpoint was chosen");
    let page = ada.open(&replay).await.expect(200, "Replay this event to 2 endpoints?");
    let named: Vec<&str> = endpoints.iter().map(String::as_str).filter(|id| page.text.contains(*id)).collect();
    let once = page.once("job");
    let mut all = vec![("token", token.as_str()), ("once", &once), ("endpoint", named[0]), ("endpoint", named[1])];
    all.extend([("endpoint", named[0]); 3]);
    ada.send(&replay, &all).await.expect(200, "Where it went");
    settled(&app, &event, 5).await;
    assert_eq!(
        (receiver.wait_for("/one", 2, SOON).await.len(), receiver.wait_for("/two", 3, SOON).await.len()),
        (2, 3)
    );
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>event.replay</td>").count(), 2, "{}", audit.text);
    let listed = audit.text.split("<td>event.replay</td>").nth(1).unwrap().split("</tr>").next().unwrap();
    assert_eq!(listed.matches(&format!("/endpoints/{}\"", named[0])).count(), 1, "named once: {listed}");
}

async fn a_viewer_sees_events_and_may_replay_none(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let event = app.client.publish("a.b", "1").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("/t/default/events/{event}")).await.expect(200, "Payload");
    assert!(!page.text.contains("/replay"), "{}", page.text);
    let replay = format!("/t/default/events/{event}/replay");
    ada.open(&replay).await.expect(403, "the role operator may");
    ada.send(&replay, &[("endpoint", &id)]).await.expect(403, "the role operator may");
    assert_eq!(app.client.jobs_of(&event).await.len(), 1);
}

async fn what_strangers_wrote_is_text_on_pages_of_events(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let script = json!(SCRIPT).to_string();
    die(&app, &receiver, [&script]).await;
    let event = only_event(&app).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let search: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    let (list, found) = ("/t/default/events".to_owned(), format!("/t/default/events?id={search}"));
    let typed = format!("/t/default/events?type={search}&since={search}");
    for path in [list, found, typed, format!("/t/default/events/{event}")] {
        let Page { text, .. } = ada.open(&path).await;
        for part in ["<script>", "<img", "</textarea></pre>"] {
            assert!(!text.contains(part), "{part} on {path}: {text}");
        }
    }
}

async fn only_event(app: &App) -> String {
    let events = app.client.all("/v1/events").await;
    assert_eq!(events.len(), 1);
    events[0]["id"].as_str().unwrap().to_owned()
}

/// Waits until the event has so many deliveries and all have ended.
async fn settled(app: &App, event: &str, count: usize) {
    let ended = || async {
        let shown = app.client.get(&format!("/v1/events/{event}")).send().await.expect(200);
        let states: Vec<_> = shown.list("/deliveries").iter().map(|one| one["state"].clone()).collect();
        let over = states.iter().filter(|state| **state == "succeeded" || **state == "dead").count();
        (over == count && states.len() == count).then_some(())
    };
    eventually("all deliveries have ended", SOON, ended).await;
}
