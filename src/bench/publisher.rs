//! The client: so many connections, each with one request under way, as fast as they are answered or at a rate.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// What no case takes longer than, when its requests are counted.
pub(super) const TIME_MAX: Duration = Duration::from_secs(3600);

/// Requests to be made.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) to: SocketAddr,
    pub(super) connections: usize,
    /// How many; without it, as many as the time allows.
    pub(super) requests: Option<u64>,
    pub(super) time_max: Duration,
    /// Requests in a second; without it, as many as are answered.
    pub(super) rate_per_second: Option<f64>,
    /// Makes a request by its number, and is told when it is sent.
    pub(super) make: Arc<dyn Fn(u64, Instant) -> Request<Full<Bytes>> + Send + Sync>,
}

/// What came of them.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) requests: u64,
    pub(super) took: Duration,
    /// From each request to its answer, in microseconds, in order.
    pub(super) latencies_us: Vec<u64>,
}

impl Sent {
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}

/// Makes the requests. One that is not answered with a 2xx ends all.
pub(super) async fn send(plan: Plan) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    let began = Instant::now();
    for _ in 0..plan.connections {
        connections.spawn(connection(plan.clone(), Arc::clone(&next), began));
    }
    let mut sent = Sent::default();
    while let Some(ended) = connections.join_next().await {
        sent.latencies_us.extend(ended??);
    }
    sent.took = began.elapsed();
    sent.requests = sent.latencies_us.len() as u64;
    sent.latencies_us.sort_unstable();
    Ok(sent)
}

async fn connection(plan: Plan, next: Arc<AtomicU64>, began: Instant) -> anyhow::Result<Vec<u64>> {
    let stream = TcpStream::connect(plan.to).await.with_context(|| format!("{} cannot be connected to", plan.to))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let requests = async {
        let mut latencies_us = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let at = sending_time(&plan, number, began).await;
            if plan.requests.is_some_and(|requests| number >= requests) || began.elapsed() > plan.time_max {
                return Ok(latencies_us);
            }
            let answer = sender.send_request((plan.make)(number, at)).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            if !status.is_success() {
                bail!("request {number} was answered {status}: {}", String::from_utf8_lossy(&body));
            }
            latencies_us.push(u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    };
    tokio::select! {
        ended = connection => {
            ended?;
            bail!("{} closed a connection in the middle", plan.to)
        }
        latencies_us = requests => latencies_us,
    }
}

/// Waits until a request is due. One that is late because all connections were busy counts from when it was due, or what
/// it had to wait would be hidden; one that was waited for counts from now, which leaves out the timer's own slack.
async fn sending_time(plan: &Plan, number: u64, began: Instant) -> Instant {
    let Some(rate) = plan.rate_per_second else { return Instant::now() };
    let due = began + Duration::from_secs_f64(number as f64 / rate);
    if due <= Instant::now() {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    Instant::now()
}
