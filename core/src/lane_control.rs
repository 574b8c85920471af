//! What operators do to a lane: pause, resume, other limits. Owns that an endpoint's lane follows its endpoint, and that the
//! queue is told at once.

use crate::{
    dispatch::Dispatcher,
    domain::{
        Id, UnixMs,
        endpoint::{Endpoint, EndpointState},
        endpoint_settings::EndpointSettings,
        lane::{LaneKey, LaneName, LaneSettings},
        limits::LANES_PER_TENANT_MAX,
        tenant::Tenant,
    },
    store::{Changed, EndpointChange, LaneSet, Scope, StoreError},
};

/// What is to be set; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneChange {
    pub paused: Option<bool>,
    pub concurrency_max: Option<Option<u32>>,
    pub rate_per_second: Option<Option<u32>>,
    /// The limits that it was made of: where others are set now, which are not those asked for, nothing is changed.
    pub seen: Option<LaneLimits>,
}

/// How many at once and how many a second, each where there is a limit.
pub type LaneLimits = (Option<u32>, Option<u32>);

/// Why a lane was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("there is no endpoint with this id, so it has no lane")]
    NoEndpoint,
    #[error("the endpoint {} is disabled; resume it first", .0.id)]
    Disabled(Box<Endpoint>),
    #[error("a tenant sets at most {LANES_PER_TENANT_MAX} lanes")]
    TooMany,
    #[error("other limits are set now than this change was made of")]
    Stale,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A tenant's lanes, to be changed.
#[derive(Debug)]
pub struct Lanes<'a> {
    pub scope: &'a Scope<'a>,
    pub tenant: Id<Tenant>,
    pub dispatcher: &'a Dispatcher,
}

impl Lanes<'_> {
    /// What is set for a lane.
    ///
    /// # Errors
    /// When the database does not answer, or the lane is that of an endpoint that is not there.
    pub async fn settings(&self, name: &LaneName) -> Result<LaneSettings, LaneError> {
        match name.as_str().parse::<Id<Endpoint>>() {
            Ok(id) => Ok(self.scope.endpoint(id).await?.ok_or(LaneError::NoEndpoint)?.lane_settings()),
            Err(_) => Ok(self.scope.lane_settings(name).await?),
        }
    }

    /// Changes a lane, and tells the queue. `by` says who, for the endpoint's owner.
    ///
    /// # Errors
    /// When the database does not answer, or the lane cannot be changed so.
    pub async fn change(&self, name: &LaneName, change: &LaneChange, by: &str) -> Result<LaneSettings, LaneError> {
        let settings = match name.as_str().parse::<Id<Endpoint>>() {
            Ok(id) => self.change_endpoint(id, change, by).await?.lane_settings(),
            Err(_) => match self.scope.change_lane(name, UnixMs::now(), |set| change.of(set)).await? {
                LaneSet::Done(settings) => settings,
                LaneSet::TooMany => return Err(LaneError::TooMany),
                LaneSet::Refused => return Err(LaneError::Stale),
            },
        };
        self.dispatcher.tell(&LaneKey { tenant: self.tenant, name: name.clone() }, &settings).await;
        Ok(settings)
    }

    async fn change_endpoint(&self, id: Id<Endpoint>, change: &LaneChange, by: &str) -> Result<Endpoint, LaneError> {
        use EndpointState::{Active, Disabled, Failing, Paused};
        let (now, scope) = (UnixMs::now(), self.scope);
        if change.concurrency_max.is_some() || change.rate_per_second.is_some() {
            let make = |endpoint: &Endpoint| {
                let set = &endpoint.settings;
                let (concurrency_max, rate_per_second) = change.limits((set.concurrency_max, set.rate_per_second))?;
                Some(EndpointSettings { concurrency_max, rate_per_second, ..set.clone() })
            };
            match scope.change_endpoint(id, now, make).await? {
                Changed::Done(_) => {}
                Changed::NotFound => return Err(LaneError::NoEndpoint),
                Changed::Refused => return Err(LaneError::Stale),
            }
        }
        let turned = match change.paused {
            Some(true) => {
                let change = EndpointChange { state: Paused, reason: Some(format!("paused by {by}")), now };
                scope.change_endpoint_state(id, &[Active, Failing], &change).await?
            }
            Some(false) => {
                let change = EndpointChange { state: Active, reason: None, now };
                scope.change_endpoint_state(id, &[Paused], &change).await?
            }
            None => scope.endpoint(id).await?,
        };
        let endpoint = turned.ok_or(LaneError::NoEndpoint)?;
        match (change.paused, endpoint.state) {
            (Some(_), Disabled) => Err(LaneError::Disabled(Box::new(endpoint))),
            _ => Ok(endpoint),
        }
    }
}

impl LaneChange {
    /// What it makes of a lane's settings.
    fn of(&self, set: &LaneSettings) -> Option<LaneSettings> {
        let (concurrency_max, rate_per_second) = self.limits((set.concurrency_max, set.rate_per_second))?;
        let paused = self.paused.unwrap_or(set.paused);
        Some(LaneSettings { paused, concurrency_max, rate_per_second, ordered: set.ordered })
    }

    /// What it makes of limits. Where it is asked for twice, the second finds what it asks for.
    fn limits(&self, set: LaneLimits) -> Option<LaneLimits> {
        let asked = (self.concurrency_max.unwrap_or(set.0), self.rate_per_second.unwrap_or(set.1));
        (asked == set || self.seen.is_none_or(|seen| seen == set)).then_some(asked)
    }
}
