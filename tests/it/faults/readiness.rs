//! What `/readyz` says while a scenario runs: asked all the time, and held against what was true then.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::harness::{Client, SOON, eventually};

/// How long an answer may be that of a moment before: what was proved a second ago counts, and a database has a second to
/// answer.
const LATE: Duration = Duration::from_secs(3);
const BETWEEN: Duration = Duration::from_millis(100);

/// Ends when dropped.
pub(super) struct Readiness {
    said: Arc<Mutex<Vec<Said>>>,
    asking: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    asked: Instant,
    answered: Instant,
    ready: bool,
}

/// When what could be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    /// Until then everything.
    pub(super) began: Instant,
    /// From then on nothing.
    pub(super) down: Instant,
    /// From then on everything again.
    pub(super) up: Instant,
}

impl Outage {
    pub(super) fn now() -> Self {
        let now = Instant::now();
        Self { began: now, down: now, up: now }
    }

    pub(super) fn ends(&mut self) {
        self.up = Instant::now();
    }
}

impl Readiness {
    pub(super) fn watch(client: Client) -> Self {
        let said: Arc<Mutex<Vec<Said>>> = Arc::default();
        let saying = Arc::clone(&said);
        let asking = tokio::spawn(async move {
            loop {
                let asked = Instant::now();
                let answer = client.get("/readyz").send().await;
                assert!([200, 503].contains(&answer.status), "{}", answer.text);
                let ready = answer.status == 200;
                assert_eq!(ready, answer.string("/checks/database") == "ok", "{}", answer.text);
                saying.lock().unwrap().push(Said { asked, answered: Instant::now(), ready });
                tokio::time::sleep(BETWEEN).await;
            }
        });
        Self { said, asking }
    }

    /// Waits until it says so.
    pub(super) async fn says(&self, ready: bool) {
        let asked = Instant::now();
        let says = || async { self.since(asked).last().is_some_and(|said| said.ready == ready).then_some(()) };
        eventually(&format!("/readyz says {ready}"), SOON, says).await;
    }

    pub(super) fn told_the_truth(&self, Outage { began, down, up }: Outage) {
        assert!(!self.asking.is_finished(), "/readyz answered badly");
        let said = self.since(down + LATE);
        let lies = said.iter().filter(|said| said.ready && said.answered < up).count();
        assert_eq!(lies, 0, "said to be ready while nothing could be stored: {said:#?}");
        let said = self.said.lock().unwrap();
        let lies = said.iter().filter(|said| !said.ready && said.answered < began).count();
        assert_eq!(lies, 0, "said not to be ready while all could be stored");
    }

    /// What it answered to questions that were asked since.
    fn since(&self, since: Instant) -> Vec<Said> {
        self.said.lock().unwrap().iter().filter(|said| said.asked >= since).copied().collect()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.asking.abort();
    }
}
