//! A push service and a mail server that take all that comes, and count it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Something that takes all; it stops when dropped.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    taken: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Sink {
    /// One that answers each request with 201, as push services do (RFC 8030, section 5).
    pub(super) async fn of_pushes() -> anyhow::Result<Self> {
        Self::start(|stream, taken| async move {
            let service = service_fn(move |request| take(Arc::clone(&taken), request));
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        })
        .await
    }

    pub(super) async fn of_mail() -> anyhow::Result<Self> {
        Self::start(|stream, taken| async move { drop(smtp(stream, &taken).await) }).await
    }

    /// How many pushes or mails it took.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    async fn start<F, S>(serve: F) -> anyhow::Result<Self>
    where
        F: Fn(TcpStream, Arc<AtomicU64>) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, taken) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let (mut serving, counted) = (JoinSet::new(), Arc::clone(&taken));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if stream.set_nodelay(true).is_ok() {
                    connections.spawn(serve(stream, Arc::clone(&counted)));
                }
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, taken, _serving: serving })
    }
}

async fn take(taken: Arc<AtomicU64>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(request.into_body().collect().await);
    taken.fetch_add(1, Ordering::Relaxed);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

/// One connection (RFC 5321, section 3).
async fn smtp(stream: TcpStream, taken: &AtomicU64) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut in_data) = (String::new(), false);
    let mut answer = "220 bench\r\n";
    loop {
        if !answer.is_empty() {
            stream.get_mut().write_all(answer.as_bytes()).await?;
        }
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        answer = match line.trim_end() {
            "." if in_data => {
                in_data = false;
                taken.fetch_add(1, Ordering::Relaxed);
                "250 taken\r\n"
            }
            _ if in_data => "",
            "DATA" => {
                in_data = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
    }
}
