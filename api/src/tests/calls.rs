//! What the calls do when all is well.

use axum::http::StatusCode;
use serde_json::json;

use super::{ADMIN, Api, answer, request};

#[tokio::test]
async fn an_event_is_accepted_for_the_endpoints_that_want_it_and_its_payload_is_kept_as_it_came() {
    let api = Api::start().await;
    for types in [r#"["invoice.*"]"#, r#"["user.made"]"#, "[]"] {
        let body = format!(r#"{{"url":"https://example.com/hook","event_types":{types}}}"#);
        let made = api.admin("POST /v1/endpoints", &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        assert!(made.json()["secret"].as_str().unwrap().starts_with("whsec_"));
    }
    let payload = r#"{ "b":1.10, "a" : 1E+2,"n":[ 12345678901234567890123 ] }"#;
    let published = api.admin("POST /v1/events", &format!(r#"{{"type":"invoice.paid","payload":{payload}}}"#)).await;
    assert_eq!(published.status, StatusCode::ACCEPTED, "{}", published.text);
    assert_eq!(published.json()["deliveries"], 2);
    let shown = api.admin(&format!("GET /v1/events/{}", published.id()), "").await;
    assert!(shown.text.contains(payload), "{}", shown.text);
    assert_eq!(shown.json()["deliveries"].as_array().unwrap().len(), 2);
    assert_eq!(shown.json()["deliveries"][0]["state"], "queued");
}

#[tokio::test]
async fn a_batch_answers_for_each_event_in_its_order() {
    let api = Api::start().await;
    let long = "x".repeat(2000);
    let events = json!({"events": [
        {"type": "a.b", "payload": null},
        {"type": "A B", "payload": 1},
        {"type": "a.b", "payload": 1, "id": "mine"},
        {"type": "a.b", "payload": 2, "id": "mine"},
        {"type": "a.b", "payload": 1, "id": "mine"},
        {"type": "a.b", "payload": 1, "colour": "red"},
        {"type": "a.b", "payload": long},
        7,
    ]});
    let got = api.admin("POST /v1/events/batch", &events.to_string()).await;
    assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text);
    let data = got.json()["data"].as_array().unwrap().clone();
    let statuses: Vec<u64> = data.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 422, 202, 409, 202, 422, 413, 422]);
    assert_eq!(data[1]["error"]["errors"][0]["pointer"], "/events/1/type");
    assert_eq!(data[5]["error"]["errors"][0]["pointer"], "/events/5/colour");
    assert_eq!(data[6]["error"]["errors"][0]["pointer"], "/events/6/payload");
    assert_eq!(data[7]["error"]["errors"][0]["pointer"], "/events/7");
    assert_eq!(data[4]["id"], "mine");
    assert_eq!(data[4]["replayed"], true);
    assert_eq!(api.admin("GET /v1/events", "").await.json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_key_a_hundred_times_at_once_makes_one_event() {
    let api = Api::start().await;
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut publish = request(ADMIN, "POST /v1/events", r#"{"type":"a","payload":1}"#);
        publish.headers_mut().insert("idempotency-key", "once".parse().unwrap());
        sending.spawn(answer(api.router.clone(), publish));
    }
    let mut answers = Vec::new();
    for got in sending.join_all().await {
        assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text);
        answers.push((got.text.clone(), got.headers.get("idempotent-replayed").is_some()));
    }
    assert!(answers.iter().all(|(text, _)| *text == answers[0].0));
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    let mut other = request(ADMIN, "POST /v1/events", r#"{"type":"a","payload":2}"#);
    other.headers_mut().insert("idempotency-key", "once".parse().unwrap());
    let got = api.send(other).await;
    assert_eq!((got.status, got.code().as_str()), (StatusCode::CONFLICT, "idempotency_conflict"));
}

#[tokio::test]
async fn an_events_own_id_is_accepted_once() {
    let api = Api::start().await;
    let first = api.admin("POST /v1/events", r#"{"type":"a","payload":1,"id":"order-7"}"#).await;
    assert_eq!(first.id(), "order-7");
    let again = api.admin("POST /v1/events", r#"{"payload":1,"id":"order-7","type":"a"}"#).await;
    assert_eq!(
        (again.text.as_str(), &again.headers["idempotent-replayed"]),
        (first.text.as_str(), &"true".parse().unwrap())
    );
    let other = api.admin("POST /v1/events", r#"{"type":"a","payload":2,"id":"order-7"}"#).await;
    assert_eq!(other.code(), "idempotency_conflict");
    assert_eq!(api.admin("GET /v1/events/order-7", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_list_is_paged_without_gaps_or_repeats() {
    let api = Api::start().await;
    for n in 0..7 {
        api.admin("POST /v1/events", &format!(r#"{{"type":"a","payload":{n}}}"#)).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.admin(&format!("GET /v1/events?limit=3{cursor}"), "").await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((seen.len(), sorted), (7, seen));
}

#[tokio::test]
async fn a_change_leaves_what_is_absent_and_resets_what_is_null() {
    let api = Api::start().await;
    let body = r#"{"url":"http://127.0.0.1:9999/x","rate_per_second":5,"description":"d","headers":{"X-A":"1"}}"#;
    let endpoint = api.admin("POST /v1/endpoints", body).await.id();
    let path = format!("/v1/endpoints/{endpoint}");
    let got = api.admin(&format!("PATCH {path}"), r#"{"rate_per_second":null,"ordered":true}"#).await.json();
    assert_eq!((&got["rate_per_second"], &got["ordered"]), (&json!(null), &json!(true)));
    assert_eq!((&got["description"], &got["headers"]), (&json!("d"), &json!({"X-A": "1"})));
    assert!(got.get("secret").is_none());
    assert_eq!(api.admin(&format!("POST {path}/pause"), "").await.json()["state"], "paused");
    assert_eq!(api.admin(&format!("POST {path}/test"), "").await.code(), "endpoint_not_active");
    assert_eq!(api.admin("POST /v1/events", r#"{"type":"a","payload":1}"#).await.json()["deliveries"], 1);
    assert_eq!(api.admin(&format!("POST {path}/resume"), "").await.json()["state"], "active");
    let rotated = api.admin(&format!("POST {path}/rotate-secret"), r#"{"grace_seconds":60}"#).await;
    assert!(rotated.json()["secret"].as_str().unwrap().starts_with("whsec_"), "{}", rotated.text);
    let recovery = api.admin(&format!("POST {path}/recover"), r#"{"since":"2020-01-01T00:00:00Z"}"#).await;
    assert_eq!(recovery.status, StatusCode::ACCEPTED, "{}", recovery.text);
    let operation = format!("/v1/operations/{}", recovery.id());
    assert_eq!(api.admin(&format!("GET {operation}"), "").await.json()["kind"], "recover_endpoint");
    assert_eq!(api.admin(&format!("POST {operation}/cancel"), "").await.json()["state"], "cancelled");
    assert_eq!(api.admin(&format!("POST {operation}/cancel"), "").await.code(), "operation_finished");
    assert_eq!(api.admin(&format!("DELETE {path}"), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.admin(&format!("GET {path}"), "").await.code(), "not_found");
}

#[tokio::test]
async fn a_job_is_made_shown_hurried_and_cancelled() {
    let api = Api::start().await;
    let body = json!({"kind": "http.request", "unique_key": "k", "run_at": "2099-01-01T00:00:00Z",
        "args": {"method": "post", "url": "https://example.com/a", "headers": {"X-A": "1"}, "body": "hi"}});
    let far = api.admin("POST /v1/jobs", &body.to_string()).await;
    assert_eq!(far.pointers(), ["/run_at"]);
    let mut body = body;
    body["run_at"] = json!(postrider_core::domain::UnixMs::now() + std::time::Duration::from_secs(60));
    let made = api.admin("POST /v1/jobs", &body.to_string()).await;
    assert_eq!((made.status, &made.json()["existing"]), (StatusCode::ACCEPTED, &json!(false)));
    assert_eq!(made.json()["lane"], "host:example.com");
    let again = api.admin("POST /v1/jobs", &body.to_string()).await;
    assert_eq!((again.id(), &again.json()["existing"]), (made.id(), &json!(true)));
    let path = format!("/v1/jobs/{}", made.id());
    let shown = api.admin(&format!("GET {path}"), "").await.json();
    assert_eq!((&shown["state"], &shown["attempts"]), (&json!("scheduled"), &json!([])));
    assert_eq!((&shown["args"]["method"], &shown["args"]["headers"]["X-A"]), (&json!("POST"), &json!("1")));
    assert_eq!(api.admin(&format!("POST {path}/run-now"), "").await.json()["state"], "queued");
    assert_eq!(api.admin("GET /v1/jobs?state=queued", "").await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(api.admin(&format!("POST {path}/cancel"), "").await.json()["state"], "cancelled");
    assert_eq!(api.admin(&format!("POST {path}/cancel"), "").await.code(), "job_finished");
    assert_eq!(api.admin("GET /v1/jobs?state=running", "").await.json()["data"], json!([]));
}

#[tokio::test]
async fn the_document_lists_every_call_with_an_id_of_its_own() {
    let api = Api::start().await;
    let document = api.call("", "GET /openapi.json", "").await.json();
    let paths = document["paths"].as_object().unwrap();
    let operations: Vec<&str> = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let mut unique = operations.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), operations.len(), "{operations:?}");
    assert_eq!(operations.len(), 114);
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not defined");
    }
    let docs = api.call("", "GET /docs", "").await.text;
    assert!(!docs.contains("http://") && !docs.contains("https://"));
    assert_eq!(api.call("", "GET /readyz", "").await.json()["status"], "ok");
    api.admin("POST /v1/events", r#"{"type":"a","payload":1}"#).await;
    let metrics = api.call("", "GET /metrics", "").await.text;
    assert!(metrics.contains("postrider_events_accepted_total 1"), "{metrics}");
    assert!(metrics.contains("postrider_http_requests_total{status=\"2xx\"}"), "{metrics}");
}
