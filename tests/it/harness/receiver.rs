//! An integrator's server on a real socket. It parses HTTP/1.1 by itself, so that it can record what came byte for byte
//! and misbehave as no framework would let it.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::{
    eventually,
    script::{Plan, Script},
};

/// More than any delivery has before its body.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// A running receiver; it stops when dropped. A path without a script answers 200.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    /// What each connection gets before anything is read of it.
    unread: Mutex<Option<Script>>,
    plans: Mutex<HashMap<String, Plan>>,
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The same socket as `https`, where no TLS is spoken.
    pub(crate) fn https_url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// From now on, `path` does this.
    pub(crate) fn always(&self, path: &str, then: Script) {
        self.first(path, [], then);
    }

    /// From now on, `path` does each of `first` once, then `then`.
    pub(crate) fn first(&self, path: &str, first: impl IntoIterator<Item = Script>, then: Script) {
        let plan = Plan { first: first.into_iter().collect(), then };
        self.shared.plans.lock().unwrap().insert(path.to_owned(), plan);
    }

    /// Answers each fifth of the first 200 requests to `path` with a failure, so that retries are on their way too.
    pub(crate) fn fails_some_at_first(&self, path: &str) {
        self.first(path, (0..200).map(|n| Script::status(if n % 5 == 0 { 500 } else { 200 })), Script::status(200));
    }

    /// From now on, each new connection gets this before anything is read of it; with `None`, each is served again.
    pub(crate) fn unread(&self, script: Option<Script>) {
        *self.shared.unread.lock().unwrap() = script;
    }

    /// What came to `path` so far, oldest first.
    pub(crate) fn requests(&self, path: &str) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Connections opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until at least `count` requests came to `path`.
    pub(crate) async fn wait_for(&self, path: &str, count: usize, deadline: Duration) -> Vec<Recorded> {
        let came = || async { Some(self.requests(path)).filter(|requests| requests.len() >= count) };
        eventually(&format!("{count} requests to {path}"), deadline, came).await
    }

    /// Waits until the distinct events that came to `path` are at least `count`, and gives each one's count of requests.
    pub(crate) async fn wait_for_events(&self, path: &str, count: usize, deadline: Duration) -> HashMap<String, usize> {
        let came = || async { Some(self.events(path)).filter(|events| events.len() >= count) };
        eventually(&format!("{count} distinct events at {path}"), deadline, came).await
    }

    /// Waits until each of these events has come to `path`.
    pub(crate) async fn wait_for_all(&self, path: &str, events: &HashSet<String>, deadline: Duration) {
        let all_came = || async {
            let came = self.events(path);
            events.iter().all(|event| came.contains_key(event)).then_some(())
        };
        eventually(&format!("what was accepted comes to {path}"), deadline, all_came).await;
    }

    /// The distinct events that came to `path`, with each one's count of requests.
    pub(crate) fn events(&self, path: &str) -> HashMap<String, usize> {
        self.count(|request| request.path == path)
    }

    /// The distinct events that came to any path, with each one's count of requests.
    pub(crate) fn all_events(&self) -> HashMap<String, usize> {
        self.count(|_| true)
    }

    fn count(&self, counts: impl Fn(&Recorded) -> bool) -> HashMap<String, usize> {
        let mut events = HashMap::new();
        for request in self.shared.requests.lock().unwrap().iter().filter(|request| counts(request)) {
            *events.entry(request.event_id().to_owned()).or_default() += 1;
        }
        events
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The connections' set lives in this task and ends with it.
        self.accepting.abort();
    }
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its `webhook-id`.
    #[track_caller]
    pub(crate) fn event_id(&self) -> &str {
        self.header("webhook-id").expect("a delivery has its webhook-id")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(_) = serving.join_next() => {}
        }
    }
}

/// Serves one connection until its peer or a script ends it. What is not HTTP (a TLS greeting) ends it too.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let unread = shared.unread.lock().unwrap().clone();
    if let Some(script) = unread
        && !matches!(script.perform(&mut stream).await, Ok(true))
    {
        return;
    }
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let script = match shared.plans.lock().unwrap().get_mut(&request.path) {
            Some(plan) => plan.next(),
            None => Script::status(200),
        };
        let is_head = request.method == "HEAD";
        shared.requests.lock().unwrap().push(request);
        let performed =
            if is_head { script.perform_head(&mut stream).await } else { script.perform(&mut stream).await };
        match performed {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

/// Reads one request; what follows it stays in `buffer`.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Recorded> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        // A TLS record begins with 22; no HTTP method does.
        if buffer.first() == Some(&22) || buffer.len() > HEAD_BYTES_MAX || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(Some(0), |(_, n)| n.parse().ok())?;
    let whole: usize = head_end + length;
    while buffer.len() < whole {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[head_end..whole].to_vec();
    buffer.drain(..whole);
    Some(Recorded { at: Instant::now(), method, path, headers, body })
}
