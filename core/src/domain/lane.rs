//! Lanes: what shares one limit of concurrency, one rate, one order and one circuit breaker.
//! Owns their names, settings and the rule by which a lane adapts to its receiver; knows no queue.

use std::{fmt, str::FromStr};

use super::{Id, endpoint::Endpoint, tenant::Tenant};

/// Bytes of a lane's name.
pub const LANE_NAME_BYTES_MAX: usize = 200;
/// What a lane may have in flight when nothing else is said.
pub const CONCURRENCY_MAX_DEFAULT: u32 = 64;

/// A lane's name within its tenant: an endpoint's id, a host, or what the caller of a job chose.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lane's name is 1 to {LANE_NAME_BYTES_MAX} characters of a-z, 0-9, _ . : and -")]
pub struct LaneNameError;

impl LaneName {
    /// The lane of all deliveries to one endpoint.
    #[must_use]
    pub fn of_endpoint(id: Id<Endpoint>) -> Self {
        Self(id.to_string())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LaneName {
    type Err = LaneNameError;
    fn from_str(text: &str) -> Result<Self, LaneNameError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:-".contains(&byte);
        let fits = (1..=LANE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(known);
        if fits { Ok(Self(text.to_owned())) } else { Err(LaneNameError) }
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lane among all tenants' lanes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey {
    pub tenant: Id<Tenant>,
    pub name: LaneName,
}

/// What an operator or an endpoint's owner has set for a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// In flight at most, whatever the receiver bears.
    pub concurrency_max: u32,
    /// Starts in one second at most.
    pub rate_per_second: Option<u32>,
    /// The next job waits until the one before it is finished, retries included.
    pub ordered: bool,
    pub paused: bool,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self { concurrency_max: CONCURRENCY_MAX_DEFAULT, rate_per_second: None, ordered: false, paused: false }
    }
}
