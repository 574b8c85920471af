//! Writers that change pages, and keep book of what was accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::{
    WITHIN, WRITERS,
    model::{self, Change, Page},
    windows::Call,
};
use crate::harness::{Answer, Client};

const BATCH_MAX: usize = 200;
/// All writers rest then, so that changes rest, too.
const REST: std::ops::Range<Duration> = Duration::from_secs(25)..Duration::from_millis(28_500);

/// What a writer knows of its pages.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// What each page may be like: of a change whose answer was lost nobody knows.
    pub(super) pages: BTreeMap<String, BTreeSet<Page>>,
    pub(super) calls: Vec<Call>,
    /// Changes that were accepted.
    accepted: usize,
    /// How many numbers were given to what is new.
    numbers: usize,
}

impl Book {
    pub(super) fn keep(&mut self, key: String, page: Page) {
        self.pages.insert(key, BTreeSet::from([page]));
    }

    fn note(&mut self, changes: &[(String, Change)], call: Call) {
        for (key, change) in changes {
            let before = self.pages.entry(key.clone()).or_insert_with(|| BTreeSet::from([Page::new()]));
            let after: BTreeSet<Page> = before.iter().map(|page| change.of(page)).collect();
            match call.is_sure {
                true => *before = after,
                false => before.extend(after),
            }
        }
        if call.is_sure {
            self.accepted += changes.len();
        }
        self.calls.push(call);
    }
}

pub(super) struct Writer {
    client: Client,
    book: Book,
    /// Which of the writers it is.
    place: usize,
    rng: StdRng,
}

impl Writer {
    pub(super) fn new(client: Client, book: Book, place: usize, seed: u64) -> Self {
        Self { client, book, place, rng: StdRng::seed_from_u64(seed) }
    }

    /// Makes so many changes within the time, singly where it keeps up, else in batches.
    pub(super) async fn write(mut self, changes: usize) -> Book {
        let started = Instant::now();
        while self.book.accepted < changes {
            let elapsed = started.elapsed();
            if REST.contains(&elapsed) {
                tokio::time::sleep(REST.end - elapsed).await;
            }
            let due = usize::try_from(elapsed.as_millis() * changes as u128 / WITHIN.as_millis()).expect("few");
            match due.min(changes).saturating_sub(self.book.accepted) {
                0 => tokio::time::sleep(Duration::from_millis(10)).await,
                1..=20 if self.rng.random_bool(0.9) => self.change_one().await,
                1..=20 => tokio::time::sleep(Duration::from_millis(self.rng.random_range(200..900))).await,
                due => self.change_many(due.min(BATCH_MAX)).await,
            }
        }
        self.book
    }

    pub(super) async fn write_at_once(mut self, changes: usize) -> Book {
        for _ in 0..changes {
            self.change_one().await;
        }
        self.book
    }

    async fn change_one(&mut self) {
        let key = self.some_key();
        let before = self.book.pages.get(&key).and_then(|states| states.first()).cloned().unwrap_or_default();
        let n = self.number();
        let change = match key.starts_with("lonely") && before.is_empty() {
            true => Change::Put(model::lonely_page(&mut self.rng, n, n % 300)),
            false => Change::any(&mut self.rng, &before, n),
        };
        self.make(vec![(key, change)]).await;
    }

    async fn change_many(&mut self, count: usize) {
        let mut changes = BTreeMap::new();
        for _ in 0..count {
            let key = self.some_key();
            let n = self.number();
            let before = self.book.pages.get(&key).and_then(|states| states.first()).cloned().unwrap_or_default();
            let after = Change::any(&mut self.rng, &before, n).of(&before);
            // A batch removes no page.
            if !after.is_empty() {
                changes.insert(key, Change::Put(after));
            }
        }
        if !changes.is_empty() {
            self.make(changes.into_iter().collect()).await;
        }
    }

    /// A page of its own that is there, or one that is new.
    fn some_key(&mut self) -> String {
        match self.rng.random_range(0..100) {
            0 => format!("lonely-{}-{}", self.place, self.book.numbers),
            1..6 => format!("new-{}-{}", self.place, self.book.numbers),
            _ => {
                let at = self.rng.random_range(0..self.book.pages.len());
                self.book.pages.keys().nth(at).expect("a page").clone()
            }
        }
    }

    /// One that no page has had.
    fn number(&mut self) -> usize {
        self.book.numbers += 1;
        super::PAGES + self.book.numbers * WRITERS + self.place
    }

    /// Hands changes in. Where no answer comes it is tried again, or not.
    async fn make(&mut self, changes: Vec<(String, Change)>) {
        loop {
            let sent = Instant::now();
            let answer = self.send(&changes).await;
            let call = |is_sure| Call { sent, answered: Instant::now(), is_sure };
            match answer {
                Ok(answer) if is_accepted(&answer, &changes) => return self.book.note(&changes, call(true)),
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => panic!("{} answered {}: {}", answer.call, answer.status, answer.text),
                Err(error) if error.is_connect() => {}
                Err(_) => {
                    self.book.note(&changes, call(false));
                    if self.rng.random_bool(0.5) {
                        return;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, changes: &[(String, Change)]) -> reqwest::Result<Answer> {
        let path = |key: &str| format!("/v1/sites/news/pages/{key}");
        let call = match changes {
            [(key, Change::Put(page))] => {
                let page = json!({ "translations": model::translations(page) });
                self.client.call(reqwest::Method::PUT, &path(key)).json(&page)
            }
            [(key, Change::Delete)] => self.client.delete(&path(key)),
            [(key, Change::DeleteTranslation(tag))] => self.client.delete(&format!("{}/translations/{tag}", path(key))),
            many => {
                let page = |(key, change): &(String, Change)| model::in_batch(key, &change.of(&Page::new()));
                let batch = json!({ "pages": many.iter().map(page).collect::<Vec<_>>() });
                self.client.post("/v1/sites/news/pages/batch").json(&batch)
            }
        };
        call.try_send().await
    }
}

/// What is to be removed and is not there is removed as well: an answer may have been lost before.
fn is_accepted(answer: &Answer, changes: &[(String, Change)]) -> bool {
    let removes = !matches!(changes, [(_, Change::Put(_))]) && changes.len() == 1;
    answer.status == 202 || removes && answer.status == 404
}
