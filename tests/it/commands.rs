//! The commands of the shell, as a person runs them.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::harness::{App, Receiver, SOON, Script, Stack, bad, eventually, good, postrider, signal};

on_both_stacks!(
    tokens_are_made_listed_and_revoked,
    a_token_s_name_keeps_the_api_s_rule,
    an_event_is_sent_and_its_death_is_shown_and_replayed,
    sigterm_ends_the_server_with_0,
);

async fn tokens_are_made_listed_and_revoked(stack: Stack) {
    let app = App::start(stack).await;
    let token = good(app.shell(&["token", "create", "ci", "--role", "viewer"]));
    let viewer = app.client.with_token(token.trim());
    viewer.get("/v1/endpoints").send().await.expect(200);
    viewer.post("/v1/endpoints").json(&json!({})).send().await.expect_problem(403, "forbidden");
    let listed = good(app.shell(&["token", "list"]));
    let line = listed.lines().find(|line| line.ends_with(" ci")).expect("a line of the token");
    assert!(line.contains("viewer") && !listed.contains(token.trim()), "{listed}");
    let id = line.split_whitespace().next().unwrap();
    good(app.shell(&["token", "revoke", id]));
    let refused = || async { (viewer.get("/v1/endpoints").send().await.status == 401).then_some(()) };
    eventually("the revoked token is refused", Duration::from_secs(2), refused).await;
    assert!(bad(app.shell(&["token", "revoke", id])).contains(id));
}

async fn a_token_s_name_keeps_the_api_s_rule(stack: Stack) {
    let app = App::start(stack).await;
    for (name, words) in [("", "empty"), ("a\u{1b}[31m", "\\u{1b}"), (&"x".repeat(3000), "3000")] {
        let said = bad(app.shell(&["token", "create", name]));
        assert!(said.contains("name") && said.contains(words) && !said.contains('\u{1b}'), "{said}");
        let body = json!({ "name": name, "role": "viewer" });
        let refused = app.client.post("/v1/tokens").json(&body).send().await.expect_problem(422, "invalid_body");
        assert!(refused.string("/detail").contains(words), "{}", refused.text);
    }
    assert!(app.client.all("/v1/tokens").await.is_empty());
}

async fn an_event_is_sent_and_its_death_is_shown_and_replayed(stack: Stack) {
    const PAYLOAD: &str = r#"{"b": 1.0,  "a": 2}"#;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(500), Script::status(500)], Script::status(200));
    let endpoint =
        app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [0.05] })).await;
    let sent = good(app.shell(&["send", "a.b", PAYLOAD]));
    assert!(sent.starts_with("evt_") && sent.contains("1 delivery"), "{sent}");
    let dead = || async { app.client.dead_letters(&endpoint.id).await.pop() };
    let dead = eventually("a dead letter", SOON, dead).await["id"].as_str().unwrap().to_owned();
    let listed = good(app.shell(&["dead", "list", "--endpoint", &endpoint.id]));
    assert!(listed.contains(&dead) && listed.contains("2 attempts"), "{listed}");
    let shown: serde_json::Value = serde_json::from_str(&good(app.shell(&["dead", "show", &dead]))).expect("JSON");
    assert_eq!(shown["payload"], json!({ "b": 1.0, "a": 2 }));
    assert!(good(app.shell(&["dead", "replay", "--all", "--dry-run"])).starts_with("1 "));
    for beside in [&["--dry-run"][..], &["--all"], &["--rate-per-second", "5"], &["--kind", "x"], &["--q", "x"]] {
        let refused = app.shell(&[&["dead", "replay", &dead], beside].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains(beside[0]), "{beside:?}: {said}");
    }
    assert_eq!(app.client.dead_letters(&endpoint.id).await[0]["state"], "open", "what was refused has replayed");
    assert!(good(app.shell(&["dead", "replay", &dead])).contains("job_"));
    let came = receiver.wait_for("/hook", 3, SOON).await;
    assert!(came.iter().all(|call| call.text() == PAYLOAD), "{came:?}");
    assert!(bad(app.shell(&["dead", "replay", &dead])).contains("409"));
    assert!(bad(app.shell(&["send", "Not A Type", "1"])).contains("/type"));
    let said = bad(app.shell(&["send", "a.b", "1", "--idempotency-key", "a b"]));
    assert!(said.lines().last().unwrap().trim_start().starts_with("Idempotency-Key: "), "{said}");
    let said = bad(app.shell(&["send", "a.b", "1", "--idempotency-key", "a\nb"]));
    assert!(said.contains("header") && !said.contains("does not answer"), "{said}");
    assert!(bad(app.shell(&["send", "a.b", "{"])).contains("JSON"));
}

async fn sigterm_ends_the_server_with_0(stack: Stack) {
    let mut app = App::start(stack).await;
    let status = app.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", app.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_not_a_server_s_is_said_to_be_wrong() {
    let app = App::start(Stack::Sqlite).await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, words) in [
        (format!("http://{nobody}"), "does not answer: Connection refused"),
        (nobody.to_string(), "has to begin with http://"),
        // A page in place of the API.
        (format!("{}/docs?", app.url()), "not as Postrider does"),
    ] {
        let said = bad(app.command(&["dead", "list"]).env("POSTRIDER_URL", url).output().unwrap());
        assert!(said.contains(words) && said.contains("--url") && said.lines().count() == 1, "{words} in {said}");
    }
}

#[test]
fn the_printed_settings_can_be_loaded_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let template = good(postrider(folder.path()).arg("config").output().unwrap());
    fs::write(folder.path().join("postrider.toml"), &template).unwrap();
    good(postrider(folder.path()).arg("migrate").output().unwrap());
    // Every line of a setting is commented out by one #; without it, it has to be TOML with known keys too.
    let key = |line: &&str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let defaults: Vec<&str> = template.lines().filter(key).filter(|line| line.contains(" = ")).collect();
    assert!(defaults.len() >= 15, "{template}");
    let spelt: String = defaults.iter().map(|line| format!("{}\n", &line[1..])).collect();
    fs::write(folder.path().join("postrider.toml"), &spelt).unwrap();
    good(postrider(folder.path()).arg("migrate").output().unwrap());
}

#[test]
fn bad_settings_are_refused_by_key_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |toml: &str, words: &[&str]| {
        fs::write(folder.path().join("postrider.toml"), toml).unwrap();
        let said = bad(postrider(folder.path()).arg("migrate").output().unwrap());
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    };
    refused("lisen = \"127.0.0.1:1\"", &["lisen"]);
    refused("redis_shards = 99", &["redis_shards", "99", "1 to 64"]);
    refused("admin_token = \"short\"", &["admin_token", "at least 16"]);
    refused("retry_schedule_seconds = [-1.0]", &["retry_schedule_seconds", "-1"]);
    refused("retry_schedule_seconds = \"5,300\"", &["retry_schedule_seconds", "\"5,300\"", "[5, 300, 1800]"]);
    refused("egress_allow = \"127.0.0.1\"", &["egress_allow", "\"127.0.0.1\"", "[\"10.20.0.0/16\""]);
    refused("egress_ports = [99999]", &["egress_ports", "[99999]", "1 to 65535"]);
    refused("redis_shards = \"x\"", &["redis_shards", "\"x\"", "1 to 64"]);
    refused("listen = 7077", &["listen", "7077", "127.0.0.1:7077"]);
    refused("redis_shards = 1\nredis_shards = 2", &["redis_shards", "twice"]);
    fs::write(folder.path().join("postrider.toml"), "admin_token = unquoted-secret-text\n").unwrap();
    let said = bad(postrider(folder.path()).arg("migrate").output().unwrap());
    assert!(said.contains("admin_token") && !said.contains("unquoted-secret-text"), "{said}");
    let wrong = |name: &str, value: &str| {
        fs::write(folder.path().join("postrider.toml"), "").unwrap();
        bad(postrider(folder.path()).arg("migrate").env(name, value).output().unwrap())
    };
    let said = wrong("POSTRIDER_WORKER_CONCURRENCY", "0");
    assert!(said.contains("worker_concurrency") && said.contains("1 to 10000"), "{said}");
    for (name, value, words) in [
        ("POSTRIDER_LISTEN", "everywhere", "127.0.0.1:7077"),
        ("POSTRIDER_EGRESS_ALLOW", "10.0.0.0/8,localhost", "10.20.0.0/16,127.0.0.1/32"),
        ("POSTRIDER_EGRESS_PORTS", "99999", "1 to 65535"),
        ("POSTRIDER_RETRY_SCHEDULE_SECONDS", "1,x", "seconds"),
        ("POSTRIDER_REDIS_SHARDS", "x", "1 to 64"),
    ] {
        let said = wrong(name, value);
        assert!([name, value, words].iter().all(|word| said.contains(word)), "{words} in {said}");
        let raw = ["invalid digit", "invalid float", "target type", "syntax"];
        assert!(!raw.iter().any(|raw| said.contains(raw)), "{said}");
    }
    let said = wrong("POSTRIDER_LOG", "loud");
    assert!(["setting log", "loud", "info", "postrider_worker=debug"].iter().all(|word| said.contains(word)), "{said}");
    good(postrider(folder.path()).arg("migrate").env("POSTRIDER_EGRESS_ALLOW", "127.0.0.1, ::1").output().unwrap());
}

#[test]
fn the_first_start_makes_a_private_folder_and_shows_the_token_once() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut server = Background::start(postrider(folder.path()).env("POSTRIDER_LISTEN", "127.0.0.1:0"));
        let greeting = server.read_until("Queue ");
        signal("TERM", server.process.id());
        let rest = server.rest();
        assert!(server.process.wait().unwrap().success());
        format!("{greeting}{rest}")
    };
    let first = start();
    let token = first.split("administrator's token").nth(1).expect("the first start shows the token");
    let token = token.lines().nth(1).unwrap().trim();
    assert!(token.len() >= 32, "{first}");
    let second = start();
    assert!(!second.contains("administrator's token") && !second.contains(token), "{second}");
    let data = folder.path().join("postrider-data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700, "the data folder");
    assert_eq!(mode(&data.join("encryption.key")), 0o600, "the key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen_verifies_and_refuses_a_wrong_secret() {
    let app = App::start(Stack::Sqlite).await;
    for right in [true, false] {
        let mut listener = TcpListener::bind("127.0.0.1:0").map(Some).unwrap();
        let address = listener.as_ref().unwrap().local_addr().unwrap();
        let extras = json!({ "retry_schedule_seconds": [60] });
        let endpoint = app.client.create_endpoint(&format!("http://{address}/"), extras).await;
        let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        drop(listener.take());
        let secret = if right { &endpoint.secret } else { other };
        let mut listen = postrider(app.folder());
        let mut receiver =
            Background::start(listen.args(["listen", "--addr", &address.to_string(), "--secret", secret]));
        receiver.read_until("Listening on");
        let tested = app.client.post(&format!("/v1/endpoints/{}/test", endpoint.id)).send().await.expect(200);
        assert_eq!(tested.body["status_code"], if right { 200 } else { 401 }, "{}", tested.text);
        receiver.read_until(if right { "signature verified" } else { "SIGNATURE REFUSED" });
        app.client.delete(&format!("/v1/endpoints/{}", endpoint.id)).send().await.expect(204);
    }
}

/// The README's first webhook, its lines run one after another by a shell, on free ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_webhook_of_the_readme_works_as_it_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|part| part.starts_with("Your first webhook")).expect("the section");
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let script: String = blocks.collect();
    assert!(script.contains("cargo build --release\n"), "{script}");
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port().to_string();
    let server = free();
    let script = script.replace("cargo build --release\n", "").replace("7077", &server).replace("4400", &free());
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_postrider")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let printed = folder.path().join("printed");
    let out = fs::File::create(&printed).unwrap();
    let shell = Command::new("bash")
        .args(["-e", "-c", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.path())
        .env("POSTRIDER_LISTEN", format!("127.0.0.1:{server}"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn();
    let shell = std::cell::RefCell::new(Group(shell.expect("bash is on PATH")));
    let ended = || {
        let status = shell.borrow_mut().0.try_wait().expect("our child");
        async move { status }
    };
    let status = eventually("the README's lines have run", SOON, ended).await;
    let text = fs::read_to_string(printed).unwrap();
    assert!(status.success(), "{status}: {text}");
    assert!(text.contains("\"deliveries\":1"), "{text}");
    assert!(text.contains("signature verified") && text.contains("99.90"), "{text}");
}

/// A shell with a process group of its own. What it has started is killed with it when dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Fails where nothing of the group is left.
        drop(Command::new("sh").args(["-c", &format!("kill -KILL -{}", self.0.id())]).status());
        drop(self.0.wait());
    }
}

/// A command that runs on beside the test. It is killed when dropped.
struct Background {
    process: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Background {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, out }
    }

    /// Reads what it prints up to and with the line that has these words.
    fn read_until(&mut self, words: &str) -> String {
        let mut text = String::new();
        while !text.contains(words) {
            let bytes = self.out.read_line(&mut text).expect("readable output");
            assert!(bytes > 0, "it ended without {words:?}: {text}");
        }
        text
    }

    /// Reads what it prints until its end.
    fn rest(&mut self) -> String {
        std::io::read_to_string(&mut self.out).expect("readable output")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail where the test has ended it itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
