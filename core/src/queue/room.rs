//! What a worker has room for: how its free slots are shared, so that no tenant and no silent receivers take them all.
//! Owns the shares; knows no backend.
//!
//! The shares are dynamic thresholds (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
//! switches", 1998): whoever holds slots may take more while that is less than a multiple of what stays free. One
//! tenant alone gets most of the slots, many get less each, and something is always free for the next one.

use std::collections::HashMap;

use super::Lease;
use crate::domain::{Id, lane::Standing, tenant::Tenant};

/// All tenants together: half of all slots for lanes that have not answered yet, a third for those that fail.
const SHARES: Places<Share> = Places { all: Share::WHOLE, unknown: Share::new(1, 1), failing: Share::new(1, 2) };
/// One tenant, when it is alone: three quarters of all slots, a third for lanes that have not answered yet, and a quarter
/// for those that fail.
const TENANT_SHARES: Places<Share> =
    Places { all: Share::new(3, 1), unknown: Share::new(1, 2), failing: Share::new(1, 3) };

/// Slots, counted as a whole and by what stands out of it: lanes that have not answered yet, and lanes that fail or are
/// silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Places<T = usize> {
    pub all: T,
    pub unknown: T,
    pub failing: T,
}

impl Places {
    /// So many, whatever they are for.
    #[must_use]
    pub const fn whole(all: usize) -> Self {
        Self { all, unknown: all, failing: all }
    }

    /// Those that a lane of this standing may have.
    pub(super) fn of(&self, standing: Standing) -> usize {
        match standing {
            Standing::Answering => self.all,
            Standing::Unknown => self.unknown.min(self.all),
            Standing::Failing => self.failing.min(self.all),
        }
    }

    fn add(&mut self, standing: Standing) {
        self.all += 1;
        match standing {
            Standing::Answering => {}
            Standing::Unknown => self.unknown += 1,
            Standing::Failing => self.failing += 1,
        }
    }

    fn remove(&mut self, standing: Standing) {
        self.all = self.all.saturating_sub(1);
        match standing {
            Standing::Answering => {}
            Standing::Unknown => self.unknown = self.unknown.saturating_sub(1),
            Standing::Failing => self.failing = self.failing.saturating_sub(1),
        }
    }
}

impl Places<Share> {
    fn left(&self, held: &Places, free: usize, jobs: usize) -> Places {
        Places {
            all: self.all.left(held.all, free).min(jobs),
            unknown: self.unknown.left(held.unknown, free).min(jobs),
            failing: self.failing.left(held.failing, free).min(jobs),
        }
    }
}

/// How much of what is free a holder may have: `times / of`.
#[derive(Clone, Copy, Debug)]
struct Share {
    times: usize,
    of: usize,
}

impl Share {
    /// All that is free.
    const WHOLE: Self = Self::new(1, 0);

    const fn new(times: usize, of: usize) -> Self {
        Self { times, of }
    }

    /// How many more slots one may take that holds `held`, until it holds its share of what is free then.
    fn left(self, held: usize, free: usize) -> usize {
        let Self { times, of } = self;
        (times * free).saturating_sub(of * held).div_ceil(times + of)
    }
}

/// The leases of one worker, counted.
#[derive(Clone, Debug, Default)]
pub struct Held {
    all: Places,
    tenants: HashMap<Id<Tenant>, Places>,
}

impl Held {
    pub fn add(&mut self, lease: &Lease) {
        self.all.add(lease.standing);
        self.tenants.entry(lease.lane.tenant).or_default().add(lease.standing);
    }

    pub fn remove(&mut self, lease: &Lease) {
        self.all.remove(lease.standing);
        if let Some(held) = self.tenants.get_mut(&lease.lane.tenant) {
            held.remove(lease.standing);
            if *held == Places::default() {
                self.tenants.remove(&lease.lane.tenant);
            }
        }
    }
}

/// What one claim may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of all tenants together.
    pub all: Places,
    /// Of each tenant that is not in `tenants`.
    pub tenant: Places,
    /// Tenants that have less room than the others.
    pub tenants: Vec<(Id<Tenant>, Places)>,
}

impl Room {
    /// Room for jobs whatever they are.
    #[must_use]
    pub const fn whole(jobs: usize) -> Self {
        Self { all: Places::whole(jobs), tenant: Places::whole(jobs), tenants: Vec::new() }
    }

    /// Room for `jobs` in `free` slots, beside what is held.
    #[must_use]
    pub fn shared(jobs: usize, free: usize, held: &Held) -> Self {
        let left = |held: &Places| TENANT_SHARES.left(held, free, jobs);
        let tenant = left(&Places::default());
        let mut tenants: Vec<_> = held.tenants.iter().map(|(&id, held)| (id, left(held))).collect();
        tenants.retain(|(_, left)| *left != tenant);
        tenants.sort_unstable();
        Self { all: SHARES.left(&held.all, free, jobs), tenant, tenants }
    }

    /// What is left for a tenant's lanes of one standing.
    pub(super) fn of_tenant(&self, tenant: Id<Tenant>, standing: Standing) -> usize {
        let own = self.tenants.iter().find(|(id, _)| *id == tenant);
        own.map_or(&self.tenant, |(_, left)| left).of(standing)
    }

    /// One more job was taken.
    pub(super) fn take(&mut self, tenant: Id<Tenant>, standing: Standing) {
        self.all.remove(standing);
        match self.tenants.iter_mut().find(|(id, _)| *id == tenant) {
            Some((_, left)) => left.remove(standing),
            None => {
                let mut left = self.tenant;
                left.remove(standing);
                self.tenants.push((tenant, left));
            }
        }
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
        room.of_tenant(tenant, standing).min(room.all.of(standing))
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
        for (standing, of_one, of_many) in
            [(Standing::Answering, 750, 1_000), (Standing::Unknown, 334, 500), (Standing::Failing, 250, 334)]
        {
            assert_eq!(fill(1_000, &mut Held::default(), 0, Id::new(), standing), of_one, "{standing:?}");
            let (mut held, mut all) = (Held::default(), 0);
            for _ in 0..50 {
                all += fill(1_000, &mut held, all, Id::new(), standing);
            }
            assert_eq!(all, of_many, "{standing:?}");
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
            let Places { all, unknown, failing } = TENANT_SHARES;
            for share in [all, unknown, failing, Share::WHOLE] {
                let singly = (0..free).take_while(|taken| share.left(held + taken, free - taken) > 0).count();
                prop_assert_eq!(share.left(held, free), singly);
            }
        }
    }
}
