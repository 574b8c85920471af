//! One process on a database in trouble, into which events come all the time.

use std::time::{Duration, Instant};

use serde_json::json;

use super::readiness::{Outage, Readiness};
use crate::harness::{App, Books, Load, Publishing, Receiver, SOON, eventually};

/// What a refusal takes at most, on a busy machine too.
const REFUSAL: Duration = Duration::from_secs(10);
/// How long after its return all that was accepted has come.
const BACK: Duration = Duration::from_secs(20);
pub(super) const PER_SECOND: usize = 40;
const PUBLISHERS: usize = 8;

/// One process, into which events come all the time.
pub(super) struct Scene {
    pub(super) app: App,
    receiver: Receiver,
    pub(super) publishing: Publishing,
    readiness: Readiness,
}

impl Scene {
    pub(super) async fn of(app: App) -> Self {
        let receiver = Receiver::start().await;
        receiver.fails_some_at_first("/hook");
        let extras = json!({ "retry_schedule_seconds": vec![0.1; 10] });
        app.client.create_endpoint(&receiver.url("/hook"), extras).await;
        let load = Load { publishers: PUBLISHERS, ..Load::without_end(PER_SECOND) };
        let publishing = Publishing::start(&app.client, &load);
        let readiness = Readiness::watch(app.client.clone());
        Self { app, receiver, publishing, readiness }
    }

    /// Waits for a moment that nobody knows, in which all is well.
    pub(super) async fn any_moment(&mut self) {
        self.publishing.wait_for_more(rand::random_range(1..2 * PER_SECOND)).await;
        self.readiness = Readiness::watch(self.app.client.clone());
        self.readiness.says(true).await;
    }

    /// Waits until each publisher was refused, and `/readyz` says why.
    pub(super) async fn refuses(&self) {
        let before = self.publishing.refusals();
        let refused = || async { (self.publishing.refusals() >= before + PUBLISHERS).then_some(()) };
        eventually("events are refused", SOON, refused).await;
        self.readiness.says(false).await;
    }

    /// All goes on by itself.
    pub(super) async fn goes_on(&self, after: &str, outage: Outage) {
        self.publishing.wait_for_more(PUBLISHERS).await;
        eprintln!("{after}: events are accepted again {:?} after its return", outage.up.elapsed());
        self.comes(after).await;
        self.readiness.says(true).await;
        self.readiness.told_the_truth(outage);
    }

    /// What was accepted comes, what came just now as well.
    pub(super) async fn comes(&self, after: &str) {
        let began = Instant::now();
        self.publishing.wait_for_more(PUBLISHERS).await;
        let accepted = self.publishing.accepted();
        self.receiver.wait_for_all("/hook", &accepted, BACK).await;
        let (took, refusal) = (began.elapsed(), self.publishing.slowest_refusal());
        eprintln!(
            "{after}: all came {took:?} later; the slowest 202 took {:?}, {} refusals at most {refusal:?}",
            self.publishing.slowest(),
            self.publishing.refusals()
        );
        assert!(refusal < REFUSAL, "a refusal took {refusal:?}");
    }

    pub(super) async fn balances(self) {
        drop(self.readiness);
        let accepted = self.publishing.stop().await;
        Books::of(&accepted).balance(&self.app.client, &self.receiver).await;
    }
}
