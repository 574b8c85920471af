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
    store::{EndpointChange, Scope, StoreError},
};

/// What is to be set; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneChange {
    pub paused: Option<bool>,
    pub concurrency_max: Option<Option<u32>>,
    pub rate_per_second: Option<Option<u32>>,
}

/// Why a lane was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("there is no endpoint with this id, so it has no lane")]
    NoEndpoint,
    #[error("the endpoint {} is disabled; resume it first", .0.id)]
    Disabled(Box<Endpoint>),
    #[error("a tenant sets at most {LANES_PER_TENANT_MAX} lanes")]
    TooMany,
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
            Err(_) => {
                let set = self.scope.change_lane(name, UnixMs::now(), |settings| change.apply(settings)).await?;
                set.ok_or(LaneError::TooMany)?
            }
        };
        self.dispatcher.tell(&LaneKey { tenant: self.tenant, name: name.clone() }, &settings).await;
        Ok(settings)
    }

    async fn change_endpoint(&self, id: Id<Endpoint>, change: &LaneChange, by: &str) -> Result<Endpoint, LaneError> {
        use EndpointState::{Active, Disabled, Failing, Paused};
        let (now, scope) = (UnixMs::now(), self.scope);
        if change.concurrency_max.is_some() || change.rate_per_second.is_some() {
            let set = |settings: &mut EndpointSettings| {
                settings.concurrency_max = change.concurrency_max.unwrap_or(settings.concurrency_max);
                settings.rate_per_second = change.rate_per_second.unwrap_or(settings.rate_per_second);
            };
            scope.update_endpoint(id, now, set).await?.ok_or(LaneError::NoEndpoint)?;
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
    fn apply(&self, settings: &mut LaneSettings) {
        settings.paused = self.paused.unwrap_or(settings.paused);
        settings.concurrency_max = self.concurrency_max.unwrap_or(settings.concurrency_max);
        settings.rate_per_second = self.rate_per_second.unwrap_or(settings.rate_per_second);
    }
}
