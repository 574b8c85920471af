//! Publishers that go on through everything: each event is tried, by its idempotency key, until it is accepted.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
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
    course: Arc<Course>,
    publishers: JoinSet<()>,
}

/// What has come of it, and whether it goes on.
#[derive(Default)]
struct Course {
    accepted: Mutex<HashSet<String>>,
    /// No more events are wanted.
    enough: AtomicBool,
    /// The test has ended.
    stopped: AtomicBool,
    refusals: AtomicUsize,
    /// What the slowest 202 and the slowest 503 took, in ms.
    slowest_ms: AtomicU64,
    slowest_refusal_ms: AtomicU64,
}

impl Load {
    /// Goes on until [`Publishing::stop`].
    pub(crate) fn without_end(per_second: usize) -> Self {
        Self { per_second: Some(per_second), ..Self::of(usize::MAX) }
    }

    pub(crate) fn of(events: usize) -> Self {
        let name = format!("load-{}", Uuid::now_v7().simple());
        Self { events, publishers: 8, kind: |_| "load.test".to_owned(), per_second: None, name }
    }

    /// One publisher's part.
    async fn publish(self, publisher: usize, client: Client, course: Arc<Course>) {
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
            if course.enough.load(Ordering::SeqCst) {
                return;
            }
            let event = self.accept_one(&client, n, &course).await;
            course.accepted.lock().unwrap().insert(event);
        }
    }

    /// Publishes event `n` until a 202 came for it; the server may die under each call.
    async fn accept_one(&self, client: &Client, n: usize, course: &Course) -> String {
        let body = json!({ "type": (self.kind)(n), "payload": { "n": n } });
        let key = format!("{}-{n}", self.name);
        let published = || async {
            assert!(!course.stopped.load(Ordering::SeqCst), "the test has ended");
            let asked = Instant::now();
            let answer = client.post("/v1/events").header("idempotency-key", &key).json(&body).try_send().await.ok()?;
            let took = u64::try_from(asked.elapsed().as_millis()).expect("a short time");
            // A server that starts or stops, or cannot store, may say 503; anything else but 202 is wrong.
            if answer.status == 503 {
                let answer = answer.expect_problem(503, "unavailable");
                let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u32>().ok());
                assert!(wait.is_some_and(|seconds| seconds > 0), "a 503 says when to try again: {:?}", answer.headers);
                course.refusals.fetch_add(1, Ordering::SeqCst);
                course.slowest_refusal_ms.fetch_max(took, Ordering::SeqCst);
                return None;
            }
            course.slowest_ms.fetch_max(took, Ordering::SeqCst);
            Some(answer.expect(202).string("/id"))
        };
        eventually(&format!("event {n} is accepted"), LONG, published).await
    }
}

impl Publishing {
    pub(crate) fn start(client: &Client, load: &Load) -> Self {
        let course = Arc::<Course>::default();
        let mut publishers = JoinSet::new();
        for publisher in 0..load.publishers {
            publishers.spawn(load.clone().publish(publisher, client.clone(), Arc::clone(&course)));
        }
        Self { course, publishers }
    }

    pub(crate) fn accepted_count(&self) -> usize {
        self.course.accepted.lock().unwrap().len()
    }

    /// The ids of those that are accepted so far.
    pub(crate) fn accepted(&self) -> HashSet<String> {
        self.course.accepted.lock().unwrap().clone()
    }

    /// How often the server said 503.
    pub(crate) fn refusals(&self) -> usize {
        self.course.refusals.load(Ordering::SeqCst)
    }

    /// What the slowest 202 took.
    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_millis(self.course.slowest_ms.load(Ordering::SeqCst))
    }

    /// What the slowest 503 took.
    pub(crate) fn slowest_refusal(&self) -> Duration {
        Duration::from_millis(self.course.slowest_refusal_ms.load(Ordering::SeqCst))
    }

    /// Waits until so many events are accepted.
    pub(crate) async fn wait_for(&self, count: usize) {
        let reached = || async { (self.accepted_count() >= count).then_some(()) };
        eventually(&format!("{count} events are accepted"), LONG, reached).await;
    }

    /// Waits until so many more events are accepted.
    pub(crate) async fn wait_for_more(&self, count: usize) {
        self.wait_for(self.accepted_count() + count).await;
    }

    /// Ends with the events that are on their way, and gives the ids of all.
    pub(crate) async fn stop(self) -> HashSet<String> {
        self.course.enough.store(true, Ordering::SeqCst);
        self.finish().await
    }

    /// Waits until all are accepted, and gives their ids.
    pub(crate) async fn finish(mut self) -> HashSet<String> {
        while let Some(ended) = self.publishers.join_next().await {
            ended.expect("a publisher ends well");
        }
        std::mem::take(&mut *self.course.accepted.lock().unwrap())
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.course.stopped.store(true, Ordering::SeqCst);
    }
}
