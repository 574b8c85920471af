//! One lane's tickets that may start, in their order. Knows nothing of lanes and no clock.
//!
//! Tickets come nearly in order, so they stand in one ring of memory: a tree's nodes are half empty then, and a backlog
//! has a million tickets. One that comes out of order moves at most half of a lane's window.

use std::collections::VecDeque;

use crate::{
    domain::{Id, job::Job},
    queue::rank::Rank,
};

/// Room that a lane keeps although it has few tickets.
const ROOM_KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Ready(VecDeque<(Rank, Id<Job>)>);

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<(Rank, Id<Job>)> {
        self.0.front().copied()
    }

    pub(super) fn insert(&mut self, ticket: (Rank, Id<Job>)) {
        if self.0.back().is_none_or(|last| *last < ticket) {
            return self.0.push_back(ticket);
        }
        if let Err(place) = self.0.binary_search(&ticket) {
            self.0.insert(place, ticket);
        }
    }

    pub(super) fn remove(&mut self, ticket: (Rank, Id<Job>)) -> bool {
        let found = self.0.binary_search(&ticket).ok();
        let removed = found.is_some_and(|place| self.0.remove(place).is_some());
        self.give_back_room();
        removed
    }

    pub(super) fn pop_first(&mut self) {
        self.0.pop_front();
        self.give_back_room();
    }

    /// The first ticket whose rank is not before `rank`.
    pub(super) fn first_from(&self, rank: Rank) -> Option<(Rank, Id<Job>)> {
        self.0.get(self.0.partition_point(|&(at, _)| at < rank)).copied()
    }

    fn give_back_room(&mut self) {
        if self.0.capacity() > ROOM_KEPT && self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tickets_stand_in_order_whatever_comes_and_goes(steps in prop::collection::vec((0..3u8, 0..40i64), 0..400)) {
            let (mut ready, mut model) = (Ready::default(), BTreeSet::new());
            let job = Id::from_uuid(uuid::Uuid::nil());
            for (step, rank) in steps {
                let ticket = (Rank(rank), job);
                match step {
                    0 => {
                        ready.insert(ticket);
                        model.insert(ticket);
                    }
                    1 => prop_assert_eq!(ready.remove(ticket), model.remove(&ticket)),
                    _ => {
                        ready.pop_first();
                        model.pop_first();
                    }
                }
                prop_assert_eq!(ready.first(), model.first().copied());
                prop_assert_eq!(ready.first_from(Rank(rank)), model.range(ticket..).next().copied());
                prop_assert_eq!((ready.len(), ready.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
