//! Receivers of all kinds on loopback ports of this process.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rand::Rng;
use tokio::{net::TcpListener, task::JoinSet};

/// How a receiver behaves.
#[derive(Clone, Copy)]
enum Manner {
    Healthy,
    /// Fails one time in three, each time with something else.
    Flaky,
    /// Answers well, after seconds.
    Slow,
    Broken,
}

/// They listen until this is dropped.
pub(super) struct Receivers {
    healthy: SocketAddr,
    flaky: SocketAddr,
    slow: SocketAddr,
    broken: SocketAddr,
    /// Nobody listens there.
    gone: SocketAddr,
    _serving: JoinSet<()>,
}

impl Receivers {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let mut serving = JoinSet::new();
        let mut addresses = Vec::new();
        for manner in [Manner::Healthy, Manner::Flaky, Manner::Slow, Manner::Broken] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            serving.spawn(serve(listener, manner));
        }
        let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let &[healthy, flaky, slow, broken] = addresses.as_slice() else { anyhow::bail!("a receiver is missing") };
        Ok(Self { healthy, flaky, slow, broken, gone, _serving: serving })
    }

    /// URL, description and types of events of each endpoint.
    pub(super) fn subscriptions(&self) -> [(String, &'static str, &'static [&'static str]); 5] {
        [
            (format!("http://{}/webhooks", self.healthy), "a shop, which is well", &[]),
            (format!("http://{}/crm", self.flaky), "a CRM that fails one time in three", &["order.*", "customer.*"]),
            (format!("http://{}/parcels", self.slow), "a warehouse that dawdles", &["shipment.*", "order.created"]),
            (format!("http://{}/billing", self.broken), "a billing system with a fault", &["invoice.*"]),
            (
                format!("http://{}/old", self.gone),
                "a server that was switched off",
                &["subscription.*", "customer.created"],
            ),
        ]
    }

    /// Where jobs call: mostly one that is well.
    pub(super) fn task_url(&self, task: &str, well: bool) -> String {
        format!("http://{}/tasks/{task}", if well { self.healthy } else { self.flaky })
    }
}

async fn serve(listener: TcpListener, manner: Manner) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a receiver of the demo cannot accept a connection");
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        connections.spawn(async move {
            let service = service_fn(move |request| answer(manner, request));
            // A delivery that breaks off is tried again, which is to be seen.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(manner: Manner, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Read to its end, so that the connection can be used again.
    drop(request.into_body().collect().await);
    let wait_ms = match manner {
        Manner::Healthy => rand::rng().random_range(2..40),
        Manner::Flaky | Manner::Broken => rand::rng().random_range(10..150),
        Manner::Slow => rand::rng().random_range(500..2_500),
    };
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    let (status, body) = match (manner, rand::rng().random_range(0..9)) {
        (Manner::Broken, _) => {
            (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"null pointer in InvoiceHandler.apply"}"#)
        }
        (Manner::Flaky, 0) => (StatusCode::SERVICE_UNAVAILABLE, "down for maintenance"),
        (Manner::Flaky, 1) => (StatusCode::TOO_MANY_REQUESTS, r#"{"error":"rate limit exceeded"}"#),
        (Manner::Flaky, 2) => (StatusCode::BAD_GATEWAY, "<html><h1>502 Bad Gateway</h1></html>"),
        _ => (StatusCode::OK, "ok"),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}
