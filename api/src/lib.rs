//! The HTTP API: `/v1`, its OpenAPI document and its health. One file for each resource, each with its `router()`.
//! Knows the store and the queue by their nouns only: no SQL, no Redis, no templates.

mod accept;
mod auth;
mod browser_inbox;
mod context;
mod dead_letters;
mod endpoint_settings;
mod endpoint_test;
mod endpoints;
mod events;
mod failures;
mod header;
mod health;
mod http_request;
mod inbox;
mod inbox_stream;
mod job_list;
mod jobs;
mod json;
mod lanes;
mod metrics;
mod ndjson;
mod notification_preview;
mod notification_types;
mod notifications;
mod openapi;
mod operations;
mod own_object;
mod page;
mod path;
mod portal_link;
mod problem;
mod public_files;
mod publish;
mod recipients;
mod retries;
mod site_alerts;
mod site_files;
mod site_holds;
mod site_import;
mod site_lint;
mod site_media;
mod site_pages;
mod site_publications;
mod site_quarantine;
mod site_settings;
mod sites;
mod state;
mod tenants;
mod tokens;
mod topic_import;
mod topic_subscriptions;
mod topics;
mod trace;
mod wire;

#[cfg(test)]
mod tests;

pub use context::surrounded;
pub use health::{HealthState, health_router};
pub use http_request::CallArguments;
pub use metrics::ApiMetrics;
pub use openapi::router;
pub use public_files::PublicFiles;
pub use state::{ApiParts, ApiSettings, ApiState, IDEMPOTENCY_TTL_DEFAULT, PAYLOAD_BYTES_MAX_DEFAULT};
