//! Where each ticket is, by its job. Knows nothing of lanes.
//!
//! A backlog has a million tickets, so this is a table of short lists that grow by a few places each: a tree whose keys come
//! in order has nodes that are half empty, and one table of hashes is up to three times as large as what is in it
//! while it grows. Jobs' ids are made here and end in random bits (RFC 9562 §5.7), which choose the list.

use super::state::Place;
use crate::domain::{Id, job::Job};

/// Lists: some thirty tickets in each of them where there are a million, and less than 1 MB where there is none.
const LISTS: usize = 1 << 15;
/// Places that a list grows by, and keeps empty at most twice.
const STEP: usize = 4;

type List = Vec<(Id<Job>, Place)>;

#[derive(Debug)]
pub(super) struct Tickets {
    lists: Box<[List]>,
    count: usize,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { lists: vec![List::new(); LISTS].into(), count: 0 }
    }
}

impl Tickets {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn contains_key(&self, job: &Id<Job>) -> bool {
        self.get(job).is_some()
    }

    pub(super) fn get(&self, job: &Id<Job>) -> Option<&Place> {
        let list = self.lists.get(list_of(job))?;
        list.iter().find(|(known, _)| known == job).map(|(_, place)| place)
    }

    pub(super) fn get_mut(&mut self, job: &Id<Job>) -> Option<&mut Place> {
        let list = self.lists.get_mut(list_of(job))?;
        list.iter_mut().find(|(known, _)| known == job).map(|(_, place)| place)
    }

    pub(super) fn insert(&mut self, job: Id<Job>, place: Place) {
        if let Some(known) = self.get_mut(&job) {
            *known = place;
            return;
        }
        let Some(list) = self.lists.get_mut(list_of(&job)) else { return };
        if list.len() == list.capacity() {
            list.reserve_exact(STEP);
        }
        list.push((job, place));
        self.count += 1;
    }

    pub(super) fn remove(&mut self, job: &Id<Job>) -> Option<Place> {
        let list = self.lists.get_mut(list_of(job))?;
        let at = list.iter().position(|(known, _)| known == job)?;
        let (_, place) = list.swap_remove(at);
        if list.capacity() - list.len() > 2 * STEP {
            list.shrink_to(list.len() + STEP);
        }
        self.count -= 1;
        Some(place)
    }
}

fn list_of(job: &Id<Job>) -> usize {
    let [.., high, low] = job.uuid().into_bytes();
    usize::from(u16::from_be_bytes([high, low])) % LISTS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    /// Few jobs, of which several share a list.
    fn job(number: u32) -> Id<Job> {
        let (id, list) = (u128::from(number) << 64, u128::from(number % 3));
        Id::from_uuid(Uuid::from_u128(id | list))
    }

    proptest! {
        #[test]
        fn each_ticket_is_where_it_was_put_last(steps in prop::collection::vec((0..3u8, 0..60u32), 0..600)) {
            let (mut tickets, mut model) = (Tickets::default(), BTreeMap::new());
            for (time, (step, number)) in steps.into_iter().enumerate() {
                let (job, due_ms) = (job(number), i64::try_from(time).unwrap());
                let due = |place: Option<&Place>| match place {
                    Some(Place::Delayed { due_ms, .. }) => Some(*due_ms),
                    _ => None,
                };
                if step < 2 {
                    tickets.insert(job, Place::Delayed { lane: 0, due_ms, below_max: 0 });
                    model.insert(job, due_ms);
                } else {
                    prop_assert_eq!(due(tickets.remove(&job).as_ref()), model.remove(&job));
                }
                prop_assert_eq!(due(tickets.get(&job)), model.get(&job).copied());
                prop_assert_eq!(tickets.contains_key(&job), model.contains_key(&job));
                prop_assert_eq!(tickets.len(), model.len());
            }
        }
    }
}
