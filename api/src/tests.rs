//! The API on a real SQLite file and the embedded queue, without a socket and without workers.

mod calls;
mod refusals;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use postrider_core::{
    dispatch::Dispatcher,
    domain::{Id, UnixMs, egress::EgressPolicy, retry::RetrySchedule},
    queue::{EmbeddedOptions, Queue, QueueGauges},
    store::{Cipher, Store, StoreOptions},
    trace::Tracer,
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tower::ServiceExt;

use crate::{ApiMetrics, ApiParts, ApiSettings, ApiState, HealthState, health_router, router};

pub(crate) const ADMIN: &str = "the-administrators-token";

/// The API over a database of its own, which goes with it.
pub(crate) struct Api {
    pub(crate) router: Router,
    folder: std::path::PathBuf,
}

/// What was answered.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The code of a problem, after its form was checked.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        assert_eq!(json["status"], self.status.as_u16(), "{}", self.text);
        assert_eq!(json["request_id"], self.headers["x-request-id"].to_str().unwrap());
        assert!(json["type"].as_str().unwrap().ends_with(json["code"].as_str().unwrap()));
        json["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        let place = |error: &Value| error["pointer"].as_str().or(error["parameter"].as_str()).unwrap().to_owned();
        errors.iter().map(place).collect()
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("{}", self.text)).to_owned()
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let folder = std::env::temp_dir().join(format!("postrider-api-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open(&StoreOptions {
            url: format!("sqlite://{}", folder.join("db").display()),
            cipher: Cipher::parse(&Cipher::key_text([7; 32])).unwrap(),
            node: "test".into(),
            connections_max: 2,
        })
        .await
        .unwrap();
        let tenant = store.default_tenant(UnixMs::now()).await.unwrap();
        let queue = Queue::embedded(EmbeddedOptions::default()).unwrap();
        let (dispatcher, _offering) = Dispatcher::start(store.clone(), queue.clone());
        let mut settings = settings(tenant.id);
        change(&mut settings);
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        let gauges = QueueGauges::register(&mut registry);
        let health = HealthState { store: store.clone(), queue: queue.clone(), gauges, registry: Arc::new(registry) };
        let storage = postrider_core::site::Storage::new(&folder);
        let public = crate::PublicFiles::new(store.clone(), storage.clone());
        let live = queue.clone();
        let parts = ApiParts {
            notified: postrider_core::notified::Notified::new(store.clone()),
            store,
            queue,
            dispatcher,
            versions: postrider_core::site::Versions::new(storage),
            settings,
            metrics: metrics.clone(),
            tracer: Tracer::default(),
            live: postrider_core::live::Live::new(live),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let router = crate::surrounded(router(ApiState::new(parts)).merge(health_router(health)), public, metrics);
        Self { router, folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Got {
        answer(self.router.clone(), request).await
    }

    /// A call by the holder of `token` with a JSON text, none where it is empty.
    pub(crate) async fn call(&self, token: &str, call: &str, body: &str) -> Got {
        self.send(request(token, call, body)).await
    }

    pub(crate) async fn admin(&self, call: &str, body: &str) -> Got {
        self.call(ADMIN, call, body).await
    }

    /// A new tenant's token of this role.
    pub(crate) async fn token(&self, slug: &str, role: &str) -> String {
        let tenant = format!(r#"{{"slug":"{slug}","name":"{slug}"}}"#);
        let made = self.admin("POST /v1/tenants", &tenant).await;
        assert!([StatusCode::CREATED, StatusCode::CONFLICT].contains(&made.status), "{}", made.text);
        let mut create = request(ADMIN, "POST /v1/tokens", &format!(r#"{{"name":"t","role":"{role}"}}"#));
        create.headers_mut().insert("postrider-tenant", slug.parse().unwrap());
        self.send(create).await.json()["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            println!("{} stays: {error}", self.folder.display());
        }
    }
}

pub(crate) async fn answer(router: Router, request: Request<Body>) -> Got {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

fn settings(tenant: Id<postrider_core::domain::tenant::Tenant>) -> ApiSettings {
    ApiSettings {
        egress: EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressPolicy::default() },
        payload_bytes_max: 1024,
        idempotency_ttl: Duration::from_secs(24 * 3600),
        own_id_ttl: Duration::from_secs(24 * 3600),
        token_rate_per_second: 0,
        admin_token: Some(ADMIN.to_owned()),
        retry_schedule: RetrySchedule::default(),
        administrator_tenant: tenant,
        public_url: None,
        sends_mail: true,
    }
}

pub(crate) fn request(token: &str, call: &str, body: &str) -> Request<Body> {
    let (method, path) = call.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "a");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Body::from(body.to_owned())).unwrap()
}
