//! Callers that do what no caller should, many at once, against a whole process: what they are told, what they cost it,
//! and what a well-behaved client notices of them.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{ADMIN_TOKEN, App, Client, SOON, Stack, eventually, rounds};

on_both_stacks!(abuse_of_every_kind_is_refused_and_a_well_behaved_client_goes_on);

/// The well-behaved client's publishes, which go out one after the other.
const PUBLISHES: usize = 200;
/// What one of a hundred of them may take beside abuse. A release build on two idle cores keeps below 50 ms; this is a
/// debug build, whose own code takes several times as long, on cores that it shares with the abusers and other tests.
const BESIDE_MAX: Duration = Duration::from_millis(250);
/// How often they are tried where they took longer, as other tests come and go.
const TRIES: usize = 10;
/// The abusers, and what they know to do all at once.
const ABUSERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/abusers.py");
const KINDS: &[&str] = &[
    "slow heads",
    "slow bodies",
    "bodies without end",
    "heads without end",
    "floods of headers",
    "deep JSON",
    "invalid UTF-8",
    "bad tokens",
];
/// Connections that say nothing, and files that this process may need beside them.
const IDLE: usize = 10_000;
const OTHER_FILES: usize = 2_000;
/// What they may cost, in KiB, and the most connections that the server keeps by default.
const IDLE_KIB_MAX: u64 = 144 * 1024;
const CONNECTIONS_MAX: usize = 4_096;
/// Open files of the server that are no connections of callers.
const SERVER_FILES: usize = 200;
/// What the process may need more than before, in KiB.
const GROWTH_KIB_MAX: u64 = 96 * 1024;

/// What abusers are doing, until it is dropped: a process of their own, which shares no thread with the client that behaves.
struct Abuse {
    process: Child,
    /// The last line that it said: how often each kind was done, and refused as it should be.
    said: Arc<Mutex<String>>,
}

impl Abuse {
    /// Once each kind was done at least once.
    async fn begin(app: &App, kinds: &[&str]) -> Self {
        let python = std::env::var("POSTRIDER_TEST_PYTHON").expect("tests/run prepares a Python");
        let url = app.url();
        let (host, port) = url.strip_prefix("http://").and_then(|rest| rest.split_once(':')).expect("an address");
        let mut command = Command::new(python);
        command.arg(ABUSERS).args([host, port, ADMIN_TOKEN]).args(kinds).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the tests' Python starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let said = Arc::<Mutex<String>>::default();
        let keeping = Arc::clone(&said);
        // It ends with the process, whose output ends then.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| *keeping.lock().unwrap() = line));
        let mut begun = Self { process, said };
        begun.goes_on().await;
        begun
    }

    /// Waits until each kind was done once more.
    async fn goes_on(&mut self) {
        let before = self.done();
        let (process, said) = (RefCell::new(&mut self.process), &self.said);
        let once_more = || {
            let ended = process.borrow_mut().try_wait().expect("our child");
            assert!(ended.is_none(), "something was not refused as it should be; what it was stands above");
            let now = counts(&said.lock().unwrap());
            let all =
                !now.is_empty() && now.iter().all(|(kind, count)| *count > before.get(kind).copied().unwrap_or(0));
            async move { all.then_some(()) }
        };
        eventually("each kind of abuse was done once more", SOON, once_more).await;
    }

    fn done(&self) -> BTreeMap<String, u64> {
        counts(&self.said.lock().unwrap())
    }
}

fn counts(line: &str) -> BTreeMap<String, u64> {
    if line.is_empty() { BTreeMap::new() } else { serde_json::from_str(line).expect("a line of counts") }
}

impl Drop for Abuse {
    fn drop(&mut self) {
        // Both fail where it has ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A connection on which these bytes were sent.
async fn said(address: &str, bytes: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// The status that was answered, once the connection has ended.
async fn status(mut stream: TcpStream) -> Option<u16> {
    let mut answer = Vec::new();
    // A reset may follow the answer.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

fn head(extra: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: postrider\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
         content-type: application/json\r\n{extra}"
    )
}

async fn abuse_of_every_kind_is_refused_and_a_well_behaved_client_goes_on(stack: Stack) {
    let app = App::start(stack).await;
    p99_of_publishes(&app.client).await;
    let alone = p99_of_publishes(&app.client).await;
    let before = app.memory();
    let mut publishes = 2 * PUBLISHES;
    let each: Vec<&[&str]> = KINDS.chunks(1).collect();
    for kinds in each.into_iter().take(rounds(0, KINDS.len())).chain([KINDS]) {
        let mut abuse = Abuse::begin(&app, kinds).await;
        let (beside, tries) = best_p99_of_publishes(&app.client).await;
        eprintln!("{stack:?}: p99 of publishes {alone:?} alone, {beside:?} beside {kinds:?}, at try {tries}");
        publishes += PUBLISHES * tries;
        assert!(beside <= BESIDE_MAX, "publishes took {alone:?} alone and {beside:?} beside {kinds:?}");
        abuse.goes_on().await;
    }
    let after = app.memory();
    assert!(after.peak_kib < before.resident_kib + GROWTH_KIB_MAX, "memory grew from {before:?} to {after:?}");
    assert_eq!(app.client.all("/v1/events").await.len(), publishes, "what was refused is not stored");
}

/// The best of a few tries, and how many it took: what the machine does beside, such as other tests, passes.
async fn best_p99_of_publishes(client: &Client) -> (Duration, usize) {
    let mut best = Duration::MAX;
    for tries in 1..=TRIES {
        best = best.min(p99_of_publishes(client).await);
        if best <= BESIDE_MAX {
            return (best, tries);
        }
    }
    (best, TRIES)
}

/// Publishes one after the other; what one of a hundred takes longer than.
async fn p99_of_publishes(client: &Client) -> Duration {
    let mut took = Vec::with_capacity(PUBLISHES);
    for n in 0..PUBLISHES {
        let asked = Instant::now();
        client.publish("well.behaved", &n.to_string()).await;
        took.push(asked.elapsed());
    }
    took.sort();
    took[PUBLISHES - 1 - PUBLISHES / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_keep_nobody_out_and_the_longest_silent_are_closed() {
    let count = IDLE.min(files_for_connections());
    if count < IDLE {
        eprintln!("the limit of open files allows {count} connections in place of {IDLE}");
    }
    let app = App::start(Stack::Sqlite).await;
    let before = app.memory();
    let address = app.url().strip_prefix("http://").expect("an address").to_owned();
    let mut idle = Vec::with_capacity(count);
    for n in 0..count {
        // Half of them have begun a request.
        let words = if n % 2 == 0 { "" } else { "GET /healthz HTTP/1.1\r\nhost: postrider\r\nx-" };
        idle.push(said(&address, words.as_bytes()).await.expect("another connection"));
    }
    let (beside, _) = best_p99_of_publishes(&app.client).await;
    assert!(beside <= BESIDE_MAX, "publishes took {beside:?} beside {count} connections");
    let newcomer = b"GET /healthz HTTP/1.1\r\nhost: postrider\r\nconnection: close\r\n\r\n";
    let newcomer = status(said(&address, newcomer).await.expect("one more connection"));
    assert_eq!(tokio::time::timeout(SOON, newcomer).await.expect("an answer"), Some(200));
    let after = app.memory();
    assert!(after.peak_kib < before.resident_kib + IDLE_KIB_MAX, "memory grew from {before:?} to {after:?}");

    let few = || async { (app.open_files() < CONNECTIONS_MAX + SERVER_FILES).then_some(()) };
    eventually("the server has closed those that are too many", SOON, few).await;
    let (mut newest, longest) = (idle.pop().expect("a connection"), idle.swap_remove(0));
    if count > CONNECTIONS_MAX + SERVER_FILES {
        assert_eq!(status(longest).await, None, "who was silent longest is closed without a word");
    }
    newest.write_all(b"a: b\r\nconnection: close\r\n\r\n").await.expect("the newest connection stands");
    assert_eq!(status(newest).await, Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_announced_and_never_come_keep_nobody_out() {
    let few = "16";
    let app = App::builder(Stack::Sqlite).env("POSTRIDER_CONNECTIONS_MAX", few).start().await;
    let address = app.url().strip_prefix("http://").expect("an address").to_owned();
    let mut announced = Vec::new();
    for n in 0..200 {
        let head = head(if n % 2 == 0 { "content-length: 100\r\n\r\n" } else { "transfer-encoding: chunked\r\n\r\n" });
        announced.push(said(&address, head.as_bytes()).await.expect("another connection"));
    }
    let published = app.client.publish("well.behaved", "1");
    tokio::time::timeout(SOON, published).await.expect("it is accepted soon");
}

/// How many connections this process may have, once its limit of open files is as high as it may be.
fn files_for_connections() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the limit that there may be");
    maximum.map_or(usize::MAX, |files| usize::try_from(files).expect("a count of files")).saturating_sub(OTHER_FILES)
}
