//! What is refused, and in which words.

use axum::{http::StatusCode, response::Response};
use postrider_core::{domain::limits::BODY_BYTES_MAX, store::StoreError};

use super::{ADMIN, Api, request};
use crate::problem::Problem;

#[tokio::test]
async fn bodies_that_are_not_what_a_call_takes_are_refused_with_their_places() {
    let api = Api::start().await;
    let cases: [(&str, &str, u16, &str, &[&str]); 12] = [
        ("events", r#"{"type":"a","payload":1,"colour":2}"#, 422, "invalid_body", &["/colour"]),
        ("events", r#"{"type":7,"payload":1}"#, 422, "invalid_body", &["/type"]),
        ("events", r#"{"type":"a"}"#, 422, "invalid_body", &["/payload"]),
        (
            "events",
            r#"{"type":"A","payload":1,"channels":["a b"],"id":"evt_x"}"#,
            422,
            "invalid_body",
            &["/type", "/id", "/channels/0"],
        ),
        ("events", "{\n  \"type\": nope}", 400, "malformed_json", &[]),
        ("events", r#"{"type":"a","payload":1}}"#, 400, "malformed_json", &[]),
        ("events/batch", r#"{"events":[]}"#, 422, "invalid_body", &["/events"]),
        (
            "endpoints",
            r#"{"url":"http://10.0.0.1/","timeout_ms":1,"headers":{"Host":"x"}}"#,
            422,
            "invalid_body",
            &["/url", "/headers/Host", "/timeout_ms"],
        ),
        (
            "endpoints",
            r#"{"url":"https://a.example/","secret":"whsec_x","event_types":["a","B"]}"#,
            422,
            "invalid_body",
            &["/secret", "/event_types/1"],
        ),
        ("jobs", r#"{"kind":"webhook.deliver","args":{}}"#, 422, "invalid_body", &["/kind"]),
        (
            "jobs",
            r#"{"kind":"http.request","args":{"method":"EAT","url":"ftp://a"}}"#,
            422,
            "invalid_body",
            &["/args/method", "/args/url"],
        ),
        (
            "jobs",
            r#"{"kind":"http.request","args":{"method":"GET","url":"https://a.example","x":1}}"#,
            422,
            "invalid_body",
            &["/args/x"],
        ),
    ];
    for (path, body, status, code, pointers) in cases {
        let got = api.admin(&format!("POST /v1/{path}"), body).await;
        assert_eq!((got.status.as_u16(), got.code().as_str()), (status, code), "{body}: {}", got.text);
        assert_eq!(got.pointers(), pointers, "{body}: {}", got.text);
    }
    let malformed = api.admin("POST /v1/events", "{\n  \"type\": nope}").await;
    assert!(malformed.json()["detail"].as_str().unwrap().starts_with("line 2, column 12"), "{}", malformed.text);
}

#[tokio::test]
async fn what_is_too_large_too_deep_or_of_another_type_is_refused() {
    let api = Api::start().await;
    let long = format!(r#"{{"type":"a","payload":"{}"}}"#, "x".repeat(1024));
    let got = api.admin("POST /v1/events", &long).await;
    assert_eq!((got.status, got.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"));
    let huge = " ".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(api.admin("POST /v1/events", &huge).await.code(), "body_too_large");
    let deep = format!(r#"{{"type":"a","payload":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(api.admin("POST /v1/events", &deep).await.code(), "malformed_json");
    let mut form = request(ADMIN, "POST /v1/events", "a=b");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(api.send(form).await.code(), "unsupported_media_type");
    let mut key = request(ADMIN, "POST /v1/events", r#"{"type":"a","payload":1}"#);
    key.headers_mut().insert("idempotency-key", "a b".parse().unwrap());
    assert_eq!(api.send(key).await.code(), "bad_header");
    let many: Vec<String> = (0..1001).map(|_| r#"{"type":"a","payload":1}"#.to_owned()).collect();
    let many = format!(r#"{{"events":[{}]}}"#, many.join(","));
    assert_eq!(api.admin("POST /v1/events/batch", &many).await.code(), "batch_too_large");
}

#[tokio::test]
async fn paths_methods_and_parameters_that_are_unknown_are_refused() {
    let api = Api::start().await;
    assert_eq!(api.admin("GET /v1/nothing/here", "").await.code(), "not_found");
    let got = api.admin("DELETE /v1/events", "").await;
    assert_eq!((got.status, got.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    let allow = got.headers["allow"].to_str().unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    for (query, code, name) in [
        ("limit=0", "bad_parameter", "limit"),
        ("limit=251", "bad_parameter", "limit"),
        ("offset=3", "bad_parameter", "offset"),
        ("cursor=AQ", "bad_cursor", "cursor"),
        ("since=yesterday", "bad_parameter", "since"),
    ] {
        let got = api.admin(&format!("GET /v1/events?{query}"), "").await;
        assert_eq!((got.code().as_str(), got.pointers()), (code, vec![name.to_owned()]), "{query}");
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
    }
    let mut named = request(ADMIN, "GET /v1/events", "");
    named.headers_mut().insert("x-request-id", "abc-1".parse().unwrap());
    assert_eq!(api.send(named).await.headers["x-request-id"], "abc-1");
}

#[tokio::test]
async fn a_token_opens_what_its_role_may_and_no_more() {
    let api = Api::start().await;
    let got = api.call("", "GET /v1/events", "").await;
    assert_eq!((got.status, got.code().as_str()), (StatusCode::UNAUTHORIZED, "token_missing"));
    assert!(got.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_eq!(api.call("pr_nobodys", "GET /v1/events", "").await.code(), "token_invalid");
    let viewer = api.token("acme", "viewer").await;
    assert!(viewer.starts_with("pr_") && viewer.len() == 46);
    let publisher = api.token("acme", "publisher").await;
    let event = r#"{"type":"a","payload":1}"#;
    for (token, call, body, status) in [
        (&viewer, "GET /v1/endpoints", "", 200),
        (&viewer, "GET /v1/failures", "", 200),
        (&viewer, "GET /v1/tokens", "", 403),
        (&viewer, "GET /v1/tenants", "", 403),
        (&viewer, "POST /v1/events", event, 403),
        (&publisher, "POST /v1/events", event, 202),
        (&publisher, "GET /v1/events", "", 200),
        (&publisher, "GET /v1/dead-letters", "", 403),
        (&publisher, "POST /v1/endpoints", "{}", 403),
    ] {
        let got = api.call(token, call, body).await;
        assert_eq!(got.status.as_u16(), status, "{call}: {}", got.text);
    }
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let api = Api::start().await;
    let (ours, theirs) = (api.token("ours", "admin").await, api.token("theirs", "admin").await);
    let endpoint = api.call(&ours, "POST /v1/endpoints", r#"{"url":"https://example.com/"}"#).await.id();
    let event = api.call(&ours, "POST /v1/events", r#"{"type":"a","payload":1,"id":"shared"}"#).await;
    assert_eq!(event.json()["deliveries"], 1);
    let job = api.call(&ours, "GET /v1/events/shared", "").await.json()["deliveries"][0]["job_id"].clone();
    let job = job.as_str().unwrap();
    for (call, body) in [
        (format!("GET /v1/endpoints/{endpoint}"), ""),
        (format!("PATCH /v1/endpoints/{endpoint}"), r#"{"description":"x"}"#),
        (format!("DELETE /v1/endpoints/{endpoint}"), ""),
        (format!("POST /v1/endpoints/{endpoint}/pause"), ""),
        (format!("POST /v1/endpoints/{endpoint}/test"), ""),
        (format!("POST /v1/endpoints/{endpoint}/rotate-secret"), ""),
        (format!("POST /v1/endpoints/{endpoint}/recover"), r#"{"since":"2020-01-01T00:00:00Z"}"#),
        ("GET /v1/events/shared".to_owned(), ""),
        ("POST /v1/events/shared/replay".to_owned(), ""),
        (format!("GET /v1/jobs/{job}"), ""),
        (format!("POST /v1/jobs/{job}/cancel"), ""),
        (format!("POST /v1/jobs/{job}/run-now"), ""),
    ] {
        let got = api.call(&theirs, &call, body).await;
        assert_eq!((got.status, got.code().as_str()), (StatusCode::NOT_FOUND, "not_found"), "{call}");
    }
    for list in ["endpoints", "events", "jobs", "dead-letters", "failures"] {
        let got = api.call(&theirs, &format!("GET /v1/{list}"), "").await.json();
        assert_eq!(got["data"], serde_json::json!([]), "{list}");
    }
    let same = api.call(&theirs, "POST /v1/events", r#"{"type":"b","payload":2,"id":"shared"}"#).await;
    assert_eq!((same.status, &same.json()["deliveries"]), (StatusCode::ACCEPTED, &serde_json::json!(0)));
    let mut named = request(&theirs, "GET /v1/events", "");
    named.headers_mut().insert("postrider-tenant", "ours".parse().unwrap());
    assert_eq!(api.send(named).await.code(), "forbidden");
    let mut unknown = request(ADMIN, "GET /v1/events", "");
    unknown.headers_mut().insert("postrider-tenant", "nobody".parse().unwrap());
    assert_eq!(api.send(unknown).await.code(), "unknown_tenant");
}

#[tokio::test]
async fn a_token_that_calls_too_fast_is_told_when_to_come_back() {
    let api = Api::with(|settings| settings.token_rate_per_second = 2).await;
    for _ in 0..2 {
        assert_eq!(api.admin("GET /v1/events", "").await.status, StatusCode::OK);
    }
    let got = api.admin("GET /v1/events", "").await;
    assert_eq!((got.code().as_str(), &got.headers["retry-after"]), ("too_many_requests", &"1".parse().unwrap()));
}

#[test]
fn a_database_that_does_not_answer_is_503_with_a_time_to_come_back() {
    let mut response = Response::default();
    let problem = Problem::from(StoreError::Closed);
    problem.write("abc", &mut response);
    assert_eq!((problem.code.status().as_u16(), problem.code.as_str()), (503, "unavailable"));
    assert_eq!(response.headers()["retry-after"], "2");
}
