//! One worker's surroundings, and a receiver that can be told what to answer.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use postrider_core::{
    dispatch::Dispatcher,
    domain::{
        Id, UnixMs,
        dead_letter::PastAttempt,
        egress::{EgressPolicy, EndpointUrl},
        endpoint::{Endpoint, EndpointSettings},
        event::Event,
        job::{Job, JobState},
        retry::RetrySchedule,
        signature::SigningSecret,
        tenant::Tenant,
    },
    queue::{EmbeddedOptions, Queue},
    store::{Cipher, Item, NewEvent, NewJob, Publication, RetentionAges, Store, StoreOptions},
    trace::Tracer,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    WorkerError, WorkerMetrics, WorkerParts, WorkerSettings,
    egress::{EgressClient, EgressOptions},
};

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `seen` says yes.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut seen: impl FnMut() -> F) {
    let began = Instant::now();
    while !seen().await {
        assert!(began.elapsed() < DEADLINE, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Everything around a worker. Its folder goes with it.
pub(super) struct Bench {
    pub(super) parts: WorkerParts,
    pub(super) tenant: Id<Tenant>,
    folder: PathBuf,
}

/// A worker that runs.
pub(super) struct Running {
    pub(super) shutdown: CancellationToken,
    pub(super) hurry: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    pub(super) async fn ended(self) {
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("postrider-worker-{}", Id::<Job>::new()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = open(&folder, [7; 32]).await;
        let queue = Queue::embedded(EmbeddedOptions::default()).unwrap();
        let tenant = store.default_tenant(UnixMs::now()).await.unwrap().id;
        let policy = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ports_allowed: Vec::new() };
        let month = Duration::from_secs(30 * 24 * 3600);
        let ages = RetentionAges {
            payloads: month,
            jobs: month,
            resolved_dead_letters: month,
            stats: month,
            notifications: month,
        };
        let parts = WorkerParts {
            dispatcher: Dispatcher::start(store.clone(), queue.clone()).0,
            notified: postrider_core::notified::Notified::new(store.clone()),
            store,
            live: postrider_core::live::Live::new(queue.clone()),
            mailer: None,
            queue,
            storage: postrider_core::site::Storage::new(&std::env::temp_dir()),
            egress: EgressClient::new(policy, &EgressOptions::default()).unwrap(),
            metrics: WorkerMetrics::default(),
            tracer: Tracer::default(),
            settings: WorkerSettings { concurrency: 8, ..WorkerSettings::new("test", "0.0.0", ages) },
        };
        Self { parts, tenant, folder }
    }

    /// Opens the store anew with another encryption key, as when the one before was lost.
    pub(super) async fn change_key(&mut self) {
        self.parts.store = open(&self.folder, [8; 32]).await;
        self.empty_queue();
    }

    pub(super) fn empty_queue(&mut self) {
        self.parts.queue = Queue::embedded(EmbeddedOptions::default()).unwrap();
        self.parts.dispatcher = Dispatcher::start(self.parts.store.clone(), self.parts.queue.clone()).0;
    }

    pub(super) fn start(&self) -> Running {
        let (shutdown, hurry) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(crate::run(self.parts.clone(), shutdown.clone(), hurry.clone()));
        Running { shutdown, hurry, task }
    }

    pub(super) async fn endpoint(&self, url: &str, retries_s: &[f64]) -> Endpoint {
        let url = EndpointUrl::stored(url.to_owned());
        let settings = EndpointSettings {
            headers: vec![("x-own".to_owned(), "yes".to_owned())],
            ..EndpointSettings::new(url, RetrySchedule::from_seconds(retries_s).unwrap())
        };
        let secret = SigningSecret::from_random([3; 32]);
        self.parts.store.tenant(self.tenant).create_endpoint(&settings, &secret, UnixMs::now()).await.unwrap()
    }

    /// Publishes an event for the endpoint; the delivery's job. It is stored, and not offered.
    pub(super) async fn publish(&self, endpoint: &Endpoint, payload: &[u8]) -> NewJob {
        let now = UnixMs::now();
        let event = NewEvent {
            id: Id::<Event>::new(),
            own_id: None,
            kind: "order.paid".parse().unwrap(),
            channels: Vec::new(),
            payload: payload.to_vec(),
            deliver_at: now,
            trace: None,
        };
        let job = NewJob::delivery(endpoint, event.id, now);
        let item = Item::event(event, vec![job.clone()]);
        let publication = Publication::new(None, vec![item], now, Box::new(|_| String::new()));
        self.parts.store.tenant(self.tenant).publish(publication).await.unwrap();
        job
    }

    pub(super) async fn offer(&self, job: &NewJob) {
        self.parts.dispatcher.offer(&[job.due(self.tenant)]);
    }

    pub(super) async fn job(&self, id: Id<Job>) -> Job {
        self.parts.store.tenant(self.tenant).job(id).await.unwrap().unwrap().job
    }

    pub(super) async fn attempts(&self, id: Id<Job>) -> Vec<PastAttempt> {
        self.parts.store.tenant(self.tenant).attempts(id).await.unwrap()
    }

    pub(super) async fn until_state(&self, id: Id<Job>, state: JobState) {
        until(state.as_str(), || async { self.job(id).await.state == state }).await;
    }

    pub(super) async fn leased(&self) -> u64 {
        self.parts.queue.view(10).await.unwrap().totals.in_flight
    }
}

async fn open(folder: &Path, key: [u8; 32]) -> Store {
    let options = StoreOptions {
        url: format!("sqlite://{}", folder.join("db").display()),
        cipher: Cipher::parse(&Cipher::key_text(key)).unwrap(),
        node: "test".to_owned(),
        connections_max: 4,
    };
    Store::open(&options).await.unwrap()
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            assert!(std::thread::panicking(), "{error}");
        }
    }
}

/// A receiver that answers with the status it is told, once its gate is open. It is asked at a path of its own: its port may
/// have been that of a receiver which is gone and still called, by whatever else is tested on this machine.
pub(super) struct Receiver {
    address: SocketAddr,
    path: String,
    requests: Arc<Mutex<Vec<String>>>,
    gate: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn answering(status: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (gate, opened) = watch::channel(true);
        let log = Arc::clone(&requests);
        let path = format!("/{}", Id::<Job>::new());
        let own = format!("POST {path} ");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, own.clone(), status, Arc::clone(&log), opened.clone()));
            }
        });
        Self { address, path, requests, gate, _tasks: tasks }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Requests that have come to it, answered or not.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn hold(&self) {
        self.gate.send_replace(false);
    }

    pub(super) fn let_go(&self) {
        self.gate.send_replace(true);
    }
}

async fn serve(
    stream: TcpStream,
    own: String,
    status: u16,
    log: Arc<Mutex<Vec<String>>>,
    mut opened: watch::Receiver<bool>,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if stream.read_line(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        if !request.starts_with(&own) {
            return;
        }
        let head = request.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        request.push_str(&String::from_utf8(body).unwrap());
        log.lock().unwrap().push(request);
        let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: 2\r\n\r\nok");
        if opened.wait_for(|open| *open).await.is_err() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_receiver_hears_no_call_that_was_meant_for_another() {
    let receiver = Receiver::answering(200).await;
    let mut stray = TcpStream::connect(receiver.address).await.unwrap();
    stray.write_all(b"POST /hook HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(stray.read(&mut [0]).await.unwrap(), 0, "it was answered");
    assert!(receiver.requests().is_empty());
}
