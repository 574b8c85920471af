//! To whom an event is sent once more.

use super::{NewJob, TenantEndpoints};
use crate::domain::{
    Id, UnixMs,
    endpoint::{Endpoint, EndpointState},
    event::Event,
};

/// Why an event is not sent once more.
#[derive(Clone, Debug, PartialEq)]
pub enum NoReplay {
    PayloadGone,
    /// One of those that were named is deleted, or another tenant's.
    NoEndpoint(Id<Endpoint>),
    /// One of those that were named is disabled: the delivery would die at once.
    EndpointDisabled(Box<Endpoint>),
}

impl TenantEndpoints {
    /// Jobs that send an event once more, whatever became of its deliveries: to those that are named, once each, or to all
    /// that want it now.
    ///
    /// # Errors
    /// When there is nothing to send, or one of those that are named takes nothing.
    pub fn replays(&self, event: &Event, named: Option<&[Id<Endpoint>]>, now: UnixMs) -> Result<Vec<NewJob>, NoReplay> {
        if event.payload.is_none() {
            return Err(NoReplay::PayloadGone);
        }
        let Some(named) = named else {
            let wanting = self.wanting(&event.kind, &event.channels);
            return Ok(wanting.map(|live| NewJob::delivery(&live.endpoint, event.id, now)).collect());
        };
        let mut named = named.to_vec();
        named.sort_unstable();
        named.dedup();
        let job = |id: Id<Endpoint>| {
            let endpoint = &self.get(id).ok_or(NoReplay::NoEndpoint(id))?.endpoint;
            match endpoint.state {
                EndpointState::Disabled => Err(NoReplay::EndpointDisabled(Box::new(endpoint.clone()))),
                _ => Ok(NewJob::delivery(endpoint, event.id, now)),
            }
        };
        named.into_iter().map(job).collect()
    }
}
