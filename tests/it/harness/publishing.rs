//! Publishers that go on through everything: each event is tried, by its idempotency key, until it is accepted.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use uuid::Uuid;

use super::{Client, LONG, eventually};

/// What is published. Made by [`Load::of`], with other fields where the test says so.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) publishers: usize,
    /// The type of event `n`, and with it the lanes to which it goes.
    pub(crate) kind: fn(usize) -> String,
    /// Of all publishers together; `None` for as many as are accepted.
    pub(crate) per_second: Option<usize>,
    /// Begins every idempotency key, so that two loads on one server are different events.
    pub(crate) name: String,
}

/// A load on its way. Ends when dropped.
pub(crate) struct Publishing {
    accepted: Arc<Mutex<HashSet<String>>>,
    stopped: Arc<AtomicBool>,
    publishers: JoinSet<()>,
}

impl Load {
    pub(crate) fn of(events: usize) -> Self {
        let name = format!("load-{}", Uuid::now_v7().simple());
        Self { events, publishers: 8, kind: |_| "load.test".to_owned(), per_second: None, name }
    }

    /// One publisher's part.
    async fn publish(self, publisher: usize, client: Client, accepted: Arc<Mutex<HashSet<String>>>, ended: Ended) {
        let mut pace = self.per_second.map(|per_second| {
            let period =
                Duration::from_secs(1) * u32::try_from(self.publishers).unwrap() / u32::try_from(per_second).unwrap();
            let mut pace = tokio::time::interval(period);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        for n in (publisher..self.events).step_by(self.publishers) {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let event = self.accept_one(&client, n, &ended).await;
            accepted.lock().unwrap().insert(event);
        }
    }

    /// Publishes event `n` until a 202 came for it; the server may die under each call.
    async fn accept_one(&self, client: &Client, n: usize, ended: &AtomicBool) -> String {
        let body = json!({ "type": (self.kind)(n), "payload": { "n": n } });
        let key = format!("{}-{n}", self.name);
        let published = || async {
            assert!(!ended.load(Ordering::SeqCst), "the test has ended");
            let answer = client.post("/v1/events").header("idempotency-key", &key).json(&body).try_send().await.ok()?;
            // A server that starts or stops may say 503; anything else but 202 is wrong.
            if answer.status == 503 {
                return None;
            }
            Some(answer.expect(202).string("/id"))
        };
        eventually(&format!("event {n} is accepted"), LONG, published).await
    }
}

type Ended = Arc<AtomicBool>;

impl Publishing {
    pub(crate) fn start(client: &Client, load: &Load) -> Self {
        let accepted: Arc<Mutex<HashSet<String>>> = Arc::default();
        let stopped = Ended::default();
        let mut publishers = JoinSet::new();
        for publisher in 0..load.publishers {
            publishers.spawn(load.clone().publish(
                publisher,
                client.clone(),
                Arc::clone(&accepted),
                Arc::clone(&stopped),
            ));
        }
        Self { accepted, stopped, publishers }
    }

    pub(crate) fn accepted_count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// The ids of those that are accepted so far.
    pub(crate) fn accepted(&self) -> HashSet<String> {
        self.accepted.lock().unwrap().clone()
    }

    /// Waits until so many events are accepted.
    pub(crate) async fn wait_for(&self, count: usize) {
        let reached = || async { (self.accepted_count() >= count).then_some(()) };
        eventually(&format!("{count} events are accepted"), LONG, reached).await;
    }

    /// Waits until all are accepted, and gives their ids.
    pub(crate) async fn finish(mut self) -> HashSet<String> {
        while let Some(ended) = self.publishers.join_next().await {
            ended.expect("a publisher ends well");
        }
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}
