//! The operators' pages: what fails, why, and what to do about it. Rendered here, whole without a script. Knows the store
//! and the queue by their nouns: no SQL text, no HTTP client.

mod again;
mod assets;
mod attempts;
mod audit;
mod body;
mod bulk;
mod call_arguments;
mod change;
mod chart;
mod dead_letter;
mod dead_letters;
mod diagram;
mod edit;
mod endpoint;
mod endpoint_acts;
mod endpoint_form;
mod endpoint_test;
mod endpoints;
mod event;
mod events;
mod exchange;
mod export;
mod failures;
mod faults;
mod fields;
mod filter_form;
mod filters;
mod headers;
mod health;
mod how;
mod job;
mod jobs;
mod lane_label;
mod lanes;
mod lineage;
mod live;
mod moment;
mod notification;
mod notification_preview;
mod notification_recipient;
mod notification_types;
mod notifications;
mod nowhere;
mod once;
mod operation_links;
mod operations;
mod overview;
mod page;
mod pager;
mod password;
mod portal;
mod portal_acts;
mod portal_refusal;
mod portal_visit;
mod queue_now;
mod receipt;
mod recipient;
mod recipients;
mod refusal;
mod secret_once;
mod session;
mod settings;
mod shell;
mod sign_in;
mod site_files;
mod site_holds;
mod site_media;
mod site_quarantine;
mod sites;
mod spark;
mod subject;
mod suppressions;
mod throttle;
mod tokens;
mod topics;
mod users;
mod visit;
mod workers;

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn, map_response},
    response::Redirect,
    routing::{any, get},
};
use ipnet::IpNet;
use postrider_core::{
    config::InForce,
    dispatch::Dispatcher,
    domain::{egress::EgressPolicy, redaction::Redaction, retry::RetrySchedule},
    notified::Notified,
    queue::Queue,
    site::Versions,
    store::{Store, StoreError},
};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

pub use self::{
    call_arguments::CallRules,
    nowhere::surrounded,
    password::{HashError, password_hash},
    session::origin_of,
};
use self::{
    page::Refusal, password::Passwords, portal_refusal::PortalRefusal, portal_visit::Guest, throttle::Throttle,
    visit::Visit,
};

/// What the pages are made of.
#[derive(Debug)]
pub struct DashboardParts {
    pub store: Store,
    pub queue: Queue,
    pub dispatcher: Dispatcher,
    pub versions: Versions,
    pub settings: DashboardSettings,
    /// Ends what would not end by itself.
    pub stop: CancellationToken,
}

#[derive(Debug)]
pub struct DashboardSettings {
    /// Browsers reach it over https.
    pub tls: bool,
    /// The origin that browsers use, by [`origin_of`].
    pub public_origin: Option<String>,
    /// Who is believed where a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say who is signed in.
    pub proxy_user_header: Option<String>,
    /// What viewers do not see of payloads.
    pub redaction: Redaction,
    /// Bytes of a payload that replaces another.
    pub payload_bytes_max: usize,
    /// What endpoints' addresses may name.
    pub egress: EgressPolicy,
    /// Of endpoints that bring none.
    pub retry_schedule: RetrySchedule,
    /// Of arguments of calls.
    pub calls: Arc<dyn CallRules>,
    /// All settings, to be shown.
    pub in_force: Vec<InForce>,
}

/// What every page has at hand.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard {
    store: Store,
    queue: Queue,
    dispatcher: Dispatcher,
    versions: Versions,
    notified: Notified,
    settings: Arc<DashboardSettings>,
    passwords: Passwords,
    throttle: Throttle,
    /// Pages that are kept up to date.
    streams: live::Streams,
    stop: CancellationToken,
}

/// The pages below `/`.
///
/// # Errors
/// When the machine does not give the memory that hashing a password takes.
pub fn router(parts: DashboardParts) -> Result<Router, HashError> {
    let DashboardParts { store, queue, dispatcher, versions, settings, stop } = parts;
    let dashboard = Dashboard {
        notified: Notified::new(store.clone()),
        store,
        queue,
        dispatcher,
        versions,
        settings: Arc::new(settings),
        passwords: Passwords::new()?,
        throttle: Throttle::default(),
        streams: live::Streams::default(),
        stop,
    };
    let tenant = Router::new()
        .merge(overview::router())
        .merge(failures::router())
        .merge(dead_letters::router())
        .merge(dead_letter::router())
        .merge(jobs::router())
        .merge(endpoints::router())
        .merge(endpoint::router())
        .merge(endpoint_acts::router())
        .merge(endpoint_test::router())
        .merge(job::router())
        .merge(lanes::router())
        .merge(workers::router())
        .merge(bulk::router())
        .merge(edit::router())
        .merge(export::router())
        .merge(sites::router())
        .merge(site_files::router())
        .merge(site_holds::router())
        .merge(site_media::router())
        .merge(site_quarantine::router())
        .merge(notifications::router())
        .merge(notification::router())
        .merge(notification_recipient::router())
        .merge(notification_types::router())
        .merge(notification_preview::router())
        .merge(recipients::router())
        .merge(recipient::router())
        .merge(suppressions::router())
        .merge(topics::router())
        .merge(operations::router())
        .merge(events::router())
        .merge(event::router())
        .merge(audit::router())
        .merge(users::router())
        .merge(tokens::router())
        .merge(settings::router())
        .merge(live::router())
        .fallback(async |_: Visit| Refusal::NotFound("page"))
        .method_not_allowed_fallback(async |_: Visit| Refusal::OnlyForms)
        .layer(from_fn(refusal::within_layout));
    let portal = Router::new()
        .merge(portal::router())
        .merge(portal_acts::router())
        .merge(endpoint_test::portal_router())
        .route("/portal/{*rest}", any(async |_: Guest| PortalRefusal::from(Refusal::NotFound("page"))))
        .method_not_allowed_fallback(async |_: Guest| PortalRefusal::from(Refusal::OnlyForms))
        .layer(from_fn(portal_refusal::within_layout));
    let pages = Router::new()
        .route("/", get(async || Redirect::to("/t")))
        .merge(sign_in::router())
        .merge(assets::router())
        .nest("/t/{tenant}", tenant)
        .merge(portal)
        .layer(CompressionLayer::new())
        .layer(map_response(headers::guard));
    Ok(pages.with_state(dashboard))
}

/// Where the first user is made, by whoever reads the log that shows it.
///
/// # Errors
/// When the database does not answer.
pub async fn welcome_path(store: &Store) -> Result<String, StoreError> {
    Ok(format!("/welcome?key={}", store.first_user_key().await?))
}
