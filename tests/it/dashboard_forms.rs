//! How the dashboard's forms speak: refusals within its pages, faults beside their fields, times as people write them, and
//! secrets that are made once however often a form is sent.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, die, with_user},
    harness::{Browser, MadeEndpoint, Receiver, Stack},
};

on_both_stacks!(
    a_refusal_stands_within_the_pages_and_leads_back_to_the_same_section,
    what_is_wrong_with_a_filter_stands_beside_its_field_and_nothing_is_listed,
    faults_of_forms_are_told_by_the_labels_that_people_see,
    times_are_read_as_people_write_them,
    another_tenant_is_seen_at_the_same_section,
    a_secret_is_replaced_once_however_often_its_form_is_sent,
    what_a_form_makes_is_made_once_however_often_it_is_sent,
);

async fn a_refusal_stands_within_the_pages_and_leads_back_to_the_same_section(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    create_user(&app, "vic", "viewer");
    let [letter] = die(&app, &receiver, ["1"]).await;
    let id = letter.rsplit('/').next().unwrap();
    let came_from = format!("{}/t/default/dead-letters?q=500", app.url());
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await.telling("referer", &came_from);
    let token = ada.open(&letter).await.field("token");
    let bad = [("token", token.as_str()), ("reason", "")];
    let page = ada.send(&format!("{letter}/discard"), &bad).await.expect(422, "The reason is empty");
    let dead_letters = "<a href=\"/t/default/dead-letters\" data-key=\"d\" aria-current=\"page\">";
    for part in [dead_letters, id, "<h1>Nothing was done</h1>", "href=\"/t/default/dead-letters?q=500\""] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    ada.open("/t/default/dead-letters/dl_00000000000000000000000000").await.expect(404, "?q=500\">Back to");
    ada.open("/t/default/nothing").await.expect(404, "aria-label=\"Pages\"");
    ada.open(&format!("{letter}/replay")).await.expect(405, "nothing was done now");
    let elsewhere = ada.open("/t/default/jobs/job_00000000000000000000000000").await.expect(404, "no job");
    assert!(!elsewhere.text.contains("Back to where you were"), "not of this section: {}", elsewhere.text);
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await.telling("referer", "http://evil.example/t/x");
    let page = vic.send(&format!("{letter}/replay"), &[]).await.expect(403, "the role operator may");
    assert!(page.text.contains(dead_letters) && !page.text.contains("evil.example"), "{}", page.text);
    let page = vic.open("/t/other/jobs").await.expect(404, "no tenant");
    assert!(page.text.contains("href=\"/t/default/jobs\""), "the tenants that there are: {}", page.text);
}

async fn what_is_wrong_with_a_filter_stands_beside_its_field_and_nothing_is_listed(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/dead-letters?status=abc&q=HTTP+500&since=soon").await;
    let page = page.expect(422, "Nothing was looked for");
    for part in [
        "name=\"status\" value=\"abc\" placeholder=\"503\" spellcheck=\"false\" aria-invalid=\"true\" aria-describedby=\"status-fault\"",
        "<span class=\"error\" id=\"status-fault\">&#34;abc&#34; is no status code",
        "name=\"q\" value=\"HTTP 500\"",
        "id=\"since-fault\">&#34;soon&#34; is no time like",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(page.text.matches("aria-invalid").count(), 2, "{}", page.text);
    assert!(!page.text.contains(&letter) && !page.text.contains("Export all"), "nothing is listed: {}", page.text);
    let good = ada.open("/t/default/dead-letters?status=500&q=HTTP+500").await.expect(200, &letter);
    assert!(!good.text.contains("aria-invalid"), "{}", good.text);
    for (path, status, fault) in [
        ("/t/default/jobs?tag=Not+One&q=kept", 422, "id=\"tag-fault\">&#34;Not One&#34; is no tag"),
        ("/t/default/jobs?id=nothing&q=kept", 404, "id=\"id-fault\">there is no job or event"),
        ("/t/default/events?type=A+b&since=kept", 422, "id=\"type-fault\">&#34;A b&#34; is no event type"),
        ("/t/default/events?id=nothing&type=kept", 404, "id=\"id-fault\">there is no event"),
    ] {
        let page = ada.open(path).await.expect(status, fault);
        assert!(page.text.contains("value=\"kept\"") && !page.text.contains("<table"), "{path}: {}", page.text);
    }
    ada.open("/t/default/jobs?before=x").await.expect(422, "Begin with its first page");
}

async fn faults_of_forms_are_told_by_the_labels_that_people_see(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&format!("/t/default/endpoints/{id}")).await.field("token");
    let token = ("token", token.as_str());
    let limits = [token, ("concurrency_max", "many"), ("rate_per_second", "0")];
    let page = ada.send("/t/default/lanes/host:a.example/limits", &limits).await;
    let page = page.expect(422, "In flight at most: &#34;many&#34; is no whole number.");
    assert!(page.text.contains("Starts a second: 0 is not from 1 to"), "{}", page.text);
    let recover = [token, ("since", "soon")];
    ada.send(&format!("/t/default/endpoints/{id}/recover"), &recover).await.expect(422, "Published since: ");
    ada.open("/t/default/dead-letters/bulk?act=replay&event_type=a.b").await.expect(200, "<dt>Event type</dt>");
    ada.open("/t/default/dead-letters/bulk?act=replay&status=x").await.expect(422, "Last status: ");
    ada.open("/t/default/dead-letters/export?format=csv&until=x").await.expect(422, "Died before (UTC): ");
}

async fn times_are_read_as_people_write_them(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for since in
        ["2026-01-31", "2026-01-31+12:00", "2026-01-31T12:00", "2026-01-31T12:00:30", "2026-01-31T12:00:30.250Z"]
    {
        ada.open(&format!("/t/default/dead-letters?since={since}")).await.expect(200, &letter);
        ada.open(&format!("/t/default/jobs?since={since}&until=2999-01-01")).await.expect(200, "webhook.deliver");
        ada.open(&format!("/t/default/events?since={since}")).await.expect(200, "a.b");
        let none = ada.open(&format!("/t/default/dead-letters?until={since}")).await.expect(200, "No dead letter");
        assert!(!none.text.contains(&letter), "{}", none.text);
    }
    for section in ["dead-letters", "jobs", "events"] {
        let page = ada.open(&format!("/t/default/{section}?since=2999-01-01&type=a.b&tag=x")).await;
        let range = page.text.split("<a href=\"?").nth(1).and_then(|rest| rest.split('"').next()).expect("a range");
        assert!(range.contains("type=a.b&#38;tag=x&#38;since=20") && !range.contains("2999"), "{range}");
        for name in ["last hour", "24 hours", "7 days"] {
            assert!(page.text.contains(&format!("\">{name}</a>")), "{name}: {}", page.text);
        }
    }
    let page = ada.open("/t/default/dead-letters").await;
    let range = page.text.split("<a href=\"?").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    ada.open(&format!("/t/default/dead-letters?{range}")).await.expect(200, &letter);
}

async fn another_tenant_is_seen_at_the_same_section(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    app.client.new_tenant("acme").await;
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (path, other) in [
        ("/t/default", "\"/t/acme\""),
        ("/t/default/jobs?tag=x", "\"/t/acme/jobs\""),
        (letter.as_str(), "\"/t/acme/dead-letters\""),
        ("/t/default/endpoints/ep_00000000000000000000000000", "\"/t/acme/endpoints\""),
    ] {
        let page = ada.open(path).await;
        let menu = page.text.split("class=\"menu\"").nth(1).and_then(|rest| rest.split("</details>").next());
        assert!(menu.is_some_and(|menu| menu.contains(&format!("href={other}"))), "{path}: {}", page.text);
    }
}

async fn a_secret_is_replaced_once_however_often_its_form_is_sent(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    create_user(&app, "bob", "viewer");
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/t/default/endpoints/{id}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, replaces) = (page.field("token"), page.field("replaces"));
    let form = [("token", token.as_str()), ("replaces", &replaces), ("grace_hours", "0")];
    let rotate = format!("{path}/rotate-secret");
    ada.send(&rotate, &form).await.expect(200, "whsec_");
    let again = ada.send(&rotate, &form).await.expect(409, "This was done already");
    assert!(!again.text.contains("whsec_"), "{}", again.text);
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>endpoint.rotate_secret</td>").count(), 1, "{}", audit.text);
    ada.send(&rotate, &form[..1]).await.expect(422, "not whole");
    let replaces = ada.open(&path).await.field("replaces");
    ada.send(&rotate, &[form[0], ("replaces", &replaces)]).await.expect(200, "whsec_");

    let replaces = ada.open("/t/default/users").await.field("replaces");
    let form = [form[0], ("replaces", replaces.as_str())];
    let page = ada.send("/t/default/users/bob/password", &form).await.expect(200, "The password of bob");
    let password = page.text.split("data-copy><code>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    ada.send("/t/default/users/bob/password", &form).await.expect(409, "This was done already");
    Browser::signed_in(&app, "bob", password).await;
}

async fn what_a_form_makes_is_made_once_however_often_it_is_sent(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/endpoints/new").await;
    let (token, id, url) = (page.field("token"), page.once("ep"), receiver.url("/hook"));
    let form = [("token", token.as_str()), ("once", &id), ("url", &url), ("timeout_ms", "soon")];
    let faulty = ada.send("/t/default/endpoints", &form).await.expect(422, "Nothing was saved");
    assert_eq!(faulty.once("ep"), id);
    ada.send("/t/default/endpoints", &form[..3]).await.expect(201, "whsec_");
    let again = ada.send("/t/default/endpoints", &form[..3]).await.expect(409, "This was done already");
    assert!(!again.text.contains("whsec_"), "{}", again.text);
    assert_eq!(app.client.all("/v1/endpoints").await.len(), 1);
    let old = [form[0], ("once", "ep_00000000000000000000000000"), form[2]];
    ada.send("/t/default/endpoints", &old).await.expect(422, "not whole");

    let id = ada.open("/t/default/tokens").await.once("tok");
    let form = [("token", token.as_str()), ("once", &id), ("name", "shop"), ("role", "publisher")];
    ada.send("/t/default/tokens", &form).await.expect(200, "The token shop");
    ada.send("/t/default/tokens", &form).await.expect(409, "This was done already");
    let list = ada.open("/t/default/tokens").await;
    assert_eq!(list.text.matches(">shop<").count(), 1, "{}", list.text);

    let form = [form[0], ("name", "bob"), ("role", "viewer"), ("tenant", "default")];
    ada.send("/t/default/users", &form).await.expect(200, "The password of bob");
    ada.send("/t/default/users", &form).await.expect(409, "There is a user bob already. Where this form made it");
}
