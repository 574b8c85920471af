//! The API's own description: whole, and readable without anything from elsewhere.

use std::collections::HashSet;

use serde_json::Value;

use crate::harness::{App, Stack};

/// Every call of the HTTP contract.
const CALLS: [&str; 37] = [
    "post /v1/tenants",
    "get /v1/tenants",
    "post /v1/tokens",
    "get /v1/tokens",
    "delete /v1/tokens/{id}",
    "post /v1/endpoints",
    "get /v1/endpoints",
    "get /v1/endpoints/{id}",
    "patch /v1/endpoints/{id}",
    "delete /v1/endpoints/{id}",
    "post /v1/endpoints/{id}/pause",
    "post /v1/endpoints/{id}/resume",
    "post /v1/endpoints/{id}/test",
    "post /v1/endpoints/{id}/rotate-secret",
    "post /v1/endpoints/{id}/recover",
    "post /v1/events",
    "get /v1/events",
    "post /v1/events/batch",
    "get /v1/events/{id}",
    "post /v1/events/{id}/replay",
    "post /v1/jobs",
    "get /v1/jobs",
    "get /v1/jobs/{id}",
    "post /v1/jobs/{id}/cancel",
    "post /v1/jobs/{id}/run-now",
    "get /v1/dead-letters",
    "get /v1/dead-letters/{id}",
    "post /v1/dead-letters/{id}/replay",
    "post /v1/dead-letters/{id}/discard",
    "post /v1/dead-letters/replay",
    "get /v1/operations/{id}",
    "post /v1/operations/{id}/cancel",
    "get /v1/failures",
    "get /healthz",
    "get /readyz",
    "get /metrics",
    "get /docs",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_has_every_call_under_an_id_of_its_own() {
    let app = App::start(Stack::Sqlite).await;
    let document = app.client.get("/openapi.json").without_token().send().await.expect(200);
    assert!(document.string("/openapi").starts_with("3."), "{}", document.string("/openapi"));
    let paths = document.body["paths"].as_object().expect("paths");
    for call in CALLS.iter().filter(|call| call.contains("/v1/")) {
        let (method, path) = call.split_once(' ').unwrap();
        assert!(paths.get(path).is_some_and(|item| item.get(method).is_some()), "{call} is not described");
    }
    let operations = paths.values().flat_map(|item| item.as_object().expect("a path").values());
    let mut ids = HashSet::new();
    for operation in operations.filter_map(|operation| operation.get("operationId")).filter_map(Value::as_str) {
        assert!(ids.insert(operation), "the operation id {operation} is there twice");
    }
    assert!(ids.len() >= CALLS.iter().filter(|call| call.contains("/v1/")).count(), "an operation has no id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_document_refers_to_is_in_it() {
    let app = App::start(Stack::Sqlite).await;
    let document = app.client.get("/openapi.json").without_token().send().await.expect(200);
    for part in document.text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.body.pointer(pointer).is_some(), "{pointer} is referred to and not there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_contract_is_served() {
    let app = App::start(Stack::Sqlite).await;
    for call in CALLS {
        let (method, path) = call.split_once(' ').unwrap();
        let method = method.to_uppercase().parse().unwrap();
        let answer = app.client.call(method, path).without_token().send().await;
        let expected = if path.starts_with("/v1/") { 401 } else { 200 };
        assert_eq!(answer.status, expected, "{call}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_api_loads_nothing_from_elsewhere() {
    let app = App::start(Stack::Sqlite).await;
    let page = app.client.get("/docs").without_token().send().await.expect(200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    for loading in ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "url(http", "@import", "fetch(\"http"] {
        assert!(!page.text.contains(loading), "the page has {loading}");
    }
    assert!(page.text.contains("/openapi.json"), "the page shows the document");
}
