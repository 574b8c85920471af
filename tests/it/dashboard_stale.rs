//! Forms that show what somebody else has changed since: they undo nothing, not even at the same instant, and what changes
//! nothing is noted by nobody.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, die, with_user},
    dashboard_portal::link,
    dashboard_sites::{all_public, make, put},
    harness::{Browser, Receiver, SOON, Stack, eventually},
};

on_both_stacks!(
    a_stale_form_of_a_user_gives_back_no_right_that_was_taken,
    a_stale_form_of_a_failure_overwrites_no_note,
    of_two_forms_that_are_sent_at_the_same_instant_one_is_told_of_the_other,
    a_pause_that_is_sent_many_times_at_once_is_noted_once,
    what_was_done_by_a_first_sending_is_said_so,
    a_stale_form_confirms_no_other_number_of_addresses_than_it_shows,
);

async fn a_stale_form_of_a_user_gives_back_no_right_that_was_taken(stack: Stack) {
    let app = with_user(stack, "admin").await;
    app.client.new_tenant("acme").await;
    create_user(&app, "eve", "admin");
    create_user(&app, "bob", "admin");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut eve = Browser::signed_in(&app, "eve", PASSWORD).await;
    let seen = |page: &str| {
        let form = page.split("/users/bob/change").nth(1).expect("a form");
        form.split("name=\"seen\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let of_ada = ada.open("/t/default/users").await;
    let of_eve = eve.open("/t/default/users").await;
    let (token, before) = (of_ada.field("token"), seen(&of_ada.text));
    let tenants = [("tenant", "acme"), ("tenant", "default"), ("tenant", "acme")];
    let demoted = [&[("token", token.as_str()), ("seen", &before), ("role", "viewer")], &tenants[..]].concat();
    for _ in 0..2 {
        ada.send("/t/default/users/bob/change", &demoted).await.expect(200, "A new user");
    }
    let (token, before) = (of_eve.field("token"), seen(&of_eve.text));
    let stale = [("token", token.as_str()), ("seen", &before), ("role", "admin"), ("every", "1")];
    eve.send("/t/default/users/bob/change", &stale).await.expect(409, "what bob may do or see");
    let now = eve.open("/t/default/users").await;
    let now = seen(&now.text);
    assert!(now.starts_with("viewer ten_"), "{now}");
    let fresh = [stale[0], ("seen", now.as_str()), ("role", "operator"), ("tenant", "acme")];
    eve.send("/t/default/users/bob/change", &fresh).await.expect(200, "operator");
    let audit = ada.open("/t/default/audit?of=installation").await;
    assert_eq!(audit.text.matches("<td>user.change</td>").count(), 2, "{}", audit.text);
    assert!(audit.text.contains("acme") && !audit.text.contains("ten_"), "by their slugs: {}", audit.text);
}

async fn a_stale_form_of_a_failure_overwrites_no_note(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1"]).await;
    let fingerprint = app.client.all("/v1/dead-letters").await[0]["fingerprint"].as_str().unwrap().to_owned();
    let path = format!("/t/default/failures/{fingerprint}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&path).await;
    let (token, seen) = (page.field("token"), page.field("seen"));
    let form =
        |verdict, note| [("token", token.as_str()), ("seen", seen.as_str()), ("verdict", verdict), ("note", note)];
    for _ in 0..2 {
        ada.send(&format!("{path}/judge"), &form("acknowledged", "mine")).await.expect(200, "mine");
    }
    ada.send(&format!("{path}/judge"), &form("resolved", "theirs")).await.expect(409, "what is said of this failure");
    let page = ada.open(&path).await.expect(200, "mine");
    let fresh = [form("resolved", "")[0], ("seen", &page.field("seen")), ("verdict", "resolved"), ("note", "ours")];
    ada.send(&format!("{path}/judge"), &fresh).await.expect(200, "ours");
    let audit = ada.open("/t/default/audit").await;
    assert_eq!(audit.text.matches("<td>failure.judge</td>").count(), 2, "{}", audit.text);
}

async fn of_two_forms_that_are_sent_at_the_same_instant_one_is_told_of_the_other(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    create_user(&app, "eve", "operator");
    let url = receiver.url("/hook");
    let endpoint = app.client.create_endpoint(&url, json!({})).await.id;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut eve = Browser::signed_in(&app, "eve", PASSWORD).await;
    let edit = format!("/t/default/endpoints/{endpoint}/edit");
    let lanes = ["reports", endpoint.as_str()].map(|lane| format!("/t/default/lanes/{lane}"));
    let mut limit = 10;
    for (page, action) in [(&edit, ""), (&lanes[0], "/limits"), (&lanes[1], "/limits"), (&lanes[0], "/limits")] {
        for _ in 0..3 {
            limit += 2;
            let (of_ada, of_eve) = (ada.open(page).await, eve.open(page).await);
            let (one, other) = (limit.to_string(), (limit + 1).to_string());
            let (path, token, seen) = (format!("{page}{action}"), of_ada.field("token"), of_ada.field("seen"));
            let form = [("token", token.as_str()), ("seen", &seen), ("url", &url), ("concurrency_max", &one)];
            let token = of_eve.field("token");
            let theirs = [("token", token.as_str()), form[1], form[2], ("concurrency_max", other.as_str())];
            let (mine, theirs) = tokio::join!(ada.send(&path, &form), eve.send(&path, &theirs));
            let mut told = [mine.status, theirs.status];
            told.sort_unstable();
            assert_eq!(told, [200, 409], "{path}: {} {}", mine.text, theirs.text);
        }
    }
}

async fn a_pause_that_is_sent_many_times_at_once_is_noted_once(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [runs, by_guest] = [
        app.client.create_endpoint(&receiver.url("/hook"), json!({})).await.id,
        app.client.create_endpoint(&receiver.url("/other"), json!({})).await.id,
    ];
    let mut guest = Browser::new(&app);
    guest.open(&link(&app.client, json!({})).await).await.expect(200, "Your endpoints");
    let theirs = format!("/portal/endpoints/{by_guest}");
    let token = guest.open(&theirs).await.field("token");
    guest.send(&format!("{theirs}/pause"), &[("token", &token)]).await.expect(200, "paused through the portal");
    let mut browsers = Vec::new();
    for _ in 0..4 {
        browsers.push(Browser::signed_in(&app, "ada", PASSWORD).await);
    }
    for (section, thing, action) in [
        ("endpoints", runs.as_str(), "endpoint.pause"),
        ("endpoints", &by_guest, "endpoint.pause"),
        ("lanes", "reports", "lane.update"),
    ] {
        let path = format!("/t/default/{section}/{thing}");
        let mut sent = Vec::new();
        for browser in &mut browsers {
            let token = browser.open(&path).await.field("token");
            sent.push((browser, token));
        }
        let sent = sent.into_iter().map(|(browser, token)| {
            let path = format!("{path}/pause");
            async move { browser.send(&path, &[("token", &token)]).await.expect(200, "paused") }
        });
        futures::future::join_all(sent).await;
        let audit = browsers[0].open(&format!("/t/default/audit?actor=ada&action={action}&subject={thing}")).await;
        let noted = audit.text.matches(&format!("<td>{action}</td>")).count();
        assert_eq!(noted, 1, "{path}: {}", audit.text);
    }
}

async fn what_was_done_by_a_first_sending_is_said_so(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    create_user(&app, "bob", "viewer");
    let endpoint = app.client.create_endpoint(&receiver.url("/other"), json!({})).await.id;
    let [replayed, discarded] = die(&app, &receiver, ["1", "2"]).await;
    let api = app.client.post("/v1/tokens").json(&json!({ "name": "v", "role": "viewer" })).send().await.expect(201);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open("/t/default/users").await.field("token");
    let form = [("token", token.as_str()), ("reason", "done with")];
    for path in [
        "/t/default/users/bob/remove".to_owned(),
        format!("/t/default/tokens/{}/revoke", api.string("/id")),
        format!("/t/default/endpoints/{endpoint}/delete"),
    ] {
        ada.send(&path, &form).await.expect(200, "");
        ada.send(&path, &form).await.expect(404, "a first sending of the same form removed it");
    }
    let first = "already, by a first sending of the same form or by somebody else";
    for (path, was) in
        [(format!("{replayed}/replay"), "replayed as job_"), (format!("{discarded}/discard"), "discarded")]
    {
        ada.send(&path, &form).await.expect(200, "");
        let page = ada.send(&path, &form).await.expect(409, first);
        assert!(page.text.contains(&format!("It was {was}")), "{}", page.text);
    }
}

async fn a_stale_form_confirms_no_other_number_of_addresses_than_it_shows(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    for n in 0..10 {
        put(&app, &format!("p{n}"), &format!("/d{n}")).await;
    }
    all_public(&app, &mut ada).await;
    let path = "/t/default/sites/news";
    let held = async |pages: std::ops::Range<u32>, left: u32| {
        for n in pages {
            app.client.delete(&format!("/v1/sites/news/pages/p{n}")).send().await.expect(202);
        }
        let held = || async {
            let site = app.client.get("/v1/sites/news").send().await.expect(200).body;
            let held = site["held"].as_array().unwrap();
            (held.len() == 2 && held.iter().all(|one| one["urls_after"] == left)).then_some(())
        };
        eventually("both sitemaps are held", SOON, held).await;
    };
    held(0..4, 6).await;
    let stale = ada.open(path).await;
    held(4..9, 1).await;
    let fresh = ada.open(path).await;
    let (token, stale, fresh) = (stale.field("token"), stale.field("seen"), fresh.field("seen"));
    let form = |seen| [("token", token.as_str()), ("seen", seen)];
    let confirm = format!("{path}/confirm");
    let refused = ada.send(&confirm, &form(&stale)).await;
    refused.expect(409, "The page showed 2 held sitemaps, with 12 addresses in all;").expect(
        409,
        "there is something else, 2 sitemaps with 2 addresses in all: sitemap-2026-11-1.xml.gz of de, with 1;",
    );
    ada.send(&confirm, &form(&fresh)).await.expect(200, "Site news");
    let done = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200).body;
        site["held"].as_array().unwrap().is_empty().then_some(())
    };
    eventually("nothing is held any more", SOON, done).await;
    ada.send(&confirm, &form(&fresh)).await.expect(409, "nothing is held any more");
}
