//! Sends one call and reports what came of it. Never follows, decompresses, remembers or proxies.

use std::{cell::Cell, fmt, net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::Hosts;
use jiff::Timestamp;
use postrider_core::domain::{
    attempt::AttemptClass,
    egress::{EgressPolicy, is_framing},
    lane::QUICK_IN_FLIGHT_MAX,
    limits::{RESPONSE_BYTES_KEPT_MAX, RESPONSE_BYTES_READ_MAX},
};
use reqwest::{
    Client, Method, Request, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use super::{
    Call, EgressOptions, EgressSetupError, Exchange,
    failure::Failure,
    resolver::{DIALLING, Dialling, JudgingResolver},
    retry_after, tls,
};

/// How long a connection may lie idle before it is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Idle connections to one scheme, name and port: as many as a quick lane has calls in flight, or each call beyond
/// them would open a connection and close it.
const IDLE_PER_HOST_MAX: usize = QUICK_IN_FLIGHT_MAX as usize;
/// DNS, connecting and TLS together. Each address of a name gets its share, so that a dead one leaves time for the
/// next; it also ends a connection that its call no longer waits for, since another became free first.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Bytes that an HTTP/2 receiver may send before we read; more than is ever read of one answer buys nothing.
const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of an HTTP/2 answer's headers. Of HTTP/1, hyper takes 100 headers in 400 KiB.
const H2_HEADERS_BYTES_MAX: u32 = 64 * 1024;

/// The guarded HTTP client. A clone is cheap and shares the connections.
#[derive(Clone)]
pub struct EgressClient {
    policy: Arc<EgressPolicy>,
    http: Client,
}

impl fmt::Debug for EgressClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressClient").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl EgressClient {
    /// Reads `/etc/hosts`, `/etc/resolv.conf` and the system's certificate authorities, once.
    ///
    /// # Errors
    /// When the file of authorities cannot be used, or the resolver or TLS cannot be set up.
    pub fn new(policy: EgressPolicy, options: &EgressOptions) -> Result<Self, EgressSetupError> {
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::info!(%error, "/etc/hosts cannot be read; only DNS is asked");
            Hosts::default()
        });
        Self::with_hosts(policy, options, hosts)
    }

    pub(super) fn with_hosts(
        policy: EgressPolicy,
        options: &EgressOptions,
        hosts: Hosts,
    ) -> Result<Self, EgressSetupError> {
        let policy = Arc::new(policy);
        let resolver = JudgingResolver::new(Arc::clone(&policy), hosts, &options.name_servers)?;
        // A request that HTTP/1 never wrote, or HTTP/2 refused unprocessed, is sent again by hyper-util and reqwest;
        // all other failures are the job's to retry.
        let http = Client::builder()
            .tls_backend_preconfigured(tls::config(options.ca_file.as_deref())?)
            .dns_resolver(resolver)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(&options.user_agent)
            .connect_timeout(CONNECT_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http2_initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
            .http2_max_header_list_size(H2_HEADERS_BYTES_MAX)
            .build()?;
        Ok(Self { policy, http })
    }

    /// Sends `call`. Ends at its timeout at the latest; dropped earlier, it closes its connection.
    pub async fn send(&self, call: Call<'_>) -> Exchange {
        self.answered(call, Reading { bytes_max: RESPONSE_BYTES_READ_MAX, reader: &mut |_| {} }).await.0
    }

    /// As [`Self::send`], with the headers of the answer.
    pub async fn look(&self, call: Call<'_>) -> (Exchange, HeaderMap) {
        self.answered(call, Reading { bytes_max: RESPONSE_BYTES_READ_MAX, reader: &mut |_| {} }).await
    }

    /// As [`Self::send`], and hands the answer's body on as it comes, until a little more than `bytes_max` are read.
    pub async fn send_reading(&self, call: Call<'_>, bytes_max: usize, reader: Reader<'_>) -> Exchange {
        self.answered(call, Reading { bytes_max, reader }).await.0
    }

    async fn answered(&self, call: Call<'_>, reading: Reading<'_>) -> (Exchange, HeaderMap) {
        let started = Instant::now();
        let seen = DIALLING.scope(Cell::default(), self.attempt(&call, started + call.timeout, reading)).await;
        let starved = seen.failure.as_ref().is_some_and(|failure| failure.starved);
        let (class, error, tenant_error) = match seen.failure {
            None => (AttemptClass::Succeeded, None, None),
            Some(Failure { class, words, tenant_words, .. }) => {
                let tenant_words = tenant_words.map_or_else(|| words.clone(), str::to_owned);
                (class, Some(words), Some(tenant_words))
            }
        };
        let exchange = Exchange {
            status_code: seen.status.map(|status| status.as_u16()),
            class,
            error,
            tenant_error,
            response_body: (!seen.body.is_empty()).then_some(seen.body),
            address: seen.address.map(|address| address.to_string()),
            retry_after: seen.retry_after,
            duration: started.elapsed(),
            starved,
        };
        (exchange, seen.headers)
    }

    async fn attempt(&self, call: &Call<'_>, deadline: Instant, reading: Reading<'_>) -> Seen {
        let request = match self.request(call) {
            Ok(request) => request,
            Err(failure) => return Seen { failure: Some(failure), ..Seen::default() },
        };
        let port = request.url().port_or_known_default().unwrap_or_default();
        let failure = match timeout_at(deadline, self.http.execute(request)).await {
            Ok(Ok(answer)) => return read(answer, call.timeout, deadline, reading).await,
            Ok(Err(error)) => Failure::of(&error, Dialling::now()),
            Err(_) => Failure::no_answer(Dialling::now(), call.timeout),
        };
        let address = match Dialling::now() {
            Dialling::At(address) => Some(SocketAddr::new(address, port)),
            Dialling::Nothing | Dialling::Resolving => None,
        };
        Seen { address, failure: Some(failure), ..Seen::default() }
    }

    fn request(&self, call: &Call<'_>) -> Result<Request, Failure> {
        let url = self.judged(call.url.as_str())?;
        let mut request = Request::new(method(call.method)?, url);
        *request.headers_mut() = header_map(call.headers)?;
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.clone().into());
        }
        Ok(request)
    }

    /// Judged again, since the policy may have changed since the URL was stored, and since addresses in the URL never
    /// reach the resolver.
    fn judged(&self, text: &str) -> Result<Url, Failure> {
        let url = Url::parse(text).map_err(|error| Failure::invalid(format!("the URL cannot be read: {error}")))?;
        self.policy.judge_url(&url).map_err(|refused| {
            tracing::warn!(host = url.host_str(), port = url.port(), "a delivery was refused: {refused}");
            Failure::of_url(&refused)
        })?;
        match url.host() {
            Some(Host::Ipv4(address)) => Dialling::At(address.into()).note(),
            Some(Host::Ipv6(address)) => Dialling::At(address.into()).note(),
            Some(Host::Domain(_)) | None => {}
        }
        Ok(url)
    }
}

/// Takes an answer's body part by part.
pub type Reader<'r> = &'r mut (dyn FnMut(&[u8]) + Send);

/// How much of an answer's body is read, and by whom.
struct Reading<'r> {
    bytes_max: usize,
    reader: Reader<'r>,
}

/// What was seen of an answer.
#[derive(Default)]
struct Seen {
    status: Option<StatusCode>,
    address: Option<SocketAddr>,
    retry_after: Option<Duration>,
    headers: HeaderMap,
    body: Vec<u8>,
    failure: Option<Failure>,
}

/// A status that is a failure is the cause, whatever becomes of the body; a success needs its body too.
async fn read(mut answer: Response, timeout: Duration, deadline: Instant, reading: Reading<'_>) -> Seen {
    let status = answer.status();
    let mut seen = Seen {
        status: Some(status),
        address: answer.remote_addr(),
        retry_after: asked_wait(status, answer.headers()),
        headers: std::mem::take(answer.headers_mut()),
        ..Seen::default()
    };
    let of_body = match timeout_at(deadline, read_body(&mut answer, &mut seen.body, reading)).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(Failure::broke_off()),
        Err(_) => Some(Failure::no_end(timeout)),
    };
    seen.failure = Failure::of_status(status).or(of_body);
    seen
}

/// Reads until the body or the limit ends; an answer that goes on is dropped with its connection.
async fn read_body(answer: &mut Response, kept: &mut Vec<u8>, reading: Reading<'_>) -> reqwest::Result<()> {
    let mut read = 0;
    while read < reading.bytes_max {
        let Some(chunk) = answer.chunk().await? else { break };
        read += chunk.len();
        (reading.reader)(&chunk);
        let room = RESPONSE_BYTES_KEPT_MAX - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(())
}

fn asked_wait(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let asks = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let value = headers.get(RETRY_AFTER).filter(|_| asks)?;
    retry_after::parse(value.to_str().ok()?, Timestamp::now())
}

fn method(name: &str) -> Result<Method, Failure> {
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD]
        .into_iter()
        .find(|method| method.as_str() == name)
        .ok_or_else(|| Failure::invalid(format!("the method {name:?} cannot be sent")))
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let refused = || Failure::invalid(format!("the header {name:?} cannot be sent"));
        if is_framing(name) {
            return Err(refused());
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| refused())?;
        // Signatures and tenants' tokens: not for HTTP/2's header tables, not for debug output.
        value.set_sensitive(true);
        map.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?, value);
    }
    Ok(map)
}
