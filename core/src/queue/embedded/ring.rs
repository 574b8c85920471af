//! Whose turn it is: tenants first, then a tenant's lanes. Knows nothing of tickets.

use std::collections::{HashMap, VecDeque};

use crate::domain::{Id, tenant::Tenant};

/// A lane's place in the state's table.
pub(super) type LaneIndex = usize;

#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Each tenant that has lanes here, once.
    tenants: VecDeque<Id<Tenant>>,
    lanes: HashMap<Id<Tenant>, VecDeque<LaneIndex>>,
}

impl Ring {
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// A lane joins behind its tenant's other lanes; a new tenant joins behind the others.
    pub(super) fn push(&mut self, tenant: Id<Tenant>, lane: LaneIndex) {
        let lanes = self.lanes.entry(tenant).or_default();
        if lanes.is_empty() {
            self.tenants.push_back(tenant);
        }
        lanes.push_back(lane);
    }

    /// Takes the lane whose turn it is out of the ring; its tenant goes behind the others.
    pub(super) fn pop(&mut self) -> Option<LaneIndex> {
        let tenant = self.tenants.pop_front()?;
        let lanes = self.lanes.get_mut(&tenant)?;
        let lane = lanes.pop_front();
        if lanes.is_empty() {
            self.lanes.remove(&tenant);
        } else {
            self.tenants.push_back(tenant);
        }
        lane
    }
}
