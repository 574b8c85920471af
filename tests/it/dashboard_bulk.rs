//! Many dead letters at once, and failures as groups, as an operator uses them without a script.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    dashboard::{PASSWORD, die, path_of, with_user},
    harness::{App, Browser, Page, Receiver, SOON, Script, Stack, eventually},
};

const BULK: &str = "/t/default/dead-letters/bulk";

on_both_stacks!(
    all_that_match_are_counted_replayed_and_their_progress_is_shown,
    what_is_ticked_is_discarded_and_nothing_ticked_is_nothing,
    a_filter_that_is_not_understood_widens_nothing,
    a_bulk_replay_is_ended_halfway,
    dead_letters_are_exported_as_csv_and_json_lines,
    dead_letters_are_found_by_what_was_to_be_sent,
    a_failure_is_acknowledged_resolved_and_comes_back,
    a_page_is_told_that_something_has_changed,
);

async fn all_that_match_are_counted_replayed_and_their_progress_is_shown(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1", "2", "3"]).await;
    receiver.always("/hook", Script::status(200));
    let calls = receiver.wait_for("/hook", 3, SOON).await.len();
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let none = ada.open(&format!("{BULK}?act=replay&status=404")).await.expect(200, "Replay 0 dead letters?");
    assert!(!none.text.contains("<button class=\"main\""), "{}", none.text);
    let page = ada.open(&format!("{BULK}?act=replay&status=500")).await.expect(200, "Replay 3 dead letters?");
    let (token, once) = (page.field("token"), page.once("op"));
    let bad = [("token", token.as_str()), ("once", &once), ("act", "replay"), ("status", "500"), ("rate", "0")];
    ada.send(BULK, &bad).await.expect(422, "is no rate");
    let good = [("token", token.as_str()), ("once", &once), ("act", "replay"), ("status", "500"), ("rate", "1000")];
    let page = ada.send(BULK, &good).await.expect(200, "Replay dead letters");
    assert!(page.path.starts_with("/t/default/operations/op_"), "{}", page.path);
    ended(&app, &mut ada, &page.path, "3 replayed").await;
    receiver.wait_for("/hook", calls + 3, SOON).await;
    ada.open("/t/default/operations").await.expect(200, "3 replayed");
    ada.open("/t/default/audit").await.expect(200, "operation.start");
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_that_asks_begins_before_all_are_counted() {
    let (app, receiver) = (with_user(Stack::Postgres, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1"]).await;
    let ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut connection = PgConnection::connect(app.database().url()).await.unwrap();
    let mut lock = connection.begin().await.unwrap();
    lock.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut page = ada.stream(&format!("{BULK}?act=replay")).await;
    let begin = tokio::time::timeout(SOON, page.chunk()).await.expect("it begins").unwrap().unwrap();
    assert!(String::from_utf8_lossy(&begin).contains("Counting what matches"));
    lock.rollback().await.unwrap();
    let mut rest = Vec::new();
    while let Some(part) = page.chunk().await.unwrap() {
        rest.extend_from_slice(&part);
    }
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("Replay 1 dead letter?") && rest.contains("</html>"), "{rest}");
}

async fn what_is_ticked_is_discarded_and_nothing_ticked_is_nothing(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let letters = die(&app, &receiver, ["1", "2", "3"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = ada.open("/t/default/dead-letters").await.expect(200, "Discard selected");
    assert_eq!(list.text.matches("name=\"id\"").count(), 3, "{}", list.text);
    assert_eq!(list.field("picked"), "1", "nothing ticked is not everything");
    ada.open(&format!("{BULK}?act=discard&picked=1")).await.expect(422, "Nothing was ticked");
    let [first, second] = [0, 1].map(|place: usize| letters[place].rsplit('/').next().unwrap().to_owned());
    let asked = format!("{BULK}?act=discard&picked=1&id={first}&id={second}");
    let page = ada.open(&asked).await.expect(200, "Discard 2 dead letters?");
    let (token, once) = (page.field("token"), page.once("op"));
    let mut form = vec![
        ("token", token.as_str()),
        ("once", &once),
        ("act", "discard"),
        ("picked", "1"),
        ("id", &first),
        ("id", &second),
    ];
    ada.send(BULK, &form).await.expect(422, "The reason is empty");
    form.push(("reason", "made by mistake"));
    let page = ada.send(BULK, &form).await.expect(200, "Discard dead letters");
    ended(&app, &mut ada, &page.path, "2 discarded").await;
    ada.open(&letters[0]).await.expect(200, "made by mistake");
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), 1);
}

async fn a_filter_that_is_not_understood_widens_nothing(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let export = "/t/default/dead-letters/export?format=csv";
    for address in [format!("{BULK}?act=discard"), format!("{BULK}?act=replay"), export.to_owned()] {
        for (more, words) in [
            ("cause=gone", "it has no field &#34;cause&#34;"),
            ("status=500&status=404", "&#34;status&#34; is there more than once"),
            ("status=&status=404", "&#34;status&#34; is there more than once"),
            ("id=", "Nothing was ticked"),
            ("picked=", if address == export { "it has no field" } else { "Nothing was ticked" }),
        ] {
            ada.open(&format!("{address}&{more}")).await.expect(422, words);
        }
    }
    ada.open(&format!("{BULK}?act=discard&state=replayed")).await.expect(422, "Only open dead letters");
    let page = ada.open(&format!("{BULK}?act=discard")).await;
    let (token, once) = (page.field("token"), page.once("op"));
    let form = [("token", token.as_str()), ("once", &once), ("act", "discard"), ("reason", "x"), ("cause", "gone")];
    ada.send(BULK, &form).await.expect(422, "it has no field");
    for list in ["dead-letters", "jobs", "events", "endpoints", "audit"] {
        let page = ada.open(&format!("/t/default/{list}?cause=gone")).await;
        let page = page.expect(422, "Nothing was looked for, since part of the filter cannot be understood: it has no");
        assert!(
            page.text.contains("<details class=\"finder\" open>") && !page.text.contains("<table"),
            "{}",
            page.text
        );
    }
    ada.open("/t/default/failures?cause=gone").await.expect(422, "it has no field");
    ada.open(&letter).await.expect(200, "<span class=\"state open\">");
    let audit = ada.open("/t/default/audit").await;
    assert!(!audit.text.contains("operation.start") && !audit.text.contains("dead_letter.export"), "{}", audit.text);
}

async fn a_bulk_replay_is_ended_halfway(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1", "2", "3", "4", "5", "6", "7", "8"]).await;
    receiver.always("/hook", Script::status(200));
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("{BULK}?act=replay")).await.expect(200, "Replay 8 dead letters?");
    let (token, once) = (page.field("token"), page.once("op"));
    let form = [("token", token.as_str()), ("once", &once), ("act", "replay"), ("rate", "1")];
    let page = ada.send(BULK, &form).await.expect(200, "End it here");
    let began = async || {
        let left = app.client.all("/v1/dead-letters?state=open").await.len();
        (left < 8).then_some(())
    };
    eventually("the first is replayed", SOON, began).await;
    let token = ada.open(&page.path).await.field("token");
    let cancel = format!("{}/cancel", page.path);
    ada.send(&cancel, &[("token", &token)]).await.expect(200, "cancelled");
    ada.send(&cancel, &[("token", &token)]).await.expect(409, "ended already");
    assert!(!app.client.all("/v1/dead-letters?state=open").await.is_empty(), "some stay as they are");
    ada.open("/t/default/audit").await.expect(200, "operation.cancel");
}

async fn dead_letters_are_exported_as_csv_and_json_lines(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    die(&app, &receiver, [r#"{"n": 1}"#, r#""=1+1""#]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let csv = ada.open("/t/default/dead-letters/export?format=csv").await.expect(200, "id,died_at,state");
    assert_eq!(csv.text.lines().count(), 3, "{}", csv.text);
    assert!(csv.text.contains(r#""{""n"": 1}""#), "{}", csv.text);
    let lines = ada.open("/t/default/dead-letters/export?format=jsonl&status=500").await.expect(200, "died_at");
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["status_code"], lines.len()), (&json!(500), 2));
    // Which of the two dies first is not said.
    let mut payloads: Vec<&str> = lines.iter().map(|line| line["payload"].as_str().unwrap()).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, [r#""=1+1""#, r#"{"n": 1}"#]);
    ada.open("/t/default/dead-letters/export?format=xml").await.expect(422, "csv and jsonl");
}

async fn dead_letters_are_found_by_what_was_to_be_sent(stack: Stack) {
    let app = App::builder(stack).env("POSTRIDER_REDACTED_FIELDS", "/card").start().await;
    crate::dashboard::create_user(&app, "ada", "operator");
    crate::dashboard::create_user(&app, "vic", "viewer");
    let receiver = Receiver::start().await;
    let [letter, _] = die(&app, &receiver, [r#"{"card":"4111","n":1}"#, r#"{"card":"5500","n":2}"#]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let found = ada.open("/t/default/dead-letters?payload=4111").await;
    assert!(found.text.contains(&letter) && found.text.matches("name=\"id\"").count() == 1, "{}", found.text);
    ada.open("/t/default/dead-letters?payload=none").await.expect(200, "No dead letter is like that");
    ada.open(&letter).await.expect(200, "4111");
    call_and_die(&app, &receiver).await;
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let page = vic.open(&letter).await.expect(200, "(hidden)");
    assert!(!page.text.contains("4111"), "{}", page.text);
    vic.open("/t/default/dead-letters?payload=4111").await.expect(403, "the role operator may");
    let mut paths: Vec<String> = app.client.all("/v1/dead-letters").await.iter().map(path_of).collect();
    paths.extend(
        app.client.all("/v1/jobs").await.iter().map(|job| format!("/t/default/jobs/{}", job["id"].as_str().unwrap())),
    );
    paths.extend(["jsonl", "csv"].map(|format| format!("/t/default/dead-letters/export?format={format}")));
    assert_eq!(paths.len(), 8);
    for path in paths {
        let page = vic.open(&path).await.expect(200, "(hidden");
        assert!(!page.text.contains("4111") && !page.text.contains("HEADER SECRET"), "{path}: {}", page.text);
    }
}

/// A call with a header of its own dies, whose receiver repeats what it was sent.
async fn call_and_die(app: &App, receiver: &Receiver) {
    receiver.always("/job", Script::Answer { status: 500, headers: Vec::new(), body: r#"{"had":"4111"}"#.into() });
    let args = json!({ "url": receiver.url("/job"), "method": "POST", "headers": { "x-us": "HEADER SECRET" },
        "body": r#"{"card":"4111"}"# });
    let job = json!({ "kind": "http.request", "max_attempts": 1, "args": args });
    app.client.post("/v1/jobs").json(&job).send().await.expect(202);
    let dead = async || (app.client.all("/v1/dead-letters").await.len() == 3).then_some(());
    eventually("the call is dead", SOON, dead).await;
}

async fn a_failure_is_acknowledged_resolved_and_comes_back(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    die(&app, &receiver, ["1", "2"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = ada.open("/t/default/failures").await.expect(200, "still failing");
    let path = list.text.split("/t/default/failures/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let path = format!("/t/default/failures/{path}");
    let page = ada.open(&path).await.expect(200, "Open dead letters");
    assert!(page.text.contains(&receiver.url("/hook")), "the endpoint: {}", page.text);
    let token = page.field("token");
    let judge = format!("{path}/judge");
    let say = |verdict: &'static str, note: &'static str| [("verdict", verdict), ("note", note)];
    for (verdict, note) in [("acknowledged", "their <deploy>"), ("resolved", "rolled back")] {
        let mut form = say(verdict, note).to_vec();
        form.push(("token", token.as_str()));
        ada.send(&judge, &form).await.expect(200, &format!("state {verdict}"));
    }
    ada.send(&judge, &[("token", &token), ("verdict", "gone")]).await.expect(422, "none of open");
    ada.open("/t/default/failures").await.expect(200, "Nothing has failed that is not resolved");
    ada.open("/t/default/failures?state=any").await.expect(200, "rolled back");
    die(&app, &receiver, ["3"]).await;
    ada.open("/t/default/failures").await.expect(200, "state regressed");
    ada.open("/t/default/audit").await.expect(200, "their &#60;deploy&#62;");
    ada.open("/t/default/failures/0000000000000000").await.expect(404, "no failure");
}

async fn a_page_is_told_that_something_has_changed(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut stream = ada.stream("/t/default/live").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    let told = tokio::time::timeout(SOON, async {
        while stream.chunk().await.unwrap().is_some_and(|part| !part.starts_with(b"data")) {}
    });
    told.await.expect("the page is told");
    drop(endpoint);
}

async fn ended(app: &App, browser: &mut Browser, path: &str, result: &str) {
    let id = path.rsplit('/').next().unwrap();
    let done = async || {
        let operation = app.client.get(&format!("/v1/operations/{id}")).send().await.expect(200);
        (operation.string("/state") == "succeeded").then_some(())
    };
    eventually("the operation has ended", SOON, done).await;
    let Page { text, .. } = browser.open(path).await;
    assert!(text.contains("state succeeded") && text.contains(result), "{text}");
}
