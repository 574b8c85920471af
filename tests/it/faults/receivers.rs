//! Receivers that do what no receiver should, all at once, against a whole process: what they cost it, whom they delay,
//! and what is told of them. What the client makes of each single answer is proved in `worker/src/egress/tests`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{App, Client, LONG, Receiver, SOON, Script, Stack, eventually, rounds};

on_both_stacks!(
    no_receiver_takes_a_slot_for_good_or_memory_and_each_is_told_of_as_it_was,
    retry_after_puts_off_the_next_try_in_both_forms_and_nonsense_is_passed_over,
);

/// As few that any conduct which kept a slot for good would have them all in one round of the suite.
const SLOTS: usize = 6;
/// For calls that must run out of time, and for all others.
const SCANT_MS: u64 = 1_000;
const AMPLE_MS: u64 = 30_000;
/// A healthy endpoint's deliveries arrive within this, whatever others do: most of them, and each on a busy machine. Who
/// waits for a slot that a silent receiver holds waits longer than most may.
const PROMPT: Duration = Duration::from_millis(SCANT_MS / 2);
const PROMPT_MAX: Duration = Duration::from_secs(10);
/// What the process may need more than before, in KiB, while it is sent gigabytes.
const GROWTH_KIB_MAX: u64 = 48 * 1024;
/// No retry comes while the test runs, unless it asks for one.
const MUCH_LATER_S: u64 = 3_600;

/// A receiver and what is to be told of an attempt at it.
struct Stranger {
    /// The type of the events that go to it.
    name: &'static str,
    receiver: Receiver,
    told: Told,
}

#[derive(Clone, Copy)]
struct Told {
    status: Option<u16>,
    /// The class, and what the words begin with; `None` of a success.
    failure: Option<(&'static str, &'static str)>,
}

const fn success() -> Told {
    Told { status: Some(200), failure: None }
}

const fn failure(class: &'static str, words: &'static str) -> Told {
    Told { status: None, failure: Some((class, words)) }
}

impl Stranger {
    /// One that reads each request and then does as `script` says.
    async fn reading(name: &'static str, script: Script, told: Told) -> Self {
        let receiver = Receiver::start().await;
        receiver.always("/hook", script);
        Self { name, receiver, told }
    }

    /// One that does as `script` says with each connection, before it reads a byte.
    async fn not_reading(name: &'static str, script: Script, told: Told) -> Self {
        let receiver = Receiver::start().await;
        receiver.unread(Some(script));
        Self { name, receiver, told }
    }

    fn url(&self) -> String {
        if self.name.starts_with("tls.") { self.receiver.https_url("/hook") } else { self.receiver.url("/hook") }
    }

    fn timeout_ms(&self) -> u64 {
        if matches!(self.told.failure, Some(("timeout", _))) { SCANT_MS } else { AMPLE_MS }
    }

    /// From now on it answers 200, and is called without TLS.
    async fn mend(&self, client: &Client, endpoint: &str) {
        self.receiver.unread(None);
        self.receiver.always("/hook", Script::status(200));
        let url = json!({ "url": self.receiver.url("/hook") });
        client.patch(&format!("/v1/endpoints/{endpoint}")).json(&url).send().await.expect(200);
    }

    /// That the only attempt of its job was told as it was, and when the next one is due.
    fn judge(&self, job: &Value, trouble: &str) {
        let attempt = &job["attempts"][0];
        assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{trouble}");
        assert!(attempt["response_body"].as_str().is_none_or(|body| body.len() <= 4096 * 3), "{trouble}");
        assert_eq!(attempt["status_code"].as_u64(), self.told.status.map(u64::from), "{trouble}");
        let Some((class, words)) = self.told.failure else {
            assert_eq!((&job["state"], &attempt["outcome"]), (&json!("succeeded"), &json!("succeeded")), "{trouble}");
            assert!(attempt.get("error").is_none(), "{trouble}");
            return;
        };
        assert_eq!((&job["state"], &attempt["outcome"]), (&json!("retrying"), &json!("failed")), "{trouble}");
        assert_eq!(attempt["error_class"], class, "{trouble}");
        let told = attempt["error"].as_str().unwrap_or_default();
        assert!(told.starts_with(words), "{trouble}");
        let wait = time(&job["run_at"]).duration_since(time(&attempt["started_at"])).as_secs().unsigned_abs();
        assert!((MUCH_LATER_S / 2..=MUCH_LATER_S + 60).contains(&wait), "the next try is {wait} s off: {trouble}");
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time: {value}"))
}

/// All strangers. Every redirect leads to `trap`.
async fn strangers(trap: &str) -> Vec<Stranger> {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let endless = |first: Vec<u8>, again: &[u8]| Script::Endless { first, again: again.to_vec() };
    let gigabyte = format!("{HEAD}content-length: {}\r\n\r\n", 1 << 30).into_bytes();
    // Deflate's longest matches over and over: each megabyte of zeros unpacks to a gigabyte of them.
    let mut bomb = format!("{HEAD}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", 1 << 30).into_bytes();
    bomb.extend(b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xec\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee\x08\x0a");
    let unread = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let headers: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let broad = format!("{HEAD}{headers}content-length: 0\r\n\r\n").into_bytes();
    let no_answer = failure("timeout", "no answer within 1 s");
    let no_end = Told { status: Some(200), ..failure("timeout", "the answer did not end within 1 s") };
    let mut all = vec![
        Stranger::reading("drips.its.body", Script::Drip, no_end).await,
        Stranger::reading("drips.its.head", Script::DripHead, no_answer).await,
        Stranger::reading("never.answers", Script::Hang, no_answer).await,
        Stranger::not_reading("never.reads", Script::Hang, no_answer).await,
        Stranger::reading("continues", endless(Vec::new(), b"HTTP/1.1 102 Processing\r\n\r\n"), no_answer).await,
        Stranger::reading("sends.a.gigabyte", endless(gigabyte, &[b'x'; 65_536]), success()).await,
        Stranger::reading("sends.a.bomb", endless(bomb, &[0; 65_536]), success()).await,
        Stranger::reading("http.1.0", Script::Say(b"HTTP/1.0 200 OK\r\n\r\nto the end".into()), success()).await,
        Stranger::not_reading("answers.unread", Script::Unread(unread.into()), success()).await,
        Stranger::reading("closes", Script::Close, failure("connect", "connection closed before an answer")).await,
        Stranger::not_reading("closes.at.once", Script::Close, failure("connect", "connection ")).await,
        Stranger::reading("ten.thousand.headers", Script::Say(broad), failure("protocol", "the answer is not HTTP"))
            .await,
        Stranger::reading(
            "no.http",
            Script::Say(b"220 mail\r\n".into()),
            failure("protocol", "the answer is not HTTP"),
        )
        .await,
        Stranger::not_reading(
            "tls.none",
            Script::Say(b"220 mail\r\n".into()),
            failure("tls", "TLS: the receiver does not speak TLS"),
        )
        .await,
    ];
    for (name, status) in [("r.301", 301), ("r.302", 302), ("r.303", 303), ("r.307", 307), ("r.308", 308)] {
        let script = Script::status(status).with_header("location", trap);
        let told = Told { status: Some(status), ..failure("redirect", "HTTP 30") };
        all.push(Stranger::reading(name, script, told).await);
    }
    all
}

async fn no_receiver_takes_a_slot_for_good_or_memory_and_each_is_told_of_as_it_was(stack: Stack) {
    let app = App::builder(stack).env("POSTRIDER_WORKER_CONCURRENCY", SLOTS.to_string()).start().await;
    let (healthy, trap) = (Receiver::start().await, Receiver::start().await);
    app.client.create_endpoint(&healthy.url("/hook"), json!({ "event_types": ["healthy"] })).await;
    let strangers = strangers(&trap.url("/trap")).await;
    let mut endpoints = Vec::new();
    for stranger in &strangers {
        let extras = json!({
            "event_types": [stranger.name],
            "timeout_ms": stranger.timeout_ms(),
            "retry_schedule_seconds": [MUCH_LATER_S],
        });
        endpoints.push(app.client.create_endpoint(&stranger.url(), extras).await.id);
    }
    for _ in 0..20 {
        delivered(&app.client, &healthy).await;
    }
    let before = app.memory();

    let mut jobs = Vec::new();
    let troubled = async {
        for _ in 0..rounds(SLOTS, 30) {
            for stranger in &strangers {
                let event = app.client.publish(stranger.name, "{}").await;
                jobs.push((stranger, app.client.job_of(&event).await));
            }
        }
        for (stranger, job) in &jobs {
            let job = await_attempts(&app.client, job, 1).await;
            stranger.judge(&job, &format!("{}: {job:#}", stranger.name));
        }
    };
    meanwhile_healthy(&app.client, &healthy, troubled).await;
    let after = app.memory();
    assert!(after.peak_kib < before.resident_kib + GROWTH_KIB_MAX, "memory grew from {before:?} to {after:?}");
    assert_eq!(trap.connections(), 0, "a redirect was followed");

    for (stranger, endpoint) in strangers.iter().zip(&endpoints) {
        stranger.mend(&app.client, endpoint).await;
    }
    let mended = async {
        for (stranger, job) in jobs.iter().filter(|(stranger, _)| stranger.told.failure.is_some()) {
            app.client.post(&format!("/v1/jobs/{job}/run-now")).send().await.expect(202);
            let job = await_attempts(&app.client, job, 2).await;
            assert_eq!(job["state"], "succeeded", "{}: {job:#}", stranger.name);
        }
    };
    meanwhile_healthy(&app.client, &healthy, mended).await;
}

/// Waits until a job has so many attempts and runs no more, and gives it.
async fn await_attempts(client: &Client, job: &str, count: u64) -> Value {
    let path = format!("/v1/jobs/{job}");
    let over = || async {
        let shown = client.get(&path).send().await.expect(200).body;
        let over = !["queued", "running"].contains(&shown["state"].as_str().unwrap_or_default());
        (over && shown["attempt"].as_u64() >= Some(count)).then_some(shown)
    };
    eventually(&format!("job {job} ends attempt {count}"), LONG, over).await
}

/// Publishes one healthy event and waits for it; how long that took.
async fn delivered(client: &Client, healthy: &Receiver) -> Duration {
    let asked = Instant::now();
    let event = client.publish("healthy", "{}").await;
    let came = || async { healthy.events("/hook").contains_key(&event).then_some(()) };
    eventually("a healthy endpoint gets its event", SOON, came).await;
    asked.elapsed()
}

/// Carries `trouble` out while healthy events go on, one after the other, which have to be prompt.
async fn meanwhile_healthy(client: &Client, healthy: &Receiver, trouble: impl Future<Output = ()>) {
    let mut waits = Vec::new();
    let on_and_on = async {
        loop {
            waits.push(delivered(client, healthy).await);
        }
    };
    tokio::select! {
        () = trouble => {}
        () = on_and_on => {}
    }
    waits.sort();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    assert!(median < PROMPT && longest < PROMPT_MAX, "a healthy endpoint waited {median:?}, at most {longest:?}");
}

async fn retry_after_puts_off_the_next_try_in_both_forms_and_nonsense_is_passed_over(stack: Stack) {
    const PLANNED_S: i64 = 100;
    const DAY_S: i64 = 24 * 3600;
    let date = |off_s: i64| {
        let at = Timestamp::now() + Duration::from_secs(1_000_000);
        let at = at - jiff::SignedDuration::from_secs(1_000_000 - off_s);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    // Half to all of the planned delay where the header says nothing, and what it says or up to a tenth of that more.
    let planned = (PLANNED_S / 2, PLANNED_S);
    let asked = |seconds: i64| (seconds, seconds + PLANNED_S / 10 + 1);
    let cases = [
        (429, "600".to_owned(), asked(600)),
        (503, "600".to_owned(), asked(600)),
        // A date has no fractions of a second.
        (503, date(900), (898, asked(900).1)),
        (429, "1".to_owned(), planned),
        (429, "-600".to_owned(), planned),
        (429, "1e3".to_owned(), planned),
        (503, "soon".to_owned(), planned),
        (503, "\u{fc}".repeat(200), planned),
        (503, date(-900), planned),
        (503, "Thu, 32 Foo 2099 25:61:61 GMT".to_owned(), planned),
        (429, "99999999999999999999999999".to_owned(), asked(DAY_S)),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT".to_owned(), asked(DAY_S)),
        (500, "600".to_owned(), planned),
    ];
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    for (n, (status, value, _)) in cases.iter().enumerate() {
        let path = format!("/{n}");
        receiver.always(&path, Script::status(*status).with_header("retry-after", value));
        let extras = json!({ "event_types": [format!("case.{n}")], "retry_schedule_seconds": [PLANNED_S] });
        app.client.create_endpoint(&receiver.url(&path), extras).await;
    }
    for (n, (status, value, (least, most))) in cases.iter().enumerate() {
        let event = app.client.publish(&format!("case.{n}"), "1").await;
        let job = await_attempts(&app.client, &app.client.job_of(&event).await, 1).await;
        let attempt = &job["attempts"][0];
        assert_eq!((&job["state"], attempt["status_code"].as_u64()), (&json!("retrying"), Some(u64::from(*status))));
        let wait = time(&job["run_at"]).duration_since(time(&attempt["started_at"])).as_secs();
        assert!((*least..=*most).contains(&wait), "{status} with Retry-After: {value} came to {wait} s, {job:#}");
    }
}
