//! The order of a lane's ready tickets as one number, the same in memory and as a score in Redis.

use crate::domain::{UnixMs, job::Priority};

/// Lower goes first: priority 9 before 0, then `order`. Below 2⁵³, so that a Redis score holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rank(pub(super) i64);

/// Milliseconds that fit beside the priority: until the year 2109.
pub(super) const ORDER_SPAN: i64 = 1 << 42;

impl Rank {
    pub(super) fn new(priority: Priority, order: UnixMs) -> Self {
        Self(Self::band(priority) + Self::within(order))
    }

    /// Before all priorities: for what was claimed already and came back.
    pub(super) fn front(order: UnixMs) -> Self {
        Self(Self::within(order) - ORDER_SPAN)
    }

    pub(super) const fn order(self) -> UnixMs {
        UnixMs(self.0.rem_euclid(ORDER_SPAN))
    }

    pub(super) const fn is_front(self) -> bool {
        self.0 < 0
    }

    fn band(priority: Priority) -> i64 {
        i64::from(Priority::MAX.get() - priority.get()) * ORDER_SPAN
    }

    fn within(order: UnixMs) -> i64 {
        order.0.clamp(0, ORDER_SPAN - 1)
    }
}
