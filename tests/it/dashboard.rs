//! The dashboard, as somebody uses it whose browser runs no script.

use serde_json::{Value, json};

use crate::harness::{App, Browser, Page, Receiver, SOON, Script, Stack, bad, eventually, good};

pub(crate) const PASSWORD: &str = "correct horse battery";

on_both_stacks!(
    the_first_user_is_made_by_the_link_in_the_log_once,
    nobody_sees_a_page_without_signing_in_or_after_signing_out,
    a_dead_letter_is_mended_replayed_and_noted,
    a_viewer_sees_no_action_and_may_do_none,
    a_form_from_elsewhere_changes_nothing,
    a_user_sees_no_tenant_but_its_own,
    what_strangers_wrote_is_text_on_every_page,
    who_tries_passwords_is_slowed_down,
    users_are_made_listed_and_removed,
);

async fn the_first_user_is_made_by_the_link_in_the_log_once(stack: Stack) {
    let app = App::start(stack).await;
    let mut browser = Browser::new(&app);
    browser.open("/").await.expect(200, "Nobody can sign in yet");
    let log = app.log();
    let key = log.split("/welcome?key=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    let welcome = format!("/welcome?key={key}");
    let wrong = browser.open("/welcome?key=AAAA").await;
    assert_eq!(wrong.path, "/sign-in");
    let page = browser.open(&welcome).await.expect(200, "first user");
    let key = page.field("key");
    let fields = |password| [("key", key.as_str()), ("name", "Ada"), ("password", password)];
    browser.send("/welcome", &fields("short")).await.expect(422, "at least 12");
    let page = browser.send("/welcome", &fields(PASSWORD)).await.expect(200, "All is well");
    assert_eq!(page.path, "/t/default");
    let mut other = Browser::new(&app);
    assert_eq!(other.open(&welcome).await.path, "/sign-in");
    let late = other.send("/welcome", &[("key", &key), ("name", "eve"), ("password", PASSWORD)]).await;
    assert_eq!(late.path, "/sign-in");
}

async fn nobody_sees_a_page_without_signing_in_or_after_signing_out(stack: Stack) {
    let app = with_user(stack, "admin").await;
    let mut browser = Browser::new(&app);
    let asked = "/t/default/dead-letters?q=a+b";
    let page = browser.open(asked).await.expect(200, "Password");
    let next = page.field("next").replace("&#38;", "&");
    let wrong = [("name", "ada"), ("password", "wrong horse battery"), ("next", &next)];
    browser.send("/sign-in", &wrong).await.expect(403, "do not belong together");
    let right = [("name", "ADA"), ("password", PASSWORD), ("next", &next)];
    assert_eq!(browser.send("/sign-in", &right).await.path, asked);
    for path in ["", "/failures", "/dead-letters", "/jobs", "/audit"] {
        browser.open(&format!("/t/default{path}")).await.expect(200, "Sign out");
    }
    browser.open("/t/default/dead-letters/dl_00000000000000000000000000").await.expect(404, "no dead letter");
    assert!(browser.send("/sign-out", &[]).await.path.starts_with("/sign-in"));
    assert!(browser.open("/t/default").await.path.starts_with("/sign-in"));
}

async fn a_dead_letter_is_mended_replayed_and_noted(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [mended, unchanged, discarded] = die(&app, &receiver, [r#"{"n": 1}"#, r#"{"n": 2}"#, r#"{"n": 3}"#]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    receiver.always("/hook", Script::status(200));
    let calls = receiver.wait_for("/hook", 3, SOON).await.len();

    let page = ada.open(&format!("{mended}/edit")).await.expect(200, "n&#34;: 1");
    let token = page.field("token");
    let bad = [("token", token.as_str()), ("payload", "{\"n\": ")];
    ada.send(&format!("{mended}/replay"), &bad).await.expect(422, "no JSON");
    ada.send(&format!("{mended}/edit"), &bad).await.expect(200, "The payload is no JSON");
    let same = [("token", token.as_str()), ("payload", "{\"n\": 1}")];
    ada.send(&format!("{mended}/edit"), &same).await.expect(200, "Nothing is changed");
    let good = [("token", token.as_str()), ("payload", "{\"n\":\r\n 100}")];
    let change = ada.send(&format!("{mended}/edit"), &good).await.expect(200, "<del>  &#34;n&#34;: 1</del>");
    assert!(change.text.contains("<ins>  &#34;n&#34;: 100</ins>"), "{}", change.text);
    let again = [good[0], good[1], ("again", "1")];
    ada.send(&format!("{mended}/edit"), &again).await.expect(200, "Show the change");
    let page = ada.send(&format!("{mended}/replay"), &good).await.expect(200, "replayed");
    assert!(page.path == mended && !page.text.contains("name=\"token\""), "nothing is left to do");
    ada.send(&format!("{mended}/replay"), &good).await.expect(409, "already, by a first sending of the same form");

    let token = ada.open(&unchanged).await.field("token");
    ada.send(&format!("{unchanged}/replay"), &[("token", &token)]).await.expect(200, "replayed");
    ada.send(&format!("{discarded}/discard"), &[("token", &token), ("reason", " ")]).await.expect(422, "empty");
    let why = [("token", token.as_str()), ("reason", "a <test>")];
    ada.send(&format!("{discarded}/discard"), &why).await.expect(200, "a &#60;test&#62;");

    let bodies: Vec<_> = receiver.wait_for("/hook", calls + 2, SOON).await.split_off(calls);
    let mut bodies: Vec<_> = bodies.iter().map(|call| String::from_utf8_lossy(&call.body).into_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["{\"n\":\n 100}", "{\"n\": 2}"], "the bytes of the form, and those that were stored");
    let audit = ada.open("/t/default/audit").await.expect(200, "dead_letter.discard");
    assert_eq!(audit.text.matches("dead_letter.replay").count(), 2, "{}", audit.text);
    assert!(audit.text.contains("<td>ada</td><td>127.0.0.1</td>"), "{}", audit.text);
}

async fn a_viewer_sees_no_action_and_may_do_none(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&letter).await.expect(200, "Attempts");
    assert!(!page.text.contains("/replay") && !page.text.contains("/discard"), "{}", page.text);
    for path in [format!("{letter}/edit"), "/t/default/dead-letters/bulk?act=replay".to_owned()] {
        ada.open(&path).await.expect(403, "the role operator may");
    }
    for section in ["users", "tokens", "settings"] {
        ada.open(&format!("/t/default/{section}")).await.expect(403, "the role admin may");
        assert!(!page.text.contains(&format!("/t/default/{section}\"")), "{section} in {}", page.text);
    }
    for act in ["replay", "discard"] {
        ada.send(&format!("{letter}/{act}"), &[("reason", "none")]).await.expect(403, "the role operator may");
    }
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), 1);
}

async fn a_form_from_elsewhere_changes_nothing(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&letter).await.field("token");
    let replay = format!("{letter}/replay");
    ada.send_from_elsewhere(&replay, &[("token", &token)]).await.expect(403, "Nothing was done");
    for wrong in ["", "AAAA", &token[1..]] {
        ada.send(&replay, &[("token", wrong)]).await.expect(403, "Nothing was done");
    }
    let mut again = Browser::signed_in(&app, "ada", PASSWORD).await;
    again.send(&replay, &[("token", &token)]).await.expect(403, "Nothing was done");
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), 1);
    ada.send(&replay, &[("token", &token)]).await.expect(200, "replayed");
}

async fn a_user_sees_no_tenant_but_its_own(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.new_tenant("acme").await;
    let [letter] = die(&app, &receiver, ["1"]).await;
    let made = app.shell(&["user", "create", "bob", "--role", "admin", "--tenant", "acme"]);
    let mut bob = Browser::signed_in(&app, "bob", good(made).trim()).await;
    let page = bob.open("/").await.expect(200, "Overview");
    assert_eq!(page.path, "/t/acme");
    assert!(!page.text.contains("/t/default"), "{}", page.text);
    bob.open("/t/default").await.expect(404, "no tenant");
    bob.open(&letter).await.expect(404, "no tenant");
    bob.open(&letter.replace("default", "acme")).await.expect(404, "no dead letter");
    let token = format!("{}{}", "A".repeat(85), "A");
    bob.send(&format!("{letter}/replay"), &[("token", &token)]).await.expect(404, "no tenant");
}

async fn what_strangers_wrote_is_text_on_every_page(stack: Stack) {
    const SCRIPT: &str = "</textarea></pre><script>alert(1)</script>'\"><img src=x onerror=alert(1)>";
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let payload = json!(SCRIPT).to_string();
    let job = json!({ "kind": "http.request", "max_attempts": 1,
        "args": { "url": receiver.url("/job"), "method": "POST", "body": SCRIPT } });
    receiver.always("/job", Script::Answer { status: 500, headers: Vec::new(), body: SCRIPT.into() });
    app.client.post("/v1/jobs").json(&job).send().await.expect(202);
    let [letter] = die(&app, &receiver, [&payload]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let dead = || async { (app.client.all("/v1/dead-letters").await.len() == 2).then_some(()) };
    eventually("both are dead", SOON, dead).await;
    let mut paths: Vec<String> = app.client.all("/v1/dead-letters").await.iter().map(path_of).collect();
    let search: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    paths.extend([format!("{letter}/edit"), "/t/default".to_owned(), "/t/default/failures".to_owned()]);
    paths.extend(["/t/default/dead-letters".to_owned(), format!("/t/default/dead-letters?q={search}&since={search}")]);
    paths.extend([format!("/t/default/dead-letters?q={search}"), format!("/sign-in?next=/{search}")]);
    for path in paths {
        let Page { text, .. } = ada.open(&path).await;
        for part in ["<script>", "<img", "</textarea></pre>"] {
            assert!(!text.contains(part), "{part} on {path}: {text}");
        }
    }
}

async fn who_tries_passwords_is_slowed_down(stack: Stack) {
    let app = with_user(stack, "admin").await;
    let mut eve = Browser::new(&app);
    for _ in 0..5 {
        let wrong = [("name", "ada"), ("password", "wrong horse battery")];
        eve.send("/sign-in", &wrong).await.expect(403, "do not belong together");
    }
    let right = [("name", "ada"), ("password", PASSWORD)];
    eve.send("/sign-in", &right).await.expect(429, "too many tries");
    let waited = async || {
        let mut ada = Browser::new(&app);
        (ada.send("/sign-in", &right).await.status == 200).then_some(())
    };
    eventually("the right password is taken after the wait", SOON, waited).await;
}

async fn users_are_made_listed_and_removed(stack: Stack) {
    let app = App::start(stack).await;
    app.client.new_tenant("acme").await;
    let password = good(app.shell(&["user", "create", "Ada@Example.com", "--role", "operator", "--tenant", "acme"]));
    assert!(bad(app.shell(&["user", "create", "ada@example.com"])).contains("already exists"));
    assert!(bad(app.shell(&["user", "create", "b", "--tenant", "none"])).contains("no tenant none"));
    let listed = good(app.shell(&["user", "list"]));
    let line = listed.lines().find(|line| line.starts_with("ada@example.com")).expect("a line of the user");
    assert!(line.contains("operator") && line.ends_with("acme"), "{listed}");
    let mut ada = Browser::signed_in(&app, "ada@example.com", password.trim()).await;
    let other = good(app.shell(&["user", "password", "ada@example.com"]));
    assert!(ada.open("/t/acme").await.path.starts_with("/sign-in"), "signed out");
    let mut ada = Browser::signed_in(&app, "ada@example.com", other.trim()).await;
    good(app.shell(&["user", "remove", "ada@example.com"]));
    assert!(ada.open("/t/acme").await.path.starts_with("/sign-in"), "signed out");
    assert!(bad(app.shell(&["user", "remove", "ada@example.com"])).contains("no user"));
}

pub(crate) async fn with_user(stack: Stack, role: &str) -> App {
    let app = App::start(stack).await;
    create_user(&app, "ada", role);
    app
}

/// A user who has [`PASSWORD`].
pub(crate) fn create_user(app: &App, name: &str, role: &str) {
    let mut command = app.command(&["user", "create", name, "--role", role, "--password-stdin"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Lets events with these payloads die, and gives their dead letters' pages in the same order.
pub(crate) async fn die<const N: usize>(app: &App, receiver: &Receiver, payloads: [&str; N]) -> [String; N] {
    receiver.always("/hook", Script::status(500));
    let extras = json!({ "retry_schedule_seconds": [] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let mut events = Vec::new();
    for payload in payloads {
        events.push(app.client.publish("a.b", payload).await);
    }
    let dead = || async { Some(app.client.dead_letters(&endpoint.id).await).filter(|letters| letters.len() == N) };
    let letters = eventually("all are dead", SOON, dead).await;
    let page = |event: &String| letters.iter().find(|letter| letter["event_id"] == **event).map(path_of).unwrap();
    std::array::from_fn(|place| page(&events[place]))
}

pub(crate) fn path_of(letter: &Value) -> String {
    format!("/t/default/dead-letters/{}", letter["id"].as_str().unwrap())
}
