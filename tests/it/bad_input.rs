//! Every refusal is a problem with a stable code and a pointer, and nothing of what was refused is stored.

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, App, Stack};

on_both_stacks!(
    a_bad_event_is_refused_with_its_code_and_pointer,
    a_bad_endpoint_is_refused_with_its_code_and_pointer,
    a_bad_job_tenant_or_token_is_refused_with_its_code_and_pointer,
    what_is_not_json_is_refused_before_it_is_read,
    a_batch_refuses_each_bad_event_by_itself,
    a_bad_page_or_path_is_refused,
    without_a_good_token_nothing_is_told,
);

/// A body, and the status, code and pointer of its refusal.
type Refusal = (Value, u16, &'static str, &'static str);

/// Over the payload's default limit of 256 KiB, under the body's of 1 MiB.
const PAYLOAD_BYTES: usize = 300 * 1024;

async fn a_bad_event_is_refused_with_its_code_and_pointer(stack: Stack) {
    let app = App::start(stack).await;
    let event = |field: &str, value: Value| {
        let mut event = json!({ "type": "a.b", "payload": {} });
        event[field] = value;
        event
    };
    let cases: Vec<Refusal> = vec![
        (event("colour", json!(1)), 422, "invalid_body", "/colour"),
        (json!({ "payload": {} }), 422, "invalid_body", "/type"),
        (json!({ "type": "a.b" }), 422, "invalid_body", "/payload"),
        (event("type", json!(7)), 422, "invalid_body", "/type"),
        (event("type", json!("")), 422, "invalid_body", "/type"),
        (event("type", json!("Invoice.Paid")), 422, "invalid_body", "/type"),
        (event("type", json!("a b")), 422, "invalid_body", "/type"),
        (event("type", json!("a".repeat(129))), 422, "invalid_body", "/type"),
        (event("id", json!("no spaces")), 422, "invalid_body", "/id"),
        (event("channels", json!("eu")), 422, "invalid_body", "/channels"),
        (event("channels", json!(["eu", "e u"])), 422, "invalid_body", "/channels/1"),
        (event("channels", json!(vec!["eu"; 11])), 422, "invalid_body", "/channels"),
        (event("deliver_at", json!("tomorrow")), 422, "invalid_body", "/deliver_at"),
        (event("payload", json!("x".repeat(PAYLOAD_BYTES))), 413, "payload_too_large", "/payload"),
        (json!([]), 422, "invalid_body", ""),
        (json!(["a.b", {}, null, null, null]), 422, "invalid_body", ""),
        (event("id", json!("..")), 422, "invalid_body", "/id"),
        (event("id", json!("evt_01h455vb4pex5vsknk084sn02q")), 422, "invalid_body", "/id"),
        (event("deliver_at", json!("2999-01-01T00:00:00Z")), 422, "invalid_body", "/deliver_at"),
    ];
    assert_refused(&app, "/v1/events", cases).await;
    assert!(app.client.all("/v1/events").await.is_empty());
}

async fn a_bad_endpoint_is_refused_with_its_code_and_pointer(stack: Stack) {
    let app = App::builder(stack).env("POSTRIDER_EGRESS_ALLOW", "192.0.2.0/24").start().await;
    let endpoint = |field: &str, value: Value| {
        let mut endpoint = json!({ "url": "https://example.com/hook" });
        endpoint[field] = value;
        endpoint
    };
    let headers = |name: &str, value: &str| endpoint("headers", json!({ name: value }));
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("x-{n}"), json!("v"))).collect();
    let mut cases: Vec<Refusal> = vec![
        (endpoint("colour", json!(1)), 422, "invalid_body", "/colour"),
        (json!({}), 422, "invalid_body", "/url"),
        (endpoint("secret", json!("hunter2")), 422, "invalid_body", "/secret"),
        (endpoint("secret", json!("whsec_c2hvcnQ=")), 422, "invalid_body", "/secret"),
        (endpoint("event_types", json!(["a.b", "*.a"])), 422, "invalid_body", "/event_types/1"),
        (endpoint("timeout_ms", json!(99)), 422, "invalid_body", "/timeout_ms"),
        (endpoint("timeout_ms", json!(60_001)), 422, "invalid_body", "/timeout_ms"),
        (endpoint("timeout_ms", json!("15000")), 422, "invalid_body", "/timeout_ms"),
        (endpoint("rate_per_second", json!(0)), 422, "invalid_body", "/rate_per_second"),
        (endpoint("concurrency_max", json!(0)), 422, "invalid_body", "/concurrency_max"),
        (endpoint("retry_schedule_seconds", json!([1, -1])), 422, "invalid_body", "/retry_schedule_seconds/1"),
        (endpoint("retry_schedule_seconds", json!(vec![1; 50])), 422, "invalid_body", "/retry_schedule_seconds"),
        (endpoint("retry_backoff", json!([1, 2, 3, 4])), 422, "invalid_body", "/retry_backoff"),
        (endpoint("retry_backoff", json!({ "base_seconds": 1 })), 422, "invalid_body", "/retry_backoff/factor"),
        (endpoint("retry_backoff", backoff("base_seconds", 0.0)), 422, "invalid_body", "/retry_backoff/base_seconds"),
        (endpoint("retry_backoff", backoff("factor", 0.9)), 422, "invalid_body", "/retry_backoff/factor"),
        (endpoint("retry_backoff", backoff("cap_seconds", 0.5)), 422, "invalid_body", "/retry_backoff/cap_seconds"),
        (endpoint("retry_backoff", backoff("colour", 1.0)), 422, "invalid_body", "/retry_backoff/colour"),
        (both_schedules("https://example.com/hook"), 422, "invalid_body", "/retry_backoff"),
        (endpoint("description", json!("x".repeat(1025))), 422, "invalid_body", "/description"),
        (endpoint("description", json!("a\0b")), 422, "invalid_body", "/description"),
        (endpoint("event_types", json!(vec!["a.b"; 101])), 422, "invalid_body", "/event_types"),
        (endpoint("channels", json!(vec!["eu"; 101])), 422, "invalid_body", "/channels"),
        (endpoint("metadata", json!({ "x": "x".repeat(16 * 1024) })), 422, "invalid_body", "/metadata"),
        (endpoint("metadata", json!({ "x": ["a\0b"] })), 422, "invalid_body", "/metadata"),
        (endpoint("headers", many.into()), 422, "invalid_body", "/headers"),
        (headers("Host", "example.org"), 422, "invalid_body", "/headers/Host"),
        (headers("Content-Type", "text/plain"), 422, "invalid_body", "/headers/Content-Type"),
        (headers("webhook-id", "mine"), 422, "invalid_body", "/headers/webhook-id"),
        (headers("Transfer-Encoding", "chunked"), 422, "invalid_body", "/headers/Transfer-Encoding"),
        (headers("x-a", "line\r\nbreak"), 422, "invalid_body", "/headers/x-a"),
    ];
    for url in BAD_URLS {
        cases.push((endpoint("url", json!(url)), 422, "invalid_body", "/url"));
    }
    assert_refused(&app, "/v1/endpoints", cases).await;
    assert!(app.client.all("/v1/endpoints").await.is_empty());
    let made = app.client.create_endpoint("https://example.com/hook", json!({})).await;
    let path = format!("/v1/endpoints/{}", made.id);
    let changed = app.client.patch(&path).json(&json!({ "secret": made.secret })).send().await;
    assert_eq!(changed.expect_problem(422, "invalid_body").string("/errors/0/pointer"), "/secret");
    let long = json!({ "grace_seconds": 30 * 24 * 3600 + 1 });
    assert_refused(&app, &format!("{path}/rotate-secret"), vec![(long, 422, "invalid_body", "/grace_seconds")]).await;
    let upside_down = json!({ "since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z" });
    assert_refused(&app, &format!("{path}/recover"), vec![(upside_down, 422, "invalid_body", "/since")]).await;
}

/// A backoff with one other part.
fn backoff(part: &str, value: f64) -> Value {
    let mut backoff = json!({ "base_seconds": 1, "factor": 2, "cap_seconds": 60, "retries": 3 });
    backoff[part] = json!(value);
    backoff
}

/// A list of delays, and a backoff that says otherwise.
fn both_schedules(url: &str) -> Value {
    json!({ "url": url, "retry_schedule_seconds": [1, 3], "retry_backoff": backoff("factor", 2.0) })
}

/// Not URLs, or addresses and ports that deliveries do not reach, in the forms that hide them.
const BAD_URLS: &[&str] = &[
    "",
    "example.com/hook",
    "ftp://example.com/hook",
    "file:///etc/passwd",
    "https://user:pass@example.com/",
    "http://127.0.0.1:8080/",
    "http://localhost:8080/",
    "http://2130706433:8080/",
    "http://0x7f.1:8080/",
    "http://0:8080/",
    "http://10.0.0.1:8080/",
    "http://100.64.0.1:8080/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://[::1]:8080/",
    "http://[::ffff:127.0.0.1]:8080/",
    "http://[::127.0.0.1]:8080/",
    "http://[64:ff9b::7f00:1]:8080/",
    "http://[2002:7f00:1::]:8080/",
    "http://[fd00:ec2::254]/",
    "https://example.com:22/",
    "https://example.com:5432/",
    "https://example.com:6379/",
];

async fn a_bad_job_tenant_or_token_is_refused_with_its_code_and_pointer(stack: Stack) {
    let app = App::start(stack).await;
    let jobs: Vec<Refusal> = vec![
        (json!({ "kind": "no.such", "args": {} }), 422, "invalid_body", "/kind"),
        (json!({ "args": {} }), 422, "invalid_body", "/kind"),
        (json!({ "kind": "http.request", "args": { "method": "GET" } }), 422, "invalid_body", "/args/url"),
        (
            json!({ "kind": "http.request", "args": { "method": "BREW", "url": "https://example.com/" } }),
            422,
            "invalid_body",
            "/args/method",
        ),
    ];
    assert_refused(&app, "/v1/jobs", jobs).await;
    let args = json!({ "method": "GET", "url": "https://example.com/" });
    let keyed = |key: &str| json!({ "kind": "http.request", "args": args, "unique_key": key });
    let keys = ["", "a\u{0}b", &"x".repeat(256)].map(|key| (keyed(key), 422, "invalid_body", "/unique_key"));
    assert_refused(&app, "/v1/jobs", keys.into()).await;
    let tenants: Vec<Refusal> = vec![
        (json!({ "slug": "-no", "name": "No" }), 422, "invalid_body", "/slug"),
        (json!({ "slug": "no" }), 422, "invalid_body", "/name"),
        (json!({ "slug": "no", "name": "a\u{0}b" }), 422, "invalid_body", "/name"),
    ];
    assert_refused(&app, "/v1/tenants", tenants).await;
    let tokens: Vec<Refusal> = vec![
        (json!({ "name": "x", "role": "emperor" }), 422, "invalid_body", "/role"),
        (json!({ "name": "x", "role": "viewer", "expires_at": 7 }), 422, "invalid_body", "/expires_at"),
        (
            json!({ "name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z" }),
            422,
            "invalid_body",
            "/expires_at",
        ),
    ];
    assert_refused(&app, "/v1/tokens", tokens).await;
    let filters: Vec<Refusal> = vec![
        (json!({ "filter": { "q": "\u{0}" } }), 422, "invalid_body", "/filter/q"),
        (json!({ "filter": { "status": 600 } }), 422, "invalid_body", "/filter/status"),
        (json!({ "filter": ["http.request"] }), 422, "invalid_body", "/filter"),
        (json!({ "filter": {}, "rate_per_second": 0 }), 422, "invalid_body", "/rate_per_second"),
        (json!([{}, null, true]), 422, "invalid_body", ""),
    ];
    assert_refused(&app, "/v1/dead-letters/replay", filters).await;
}

async fn what_is_not_json_is_refused_before_it_is_read(stack: Stack) {
    let app = App::start(stack).await;
    let post = || app.client.post("/v1/events");
    let broken = post().json_text("{\"type\": \"a\",\n \"payload\": }").send().await;
    let broken = broken.expect_problem(400, "malformed_json");
    assert!(broken.string("/detail").contains("line 2"), "{}", broken.text);
    post().json_text(r#"{"type": "a", "payload": 1} more"#).send().await.expect_problem(400, "malformed_json");
    post().json_text(b"{\"type\": \"\xff\"}".to_vec()).send().await.expect_problem(400, "malformed_json");
    post().json_text("").send().await.expect_problem(400, "malformed_json");
    for key in ["", "two words", &"x".repeat(256)] {
        let keyed = post().header("idempotency-key", key).json(&json!({ "type": "a", "payload": 1 })).send().await;
        keyed.expect_problem(400, "bad_header");
    }
    post().body("text/plain", "{}").send().await.expect_problem(415, "unsupported_media_type");
    let zipped = post().header("content-encoding", "gzip").json_text(r#"{"type": "a", "payload": 1}"#).send().await;
    zipped.expect_problem(415, "unsupported_media_type");
    let big = format!(r#"{{"type": "a", "payload": "{}"}}"#, "x".repeat(1024 * 1024));
    post().json_text(big).send().await.expect_problem(413, "body_too_large");
    let deep = format!(r#"{{"type": "a", "payload": {}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let deep = post().json_text(deep).send().await;
    assert!((400..500).contains(&deep.status), "50,000 brackets: {}", deep.text);
    assert!(app.client.all("/v1/events").await.is_empty());
}

async fn a_batch_refuses_each_bad_event_by_itself(stack: Stack) {
    let app = App::start(stack).await;
    let good = json!({ "type": "a", "payload": 1 });
    let batch = json!({ "events": [good, { "type": "A", "payload": 2 }, good] });
    let answer = app.client.post("/v1/events/batch").json(&batch).send().await.expect(202);
    assert_eq!(app.client.all("/v1/events").await.len(), 2, "{}", answer.text);
    let none = app.client.post("/v1/events/batch").json(&json!({ "events": [] })).send().await;
    let none = none.expect_problem(422, "invalid_body");
    assert_eq!(none.string("/errors/0/pointer"), "/events");
    assert!(none.string("/detail").contains("1 to 1000 events; this one has none"), "{}", none.text);
    let too_many = json!({ "events": vec![good; 1_001] });
    app.client.post("/v1/events/batch").json(&too_many).send().await.expect_problem(422, "batch_too_large");
    assert_eq!(app.client.all("/v1/events").await.len(), 2);
}

async fn a_bad_page_or_path_is_refused(stack: Stack) {
    let app = App::start(stack).await;
    let cases = [
        ("limit=0", "bad_parameter"),
        ("limit=251", "bad_parameter"),
        ("limit=x", "bad_parameter"),
        ("colour=red", "bad_parameter"),
        ("cursor=not-ours", "bad_cursor"),
        ("cursor=AAAA", "bad_cursor"),
        ("type=%00", "bad_parameter"),
    ];
    for (query, code) in cases {
        app.client.get(&format!("/v1/events?{query}")).send().await.expect_problem(400, code);
    }
    // What is allowed is said, and in no parser's words.
    for (list, query, allowed) in [
        ("events", "limit=x", "a number from 1 to 250"),
        ("events", "since=yesterday", "(RFC 3339)"),
        ("events", "type=A", "a-z"),
        ("jobs", "state=asleep", "queued"),
        ("jobs", "kind=sleep", "http.request"),
        ("jobs", "lane=A%20B", "a-z"),
        ("dead-letters", "status=abc", "a number from 100 to 599"),
        ("dead-letters", "status=99", "a number from 100 to 599"),
        ("dead-letters", "status=600", "a number from 100 to 599"),
        ("dead-letters", "status=99999", "a number from 100 to 599"),
        ("dead-letters", "status=-1", "a number from 100 to 599"),
        ("dead-letters", "state=shut", "open, replayed or discarded"),
        ("dead-letters", "endpoint=7", "ep_"),
        ("dead-letters", "until=1700000000", "(RFC 3339)"),
    ] {
        let refused = app.client.get(&format!("/v1/{list}?{query}")).send().await.expect_problem(400, "bad_parameter");
        assert_eq!(refused.string("/errors/0/parameter"), query.split('=').next().unwrap());
        assert!(refused.string("/detail").contains(allowed), "{query}: {}", refused.text);
    }
    app.client.get("/v1/dead-letters?status=500").send().await.expect(200);
    for n in 0..2 {
        app.client.publish("a.b", &n.to_string()).await;
    }
    let cursor = app.client.get("/v1/events?limit=1").send().await.expect(200).string("/next_cursor");
    app.client.get(&format!("/v1/events?cursor={cursor}")).send().await.expect(200);
    for list in ["jobs", "tokens", "endpoints", "failures"] {
        let other = app.client.get(&format!("/v1/{list}?cursor={cursor}")).send().await;
        other.expect_problem(400, "bad_cursor");
    }
    app.client.get("/v1/jobs?state=asleep").send().await.expect_problem(400, "bad_parameter");
    for path in
        ["/v1/endpoints/7", "/v1/endpoints/job_01h455vb4pex5vsknk084sn02q", "/v1/no-such-thing", "/v1/events/%00"]
    {
        app.client.get(path).send().await.expect_problem(404, "not_found");
    }
    app.client.delete("/v1/events").send().await.expect_problem(405, "method_not_allowed");
}

async fn without_a_good_token_nothing_is_told(stack: Stack) {
    let app = App::start(stack).await;
    let paths = ["/v1/events", "/v1/endpoints", "/v1/jobs", "/v1/dead-letters", "/v1/tenants", "/v1/tokens"];
    for path in paths {
        app.client.get(path).without_token().send().await.expect_problem(401, "token_missing");
        app.client.get(path).token("nonsense").send().await.expect_problem(401, "token_invalid");
        app.client.get(path).token(&ADMIN_TOKEN[1..]).send().await.expect_problem(401, "token_invalid");
    }
    let basic = app.client.get("/v1/events").without_token().header("authorization", "Basic YTpi").send().await;
    basic.expect(401);
    let nobody = app.client.get("/v1/events").header("postrider-tenant", "nobody").send().await;
    nobody.expect_problem(404, "unknown_tenant");
}

/// Posts each body to `path` and holds the refusal's status, code and pointer.
async fn assert_refused(app: &App, path: &str, cases: Vec<Refusal>) {
    let mut wrong = Vec::new();
    for (body, status, code, pointer) in cases {
        let answer = app.client.post(path).json(&body).send().await;
        let shown: String = body.to_string().chars().take(120).collect();
        let pointers: Vec<Value> = answer.body["errors"].as_array().cloned().unwrap_or_default();
        let points = pointers.iter().any(|error| error["pointer"] == pointer && error["detail"].is_string());
        if answer.status != status || answer.body["code"] != code || !points {
            wrong.push(format!(
                "{shown}\n  wanted {status} {code} at {pointer:?}, got {} {}",
                answer.status, answer.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{path}\n{}", wrong.join("\n"));
}
