//! A bucket as S3 and its kin have it, on a real socket (Amazon S3, API Reference: GetObject, PutObject, CopyObject, DeleteObject): it checks
//! the signature of what is signed (AWS Signature Version 4), lets everybody read as a bucket behind a CDN does, and fails on
//! demand. A server of our own, since what matters here is how it fails, and what it was sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use ring::{digest, hmac};
use tokio::{net::TcpListener, task::JoinHandle};

use super::eventually;

const NAME: &str = "news-sites";
const KEY_ID: &str = "test-key";
pub(crate) const BUCKET_SECRET: &str = "test-secret-0123456789abcdefghijklmnopqrst";
const BODY_BYTES_MAX: usize = 64 << 20;
/// What a file says of itself besides its bytes.
const KEPT_HEADERS: [&str; 3] = ["content-type", "content-encoding", "cache-control"];

/// A running bucket; it stops when dropped.
pub(crate) struct Bucket {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// What requests get that may change something, or are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// An error of this status and code.
    Refuses(u16, &'static str),
    /// Takes requests and answers none.
    Hangs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

struct Shared {
    mood: Mutex<Mood>,
    objects: Mutex<BTreeMap<String, Object>>,
    /// Signed requests so far, as in `PUT key`.
    asked: Mutex<Vec<String>>,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Shared { mood: Mutex::new(Mood::Well), objects: Mutex::default(), asked: Mutex::default() };
        let shared = Arc::new(shared);
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { address, shared, serving }
    }

    /// What a process is told to use it with, below a prefix.
    pub(crate) fn settings(&self, prefix: &str) -> [(&'static str, String); 6] {
        [
            ("POSTRIDER_SITES_URL", format!("s3://{NAME}/{prefix}")),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-test-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", BUCKET_SECRET.to_owned()),
        ]
    }

    /// Where everybody reads a file.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("http://{}/{NAME}/{key}", self.address)
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.shared.objects.lock().unwrap().keys().cloned().collect()
    }

    /// Takes a file away, as an owner with other tools does.
    pub(crate) fn lose(&self, end: &str) {
        self.shared.objects.lock().unwrap().retain(|key, _| !key.ends_with(end));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits for one more signed request that begins so.
    pub(crate) async fn wait_for_another(&self, begin: &str, within: Duration) {
        let count = || self.asked().iter().filter(|asked| asked.starts_with(begin)).count();
        let before = count();
        eventually(&format!("another {begin}"), within, || async { (count() > before).then_some(()) }).await;
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a whole body");
    let path = parts.uri.path().to_owned();
    let Some(key) = path.strip_prefix(&format!("/{NAME}/")) else { return error(404, "NoSuchBucket") };
    if parts.headers.contains_key("authorization") {
        shared.asked.lock().unwrap().push(format!("{} {key}", parts.method));
        let mood = *shared.mood.lock().unwrap();
        match mood {
            Mood::Well => {}
            Mood::Refuses(status, code) => return error(status, code),
            Mood::Hangs => std::future::pending().await,
        }
        if let Err(code) = judge(&parts, &body) {
            return error(403, code);
        }
    } else if parts.method != Method::GET {
        return error(403, "AccessDenied");
    }
    let mut objects = shared.objects.lock().unwrap();
    match parts.method {
        Method::GET => objects.get(key).map_or_else(|| error(404, "NoSuchKey"), |object| give(object, &parts.headers)),
        Method::PUT if parts.headers.contains_key("x-amz-copy-source") => {
            let from = parts.headers["x-amz-copy-source"].to_str().expect("a text").trim_start_matches('/');
            let Some(object) = from.strip_prefix(&format!("{NAME}/")).and_then(|from| objects.get(from)).cloned()
            else {
                return error(404, "NoSuchKey");
            };
            let tag = tag(&object.body);
            objects.insert(key.to_owned(), object);
            let told = format!("<CopyObjectResult><ETag>{tag}</ETag></CopyObjectResult>");
            ([("content-type", "application/xml")], told).into_response()
        }
        Method::PUT => {
            let value = |name: &&str| Some(((*name).to_owned(), parts.headers.get(*name)?.to_str().ok()?.to_owned()));
            let headers = KEPT_HEADERS.iter().filter_map(value).collect();
            let object = Object { headers, body: body.to_vec() };
            let tag = tag(&object.body);
            objects.insert(key.to_owned(), object);
            ([("etag", tag)], StatusCode::OK).into_response()
        }
        Method::DELETE => {
            objects.remove(key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => error(405, "MethodNotAllowed"),
    }
}

fn give(object: &Object, asked: &HeaderMap) -> Response {
    let tag = tag(&object.body);
    if asked.get("if-none-match").is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mut answer = Response::builder().header("etag", tag).header("last-modified", "Sun, 01 Nov 2026 00:00:00 GMT");
    for (name, value) in &object.headers {
        answer = answer.header(name, value);
    }
    let range = asked.get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = range else {
        return answer.body(Body::from(object.body.clone())).expect("headers as they came");
    };
    let from: usize = from.parse().expect("a beginning");
    let to = to.parse::<usize>().expect("an end").min(object.body.len() - 1);
    answer = answer.status(206).header("content-range", format!("bytes {from}-{to}/{}", object.body.len()));
    answer.body(Body::from(object.body[from..=to].to_vec())).expect("headers as they came")
}

fn error(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Not today.</Message></Error>");
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/xml")], body).into_response()
}

fn tag(body: &[u8]) -> String {
    format!("\"{}\"", &sha256(body)[..32])
}

/// The signature in `Authorization` (Signature Version 4, "Create a signed AWS API request").
fn judge(parts: &Parts, body: &Bytes) -> Result<(), &'static str> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = header("authorization");
    let part = |name: &str| {
        said.split_once(&format!("{name}=")).map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default().trim())
    };
    let (key, scope) = part("Credential").split_once('/').unwrap_or_default();
    if key != KEY_ID {
        return Err("InvalidAccessKeyId");
    }
    if header("x-amz-content-sha256") != sha256(body) {
        return Err("XAmzContentSHA256Mismatch");
    }
    let signed = part("SignedHeaders");
    let lines: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let query = parts.uri.query().unwrap_or_default();
    let asked = [parts.method.as_str(), parts.uri.path(), query, &lines, signed, &sha256(body)].join("\n");
    let to_sign = ["AWS4-HMAC-SHA256", header("x-amz-date"), scope, &sha256(asked.as_bytes())].join("\n");
    let key =
        scope.split('/').fold(format!("AWS4{BUCKET_SECRET}").into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let is_right = hex(&mac(&key, to_sign.as_bytes())) == part("Signature");
    if is_right { Ok(()) } else { Err("SignatureDoesNotMatch") }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
