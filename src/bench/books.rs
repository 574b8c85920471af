//! What was published and what came of it: each event's time and each delivery's, and their balance at the end.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The books of one run. Times are microseconds after its beginning, plus one; 0 stands for never.
#[derive(Debug)]
pub(super) struct Books {
    began: Instant,
    endpoints: usize,
    published_us: Vec<AtomicU64>,
    /// By event, then by endpoint.
    received_us: Vec<AtomicU64>,
    received: AtomicU64,
    duplicated: AtomicU64,
    refused: AtomicU64,
}

/// What a range of events came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Balance {
    pub(super) delivered: u64,
    pub(super) lost: u64,
    /// From the first publication to the last receipt.
    pub(super) took: Duration,
    /// From each publication to its receipt, in microseconds, in order.
    pub(super) latencies_us: Vec<u64>,
}

impl Books {
    pub(super) fn new(events: usize, endpoints: usize) -> Self {
        let never = |count| std::iter::repeat_with(|| AtomicU64::new(0)).take(count).collect();
        Self {
            began: Instant::now(),
            endpoints,
            published_us: never(events),
            received_us: never(events * endpoints),
            received: AtomicU64::new(0),
            duplicated: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn after(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX) + 1
    }

    pub(super) fn publish(&self, event: usize, at: Instant) {
        self.published_us[event].store(self.after(at), Relaxed);
    }

    pub(super) fn receive(&self, event: usize, endpoint: usize) {
        let now = self.after(Instant::now());
        let Some(cell) = self.received_us.get(event * self.endpoints + endpoint) else {
            self.refused.fetch_add(1, Relaxed);
            return;
        };
        match cell.compare_exchange(0, now, Relaxed, Relaxed) {
            Ok(_) => self.received.fetch_add(1, Relaxed),
            Err(_) => self.duplicated.fetch_add(1, Relaxed),
        };
    }

    /// Notes a delivery whose signature or body is not what was published.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Deliveries received, doubles not counted.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    pub(super) fn duplicated(&self) -> u64 {
        self.duplicated.load(Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The balance of these events' deliveries to the endpoints that `wanted` names.
    pub(super) fn balance(&self, events: Range<usize>, wanted: Range<usize>) -> Balance {
        let mut balance = Balance::default();
        let (mut first, mut last) = (u64::MAX, 0);
        for event in events {
            let published = self.published_us[event].load(Relaxed);
            if published == 0 {
                continue;
            }
            first = first.min(published);
            for endpoint in wanted.clone() {
                match self.received_us[event * self.endpoints + endpoint].load(Relaxed) {
                    0 => balance.lost += 1,
                    at => {
                        balance.delivered += 1;
                        last = last.max(at);
                        balance.latencies_us.push(at.saturating_sub(published));
                    }
                }
            }
        }
        balance.latencies_us.sort_unstable();
        balance.took = Duration::from_micros(last.saturating_sub(first));
        balance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_tells_lost_delivered_and_doubled_ones_apart() {
        let books = Books::new(4, 2);
        for event in 0..3 {
            books.publish(event, Instant::now());
        }
        books.receive(0, 0);
        books.receive(0, 1);
        books.receive(0, 1);
        books.receive(1, 0);
        books.receive(9, 0);
        let balance = books.balance(0..4, 0..2);
        assert_eq!((balance.delivered, balance.lost, books.duplicated(), books.refused()), (3, 3, 1, 1));
        assert_eq!((books.balance(0..4, 0..1).lost, books.balance(0..1, 0..2).lost), (1, 0));
    }
}
