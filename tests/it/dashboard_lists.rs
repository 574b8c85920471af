//! Lists at the dashboard: what leads to them, on from them and back.

use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, create_user, die, with_user},
    harness::{App, Browser, Page, Receiver, SOON, Script, Stack, eventually},
};

on_both_stacks!(
    a_failure_group_leads_to_all_its_retrying_jobs,
    endpoints_in_trouble_are_found_however_old_they_are,
    endpoints_are_found_by_state_and_words_and_not_by_their_secrets,
    what_died_is_linked_from_the_overview_with_its_range,
    every_list_leads_back_to_its_newest,
    a_lane_is_shown_with_where_it_goes_and_by_one_word_for_its_state,
    a_lane_that_never_was_is_not_shown_as_if_it_were,
    an_operation_says_why_it_left_some_and_leads_to_what_it_did,
    an_operation_says_how_many_others_dealt_with_meanwhile,
    whoever_leaves_what_was_ticked_is_back_at_the_filtered_list,
    the_audit_log_has_what_was_before_and_is_found_by_who_what_and_about_which,
    an_export_has_what_became_of_each_and_runs_no_formula,
    failed_attempts_of_an_endpoint_are_shown_alone_and_what_it_missed_is_recovered,
);

async fn a_failure_group_leads_to_all_its_retrying_jobs(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/500", Script::status(500));
    receiver.always("/503", Script::status(503));
    for path in ["/500", "/503"] {
        let extras =
            json!({ "retry_schedule_seconds": [7200, 7200], "event_types": [format!("a{}", path.replace('/', "."))] });
        app.client.create_endpoint(&receiver.url(path), extras).await;
    }
    for _ in 0..12 {
        app.client.publish("a.500", "1").await;
    }
    app.client.publish("a.503", "1").await;
    let tried = async || {
        let jobs = app.client.all("/v1/jobs?state=retrying").await;
        (jobs.len() == 13).then_some(jobs)
    };
    let jobs = eventually("all were tried", SOON, tried).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (status, count) in [(500, 12), (503, 1)] {
        let groups = app.client.all("/v1/failures").await;
        let group = groups.iter().find(|group| group["status_code"] == status).unwrap();
        let fingerprint = group["fingerprint"].as_str().unwrap().to_owned();
        let all = format!("/t/default/jobs?state=retrying&fingerprint={fingerprint}");
        let page = ada.open(&format!("/t/default/failures/{fingerprint}")).await.expect(200, "All retrying jobs");
        assert!(page.text.contains(&all.replace('&', "&amp;")), "{}", page.text);
        let page = ada.open(&all).await.expect(200, &fingerprint);
        assert_eq!(rows(&page), count, "{}", page.text);
        assert_eq!(app.client.all(&format!("/v1/jobs?fingerprint={fingerprint}")).await.len(), count);
        assert!(jobs.iter().filter(|job| job["fingerprint"] == *fingerprint).count() == count);
    }
    ada.open("/t/default/jobs?fingerprint=500").await.expect(422, "fingerprint");
    app.client.get("/v1/jobs?fingerprint=500").send().await.expect(400);
}

async fn endpoints_in_trouble_are_found_however_old_they_are(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/bad", Script::status(500));
    let extras = json!({ "retry_schedule_seconds": [7200], "event_types": ["a.b"] });
    for _ in 0..10 {
        app.client.create_endpoint(&receiver.url("/bad"), extras.clone()).await;
    }
    app.client.publish("a.b", "1").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let failing = async || {
        let jobs = app.client.all("/v1/jobs?state=retrying").await;
        (jobs.len() == 10).then_some(())
    };
    eventually("all ten fail", SOON, failing).await;
    app.client.create_lanes(250, &receiver.url("/good"), json!({})).await;
    let page = ada.open("/t/default").await.expect(200, "And 2 more endpoints are failing.");
    assert_eq!(page.text.matches("/bad</a> is failing").count(), 8, "{}", page.text);
    assert!(page.text.contains("\"/t/default/endpoints?state=failing\""), "{}", page.text);
    assert_eq!(rows(&ada.open("/t/default/endpoints?state=failing").await.expect(200, "/bad")), 10);
}

async fn endpoints_are_found_by_state_and_words_and_not_by_their_secrets(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let make = async |url: &str, extras| app.client.create_endpoint(url, extras).await.id;
    let shop = make("https://shop.example/hook", json!({ "description": "Order DESK of 100%" })).await;
    let bank =
        make("https://bank.example/hook", json!({ "headers": { "x-key": "hush" }, "metadata": { "a": "hush" } })).await;
    app.client.post(&format!("/v1/endpoints/{bank}/pause")).send().await.expect(200);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (query, found) in [
        ("", vec![&bank, &shop]),
        ("?state=paused", vec![&bank]),
        ("?state=active&q=", vec![&shop]),
        ("?q=HOOK", vec![&bank, &shop]),
        ("?q=desk", vec![&shop]),
        ("?q=100%25", vec![&shop]),
        ("?q=1_0", vec![]),
        ("?q=shop&state=paused", vec![]),
        ("?q=hush", vec![]),
    ] {
        let page = ada.open(&format!("/t/default/endpoints{query}")).await.expect(200, "Endpoints");
        let listed: Vec<&String> =
            [&bank, &shop].into_iter().filter(|id| page.text.contains(&format!("/endpoints/{id}\""))).collect();
        assert_eq!(listed, found, "{query}: {}", page.text);
        assert_eq!(page.text.contains("No endpoint is like that"), found.is_empty(), "{query}");
    }
    ada.open("/t/default/endpoints?state=gone").await.expect(422, "no state of an endpoint");
}

async fn what_died_is_linked_from_the_overview_with_its_range(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    receiver.always("/hook", Script::status(500));
    let extras = json!({ "retry_schedule_seconds": [] });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    app.client.publish("a.b", "1").await;
    let dead = async || (app.client.all("/v1/dead-letters").await.len() == 1).then_some(());
    eventually("it is dead", SOON, dead).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default").await.expect(200, "1 job has died within the last hour");
    for begin in ["/t/default/dead-letters?state=any&amp;since=", "/t/default/dead-letters?since="] {
        let from = page.text.find(begin).unwrap_or_else(|| panic!("no {begin} in {}", page.text));
        let path = page.text[from..].split('"').next().unwrap().replace("&amp;", "&");
        assert_eq!(rows(&ada.open(&path).await.expect(200, "Dead letters")), 1, "{path}");
    }
}

async fn every_list_leads_back_to_its_newest(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await.id;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let first = |prefix: &str| format!("{prefix}_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    let of_endpoint = format!("/endpoints/{endpoint}");
    for (list, prefix) in [
        ("/dead-letters", "dl"),
        ("/jobs", "job"),
        ("/endpoints", "ep"),
        (of_endpoint.as_str(), "att"),
        ("/events", "evt"),
        ("/operations", "op"),
        ("/audit", "aud"),
        ("/tokens", "tok"),
    ] {
        let path = format!("/t/default{list}");
        let page = ada.open(&path).await.expect(200, "<h1>");
        assert!(!page.text.contains("rel=\"first\""), "{path}: {}", page.text);
        let before = first(prefix);
        ada.open(&format!("{path}?before={before}")).await.expect(200, "<a rel=\"first\" href=\"?\">Newest</a>");
    }
    let filtered = format!("/t/default/jobs?state=dead&before={}", first("job"));
    ada.open(&filtered).await.expect(200, "<a rel=\"first\" href=\"?state=dead\">Newest</a>");
    let failures = "/t/default/failures?before=1700000000000-0123456789abcdef&state=any";
    ada.open(failures).await.expect(200, "<a rel=\"first\" href=\"?state=any\">Newest</a>");
}

async fn a_lane_is_shown_with_where_it_goes_and_by_one_word_for_its_state(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    receiver.always("/hook", Script::status(500));
    // Soon enough for the queue to hold them, and late enough for nothing to happen meanwhile.
    let extras = json!({ "retry_schedule_seconds": [200, 200] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await.id;
    for _ in 0..6 {
        app.client.publish("a.b", "1").await;
    }
    let tried = async || (app.client.all("/v1/jobs?state=retrying").await.len() == 6).then_some(());
    eventually("all were tried", SOON, tried).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let host = receiver.url("/hook").trim_start_matches("http://").to_owned();
    let link = format!("<a href=\"/t/default/lanes/{endpoint}\">{host}</a> <span class=\"soft\">{endpoint}</span>");
    for list in ["jobs", "lanes"] {
        ada.open(&format!("/t/default/{list}")).await.expect(200, &link);
    }
    let open = "<span class=\"state failing\">breaker open</span>";
    for page in ["/lanes".to_owned(), format!("/lanes/{endpoint}"), String::new()] {
        let page = ada.open(&format!("/t/default{page}")).await.expect(200, open);
        let head = page.text.find(open).unwrap();
        assert!(!page.path.contains(&endpoint) || head < page.text.find("In the queue now").unwrap(), "{}", page.text);
    }
    let path = format!("/t/default/lanes/{endpoint}");
    let token = ada.open(&path).await.field("token");
    let paused = "<span class=\"state paused\">paused</span>";
    ada.send(&format!("{path}/pause"), &[("token", &token)]).await.expect(200, paused);
    let list = ada.open("/t/default/lanes").await.expect(200, paused);
    assert!(!list.text.contains(open), "what an operator said goes before: {}", list.text);
    app.client.delete(&format!("/v1/endpoints/{endpoint}")).send().await.expect(204);
    let page =
        ada.open("/t/default/jobs").await.expect(200, &format!("{endpoint} <span class=\"soft\">deleted</span>"));
    assert!(!page.text.contains(&path), "a lane that is gone has no page: {}", page.text);
}

async fn a_lane_that_never_was_is_not_shown_as_if_it_were(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let path = "/t/default/lanes/reports";
    let page = ada.open(path).await.expect(200, "Nothing was ever queued in it");
    assert!(!page.text.contains("state active") && !page.text.contains("In the queue now"), "{}", page.text);
    let token = page.field("token");
    let page = ada.send(&format!("{path}/pause"), &[("token", &token)]).await.expect(200, "state paused");
    assert!(!page.text.contains("Nothing was ever queued"), "{}", page.text);
    ada.open("/t/default/lanes").await.expect(200, "lanes/reports\"");
    ada.send(&format!("{path}/resume"), &[("token", &token)]).await.expect(200, "Pause");
    let limits = |value| [("token", token.as_str()), ("concurrency_max", value), ("rate_per_second", "")];
    ada.send(&format!("{path}/limits"), &limits("7")).await.expect(200, "value=\"7\"");
    ada.send(&format!("{path}/limits"), &limits("")).await.expect(200, "Pause");
    let set = app.client.get("/v1/lanes").send().await.expect(200);
    assert!(!set.text.contains("reports"), "nothing is set for it: {}", set.text);
    let body =
        json!({ "kind": "http.request", "lane": "reports", "args": { "url": receiver.url("/job"), "method": "GET" } });
    app.client.post("/v1/jobs").json(&body).send().await.expect(202);
    receiver.wait_for("/job", 1, SOON).await;
    ada.open(path).await.expect(200, "state active");
}

async fn an_operation_says_why_it_left_some_and_leads_to_what_it_did(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    die(&app, &receiver, ["1", "2"]).await;
    let gone = only(&app.client.all("/v1/endpoints").await, "id");
    app.client.delete(&format!("/v1/endpoints/{gone}")).send().await.expect(204);
    die(&app, &receiver, ["3", "4", "5"]).await;
    receiver.always("/hook", Script::status(200));
    let page = ada.open("/t/default/dead-letters/bulk?act=replay&event_type=a.b").await;
    let (token, once) = (page.field("token"), page.once("op"));
    let replay = [("token", token.as_str()), ("once", &once), ("act", "replay"), ("event_type", "a.b")];
    let path = ada.send("/t/default/dead-letters/bulk", &replay).await.path;
    let page = ended(&app, &mut ada, &path).await.expect(200, "2 left as they were: their endpoint is deleted");
    let id = path.rsplit('/').next().unwrap();
    let shown = app.client.get(&format!("/v1/operations/{id}")).send().await.expect(200);
    assert_eq!(shown.body["skipped_because"], json!({ "endpoint_deleted": 2 }), "{}", shown.text);
    for (words, count) in [("that were replayed", 3), ("still open of those", 2), ("its own among them", 3)] {
        let list = ada.open(&href(&page, words)).await.expect(200, "<tbody>");
        assert_eq!(rows(&list), count, "{words} {}: {}", list.path, list.text);
    }
    let page = ada.open("/t/default/dead-letters/bulk?act=discard").await;
    let (token, once) = (page.field("token"), page.once("op"));
    let discard = [("token", token.as_str()), ("once", &once), ("act", "discard"), ("reason", "done with")];
    let path = ada.send("/t/default/dead-letters/bulk", &discard).await.path;
    let page = ended(&app, &mut ada, &path).await.expect(200, "2 discarded");
    assert_eq!(rows(&ada.open(&href(&page, "that were discarded")).await), 2);
    ada.open(&href(&page, "still open of those")).await.expect(200, "No dead letter is like that");
}

async fn an_operation_says_how_many_others_dealt_with_meanwhile(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1", "2", "3", "4", "5", "6"]).await;
    receiver.always("/hook", Script::status(200));
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/dead-letters/bulk?act=replay").await.expect(200, "Replay 6 dead letters?");
    let (token, once) = (page.field("token"), page.once("op"));
    let replay = [("token", token.as_str()), ("once", &once), ("act", "replay"), ("rate", "1")];
    let path = ada.send("/t/default/dead-letters/bulk", &replay).await.path;
    let once = ada.open("/t/default/dead-letters/bulk?act=discard").await.once("op");
    let discard = [("token", token.as_str()), ("once", &once), ("act", "discard"), ("reason", "done with")];
    ada.send("/t/default/dead-letters/bulk", &discard).await.expect(200, "Discard dead letters");
    let page = ended(&app, &mut ada, &path).await;
    let id = path.rsplit('/').next().unwrap();
    let seen = app.client.get(&format!("/v1/operations/{id}")).send().await.expect(200).body["seen"].as_u64().unwrap();
    assert!(seen < 5, "others were faster: {seen}");
    let page = page.expect(200, &format!("{} were dealt with by others, or are no longer open", 6 - seen));
    assert!(page.text.contains("max=\"6\" value=\"6\""), "{}", page.text);
}

async fn whoever_leaves_what_was_ticked_is_back_at_the_filtered_list(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = ada.open("/t/default/dead-letters?status=500&kind=webhook.deliver").await.expect(200, &letter);
    let from: String =
        url::form_urlencoded::byte_serialize(list.field("from").replace("&#38;", "&").as_bytes()).collect();
    let id = letter.rsplit('/').next().unwrap();
    let ask = ada.open(&format!("/t/default/dead-letters/bulk?picked=1&from={from}&id={id}&act=replay")).await;
    let back = href(&ask, "Leave them");
    assert_eq!(back, "/t/default/dead-letters?status=500&kind=webhook.deliver");
    let ask = ada
        .open("/t/default/dead-letters/bulk?act=replay&from=//evil.example/%22%3E&picked=1&id=".to_owned().as_str())
        .await;
    assert!(!ask.text.contains("\"//evil") && !ask.text.contains("\">\""), "{}", ask.text);
}

async fn the_audit_log_has_what_was_before_and_is_found_by_who_what_and_about_which(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    create_user(&app, "bob", "operator");
    let [mended, plain, discarded] = die(&app, &receiver, ["1", "2", "3"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut bob = Browser::signed_in(&app, "bob", PASSWORD).await;
    let token = ada.open(&mended).await.field("token");
    ada.send(&format!("{mended}/replay"), &[("token", &token), ("payload", "100")]).await.expect(200, "replayed");
    ada.send(&format!("{plain}/replay"), &[("token", &token)]).await.expect(200, "replayed");
    let token = bob.open(&discarded).await.field("token");
    bob.send(&format!("{discarded}/discard"), &[("token", &token), ("reason", "done")]).await.expect(200, "discarded");
    let later =
        json!({ "kind": "http.request", "run_at": tomorrow(), "args": { "url": receiver.url("/x"), "method": "GET" } });
    let job = app.client.post("/v1/jobs").json(&later).send().await.expect(202).string("/id");
    bob.send(&format!("/t/default/jobs/{job}/cancel"), &[("token", &token)]).await.expect(200, "cancelled");
    let letter = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    for (query, count, words) in [
        ("actor=bob".to_owned(), 2, "<td>bob</td>".to_owned()),
        ("actor=bo".to_owned(), 0, "No entry is like that".to_owned()),
        ("action=dead_letter".to_owned(), 3, "<td>dead_letter.discard</td>".to_owned()),
        (
            "action=dead_letter.replay".to_owned(),
            2,
            "<dt>state</dt><dd><del>open</del> → <ins>replayed</ins></dd>".to_owned(),
        ),
        ("action=dead_letter.replay&actor=bob".to_owned(), 0, "No entry is like that".to_owned()),
        (
            format!("subject={}", letter(&mended)),
            1,
            "<dt>payload bytes</dt><dd><del>1</del> → <ins>3</ins></dd>".to_owned(),
        ),
        (format!("subject={}", letter(&discarded)), 1, "<dt>reason</dt><dd>done</dd>".to_owned()),
        (format!("subject={job}"), 1, "<dt>state</dt><dd><del>pending</del> → <ins>cancelled</ins></dd>".to_owned()),
    ] {
        let page = ada.open(&format!("/t/default/audit?{query}")).await.expect(200, "Audit");
        assert!(rows(&page) == count && page.text.contains(&words), "{query} {words}: {}", page.text);
    }
    let page = ada.open(&format!("/t/default/audit?subject={}", letter(&plain))).await;
    ada.open(&href(&page, &letter(&plain))).await.expect(200, "Dead letter");
    let job = page.text.split("/t/default/jobs/").nth(1).expect("the job is linked").split('"').next().unwrap();
    ada.open(&format!("/t/default/jobs/{job}")).await.expect(200, "Job");
}

async fn an_export_has_what_became_of_each_and_runs_no_formula(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    receiver.always("/job", Script::status(500));
    let job = json!({ "kind": "http.request", "max_attempts": 1, "lane": "-1", "tags": ["+red", "blue"],
        "args": { "url": receiver.url("/job"), "method": "GET" } });
    app.client.post("/v1/jobs").json(&job).send().await.expect(202);
    let open = async |count: usize| {
        let letters = app.client.all("/v1/dead-letters?state=open").await;
        (letters.len() == count).then_some(letters)
    };
    let first = only(&eventually("it is dead", SOON, async || open(1).await).await, "id");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let path = format!("/t/default/dead-letters/{first}");
    let token = ada.open(&path).await.field("token");
    ada.send(&format!("{path}/replay"), &[("token", &token)]).await.expect(200, "replayed");
    let second = only(&eventually("its replay is dead", SOON, async || open(1).await).await, "id");
    let why = [("token", token.as_str()), ("reason", "=2+3")];
    ada.send(&format!("/t/default/dead-letters/{second}/discard"), &why).await.expect(200, "discarded");
    let lines = ada.open("/t/default/dead-letters/export?format=jsonl&state=any").await;
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [discarded, replayed] = lines.as_slice() else { panic!("two lines, not {lines:?}") };
    assert_eq!((&discarded["tags"], &discarded["replay_of"]), (&json!(["+red", "blue"]), &json!(first)));
    assert_eq!((&discarded["resolved_reason"], &discarded["replayed_as"]), (&json!("=2+3"), &Value::Null));
    assert_eq!((&replayed["replayed_as"], &replayed["lane"]), (&discarded["job_id"], &json!("-1")));
    assert!(lines.iter().all(|line| line["resolved_at"].is_string()), "{lines:?}");
    let csv = ada.open("/t/default/dead-letters/export?format=csv&state=any").await.text;
    let line = csv.lines().nth(1).unwrap();
    for part in [",'-1,", ",'+red blue,", ",'=2+3,"] {
        assert!(line.contains(part), "{part} in {csv}");
    }
    assert!(
        csv.starts_with("id,") && csv.contains(",tags,replay_of,replayed_as,resolved_at,resolved_reason,"),
        "{csv}"
    );
}

async fn failed_attempts_of_an_endpoint_are_shown_alone_and_what_it_missed_is_recovered(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [] })).await.id;
    let path = format!("/t/default/endpoints/{endpoint}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    let page = ada.open(&format!("{path}?attempts=failed")).await.expect(200, "None has failed");
    assert!(!page.text.contains("since it began to fail"), "{}", page.text);
    receiver.always("/hook", Script::status(500));
    app.client.publish("a.b", "2").await;
    let dead = async || (app.client.dead_letters(&endpoint).await.len() == 1).then_some(());
    eventually("the second is dead", SOON, dead).await;
    assert_eq!(rows(&ada.open(&path).await), 2);
    assert_eq!(rows(&ada.open(&format!("{path}?attempts=failed")).await.expect(200, "HTTP status")), 1);
    // It goes through again, and what it missed is still one click away.
    receiver.always("/hook", Script::status(200));
    app.client.publish("a.b", "3").await;
    let calls = receiver.wait_for("/hook", 3, SOON).await.len();
    let active = async || {
        let shown = app.client.get(&format!("/v1/endpoints/{endpoint}")).send().await.expect(200);
        (shown.body["state"] == "active").then_some(())
    };
    eventually("it is active", SOON, active).await;
    let page = ada.open(&path).await.expect(200, "Recover since it began to fail");
    let (token, since, once) = (page.field("token"), page.field("since"), page.once("op"));
    let form = [("token", token.as_str()), ("since", &since), ("once", &once)];
    let path = ada.send(&format!("{path}/recover"), &form).await.path;
    ended(&app, &mut ada, &path)
        .await
        .expect(200, "1 replayed")
        .expect(200, "2 left as they were: they went through before");
    assert_eq!(receiver.wait_for("/hook", calls + 1, SOON).await.last().unwrap().body, b"2");
}

fn tomorrow() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)).to_string()
}

/// The page of an operation that has ended.
async fn ended(app: &App, browser: &mut Browser, path: &str) -> Page {
    let id = path.rsplit('/').next().unwrap();
    let done = async || {
        let operation = app.client.get(&format!("/v1/operations/{id}")).send().await.expect(200);
        (operation.string("/state") == "succeeded").then_some(())
    };
    eventually("the operation has ended", SOON, done).await;
    browser.open(path).await
}

/// Where the link leads whose text has these words.
#[track_caller]
fn href(page: &Page, words: &str) -> String {
    let link = page.text.split("<a ").find(|link| link.split("</a>").next().is_some_and(|link| link.contains(words)));
    let link = link.unwrap_or_else(|| panic!("no link {words} in {}", page.text));
    let path = link.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    path.replace("&#38;", "&").replace("&amp;", "&")
}

/// The member of the one item.
#[track_caller]
fn only(items: &[Value], name: &str) -> String {
    assert_eq!(items.len(), 1, "{items:?}");
    items[0][name].as_str().unwrap().to_owned()
}

/// Rows of the one table of a list.
fn rows(page: &Page) -> usize {
    page.text.split_once("<tbody>").map_or(0, |(_, rows)| rows.matches("<tr>").count())
}
