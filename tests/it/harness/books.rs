//! The books of a scenario, which must balance: accepted = delivered + dead + pending, by what the receiver saw and by
//! what the API says.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::Value;

use super::{Client, LONG, Receiver, eventually};

/// How many are named of each fault.
const NAMED: usize = 5;
/// What a pending job is shown as.
const UNDONE: [&str; 4] = ["retrying", "queued", "running", "scheduled"];

/// What must be found. Made by [`Books::of`], with other fields where the scenario allows more.
pub(crate) struct Books<'a, Events> {
    pub(crate) accepted: &'a Events,
    /// Requests that no recorded attempt accounts for.
    pub(crate) duplicates_max: usize,
    /// A job may have come once more, on top of that, for each worker that vanished with it: its request may have left.
    pub(crate) workers_vanish: bool,
    /// Deliveries that are not done when the books are closed.
    pub(crate) pending: usize,
    /// How long it may take until no more than those are left.
    pub(crate) within: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    pub(crate) delivered: usize,
    pub(crate) dead: usize,
    duplicates: usize,
    pending: usize,
    workers_vanish: bool,
    faults: HashMap<&'static str, Vec<String>>,
}

impl<'a, Events> Books<'a, Events>
where
    &'a Events: IntoIterator<Item = &'a String>,
{
    /// Nothing is lost, nothing came more often than it was tried, nothing is left: for exactly these events, which are
    /// all that the server has.
    pub(crate) fn of(accepted: &'a Events) -> Self {
        Self { accepted, duplicates_max: 0, workers_vanish: false, pending: 0, within: LONG }
    }

    /// Waits until all is done that is to be done, and balances the books of all deliveries.
    pub(crate) async fn balance(&self, client: &Client, receiver: &Receiver) -> Balance {
        // State by state, a job that moves on meanwhile may be seen in none: the books themselves say whether all is done.
        let closed = || async {
            if !self.is_done(client).await {
                return None;
            }
            let (jobs, dead) = (client.all("/v1/jobs").await, client.all("/v1/dead-letters").await);
            let balance = self.check(&jobs, &dead, &receiver.all_events());
            (balance.pending <= self.pending).then_some(balance)
        };
        let left = format!("all but {} deliveries are done", self.pending);
        let balance = eventually(&left, self.within, closed).await;
        let Balance { pending, duplicates, faults, .. } = &balance;
        let words = balance.words();
        assert!(faults.is_empty(), "the books do not balance: {words}");
        assert_eq!(*pending, self.pending, "not done: {words}");
        assert!(*duplicates <= self.duplicates_max, "more than {} duplicates: {words}", self.duplicates_max);
        balance
    }

    async fn is_done(&self, client: &Client) -> bool {
        let mut pending = 0;
        for state in UNDONE {
            let path = format!("/v1/jobs?state={state}&limit={}", (self.pending + 1).min(250));
            pending += client.get(&path).send().await.expect(200).list("/data").len();
            if pending > self.pending {
                return false;
            }
        }
        true
    }

    fn check(&self, jobs: &[Value], dead: &[Value], came: &HashMap<String, usize>) -> Balance {
        let mut balance = Balance { workers_vanish: self.workers_vanish, ..Balance::default() };
        let mut letters: HashMap<&str, usize> = HashMap::new();
        for letter in dead {
            *letters.entry(letter["job_id"].as_str().expect("the job of a dead letter")).or_default() += 1;
        }
        let mut by_event: HashMap<&str, Vec<&Value>> = HashMap::new();
        for job in jobs {
            by_event.entry(job["event_id"].as_str().expect("a delivery's event")).or_default().push(job);
        }
        for event in self.accepted {
            let deliveries = by_event.remove(event.as_str()).unwrap_or_default();
            if deliveries.is_empty() {
                balance.fault("accepted and not stored", event);
            }
            balance.add(event, &deliveries, &letters, came.get(event).copied().unwrap_or_default());
        }
        for event in by_event.keys() {
            balance.fault("stored and not accepted", event);
        }
        let accepted: HashSet<&String> = self.accepted.into_iter().collect();
        for event in came.keys().filter(|event| !accepted.contains(event)) {
            balance.fault("came and was not accepted", event);
        }
        balance
    }
}

impl Balance {
    /// An event's deliveries, and how often it came.
    fn add(&mut self, event: &str, deliveries: &[&Value], letters: &HashMap<&str, usize>, came: usize) {
        let (mut succeeded, mut attempts) = (0, 0);
        for job in deliveries {
            let id = job["id"].as_str().expect("a job's id");
            let buried = letters.get(id).copied().unwrap_or_default();
            let state = job["state"].as_str().expect("a job's state");
            match state {
                "succeeded" => succeeded += 1,
                "dead" => self.dead += 1,
                state if UNDONE.contains(&state) => self.pending += 1,
                _ => self.fault("neither delivered nor dead nor pending", event),
            }
            if buried != usize::from(state == "dead") {
                self.fault("another count of dead letters than its state says", event);
            }
            attempts += count(job, "attempt") + if self.workers_vanish { count(job, "lost_workers") } else { 0 };
        }
        self.delivered += succeeded;
        self.duplicates += came.saturating_sub(attempts);
        if came < succeeded {
            self.fault("lost: succeeded, and did not come", event);
        }
    }

    fn fault(&mut self, what: &'static str, event: &str) {
        self.faults.entry(what).or_default().push(event.to_owned());
    }

    fn words(&self) -> String {
        let Self { delivered, dead, pending, duplicates, faults, .. } = self;
        let mut words = format!("{delivered} delivered, {dead} dead, {pending} pending, {duplicates} came once more");
        for (what, events) in faults {
            let named = events.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            words.push_str(&format!("; {} {what}: {named}", events.len()));
        }
        words
    }
}

fn count(job: &Value, of: &str) -> usize {
    job[of].as_u64().and_then(|count| usize::try_from(count).ok()).expect("a count")
}

#[test]
fn the_books_name_what_is_lost_and_count_what_came_again() {
    use serde_json::json;
    let accepted = ["good", "twice", "dead", "crashed", "claimed", "gone", "cancelled"].map(str::to_owned).to_vec();
    let job = |event: &str, state: &str, lost_workers: usize| json!({ "id": format!("job of {event}"), "event_id": event, "state": state, "attempt": 1, "lost_workers": lost_workers });
    let jobs = [
        job("good", "succeeded", 0),
        job("twice", "succeeded", 0),
        job("dead", "dead", 0),
        job("crashed", "succeeded", 1),
        job("claimed", "succeeded", 0),
        job("cancelled", "cancelled", 0),
        job("refused", "queued", 0),
    ];
    let letters = [json!({ "job_id": "job of dead" })];
    let came = [("good", 1), ("twice", 2), ("dead", 1), ("crashed", 2), ("stray", 1)];
    let came: HashMap<String, usize> = came.map(|(event, count)| (event.to_owned(), count)).into();
    let strict = Books::of(&accepted);
    let balance = strict.check(&jobs, &letters, &came);
    let Balance { delivered, dead, duplicates, pending, .. } = balance;
    assert_eq!((delivered, dead, duplicates, pending), (4, 1, 2, 0));
    let mut faults: Vec<String> =
        balance.faults.iter().map(|(what, events)| format!("{what}: {}", events.join(", "))).collect();
    faults.sort();
    let expected = [
        "accepted and not stored: gone",
        "came and was not accepted: stray",
        "lost: succeeded, and did not come: claimed",
        "neither delivered nor dead nor pending: cancelled",
        "stored and not accepted: refused",
    ];
    assert_eq!(faults, expected);
    let forgiving = Books { workers_vanish: true, ..strict };
    let balance = forgiving.check(&jobs, &[], &came);
    assert_eq!(
        (balance.duplicates, balance.faults.values().flatten().filter(|event| *event == "dead").count()),
        (1, 1)
    );
}
