//! Exports spans by OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>) while work goes on. A collector
//! that is slow or away costs spans, which are counted, and nothing else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status, span::SpanKind, status::StatusCode},
};
use postrider_core::{
    config::Settings,
    trace::{Attribute, Side, Span, Tracer},
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use prost::Message;
use reqwest::{Url, redirect};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::first_start;

/// Spans of one request.
const BATCH: usize = 512;
/// How long a span waits for others to share its request.
const GATHER: Duration = Duration::from_secs(1);
/// A collector that takes longer is given up with the spans of that request.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(2);
/// Where a collector takes traces, when the setting names no path.
const PATH: &str = "/v1/traces";

/// The exporter's task. It ends once nobody is left who makes spans.
pub(crate) struct Exporting(JoinHandle<()>);

impl Exporting {
    /// Waits for the last spans, a little.
    pub(crate) async fn end(self) {
        let Self(mut task) = self;
        if timeout(LAST, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// The tracer that the settings ask for, and its exporter where there is one.
pub(crate) fn start(settings: &Settings, registry: &mut Registry) -> anyhow::Result<(Tracer, Option<Exporting>)> {
    let Some(url) = &settings.otlp_url else { return Ok((Tracer::default(), None)) };
    let mut url: Url = url.parse().context("the setting otlp_url is (hidden), which is not a URL")?;
    if url.path() == "/" {
        url.set_path(PATH);
    }
    let (tracer, spans, dropped) = Tracer::recording(settings.trace_ratio, registry);
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).redirect(redirect::Policy::none()).build()?;
    let exporter = Exporter { http, url, resource: resource(), dropped, outage: false };
    Ok((tracer, Some(Exporting(tokio::spawn(exporter.run(spans))))))
}

struct Exporter {
    http: reqwest::Client,
    url: Url,
    resource: Resource,
    dropped: Counter,
    /// The last request failed: only the first and the end of such a time are logged.
    outage: bool,
}

impl Exporter {
    async fn run(mut self, mut spans: mpsc::Receiver<Span>) {
        let mut batch = Vec::with_capacity(BATCH);
        // Nothing wakes it while there is nothing to export.
        while spans.recv_many(&mut batch, BATCH).await > 0 {
            let gathering = async { while batch.len() < BATCH && spans.recv_many(&mut batch, BATCH).await > 0 {} };
            // What has come by then goes; a span that was received is in the batch.
            drop(timeout(GATHER, gathering).await);
            let count = batch.len() as u64;
            let sent = self.send(batch.drain(..).map(span).collect()).await;
            self.note(count, sent);
        }
    }

    async fn send(&self, spans: Vec<otlp::Span>) -> Result<(), reqwest::Error> {
        let scope = InstrumentationScope {
            name: "postrider".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let of_scope = ScopeSpans { scope: Some(scope), spans, schema_url: String::new() };
        let of_resource = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![of_scope],
            schema_url: String::new(),
        };
        let body = ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec();
        let request = self.http.post(self.url.clone()).header("content-type", "application/x-protobuf").body(body);
        request.send().await?.error_for_status().map(drop)
    }

    fn note(&mut self, spans: u64, sent: Result<(), reqwest::Error>) {
        match sent {
            Ok(()) if self.outage => tracing::info!("the collector takes traces again"),
            Ok(()) => {}
            Err(error) => {
                self.dropped.inc_by(spans);
                if !self.outage {
                    // The URL may hold a password.
                    let error = error.without_url();
                    tracing::warn!(%error, "the collector (setting otlp_url) does not take traces; they are dropped");
                }
                self.outage = true;
                return;
            }
        }
        self.outage = false;
    }
}

fn resource() -> Resource {
    let attributes = vec![
        text("service.name", "postrider"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", format!("{}-{}", first_start::host(), std::process::id())),
        text("host.name", first_start::host()),
    ];
    Resource { attributes, ..Resource::default() }
}

fn span(span: Span) -> otlp::Span {
    let Span { context, parent, began, ended, told } = span;
    let kind = match told.side {
        Side::Server => SpanKind::Server,
        Side::Client => SpanKind::Client,
    };
    let status = told.error.map(|message| Status { message, code: StatusCode::Error.into() });
    let attribute = |(key, value)| match value {
        Attribute::Text(value) => text(key, value),
        Attribute::Number(value) => key_value(key, Value::IntValue(value)),
    };
    otlp::Span {
        trace_id: context.trace.bytes().to_vec(),
        span_id: context.span.bytes().to_vec(),
        trace_state: context.state_header().unwrap_or_default().to_owned(),
        parent_span_id: parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        flags: context.flags().into(),
        name: told.name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(began),
        end_time_unix_nano: nanos(ended),
        attributes: told.attributes.into_iter().map(attribute).collect(),
        status,
        ..otlp::Span::default()
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    key_value(key, Value::StringValue(value.into()))
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
