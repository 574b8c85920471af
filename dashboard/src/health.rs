//! How an endpoint does and what was tried lately, in the words of a page. For operators and integrators alike.

use postrider_core::{
    domain::{UnixMs, attempt::AttemptClass, endpoint::Endpoint, health::Health},
    store::LoggedAttempt,
};

use crate::{
    moment::{Moment, length},
    visit::Visit,
};

/// The figures of an endpoint's newest attempts.
pub(crate) struct HealthFigures {
    pub(crate) attempts: usize,
    /// As in "99.0 %".
    pub(crate) success: String,
    pub(crate) p50: String,
    pub(crate) p95: String,
}

impl HealthFigures {
    pub(crate) fn of(health: Option<&Health>) -> Self {
        let none = || "–".to_owned();
        let bound = |percent| {
            let ms = health.and_then(|health| health.percentile_ms(percent));
            ms.map_or_else(none, |ms| length(ms.into()))
        };
        let rate = health.and_then(Health::success_rate);
        Self {
            attempts: health.map_or(0, Health::attempts),
            success: rate.map_or_else(none, |rate| format!("{:.1} %", rate * 100.0)),
            p50: bound(50),
            p95: bound(95),
        }
    }
}

/// An endpoint in a list.
pub(crate) struct EndpointLine {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) state: &'static str,
    pub(crate) since: Moment,
    pub(crate) reason: Option<String>,
    pub(crate) health: HealthFigures,
}

impl EndpointLine {
    pub(crate) fn of(endpoint: &Endpoint, health: Option<&Health>, now: UnixMs) -> Self {
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.settings.url.as_str().to_owned(),
            description: endpoint.settings.description.clone(),
            state: endpoint.state.as_str(),
            since: Moment::of(endpoint.state_since, now),
            reason: endpoint.state_reason.clone(),
            health: HealthFigures::of(health),
        }
    }

    /// With the address as whoever looks may see it.
    pub(crate) fn seen_by(self, visit: &Visit) -> Self {
        Self { url: visit.url(&self.url), ..self }
    }
}

/// An attempt in the log of its endpoint.
pub(crate) struct LogLine {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) n: u32,
    pub(crate) outcome: String,
    pub(crate) failed: bool,
    pub(crate) late: bool,
    pub(crate) status: Option<u16>,
    pub(crate) duration: String,
    pub(crate) started: Moment,
    pub(crate) error: String,
}

impl LogLine {
    pub(crate) fn of(logged: LoggedAttempt, now: UnixMs) -> Self {
        let attempt = logged.attempt;
        Self {
            id: logged.id.to_string(),
            job: logged.job_id.to_string(),
            n: attempt.n,
            failed: attempt.outcome != AttemptClass::Succeeded.as_str(),
            outcome: attempt.outcome,
            late: attempt.late,
            status: attempt.status_code,
            duration: length(attempt.duration_ms.into()),
            started: Moment::of(attempt.started_at, now),
            error: attempt.error.unwrap_or_default(),
        }
    }
}
