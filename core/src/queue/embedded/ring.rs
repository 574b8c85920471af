//! Whose turn it is: standings first, then tenants, then a tenant's lanes. Knows nothing of tickets.

use std::collections::{HashMap, VecDeque};

use crate::{
    domain::{Id, lane::Standing, tenant::Tenant},
    queue::Room,
};

/// A lane's place in the state's table.
pub(super) type LaneIndex = u32;

/// All lanes that may start something.
#[derive(Debug, Default)]
pub(super) struct Rings {
    rings: [Ring; Standing::ALL.len()],
    /// Whose turn was last.
    last: Option<Standing>,
}

/// The lanes of one standing.
#[derive(Debug, Default)]
struct Ring {
    /// Each tenant that has lanes here, once.
    tenants: VecDeque<Id<Tenant>>,
    lanes: HashMap<Id<Tenant>, VecDeque<LaneIndex>>,
    /// Tenants that the claim under way has no room for.
    passed: Vec<Id<Tenant>>,
}

impl Rings {
    pub(super) fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.tenants.is_empty())
    }

    /// A lane joins behind its tenant's other lanes; a new tenant joins behind the others.
    pub(super) fn push(&mut self, standing: Standing, tenant: Id<Tenant>, lane: LaneIndex) {
        let ring = &mut self.rings[standing as usize];
        let lanes = ring.lanes.entry(tenant).or_default();
        if lanes.is_empty() {
            ring.tenants.push_back(tenant);
        }
        lanes.push_back(lane);
    }

    /// Takes the lane whose turn it is, among those that there is room for, out of its ring.
    pub(super) fn pop(&mut self, room: &Room) -> Option<(Standing, LaneIndex)> {
        let first = self.last.map_or(0, |last| last as usize + 1);
        for standing in Standing::ALL.into_iter().cycle().skip(first).take(Standing::ALL.len()) {
            if room.all.of(standing) > 0
                && let Some(lane) = self.rings[standing as usize].pop(standing, room)
            {
                self.last = Some(standing);
                return Some((standing, lane));
            }
        }
        None
    }

    /// Ends a claim: tenants that were passed over wait for their next turn.
    pub(super) fn give_back_passed(&mut self) {
        for ring in &mut self.rings {
            ring.tenants.extend(ring.passed.drain(..));
        }
    }
}

impl Ring {
    fn pop(&mut self, standing: Standing, room: &Room) -> Option<LaneIndex> {
        let tenant = loop {
            let tenant = self.tenants.pop_front()?;
            if room.of_tenant(tenant, standing) > 0 {
                break tenant;
            }
            self.passed.push(tenant);
        };
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
