//! The log: lines that machines read, and nothing in them that is a secret or a customer's, however much is logged.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, App, Receiver, SOON, Script, Stack, eventually, free_port};

on_both_stacks!(no_secret_and_no_payload_is_logged_at_the_most_verbose_level);

/// Each is found in a log wherever it stands, since nothing else looks like it.
const PAYLOAD: &str = "mark-payload-5d1c";
const HEADER: &str = "mark-header-5d1c";
const QUERY: &str = "mark-query-5d1c";
const ANSWER: &str = "mark-answer-5d1c";
const BODY: &str = "mark-body-5d1c";
const WRONG_TOKEN: &str = "mark-wrong-token-5d1c";
const USERINFO: &str = "mark-userinfo-5d1c";
const PASSWORD: &str = "mark-password-5d1c";
const COLLECTOR: &str = "mark-collector-5d1c";
const SECRET: [u8; 24] = *b"mark-signing-secret-5d1c";
const KEY: [u8; 32] = *b"mark-encryption-key-5d1c-7777777";

async fn no_secret_and_no_payload_is_logged_at_the_most_verbose_level(stack: Stack) {
    let receiver = Receiver::start().await;
    let collector = format!("http://user:{COLLECTOR}@127.0.0.1:{}", free_port());
    let mut app = App::builder(stack)
        .env("POSTRIDER_LOG", "trace,sqlx=trace,h2=trace,hyper=trace,redis=trace")
        .env("POSTRIDER_ENCRYPTION_KEY", BASE64_STANDARD.encode(KEY))
        .env("POSTRIDER_OTLP_URL", collector)
        .start()
        .await;
    let secret = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    let answer = Script::Answer { status: 500, headers: Vec::new(), body: ANSWER.into() };
    let path = format!("/hook?key={QUERY}");
    receiver.first(&path, [answer.clone()], Script::status(200));
    receiver.always("/dead", answer);
    let fields = json!({ "secret": secret, "headers": { "x-api-key": HEADER }, "retry_schedule_seconds": [0.1] });
    app.client.create_endpoint(&receiver.url(&path), fields.clone()).await;
    app.client.create_endpoint(&receiver.url("/dead"), fields.clone()).await;
    app.client.create_endpoint(&receiver.https_url("/tls"), fields).await;
    let token = json!({ "name": "publisher", "role": "publisher" });
    let token = app.client.post("/v1/tokens").json(&token).send().await.expect(201).string("/token");
    traffic(&app, &receiver, &path, &token).await;
    if stack == Stack::Postgres {
        // Both servers take any password.
        let with_password = |url: &str, user: &str| url.replacen("://", &format!("://{user}:{PASSWORD}@"), 1);
        let database = app.database().url().replace("postgres@", "");
        let redis = std::env::var("POSTRIDER_TEST_REDIS_URL").unwrap();
        for (name, url) in [
            ("POSTRIDER_DATABASE_URL", with_password(&database, "postgres")),
            ("POSTRIDER_REDIS_URL", with_password(&redis, "default")),
        ] {
            app.terminate().await;
            app.restart_with(name, &url).await;
        }
        traffic(&app, &receiver, &path, &token).await;
    }
    assert!(app.terminate().await.success());
    let log = app.log();
    let secrets = [&secret["whsec_".len()..], &token, ADMIN_TOKEN, &BASE64_STANDARD.encode(KEY)];
    let marks = [PAYLOAD, HEADER, QUERY, ANSWER, BODY, WRONG_TOKEN, USERINFO, PASSWORD, COLLECTOR];
    for mark in marks.into_iter().chain(secrets) {
        // Bytes may be printed as text, or as numbers.
        let numbers = mark.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let found = log.lines().find(|line| line.contains(mark) || line.contains(&numbers));
        assert_eq!(found, None, "{mark:?} is in the log");
    }
    is_verbose_and_structured(&log);
}

/// Everything that handles a mark: accepted, refused, delivered, failed, dead.
async fn traffic(app: &App, receiver: &Receiver, path: &str, token: &str) {
    let client = &app.client;
    let event = json!({ "type": "order.paid", "payload": { "card": PAYLOAD } });
    let delivered = receiver.requests(path).len();
    client.post("/v1/events").token(token).json(&event).send().await.expect(202);
    client.post("/v1/events").token(WRONG_TOKEN).json(&event).send().await.expect(401);
    client.post("/v1/events").json_text(format!(r#"{{"type": "a", "payload": "{PAYLOAD}"#)).send().await.expect(400);
    let with_userinfo = receiver.url("/x").replacen("://", &format!("://user:{USERINFO}@"), 1);
    client.post("/v1/endpoints").json(&json!({ "url": with_userinfo })).send().await.expect(422);
    let args =
        json!({ "url": receiver.url(path), "method": "POST", "headers": { "authorization": HEADER }, "body": BODY });
    client.post("/v1/jobs").json(&json!({ "kind": "http.request", "args": args })).send().await.expect(202);
    let gone = json!({ "url": format!("http://gone.invalid/{QUERY}"), "method": "GET", "retry_schedule_seconds": [] });
    client.post("/v1/jobs").json(&json!({ "kind": "http.request", "args": gone })).send().await.expect(202);
    receiver.wait_for(path, delivered + 2, SOON).await;
    // Asked one after another, a job that is queued, runs or waits for a retry may be none of them each time.
    let has_ended = |job: &Value| ["succeeded", "dead"].map(Value::from).contains(&job["state"]);
    let ended = || async { client.all("/v1/jobs").await.iter().all(has_ended).then_some(()) };
    eventually("every job has ended", SOON, ended).await;
    assert!(!client.all("/v1/dead-letters").await.is_empty(), "what failed is dead");
}

fn is_verbose_and_structured(log: &str) {
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let (level, target) = (line["level"].as_str().unwrap(), line["target"].as_str().unwrap());
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
        let discreet = target.starts_with("postrider") || ["ERROR", "WARN", "INFO"].contains(&level);
        assert!(discreet, "another crate's words, which nobody can vouch for: {line}");
    }
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "the level is in force: {log}");
}
