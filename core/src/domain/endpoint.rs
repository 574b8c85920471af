//! Endpoints: where a tenant's events go, and by which settings.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::endpoint_settings::{EndpointSettings, TIMEOUT_MS, TIMEOUT_MS_DEFAULT};
use super::{
    Id, UnixMs,
    event::{Channel, EventType},
    id::Identified,
    lane::{LaneKey, LaneName, LaneSettings},
    tenant::Tenant,
};

/// An endpoint whose every attempt failed for this long is disabled.
pub const FAILING_DISABLES_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);

/// A receiver of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub id: Id<Endpoint>,
    pub tenant_id: Id<Tenant>,
    pub settings: EndpointSettings,
    pub state: EndpointState,
    pub state_since: UnixMs,
    /// Why it is in this state, in words for its owner.
    pub state_reason: Option<String>,
    /// When it last began to fail, whatever became of it since.
    pub failing_since: Option<UnixMs>,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

impl Identified for Endpoint {
    const PREFIX: &'static str = "ep";
}

/// What becomes of deliveries to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    Active,
    /// Deliveries wait until somebody resumes it.
    Paused,
    /// Every attempt since `state_since` has failed; deliveries go on being tried.
    Failing,
    /// Gets nothing more until somebody resumes it; what was pending is dead.
    Disabled,
}

impl EndpointState {
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Failing, Self::Disabled];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
        }
    }
}

impl FromStr for EndpointState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not an endpoint's state"))
    }
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Endpoint {
    /// Whether an event of this type in these channels goes to this endpoint.
    #[must_use]
    pub fn wants(&self, kind: &EventType, channels: &[Channel]) -> bool {
        let settings = &self.settings;
        let type_fits =
            settings.event_types.is_empty() || settings.event_types.iter().any(|pattern| pattern.matches(kind));
        let channel_fits =
            settings.channels.is_empty() || settings.channels.iter().any(|channel| channels.contains(channel));
        type_fits && channel_fits
    }

    #[must_use]
    pub fn lane(&self) -> LaneKey {
        LaneKey { tenant: self.tenant_id, name: LaneName::of_endpoint(self.id) }
    }

    #[must_use]
    pub fn lane_settings(&self) -> LaneSettings {
        LaneSettings {
            concurrency_max: self.settings.concurrency_max,
            rate_per_second: self.settings.rate_per_second,
            ordered: self.settings.ordered,
            paused: self.state == EndpointState::Paused,
        }
    }
}
