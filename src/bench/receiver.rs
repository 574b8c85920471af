//! The receiver: verifies each delivery's signature, notes it in the books and answers 200, or never.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use postrider_core::domain::signature::{self, SignedHeaders, SigningSecret};
use tokio::{net::TcpListener, task::JoinSet};

use super::books::Books;

/// What a payload begins with, before the event's number.
pub(super) const NUMBER: &str = "{\"n\":";
/// Where nothing is ever answered.
pub(super) const HANGING: &str = "/hanging";

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

struct State {
    books: Arc<Books>,
    /// Of each endpoint.
    secrets: OnceLock<Vec<SigningSecret>>,
    raw_secret: SigningSecret,
}

impl Receiver {
    /// Listens from now on, and notes what comes in `books`.
    pub(super) async fn start(address: SocketAddr, books: Arc<Books>) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("the receiver cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let raw_secret = SigningSecret::from_random(rand::random());
        let state = Arc::new(State { books, secrets: OnceLock::new(), raw_secret });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, _serving: serving })
    }

    /// Where an endpoint's deliveries come.
    pub(super) fn url(&self, endpoint: usize) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    /// The secrets that the endpoints sign with, in their order.
    pub(super) fn trust(&self, secrets: Vec<SigningSecret>) {
        drop(self.state.secrets.set(secrets));
    }

    /// What signs the requests that come straight from the client.
    pub(super) fn raw_secret(&self) -> &SigningSecret {
        &self.state.raw_secret
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the receiver cannot accept a connection");
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            if stream.set_nodelay(true).is_err() {
                return;
            }
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            // A connection that breaks shows in the books, as a delivery that is lost or comes again.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path == HANGING {
        return std::future::pending().await;
    }
    let endpoint: Option<usize> = path.strip_prefix('/').and_then(|text| text.parse().ok());
    let secret = match endpoint {
        Some(endpoint) => state.secrets.get().and_then(|secrets| secrets.get(endpoint)),
        None => Some(&state.raw_secret),
    };
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let verified =
        signed(&head.headers).zip(secret).is_some_and(|(signed, secret)| signature::verify(secret, &signed, &body));
    match (endpoint, verified.then(|| number(&body)).flatten()) {
        (Some(endpoint), Some(event)) => state.books.receive(event, endpoint),
        (None, Some(_)) => {}
        (_, None) => state.books.refuse(),
    }
    Ok(Response::new(Full::default()))
}

fn signed(headers: &HeaderMap) -> Option<SignedHeaders> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let (id, timestamp) = (text("webhook-id")?, text("webhook-timestamp")?);
    Some(SignedHeaders { id, timestamp, signature: text("webhook-signature")? })
}

/// The number of the event that a payload is of.
fn number(payload: &[u8]) -> Option<usize> {
    let digits = payload.strip_prefix(NUMBER.as_bytes())?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}
