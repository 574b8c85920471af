//! Forms that are sent twice, by a double click, a reload or the way back: what they do is done once, and both sendings lead
//! to the same page.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, die, with_user},
    dashboard_portal::link,
    harness::{Browser, MadeEndpoint, Receiver, SOON, Script, Stack},
};

on_both_stacks!(
    a_test_is_sent_once_and_its_page_says_what_came_of_it,
    an_event_s_form_that_is_sent_twice_delivers_once,
    a_bulk_form_that_is_sent_twice_begins_one_operation,
    a_recovery_that_is_sent_twice_is_one_operation,
);

async fn a_test_is_sent_once_and_its_page_says_what_came_of_it(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    create_user(&app, "vic", "viewer");
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let MadeEndpoint { id: other, .. } = app.client.create_endpoint(&receiver.url("/other"), json!({})).await;
    receiver.always("/hook", Script::Answer { status: 418, headers: Vec::new(), body: "short and stout".into() });
    let path = format!("/t/default/endpoints/{id}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, once) = (page.field("token"), page.once("job"));
    let form = [("token", token.as_str()), ("once", &once)];
    let first = ada.send(&format!("{path}/test"), &form).await.expect(200, "The test failed");
    assert_eq!(first.path, format!("{path}/tests/{once}"), "a page that can be read again");
    let second = ada.send(&format!("{path}/test"), &form).await.expect(200, "short and stout");
    assert_eq!((second.path.as_str(), second.once("job") == once), (first.path.as_str(), false));
    ada.open(&first.path).await.expect(200, "short and stout");
    assert_eq!(receiver.requests("/hook").len(), 1, "what is sent again is not done again");
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>endpoint.test</td>").count(), 1, "{}", audit.text);
    ada.send(&format!("{path}/test"), &form[..1]).await.expect(422, "not whole");
    ada.open(&first.path.replace(&id, &other)).await.expect(404, "no test");
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let seen = vic.open(&first.path).await.expect(200, "The test failed");
    assert!(!seen.text.contains("Test again"), "{}", seen.text);

    let mut guest = Browser::new(&app);
    guest.open(&link(&app.client, json!({})).await).await.expect(200, "Your endpoints");
    let path = format!("/portal/endpoints/{id}");
    let page = guest.open(&path).await;
    let (token, once) = (page.field("token"), page.once("job"));
    let form = [("token", token.as_str()), ("once", once.as_str())];
    for _ in 0..2 {
        let page = guest.send(&format!("{path}/test"), &form).await.expect(200, "The test failed");
        assert_eq!(page.path, format!("{path}/tests/{once}"));
    }
    assert_eq!(receiver.requests("/hook").len(), 2);
}

async fn an_event_s_form_that_is_sent_twice_delivers_once(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let mut endpoints = Vec::new();
    for hook in ["/one", "/two"] {
        endpoints.push(app.client.create_endpoint(&receiver.url(hook), json!({})).await.id);
    }
    let event = app.client.publish("a.b", "1").await;
    let path = format!("/t/default/events/{event}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (page, jobs) in [(path.clone(), 3), (format!("{path}/replay"), 4)] {
        let page = ada.open(&page).await;
        let (token, once) = (page.field("token"), page.once("job"));
        let form = [("token", token.as_str()), ("once", &once), ("endpoint", &endpoints[0])];
        for _ in 0..2 {
            let page = ada.send(&format!("{path}/replay"), &form).await.expect(200, "Where it went");
            assert_eq!(page.path, path);
        }
        assert_eq!(app.client.jobs_of(&event).await.len(), jobs, "one for each form");
        let others = [form[0], form[1], ("endpoint", &endpoints[1])];
        ada.send(&format!("{path}/replay"), &others).await.expect(409, "asked for something else then");
        ada.send(&format!("{path}/replay"), &[form[0], form[2]]).await.expect(422, "not whole");
    }
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>event.replay</td>").count(), 2, "{}", audit.text);
    assert_eq!(receiver.wait_for("/one", 3, SOON).await.len(), 3);
}

async fn a_bulk_form_that_is_sent_twice_begins_one_operation(stack: Stack) {
    const BULK: &str = "/t/default/dead-letters/bulk";
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1", "2"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (act, more) in [("replay", ("rate", "1")), ("discard", ("reason", "done with"))] {
        let page = ada.open(&format!("{BULK}?act={act}&q=500")).await.expect(200, "Leave them");
        let (token, once, counted) = (page.field("token"), page.once("op"), page.field("counted_at"));
        let form = [("token", token.as_str()), ("once", &once), ("counted_at", &counted), ("act", act), ("q", "500")];
        let form = [form.as_slice(), &[more]].concat();
        for _ in 0..2 {
            let page = ada.send(BULK, &form).await.expect(200, "dead letters");
            assert_eq!(page.path, format!("/t/default/operations/{once}"));
        }
        let other = [&form[..4], &[("q", "503"), more]].concat();
        ada.send(BULK, &other).await.expect(409, "asked for something else then");
        ada.send(BULK, &[&form[..1], &form[2..]].concat()).await.expect(422, "not whole");
    }
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>operation.start</td>").count(), 2, "{}", audit.text);
}

async fn a_recovery_that_is_sent_twice_is_one_operation(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/t/default/endpoints/{id}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, once) = (page.field("token"), page.once("op"));
    let form = [("token", token.as_str()), ("once", &once), ("since", "2026-01-31T12:00")];
    for _ in 0..2 {
        let page = ada.send(&format!("{path}/recover"), &form).await.expect(200, "Recover an endpoint");
        assert_eq!(page.path, format!("/t/default/operations/{once}"));
    }
    let other = [form[0], form[1], ("since", "2026-01-30")];
    ada.send(&format!("{path}/recover"), &other).await.expect(409, "asked for something else then");
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>operation.start</td>").count(), 1, "{}", audit.text);
}
