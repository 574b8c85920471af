//! Serves HTTP/1.1 on a listener. Owns how long a connection may take to ask, and how all of them end; knows no route.

use std::{pin::pin, time::Duration};

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::linger::Lingering;

/// How long the head of a request may take, from when the connection waits for it: an idle one is closed then too.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// Serves until `stop`, then lets requests that are under way end within the grace, which `hurry` ends.
pub(crate) async fn serve(
    mut listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    hurry: CancellationToken,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (stream, _) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, router.clone(), HEAD_MAX, stop.clone()));
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

async fn connection(stream: TcpStream, router: Router, head_max: Duration, stop: CancellationToken) {
    // Answers are written whole, so waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
    }
    let io = TokioIo::new(Lingering::new(stream, stop.clone()));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_max);
    let mut serving = pin!(server.serve_connection(io, TowerToHyperService::new(router)));
    let served = tokio::select! {
        served = serving.as_mut() => served,
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
            let (stream, _) = listener.accept().await.unwrap();
            let serving = connection(stream, router.clone(), Duration::from_millis(20), CancellationToken::new());
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
