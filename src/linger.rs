//! Connections on which answers arrive, if the caller takes them. Owns how long one may leave an answer untaken, and how
//! a connection is closed; knows no HTTP.
//!
//! A request may be refused before its body was read. A socket that is closed with bytes unread is reset, and a reset
//! takes the answer with it when the caller reads only after it has written all (RFC 9112 §9.6). So a connection is
//! closed in two steps: no more is written, then what still comes is read and thrown away until the caller closes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes that are thrown away at most.
const DISCARDED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a caller may be silent, and how long it may go on sending.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const LINGER_MAX: Duration = Duration::from_secs(30);
const BUFFER_BYTES: usize = 16 * 1024;
/// Bytes after which nothing is read for a while: who sends as fast as it can is held to 100 MB a second, or throwing its
/// bytes away would keep a core from everybody else's requests.
const BURST_BYTES: usize = 1024 * 1024;
const REST: Duration = Duration::from_millis(10);

/// How long a caller may take nothing of what waits to be sent to it, which is kept in memory.
const UNTAKEN_MAX: Duration = Duration::from_secs(30);

/// A connection that is closed in two steps, or in one when the process stops.
pub(crate) struct Lingering {
    stream: TcpStream,
    stop: CancellationToken,
    untaken_max: Duration,
    /// Runs while the caller takes nothing.
    untaken: Option<Pin<Box<Sleep>>>,
    closing: Option<Box<Closing>>,
}

impl Lingering {
    pub(crate) const fn new(stream: TcpStream, stop: CancellationToken) -> Self {
        Self { stream, stop, untaken_max: UNTAKEN_MAX, untaken: None, closing: None }
    }

    /// What has become of a write, or an end to waiting for it.
    fn in_time(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.untaken = None;
            return written;
        }
        let untaken = self.untaken.get_or_insert_with(|| Box::pin(sleep(self.untaken_max)));
        ready!(untaken.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The second step.
struct Closing {
    buffer: Vec<u8>,
    bytes_left: usize,
    burst_left: usize,
    ends_at: Instant,
    silence: Pin<Box<Sleep>>,
    /// Between two bursts.
    rest: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Closing {
    fn begin(stop: &CancellationToken) -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            bytes_left: DISCARDED_BYTES_MAX,
            burst_left: BURST_BYTES,
            ends_at: Instant::now() + LINGER_MAX,
            silence: Box::pin(sleep(SILENCE_MAX)),
            rest: Box::pin(sleep(Duration::ZERO)),
            stopped: Box::pin(stop.clone().cancelled_owned()),
        }
    }

    /// Ready once the caller has closed, or has had its bytes and its time.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.stopped.as_mut().poll(cx).is_ready() || self.silence.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            ready!(self.rest.as_mut().poll(cx));
            let mut buffer = ReadBuf::new(&mut self.buffer);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let bytes = buffer.filled().len();
            if read.is_err() || bytes == 0 || bytes > self.bytes_left {
                return Poll::Ready(());
            }
            self.bytes_left -= bytes;
            self.burst_left = self.burst_left.saturating_sub(bytes);
            let now = Instant::now();
            self.silence.as_mut().reset(self.ends_at.min(now + SILENCE_MAX));
            if self.burst_left == 0 {
                self.burst_left = BURST_BYTES;
                self.rest.as_mut().reset(now + REST);
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.in_time(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, stop, closing, .. } = &mut *self;
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let closing = closing.get_or_insert_with(|| Box::new(Closing::begin(stop)));
        closing.poll(stream, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn who_takes_an_answer_slowly_gets_it_and_who_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut answering = Lingering::new(stream, CancellationToken::new());
        answering.untaken_max = Duration::from_secs(2);
        let (mut piece, answer) = (vec![0; 8 * 1024 * 1024], vec![0; 96 * 1024 * 1024]);
        let takes = async {
            for _ in 0..6 {
                sleep(Duration::from_millis(500)).await;
                caller.read_exact(&mut piece).await.unwrap();
            }
            Instant::now()
        };
        let (written, stopped_taking) = tokio::join!(answering.write_all(&answer), takes);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(stopped_taking.elapsed() >= Duration::from_secs(2), "{:?}", stopped_taking.elapsed());
    }
}
