//! Serves HTTP/1.1 on a listener. Owns how many connections there may be, how long and how much each may take to ask, and
//! how all of them end; knows no route.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, serve::Listener};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    arriving::Arriving,
    callers::{Caller, Callers},
    linger::Lingering,
};

/// How long the head of a request may take, from when the connection waits for it: an idle one is closed then too.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// Bytes that are kept of what a connection sends before they are read, the head of a request among them; hyper's own
/// limit is 400 KiB, which thousands of connections would fill.
const UNREAD_BYTES_MAX: usize = 32 * 1024;
/// Connections beyond the most that there may be, while those that have to go for them are being closed.
const CLOSING_MAX: usize = 64;

/// How the serving ends.
pub(crate) struct Ending {
    /// No more requests are taken; those that are under way may end.
    pub(crate) stop: CancellationToken,
    /// They may no longer.
    pub(crate) hurry: CancellationToken,
    /// How long they may by themselves.
    pub(crate) grace: Duration,
}

/// Serves until it is told to stop, and until the requests that are under way then have ended.
pub(crate) async fn serve(mut listener: TcpListener, connections_max: usize, router: Router, ending: Ending) {
    let Ending { stop, hurry, grace } = ending;
    let mut connections = JoinSet::new();
    let callers = Callers::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (stream, peer) = Listener::accept(&mut listener), if connections.len() < connections_max + CLOSING_MAX => {
                if connections.len() >= connections_max {
                    callers.close_longest();
                }
                let arrived = Arrived { stream, peer, caller: callers.arrive() };
                connections.spawn(connection(arrived, router.clone(), HEAD_MAX, stop.clone()));
            }
            Some(ended) = connections.join_next() => report(ended),
        }
    }
    drop(listener);
    let all_end = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    let grace_ends = async {
        tokio::select! {
            () = hurry.cancelled() => {}
            () = tokio::time::sleep(grace) => {}
        }
    };
    tokio::select! {
        biased;
        () = all_end => {}
        () = grace_ends => tracing::warn!("requests that did not end within the grace are cut off"),
    }
}

/// A connection that was taken.
struct Arrived {
    stream: TcpStream,
    peer: SocketAddr,
    caller: Caller,
}

async fn connection(arrived: Arrived, router: Router, head_max: Duration, stop: CancellationToken) {
    let Arrived { stream, peer, caller } = arrived;
    // Answers are written whole, so waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
    }
    let io = TokioIo::new(Lingering::new(stream, stop.clone()));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_max).max_buf_size(UNREAD_BYTES_MAX);
    let caller = Arc::new(caller);
    let (router, asking) = (TowerToHyperService::new(router), Arc::clone(&caller));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut arriving = request.map(|body| Arriving::new(body, Arc::clone(&asking)));
        arriving.extensions_mut().insert(ConnectInfo(peer));
        let (answer, asking) = (router.call(arriving), Arc::clone(&asking));
        async move { answer.await.inspect(|_| asking.answered()) }
    });
    let mut serving = pin!(server.serve_connection(io, service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = caller.closed() => return tracing::debug!("a connection that waited was closed to make room for others"),
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly");
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serving a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_head_that_does_not_end_and_an_idle_connection_are_closed() {
        let router = Router::new().fallback(async || "ok");
        for (sent, answered) in
            [("", false), ("GET / HTTP/1.1\r\nHost: a\r\n", false), ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            let arrived = Arrived { stream, peer, caller: Callers::default().arrive() };
            let serving = connection(arrived, router.clone(), Duration::from_millis(20), CancellationToken::new());
            let asking = async {
                client.write_all(sent.as_bytes()).await.unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                drop(client);
                answer
            };
            let both = async { tokio::join!(serving, asking) };
            let ((), answer) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
            assert_eq!(answer.starts_with("HTTP/1.1 200"), answered, "{sent:?}: {answer}");
        }
    }
}
