//! The client against real receivers that hang, drip, lie and die, and against a real DNS server.

mod answers;
mod names;
mod tls;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use postrider_core::domain::egress::{EgressPolicy, EndpointUrl};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Call, EgressClient, EgressOptions, Exchange};

/// For calls that must end by themselves.
const AMPLE: Duration = Duration::from_secs(30);
/// For calls that must run out of time.
const SCANT: Duration = Duration::from_millis(300);

/// A receiver on a port of its own, gone when dropped.
struct Receiver {
    address: SocketAddr,
    /// Each request, head and body.
    requests: Arc<Mutex<Vec<String>>>,
    _connections: JoinSet<()>,
}

impl Receiver {
    /// Treats each connection by `treat`.
    async fn start<F, T>(treat: F) -> Self
    where
        F: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let log = Arc::clone(&requests);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(treat(stream, Arc::clone(&log)));
            }
        });
        Self { address, requests, _connections: tasks }
    }

    /// Answers each request with the same bytes, then closes if `closes`.
    async fn answering(answer: impl Into<Vec<u8>>, closes: bool) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut stream, requests| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    requests.lock().unwrap().push(request);
                    // The client hangs up in the middle of an answer that is too long.
                    if stream.write_all(&answer).await.is_err() || closes {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Takes connections and neither reads nor writes.
    async fn hanging() -> Self {
        Self::start(|stream, _| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Head and body of the next request; `None` when the client has gone.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(request.clone()).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    request.extend(body);
    Some(String::from_utf8(request).unwrap())
}

fn loopback_allowed() -> EgressPolicy {
    EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ports_allowed: Vec::new() }
}

fn client() -> EgressClient {
    EgressClient::new(loopback_allowed(), &EgressOptions::default()).unwrap()
}

async fn post(client: &EgressClient, url: &str, timeout: Duration) -> Exchange {
    let url = EndpointUrl::stored(url.to_owned());
    client.send(Call { method: "POST", url: &url, headers: &[], body: Bytes::from_static(b"{}"), timeout }).await
}
