//! One trace from publish through every attempt: what a collector is sent by OTLP, and what receivers are told.

use std::{collections::HashMap, time::Instant};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Any, trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};

use crate::harness::{App, Client, Receiver, Recorded, SOON, Script, Stack, eventually, free_port};

on_both_stacks!(
    one_trace_goes_from_publish_through_every_attempt,
    a_trace_begins_where_the_publisher_brought_none,
    without_an_exporter_the_publisher_s_trace_is_passed_on_unchanged,
);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const COLLECTOR: &str = "/v1/traces";

fn given(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans that have come, by the name of each with its number of attempt.
fn spans(collector: &Receiver) -> HashMap<String, Span> {
    let exports = collector.requests(COLLECTOR).into_iter().map(|request| {
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        ExportTraceServiceRequest::decode(request.body.as_slice()).expect("OTLP")
    });
    let scopes = exports.flat_map(|export| export.resource_spans).flat_map(|of_one| {
        let attributes = of_one.resource.expect("a resource").attributes;
        assert!(attributes.iter().any(|one| one.key == "service.name"), "{attributes:?}");
        of_one.scope_spans
    });
    let named = |span: Span| match attribute(&span, "postrider.attempt") {
        Some(Any::IntValue(n)) => (format!("{} {n}", span.name), span),
        _ => (span.name.clone(), span),
    };
    scopes.flat_map(|scope| scope.spans).map(named).collect()
}

fn attribute(span: &Span, key: &str) -> Option<Any> {
    span.attributes.iter().find(|one| one.key == key)?.value.clone()?.value
}

async fn spans_of(collector: &Receiver, count: usize) -> HashMap<String, Span> {
    let what = format!("{count} spans at the collector");
    eventually(&what, SOON, || async { Some(spans(collector)).filter(|spans| spans.len() >= count) }).await
}

/// With a worker of its own where the stack allows, so that the trace goes through SQL from one process to another.
async fn traced_app(stack: Stack, collector: &Receiver) -> Vec<App> {
    let builder = App::builder(stack).env("POSTRIDER_OTLP_URL", collector.url(""));
    match stack {
        Stack::Sqlite => vec![builder.start().await],
        Stack::Postgres => {
            let api = builder.role("api").start().await;
            let worker = api.beside("worker").await;
            vec![api, worker]
        }
    }
}

async fn publish_in(client: &Client, headers: &[(&str, &str)]) {
    let mut call = client.post("/v1/events").json(&json!({ "type": "order.paid", "payload": 1 }));
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.send().await.expect(202);
}

fn told(request: &Recorded) -> (Option<&str>, Option<&str>) {
    let count = request.headers.iter().filter(|(name, _)| name == "traceparent").count();
    assert!(count <= 1, "which of them is the receiver to believe? {:?}", request.headers);
    (request.header("traceparent"), request.header("tracestate"))
}

async fn one_trace_goes_from_publish_through_every_attempt(stack: Stack) {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    receiver.first("/hook", [Script::status(500)], Script::status(200));
    let apps = traced_app(stack, &collector).await;
    let client = &apps[0].client;
    client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [0.2, 0.2] })).await;
    publish_in(client, &[("traceparent", &given("01")), ("tracestate", "congo=t61rcWkgMzE")]).await;
    let requests = receiver.wait_for("/hook", 2, SOON).await;
    let spans = spans_of(&collector, 3).await;
    let (publish, first, second) = (&spans["publish"], &spans["attempt 1"], &spans["attempt 2"]);
    assert_eq!(hex(&publish.parent_span_id), PARENT, "the publisher's span is the parent of publish");
    for (attempt, request) in [first, second].into_iter().zip(&requests) {
        assert_eq!(attempt.parent_span_id, publish.span_id, "publish is the parent of an attempt");
        let of_attempt = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
        assert_eq!(told(request), (Some(of_attempt.as_str()), Some("congo=t61rcWkgMzE")));
    }
    for span in spans.values() {
        assert_eq!((hex(&span.trace_id).as_str(), span.trace_state.as_str()), (TRACE, "congo=t61rcWkgMzE"));
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0, "{span:?}");
    }
    assert_ne!(first.span_id, second.span_id);
    assert!(publish.end_time_unix_nano <= second.start_time_unix_nano, "{publish:?} {second:?}");
    assert_eq!(attribute(first, "http.response.status_code"), Some(Any::IntValue(500)));
    assert_eq!(attribute(first, "postrider.outcome"), Some(Any::StringValue("http_status".to_owned())));
    assert_eq!(first.status.as_ref().map(|status| status.code), Some(2), "the first attempt failed");
    assert_eq!(second.status.as_ref().map_or(0, |status| status.code), 0, "the second did not");
}

async fn a_trace_begins_where_the_publisher_brought_none(stack: Stack) {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    let apps = traced_app(stack, &collector).await;
    let client = &apps[0].client;
    client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    // What cannot be read is as if it had not come, and what came beside it is not read either.
    publish_in(client, &[("traceparent", "00-nonsense"), ("tracestate", "a=1")]).await;
    let request = receiver.wait_for("/hook", 1, SOON).await.remove(0);
    let begun = spans_of(&collector, 2).await;
    let (publish, attempt) = (&begun["publish"], &begun["attempt 1"]);
    assert_eq!(
        (publish.parent_span_id.as_slice(), attempt.trace_id.as_slice()),
        (&[][..], publish.trace_id.as_slice())
    );
    assert_eq!(attempt.parent_span_id, publish.span_id);
    let (parent, state) = told(&request);
    assert!(parent.is_some_and(|parent| parent.contains(&hex(&attempt.span_id))), "{parent:?}");
    assert_eq!(state, None);
    // A trace that its publisher does not record is passed on, and nobody records it here.
    publish_in(client, &[("traceparent", &given("00"))]).await;
    let requests = receiver.wait_for("/hook", 2, SOON).await;
    assert_eq!(told(&requests[1]), (Some(given("00").as_str()), None));
    let job = json!({ "kind": "http.request", "args": { "url": receiver.url("/job"), "method": "GET" } });
    client.post("/v1/jobs").json(&job).send().await.expect(202);
    receiver.wait_for("/job", 1, SOON).await;
    let of_job = || async {
        let spans = spans(&collector);
        let is_job = |span: &Span| {
            attribute(span, "postrider.job.kind") == Some(Any::StringValue("http.request".to_owned()))
                && span.trace_id != publish.trace_id
                && hex(&span.trace_id) != TRACE
        };
        spans.values().any(is_job).then_some(())
    };
    eventually("the job's own trace is at the collector", SOON, of_job).await;
}

async fn without_an_exporter_the_publisher_s_trace_is_passed_on_unchanged(stack: Stack) {
    let receiver = Receiver::start().await;
    let app = App::start(stack).await;
    let client = &app.client;
    receiver.first("/hook", [Script::status(500)], Script::status(200));
    let own = json!({ "retry_schedule_seconds": [0.1] });
    client.create_endpoint(&receiver.url("/hook"), own).await;
    publish_in(client, &[("traceparent", &given("01")), ("tracestate", "a=1"), ("tracestate", "b=2")]).await;
    for request in receiver.wait_for("/hook", 2, SOON).await {
        assert_eq!(told(&request), (Some(given("01").as_str()), Some("a=1,b=2")));
    }
    let job = |headers: Value| {
        json!({ "kind": "http.request",
            "args": { "url": receiver.url("/job"), "method": "POST", "headers": headers } })
    };
    let send = async |headers: Value| {
        let call = client.post("/v1/jobs").json(&job(headers)).header("traceparent", &given("01"));
        call.send().await.expect(202);
    };
    send(json!({})).await;
    assert_eq!(told(&receiver.wait_for("/job", 1, SOON).await[0]), (Some(given("01").as_str()), None));
    // Who sets the header for the receiver means it.
    send(json!({ "Traceparent": "mine" })).await;
    assert_eq!(told(&receiver.wait_for("/job", 2, SOON).await[1]), (Some("mine"), None));
    // An event that was published in no trace is delivered in none.
    receiver.always("/hook", Script::status(200));
    publish_in(client, &[("traceparent", &given("01").to_uppercase()), ("tracestate", "a=1")]).await;
    assert_eq!(told(&receiver.wait_for("/hook", 3, SOON).await[2]), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    const EVENTS: usize = 50;
    let receiver = Receiver::start().await;
    let nobody = format!("http://user:secret-of-collector@127.0.0.1:{}", free_port());
    let app = App::builder(Stack::Sqlite).env("POSTRIDER_OTLP_URL", nobody).start().await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    for n in 0..EVENTS {
        app.client.publish("order.paid", &n.to_string()).await;
    }
    receiver.wait_for("/hook", EVENTS, SOON).await;
    let counted = format!("postrider_trace_spans_dropped_total {}", 2 * EVENTS);
    let dropped = || async {
        let metrics = app.client.get("/metrics").send().await.expect(200).text;
        metrics.lines().any(|line| line == counted).then_some(())
    };
    eventually("every span is counted as dropped", SOON, dropped).await;
    let log = app.log();
    assert_eq!(log.matches("does not take traces").count(), 1, "{log}");
    assert!(!log.contains("secret-of-collector"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_holds_up_neither_deliveries_nor_the_end() {
    const EVENTS: usize = 50;
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    collector.always(COLLECTOR, Script::Hang);
    let mut app = App::builder(Stack::Sqlite).env("POSTRIDER_OTLP_URL", collector.url("")).start().await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.client.publish("order.paid", "0").await;
    collector.wait_for(COLLECTOR, 1, SOON).await;
    let began = Instant::now();
    for n in 1..EVENTS {
        app.client.publish("order.paid", &n.to_string()).await;
    }
    receiver.wait_for("/hook", EVENTS, SOON).await;
    let took = began.elapsed();
    assert!(collector.requests(COLLECTOR).len() <= 1 + usize::try_from(took.as_secs()).unwrap() / 5, "{took:?}");
    assert!(app.terminate().await.success());
}
