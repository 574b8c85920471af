//! What a worker has room for: how its free slots are shared, so that no tenant and no silent receivers take them all.
//! Owns the shares; knows no backend.
//!
//! The shares are dynamic thresholds (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
//! switches", 1998): whoever holds slots may take more while that is less than a multiple of what stays free. One
//! tenant alone gets most of the slots, many get less each, and something is always free for the next one.

use std::collections::HashMap;

use super::Lease;
use crate::domain::{Id, lane::Standing, tenant::Tenant};

/// One tenant holds less than this many times what is free: three quarters of all slots when it is alone.
const TENANT_SHARE: Share = Share { times: 3, of: 1 };
/// All lanes whose receivers have not answered yet: half of all slots.
const UNKNOWN_SHARE: Share = Share { times: 1, of: 1 };
/// All lanes whose receivers fail or are silent: a third of all slots.
const FAILING_SHARE: Share = Share { times: 1, of: 2 };

/// How much of what is free a holder may have: `times / of`.
#[derive(Clone, Copy, Debug)]
struct Share {
    times: usize,
    of: usize,
}

impl Share {
    /// How many more slots one may take that holds `held`, until it holds its share of what is free then.
    fn left(self, held: usize, free: usize) -> usize {
        let Self { times, of } = self;
        (times * free).saturating_sub(of * held).div_ceil(times + of)
    }
}

/// The leases of one worker, counted.
#[derive(Clone, Debug, Default)]
pub struct Held {
    tenants: HashMap<Id<Tenant>, usize>,
    unknown: usize,
    failing: usize,
}

impl Held {
    pub fn add(&mut self, lease: &Lease) {
        *self.tenants.entry(lease.lane.tenant).or_default() += 1;
        match lease.standing {
            Standing::Answering => {}
            Standing::Unknown => self.unknown += 1,
            Standing::Failing => self.failing += 1,
        }
    }

    pub fn remove(&mut self, lease: &Lease) {
        if let Some(held) = self.tenants.get_mut(&lease.lane.tenant) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.tenants.remove(&lease.lane.tenant);
            }
        }
        match lease.standing {
            Standing::Answering => {}
            Standing::Unknown => self.unknown = self.unknown.saturating_sub(1),
            Standing::Failing => self.failing = self.failing.saturating_sub(1),
        }
    }
}

/// What one claim may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    pub jobs: usize,
    /// Of them, from lanes whose receivers have not answered yet.
    pub unknown: usize,
    /// Of them, from lanes whose receivers fail or are silent.
    pub failing: usize,
    /// Of them, of each tenant that is not in `tenants`.
    pub tenant: usize,
    /// Tenants that have less room than the others.
    pub tenants: Vec<(Id<Tenant>, usize)>,
}

impl Room {
    /// Room for jobs whatever they are.
    #[must_use]
    pub const fn whole(jobs: usize) -> Self {
        Self { jobs, unknown: jobs, failing: jobs, tenant: jobs, tenants: Vec::new() }
    }

    /// Room for `jobs` in `free` slots, beside what is held.
    #[must_use]
    pub fn shared(jobs: usize, free: usize, held: &Held) -> Self {
        let tenant = TENANT_SHARE.left(0, free).min(jobs);
        let left = |(&id, &held): (&Id<Tenant>, &usize)| (id, TENANT_SHARE.left(held, free).min(jobs));
        let mut tenants: Vec<_> = held.tenants.iter().map(left).filter(|&(_, left)| left < tenant).collect();
        tenants.sort_unstable();
        Self {
            jobs,
            unknown: UNKNOWN_SHARE.left(held.unknown, free).min(jobs),
            failing: FAILING_SHARE.left(held.failing, free).min(jobs),
            tenant,
            tenants,
        }
    }

    /// What is left for jobs of one tenant.
    pub(super) fn of_tenant(&self, tenant: Id<Tenant>) -> usize {
        let own = self.tenants.iter().find(|(id, _)| *id == tenant);
        own.map_or(self.tenant, |&(_, left)| left).min(self.jobs)
    }

    /// What is left for jobs of lanes of one standing.
    pub(super) fn of_standing(&self, standing: Standing) -> usize {
        match standing {
            Standing::Answering => self.jobs,
            Standing::Unknown => self.unknown,
            Standing::Failing => self.failing,
        }
    }

    /// One more job was taken.
    pub(super) fn take(&mut self, tenant: Id<Tenant>, standing: Standing) {
        match self.tenants.iter_mut().find(|(id, _)| *id == tenant) {
            Some((_, left)) => *left = left.saturating_sub(1),
            None => self.tenants.push((tenant, self.tenant.saturating_sub(1))),
        }
        match standing {
            Standing::Answering => {}
            Standing::Unknown => self.unknown = self.unknown.saturating_sub(1),
            Standing::Failing => self.failing = self.failing.saturating_sub(1),
        }
        self.jobs = self.jobs.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::lane::LaneKey;

    fn lease(tenant: Id<Tenant>, standing: Standing) -> Lease {
        let lane = LaneKey { tenant, name: "a".parse().unwrap() };
        Lease { job: Id::new(), lane, fence: 1, standing }
    }

    fn left(room: &Room, tenant: Id<Tenant>, standing: Standing) -> usize {
        room.of_tenant(tenant).min(room.of_standing(standing))
    }

    /// Claims one by one until there is no more room; how many that were.
    fn fill(slots: usize, held: &mut Held, all: usize, tenant: Id<Tenant>, standing: Standing) -> usize {
        for taken in 0.. {
            let free = slots - all - taken;
            if left(&Room::shared(free, free, held), tenant, standing) == 0 {
                return taken;
            }
            held.add(&lease(tenant, standing));
        }
        unreachable!()
    }

    #[test]
    fn shares_of_a_thousand_slots() {
        for (standing, taken) in [(Standing::Answering, 750), (Standing::Unknown, 500), (Standing::Failing, 334)] {
            assert_eq!(fill(1_000, &mut Held::default(), 0, Id::new(), standing), taken, "{standing:?}");
        }
    }

    #[test]
    fn each_new_tenant_finds_room_beside_those_that_take_all_they_can() {
        let (mut held, mut all) = (Held::default(), 0);
        let taken: Vec<usize> = (0..5)
            .map(|_| {
                let taken = fill(1_000, &mut held, all, Id::new(), Standing::Answering);
                all += taken;
                taken
            })
            .collect();
        assert_eq!(taken, [750, 188, 47, 12, 3]);
    }

    #[test]
    fn what_is_given_back_is_free_again() {
        let (mut held, tenant) = (Held::default(), Id::new());
        let one = lease(tenant, Standing::Failing);
        held.add(&one);
        held.remove(&one);
        assert_eq!(Room::shared(10, 10, &held), Room::shared(10, 10, &Held::default()));
    }

    #[test]
    fn one_slot_is_room_for_whoever_holds_little() {
        let room = Room::shared(1, 1, &Held::default());
        for standing in Standing::ALL {
            assert_eq!(left(&room, Id::new(), standing), 1, "{standing:?}");
        }
    }

    proptest! {
        #[test]
        fn a_claim_as_a_whole_takes_what_single_ones_would(free in 1..600_usize, held in 0..600_usize) {
            for share in [TENANT_SHARE, UNKNOWN_SHARE, FAILING_SHARE] {
                let singly = (0..free).take_while(|taken| share.left(held + taken, free - taken) > 0).count();
                prop_assert_eq!(share.left(held, free), singly);
            }
        }
    }
}
