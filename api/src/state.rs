//! What every handler stands on, and the settings that bound it.

use std::{fmt, sync::Arc, time::Duration};

use postrider_core::{
    dispatch::Dispatcher,
    domain::{Id, egress::EgressPolicy, retry::RetrySchedule, tenant::Tenant},
    live::Live,
    notified::Notified,
    queue::Queue,
    site::Versions,
    store::Store,
    trace::Tracer,
};

use tokio_util::sync::CancellationToken;

use crate::{auth::Gatekeeper, metrics::ApiMetrics};

/// A payload's bytes at most, when nobody says otherwise.
pub const PAYLOAD_BYTES_MAX_DEFAULT: usize = 256 * 1024;
/// How long an `Idempotency-Key` is kept at least.
pub const IDEMPOTENCY_TTL_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// How far ahead an event or job may be scheduled.
pub(crate) const SCHEDULE_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The API's settings.
#[derive(Clone)]
pub struct ApiSettings {
    /// What URLs of endpoints and jobs may name.
    pub egress: EgressPolicy,
    pub payload_bytes_max: usize,
    /// How long an `Idempotency-Key` is kept.
    pub idempotency_ttl: Duration,
    /// How long an event's own id is kept: as long as events are.
    pub own_id_ttl: Duration,
    /// Requests of one token in one second; 0 for no limit.
    pub token_rate_per_second: u32,
    /// The administrator's token, where the configuration names one.
    pub admin_token: Option<String>,
    /// Of endpoints and jobs that bring none.
    pub retry_schedule: RetrySchedule,
    /// The tenant that the administrator acts for when no other is named: `default`.
    pub administrator_tenant: Id<Tenant>,
    /// Where browsers reach the dashboard; `None`: where callers reach this.
    pub public_url: Option<String>,
    /// Whether a mail server is set, so that people can be told by e-mail.
    pub sends_mail: bool,
}

impl fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiSettings")
            .field("egress", &self.egress)
            .field("payload_bytes_max", &self.payload_bytes_max)
            .field("token_rate_per_second", &self.token_rate_per_second)
            .finish_non_exhaustive()
    }
}

/// What an [`ApiState`] is made of.
#[derive(Debug)]
pub struct ApiParts {
    pub store: Store,
    pub queue: Queue,
    pub dispatcher: Dispatcher,
    pub versions: Versions,
    pub settings: ApiSettings,
    pub metrics: ApiMetrics,
    pub tracer: Tracer,
    pub live: Live,
    pub notified: Notified,
    /// When the process is to end: streams end then.
    pub stop: CancellationToken,
}

/// What every handler stands on. Clones share it.
#[derive(Clone, Debug)]
pub struct ApiState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: ApiParts,
    gatekeeper: Gatekeeper,
}

impl ApiState {
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        let settings = &parts.settings;
        let gatekeeper = Gatekeeper::new(settings.admin_token.as_deref(), settings.token_rate_per_second);
        Self(Arc::new(Inner { parts, gatekeeper }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.parts.queue
    }

    pub(crate) fn versions(&self) -> &Versions {
        &self.0.parts.versions
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.0.parts.dispatcher
    }

    pub(crate) fn settings(&self) -> &ApiSettings {
        &self.0.parts.settings
    }

    pub(crate) fn metrics(&self) -> &ApiMetrics {
        &self.0.parts.metrics
    }

    pub(crate) fn tracer(&self) -> &Tracer {
        &self.0.parts.tracer
    }

    pub(crate) fn notified(&self) -> &Notified {
        &self.0.parts.notified
    }

    pub(crate) fn live(&self) -> &Live {
        &self.0.parts.live
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.parts.stop
    }

    pub(crate) fn gatekeeper(&self) -> &Gatekeeper {
        &self.0.gatekeeper
    }
}
