//! The API's own description: whole, and readable without anything from elsewhere.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Stack};

/// Every call of the HTTP contract.
const CALLS: [&str; 83] = [
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
    "get /v1/lanes",
    "get /v1/lanes/{name}",
    "patch /v1/lanes/{name}",
    "post /v1/lanes/{name}/pause",
    "post /v1/lanes/{name}/resume",
    "get /v1/dead-letters",
    "get /v1/dead-letters/{id}",
    "post /v1/dead-letters/{id}/replay",
    "post /v1/dead-letters/{id}/discard",
    "post /v1/dead-letters/replay",
    "get /v1/operations/{id}",
    "post /v1/operations/{id}/cancel",
    "get /v1/failures",
    "post /v1/sites",
    "get /v1/sites",
    "get /v1/sites/{site}",
    "put /v1/sites/{site}",
    "delete /v1/sites/{site}",
    "post /v1/sites/{site}/regenerate",
    "get /v1/sites/{site}/files",
    "get /v1/sites/{site}/files/{locale}/{name}/changes",
    "post /v1/sites/{site}/confirm",
    "put /v1/sites/{site}/pages/{key}",
    "get /v1/sites/{site}/pages/{key}",
    "delete /v1/sites/{site}/pages/{key}",
    "delete /v1/sites/{site}/pages/{key}/translations/{locale}",
    "post /v1/sites/{site}/pages/batch",
    "post /v1/sites/{site}/pages/import",
    "put /v1/recipients/{key}",
    "get /v1/recipients/{key}",
    "delete /v1/recipients/{key}",
    "get /v1/recipients",
    "post /v1/recipients/batch",
    "get /v1/recipients/{key}/topics",
    "put /v1/topics/{key}",
    "get /v1/topics/{key}",
    "delete /v1/topics/{key}",
    "get /v1/topics",
    "put /v1/topics/{key}/subscriptions/{recipient}",
    "delete /v1/topics/{key}/subscriptions/{recipient}",
    "get /v1/topics/{key}/subscriptions",
    "post /v1/topics/{key}/subscriptions/batch",
    "post /v1/topics/{key}/subscriptions/import",
    "put /v1/notification-types/{key}",
    "get /v1/notification-types/{key}",
    "delete /v1/notification-types/{key}",
    "get /v1/notification-types",
    "post /v1/notification-types/{key}/preview",
    "post /v1/notification-types/preview",
    "get /v1/push",
    "put /v1/push",
    "get /v1/recipients/{key}/push-subscriptions",
    "post /v1/recipients/{key}/push-subscriptions",
    "delete /v1/recipients/{key}/push-subscriptions/{id}",
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
async fn an_endpoint_is_created_with_a_url_and_changed_without_a_secret() {
    let app = App::start(Stack::Sqlite).await;
    let document = app.client.get("/openapi.json").without_token().send().await.expect(200);
    let (create, patch) = (
        body_schema(&document.body, "/paths/~1v1~1endpoints/post"),
        body_schema(&document.body, "/paths/~1v1~1endpoints~1{id}/patch"),
    );
    assert_eq!(create["required"], json!(["url"]));
    assert_eq!(patch.get("required"), None);
    let names = |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected: Vec<String> = names(&create).into_iter().filter(|name| name != "secret").collect();
    assert_eq!(names(&patch), expected, "a secret is changed by a rotation");
    // What the document says of null is what the calls do.
    let url = "https://example.com/hook";
    let made = app.client.create_endpoint(url, json!({ "rate_per_second": 5 })).await;
    for name in names(&create).iter().filter(|name| *name != "url") {
        app.client.create_endpoint(url, json!({ name: null })).await;
        if name != "secret" {
            let change = app.client.patch(&format!("/v1/endpoints/{}", made.id)).json(&json!({ name: null }));
            assert_eq!(change.send().await.expect(200).body["url"], url, "{name}");
        }
        assert!(may_be_null(&create["properties"][name]), "{name} may be null: {create}");
        assert_eq!(create["properties"][name].get("default"), None, "{name} is unchanged where it is absent");
    }
    for schema in [&create, &patch] {
        assert!(!may_be_null(&schema["properties"]["url"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_may_be_any_json_and_is_shown_as_it_was_published() {
    let app = App::start(Stack::Sqlite).await;
    let document = app.client.get("/openapi.json").without_token().send().await.expect(200);
    let schemas = &document.body["components"]["schemas"];
    for (name, required) in [("NewEvent", true), ("Event", false), ("DeadLetter", false), ("ReplayDeadLetter", false)] {
        let schema = &schemas[name];
        let payload = schema["properties"]["payload"].as_object().unwrap_or_else(|| panic!("{name}: {schema}"));
        let words: Vec<&str> = payload.keys().map(String::as_str).collect();
        assert_eq!(words, ["description"], "nothing but words, so that anything is valid: {name} {payload:?}");
        let listed = schema["required"].as_array().is_some_and(|names| names.contains(&json!("payload")));
        assert_eq!(listed, required, "{name}: {schema}");
    }
    for payload in ["null", "true", "1.50", r#""text""#, "[1,2]", r#"{"a":1}"#] {
        let id = app.client.publish("a.b", payload).await;
        let shown = app.client.get(&format!("/v1/events/{id}")).send().await.expect(200);
        assert!(shown.text.contains(&format!(r#""payload":{payload}"#)), "{}", shown.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_object_within_a_body_may_be_a_list() {
    let app = App::start(Stack::Sqlite).await;
    let document = app.client.get("/openapi.json").without_token().send().await.expect(200);
    let made = app.client.create_endpoint("https://example.com/", json!({})).await;
    app.client.call(Method::PUT, "/v1/recipients/ada").json(&json!({})).send().await.expect(201);
    let token = app.client.post("/v1/recipients/ada/inbox/token").send().await.expect(201).string("/token");
    let paths = document.body["paths"].as_object().unwrap();
    let mut tried = Vec::new();
    for (path, method) in paths.keys().flat_map(|path| ["post", "patch"].map(|method| (path, method))) {
        let pointer = format!("/paths/{}/{method}", path.replace('/', "~1"));
        if document.body.pointer(&format!("{pointer}/requestBody/content/application~1json")).is_none() {
            continue;
        }
        let schema = body_schema(&document.body, &pointer);
        for (name, property) in schema["properties"].as_object().unwrap() {
            if !is_an_object(&document.body, property) {
                continue;
            }
            let mut body = json!({ name: ["a list of members"] });
            if path == "/v1/jobs" {
                body["kind"] = json!("http.request");
            }
            let path = path.replace("{id}", &made.id);
            let call = app.client.call(method.to_uppercase().parse().unwrap(), &path).json(&body);
            let call = if path.starts_with("/v1/inbox/") { call.token(&token) } else { call };
            let refused = call.send().await.expect_problem(422, "invalid_body");
            let fault = &refused.body["errors"][0];
            assert_eq!(fault["pointer"], format!("/{name}"), "{method} {path}: {}", refused.text);
            assert!(fault["detail"].as_str().unwrap().contains("expected an object"), "{}", refused.text);
            tried.push(format!("{method} {path} {name}"));
        }
    }
    for known in ["post /v1/dead-letters/replay filter", "post /v1/jobs args", "post /v1/endpoints retry_backoff"] {
        assert!(tried.iter().any(|one| one == known), "{known} is not among {tried:?}");
    }
}

/// The schema of a call's body, which stands by its name among the components.
fn body_schema(document: &Value, operation: &str) -> Value {
    let place = format!("{operation}/requestBody/content/application~1json/schema");
    let schema = document.pointer(&place).unwrap_or_else(|| panic!("no {place}"));
    named(document, schema).unwrap_or_else(|| schema.clone())
}

fn named(document: &Value, schema: &Value) -> Option<Value> {
    schema["$ref"].as_str().map(|name| document.pointer(name.trim_start_matches('#')).expect("a schema").clone())
}

/// Whether it is a schema by name, or its own or null, whose value is an object with known members.
fn is_an_object(document: &Value, property: &Value) -> bool {
    let among = property["oneOf"].as_array().into_iter().flatten();
    among.chain([property]).filter_map(|one| named(document, one)).any(|schema| schema["properties"].is_object())
}

fn may_be_null(property: &Value) -> bool {
    let types = property["type"].as_array().into_iter().flatten();
    let among = property["oneOf"].as_array().into_iter().flatten();
    types.chain(among.map(|one| &one["type"])).any(|one| one == "null")
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
