//! The store by itself, on both databases: what one transaction has to get right whatever comes with it.

use std::time::Duration;

use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::{AttemptClass, AttemptReport},
        dead_letter::Cause,
        egress::EndpointUrl,
        endpoint::{Endpoint, EndpointSettings},
        event::Event,
        job::{Job, JobKind, JobState, Outcome},
        retry::RetrySchedule,
        signature::SigningSecret,
        tenant::Tenant,
    },
    store::{
        Cipher, Finished, Gate, Item, ItemResult, NewEvent, NewJob, Publication, Published, Recorded, Store,
        StoreOptions, Work,
    },
};

use crate::harness::{Database, Stack};

mod changes;
mod collapse;
mod deaths;
mod endpoints;
mod gate;
mod lanes;
mod notification_types;
mod notifications;
mod operations;
mod people;
mod plans;
mod push;
mod retention;
mod scope;
mod site_media;
mod sites;
mod users;

on_both_stacks!(
    a_key_is_won_once_within_a_group_and_between_groups,
    a_key_s_answer_says_what_became_of_each_item,
    a_key_is_known_again_whatever_else_wants_it_at_the_same_time,
    a_key_whose_time_is_over_is_won_again,
    a_late_outcome_is_recorded_and_changes_nothing,
    a_late_outcome_among_others_is_the_only_one_that_changes_nothing,
    of_a_worker_that_was_counted_as_lost_a_success_counts_and_a_failure_is_late,
    a_lost_worker_s_attempt_is_kept_and_spends_no_retry,
    work_that_was_just_stored_is_as_it_is_read_back,
    processes_that_begin_at_once_make_the_tables_together,
);

struct Fixture {
    stack: Stack,
    store: Store,
    tenant: Tenant,
    now: UnixMs,
    database: Database,
    _data: tempfile::TempDir,
}

impl Fixture {
    async fn make(stack: Stack) -> Self {
        let data = tempfile::tempdir().unwrap();
        let database = Database::make(stack, data.path()).await;
        let store = Self::open(&database, [7; 32], "test").await;
        let now = UnixMs::now();
        let tenant = store.default_tenant(now).await.unwrap();
        Self { stack, store, tenant, now, database, _data: data }
    }

    async fn open(database: &Database, key: [u8; 32], node: &str) -> Store {
        let options = StoreOptions {
            url: database.url().to_owned(),
            cipher: Cipher::parse(&Cipher::key_text(key)).unwrap(),
            node: node.to_owned(),
            connections_max: 8,
        };
        Store::open(&options).await.unwrap()
    }

    async fn second_process(&self, key: [u8; 32]) -> Store {
        Self::open(&self.database, key, "other").await
    }

    async fn endpoint(&self) -> Endpoint {
        let url = EndpointUrl::stored("http://127.0.0.1:9/".to_owned());
        let settings = EndpointSettings::new(url, RetrySchedule::default());
        let secret = SigningSecret::from_random([1; 32]);
        self.store.tenant(self.tenant.id).create_endpoint(&settings, &secret, self.now).await.unwrap()
    }

    fn event(&self, endpoint: &Endpoint) -> (Id<Event>, Id<Job>, Item) {
        let event = NewEvent {
            id: Id::new(),
            own_id: None,
            kind: "a.b".parse().unwrap(),
            channels: Vec::new(),
            payload: b"{\"b\": 1.0e3 }".to_vec(),
            deliver_at: self.now,
            trace: None,
        };
        let job = NewJob::delivery(endpoint, event.id, self.now);
        let (event_id, job_id) = (event.id, job.id);
        (event_id, job_id, Item { answer: "own".to_owned(), ..Item::event(event, vec![job]) })
    }

    async fn publish(&self, gate: Option<Gate>, items: Vec<Item>) -> Published {
        self.publish_at(self.now, gate, items).await
    }

    async fn publish_at(&self, now: UnixMs, gate: Option<Gate>, items: Vec<Item>) -> Published {
        let compose = Box::new(|results: &[ItemResult]| {
            let stored = results.iter().filter(|&result| *result == ItemResult::Stored).count();
            format!("{stored} of {}", results.len())
        });
        self.store.tenant(self.tenant.id).publish(Publication::new(gate, items, now, compose)).await.unwrap()
    }

    fn gate(&self, body: u8) -> Gate {
        let expires_at = self.now + Duration::from_secs(3600);
        Gate { scope: "events", key: "k".to_owned(), body_hash: vec![body], expires_at }
    }

    fn finished(&self, job: Id<Job>, endpoint: &Endpoint, attempt: u32, outcome: Outcome) -> Finished {
        let failed = outcome != Outcome::Succeeded;
        let report = AttemptReport {
            started_at: self.now,
            duration_ms: 3,
            class: if failed { AttemptClass::HttpStatus } else { AttemptClass::Succeeded },
            status_code: Some(if failed { 500 } else { 200 }),
            error: failed.then(|| format!("HTTP 500 no. {attempt}")),
            response_body: Some(b"oh".to_vec()),
            address: None,
            worker: "w".to_owned(),
            retry_after: None,
        };
        Finished {
            job,
            tenant: self.tenant.id,
            kind: JobKind::WebhookDeliver,
            endpoint: Some(endpoint.id),
            message_id: Some("message".to_owned()),
            attempt,
            due_at: self.now,
            lost_workers: 0,
            report: Some(report),
            outcome,
            endpoint_state: None,
            sent: None,
            now: self.now,
            node: String::new(),
        }
    }

    async fn die(&self, endpoint: &Endpoint) -> Id<Job> {
        let (_, job, item) = self.event(endpoint);
        self.publish(None, vec![item]).await;
        let dead = self.finished(job, endpoint, 0, Outcome::Dead { cause: Cause::AttemptsSpent });
        assert_eq!(self.store.record(dead).await.unwrap(), Recorded::Applied);
        job
    }
}

async fn processes_that_begin_at_once_make_the_tables_together(stack: Stack) {
    let data = tempfile::tempdir().unwrap();
    let database = Database::make(stack, data.path()).await;
    let begin = |n: usize| {
        let url = database.url().to_owned();
        tokio::spawn(async move {
            let cipher = Cipher::parse(&Cipher::key_text([7; 32])).unwrap();
            let options = StoreOptions { url, cipher, node: n.to_string(), connections_max: 2 };
            Store::open(&options).await.unwrap().close().await;
        })
    };
    for begun in futures::future::join_all((0..6).map(begin)).await {
        begun.unwrap();
    }
}

async fn a_key_is_won_once_within_a_group_and_between_groups(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let many = (0..100).map(|_| at.publish(Some(at.gate(1)), vec![at.event(&endpoint).2]));
    let answers = futures::future::join_all(many).await;
    let stored = answers.iter().filter(|answer| matches!(answer, Published::Stored(_))).count();
    assert_eq!(stored, 1);
    let replayed = Published::Replayed { answer: "1 of 1".to_owned() };
    assert_eq!(answers.iter().filter(|&answer| *answer == replayed).count(), 99);
    assert_eq!(at.publish(Some(at.gate(2)), vec![at.event(&endpoint).2]).await, Published::Conflict);
    let due = at.store.due_jobs(None, at.now, 10).await.unwrap();
    assert_eq!(due.len(), 1);
}

async fn a_key_s_answer_says_what_became_of_each_item(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let own = |key: &str, body| {
        let gate = Gate { scope: "own_id", key: key.to_owned(), ..at.gate(body) };
        Item { gate: Some(gate), ..at.event(&endpoint).2 }
    };
    assert_eq!(at.publish(None, vec![own("a", 1)]).await, Published::Stored(vec![ItemResult::Stored]));
    let call = || at.publish(Some(at.gate(1)), vec![own("a", 1), own("a", 2), own("b", 1), own("b", 1)]);
    let answers = futures::future::join_all((0..20).map(|_| call())).await;
    let again = || ItemResult::Replayed { answer: "own".to_owned() };
    let stored = Published::Stored(vec![again(), ItemResult::Conflict, ItemResult::Stored, again()]);
    assert_eq!(answers.iter().filter(|&answer| *answer == stored).count(), 1);
    let replayed = Published::Replayed { answer: "1 of 4".to_owned() };
    assert_eq!(answers.iter().filter(|&answer| *answer == replayed).count(), 19);
    assert_eq!(call().await, replayed);
    assert_eq!(at.store.due_jobs(None, at.now, 10).await.unwrap().len(), 2);
}

async fn a_key_is_known_again_whatever_else_wants_it_at_the_same_time(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    at.publish(Some(at.gate(1)), vec![at.event(&endpoint).2]).await;
    let many = (0..100).map(|n| at.publish(Some(at.gate(n % 3)), vec![at.event(&endpoint).2]));
    for (n, answer) in futures::future::join_all(many).await.into_iter().enumerate() {
        let replayed = Published::Replayed { answer: "1 of 1".to_owned() };
        assert_eq!(answer, if n % 3 == 1 { replayed } else { Published::Conflict }, "{n}");
    }
}

async fn a_key_whose_time_is_over_is_won_again(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let over = Gate { expires_at: at.now, ..at.gate(1) };
    at.publish(Some(over), vec![at.event(&endpoint).2]).await;
    let two = || vec![at.event(&endpoint).2, at.event(&endpoint).2];
    assert_eq!(at.publish(Some(at.gate(2)), two()).await, Published::Stored(vec![ItemResult::Stored; 2]));
    assert_eq!(at.publish(Some(at.gate(2)), two()).await, Published::Replayed { answer: "2 of 2".to_owned() });
    assert_eq!(at.publish(Some(at.gate(1)), two()).await, Published::Conflict);
}

async fn a_late_outcome_is_recorded_and_changes_nothing(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (_, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    let outcomes = [Outcome::Retry { at: at.now }, Outcome::Succeeded]
        .map(|outcome| at.store.record(at.finished(job, &endpoint, 0, outcome)));
    let recorded = futures::future::join_all(outcomes).await;
    assert_eq!(recorded.iter().filter(|one| matches!(one, Ok(Recorded::Applied))).count(), 1);
    let scope = at.store.tenant(at.tenant.id);
    let detail = scope.job(job).await.unwrap().unwrap();
    assert_eq!((detail.job.state, detail.job.attempt), (JobState::Pending, 1));
    // Committed by themselves, and not beside the outcome that came first.
    assert_eq!(at.store.record(at.finished(job, &endpoint, 0, Outcome::Succeeded)).await.unwrap(), Recorded::Late);
    assert!(scope.cancel_job(job, at.now).await.unwrap());
    assert_eq!(at.store.record(at.finished(job, &endpoint, 1, Outcome::Succeeded)).await.unwrap(), Recorded::Late);
    let detail = scope.job(job).await.unwrap().unwrap();
    assert_eq!((detail.job.state, detail.job.attempt), (JobState::Cancelled, 1));
    let late: Vec<bool> = scope.attempts(job).await.unwrap().iter().map(|attempt| attempt.late).collect();
    assert_eq!(late, [false, true, true, true]);
}

async fn a_late_outcome_among_others_is_the_only_one_that_changes_nothing(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (jobs, items): (Vec<_>, Vec<_>) = (0..9).map(|_| at.event(&endpoint)).map(|(_, job, item)| (job, item)).unzip();
    at.publish(None, items).await;
    let succeeded = |job: &Id<Job>| at.store.record(at.finished(*job, &endpoint, 0, Outcome::Succeeded));
    assert_eq!(succeeded(&jobs[5]).await.unwrap(), Recorded::Applied);
    // The first is written by itself, and the others are one group then.
    let recorded = futures::future::join_all(jobs.iter().map(succeeded)).await;
    for (place, recorded) in recorded.into_iter().enumerate() {
        let expected = if place == 5 { Recorded::Late } else { Recorded::Applied };
        assert_eq!(recorded.unwrap(), expected, "no. {place}");
        let attempts = at.store.tenant(at.tenant.id).attempts(jobs[place]).await.unwrap();
        let late: Vec<bool> = attempts.iter().map(|attempt| attempt.late).collect();
        assert_eq!(late, if place == 5 { vec![false, true] } else { vec![false] }, "no. {place}");
    }
}

async fn of_a_worker_that_was_counted_as_lost_a_success_counts_and_a_failure_is_late(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (_, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    at.store.count_lost_workers(&[job], "a", at.now).await.unwrap();
    let by_lost = |outcome| at.finished(job, &endpoint, 0, outcome);
    for failure in [Outcome::Retry { at: at.now }, Outcome::Dead { cause: Cause::AttemptsSpent }] {
        assert_eq!(at.store.record(by_lost(failure)).await.unwrap(), Recorded::Late);
    }
    let detail = at.store.tenant(at.tenant.id).job(job).await.unwrap().unwrap();
    assert_eq!((detail.job.state, detail.job.attempt), (JobState::Pending, 0));
    let by_next = Finished { lost_workers: 1, ..by_lost(Outcome::Retry { at: at.now }) };
    assert_eq!(at.store.record(by_next).await.unwrap(), Recorded::Applied);
    at.store.count_lost_workers(&[job], "b", at.now).await.unwrap();
    let success = Finished { lost_workers: 1, ..at.finished(job, &endpoint, 1, Outcome::Succeeded) };
    assert_eq!(at.store.record(success).await.unwrap(), Recorded::Applied);
}

async fn work_that_was_just_stored_is_as_it_is_read_back(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (_, plain, item) = at.event(&endpoint);
    let (_, named, mut own) = at.event(&endpoint);
    let event = own.event.as_mut().unwrap();
    event.own_id = Some("order-7".parse().unwrap());
    event.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    let trace = Some("00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    let alone = NewJob {
        id: Id::new(),
        kind: JobKind::HttpRequest,
        priority: 7.try_into().unwrap(),
        args: Some(b"{\"url\": 1}".to_vec()),
        event_id: None,
        endpoint_id: None,
        unique_key: Some("key".to_owned()),
        tags: vec!["red".parse().unwrap()],
        trace,
        ..item.jobs[0].clone()
    };
    let (_, cancelled, other) = at.event(&endpoint);
    let (_, later, mut scheduled) = at.event(&endpoint);
    scheduled.jobs[0].run_at = at.now + Duration::from_secs(60);
    let jobs = [plain, named, alone.id, cancelled, later];
    let job = Item::jobs(vec![alone]);
    at.publish(None, vec![item, own, job, other, scheduled]).await;
    assert!(at.store.tenant(at.tenant.id).cancel_job(cancelled, at.now).await.unwrap());
    let by_id = |mut work: Vec<Work>| {
        work.sort_by_key(|work| work.job.id);
        work
    };
    let (kept, read) = (at.store.load_work(&jobs).await.unwrap(), at.store.load_work(&jobs).await.unwrap());
    assert_eq!(read.len(), 4);
    assert_eq!(by_id(kept), by_id(read));
}

#[tokio::test]
async fn what_another_process_did_to_a_job_that_was_just_stored_is_known() {
    let at = Fixture::make(Stack::Postgres).await;
    let other = at.second_process([7; 32]).await;
    let endpoint = at.endpoint().await;
    let (_, job, item) = at.event(&endpoint);
    at.publish(None, vec![item]).await;
    assert_eq!(other.load_work(&[job]).await.unwrap()[0].job.attempt, 0);
    other.record(at.finished(job, &endpoint, 0, Outcome::Retry { at: at.now })).await.unwrap();
    assert_eq!(at.store.load_work(&[job]).await.unwrap()[0].job.attempt, 1);
}

async fn a_lost_worker_s_attempt_is_kept_and_spends_no_retry(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let (_, job, item) = at.event(&endpoint);
    let ended = at.die(&endpoint).await;
    at.publish(None, vec![item]).await;
    at.store.record(at.finished(job, &endpoint, 0, Outcome::Retry { at: at.now })).await.unwrap();
    for (times, worker) in [(1, "first"), (2, "second")] {
        let counted = at.store.count_lost_workers(&[ended, job], worker, at.now).await.unwrap();
        assert_eq!(counted.len(), 1, "a job that has ended lost nobody");
        let Job { id, attempt, lost_workers, .. } = counted[0].job;
        assert_eq!((id, attempt, lost_workers), (job, 1, times));
    }
    let mut dead = at.finished(job, &endpoint, 1, Outcome::Dead { cause: Cause::WorkersLost });
    (dead.report, dead.lost_workers) = (Some(AttemptReport::lost("second", at.now)), 2);
    assert_eq!(at.store.record(dead).await.unwrap(), Recorded::Applied);
    let scope = at.store.tenant(at.tenant.id);
    let history = scope.attempts(job).await.unwrap();
    let shown = |n: usize| (history[n].n, history[n].outcome.as_str(), history[n].worker.as_deref());
    assert_eq!((shown(0), history.len()), ((1, "http_status", Some("w")), 3));
    assert_eq!([shown(1), shown(2)], [(2, "lost", Some("first")), (2, "lost", Some("second"))]);
    let letter = scope.dead_letter_of_job(job).await.unwrap().unwrap();
    assert_eq!((&letter.history, letter.attempts), (&history, 1));
    assert_eq!(scope.job(job).await.unwrap().unwrap().job.attempt, 1);
}
