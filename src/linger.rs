//! Connections that are closed so that the last answer on them arrives. Knows no HTTP.
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
/// Bytes that are read at once, and how often before other connections of this thread get their turn.
const BUFFER_BYTES: usize = 16 * 1024;
const READS_MAX: usize = 64;

/// A connection that is closed in two steps, or in one when the process stops.
pub(crate) struct Lingering {
    stream: TcpStream,
    stop: CancellationToken,
    closing: Option<Box<Closing>>,
}

impl Lingering {
    pub(crate) const fn new(stream: TcpStream, stop: CancellationToken) -> Self {
        Self { stream, stop, closing: None }
    }
}

/// The second step.
struct Closing {
    buffer: Vec<u8>,
    bytes_left: usize,
    ends_at: Instant,
    silence: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Closing {
    fn begin(stop: &CancellationToken) -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            bytes_left: DISCARDED_BYTES_MAX,
            ends_at: Instant::now() + LINGER_MAX,
            silence: Box::pin(sleep(SILENCE_MAX)),
            stopped: Box::pin(stop.clone().cancelled_owned()),
        }
    }

    /// Ready once the caller has closed, or has had its bytes and its time.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_MAX {
            if self.stopped.as_mut().poll(cx).is_ready() || self.silence.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let bytes = buffer.filled().len();
            if read.is_err() || bytes == 0 || bytes > self.bytes_left {
                return Poll::Ready(());
            }
            self.bytes_left -= bytes;
            self.silence.as_mut().reset(self.ends_at.min(Instant::now() + SILENCE_MAX));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, stop, closing } = &mut *self;
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let closing = closing.get_or_insert_with(|| Box::new(Closing::begin(stop)));
        closing.poll(stream, cx).map(Ok)
    }
}
