//! What a receiver does with a request: answers well or badly, late, by halves, or not at all.

use std::{collections::VecDeque, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch};

/// The pause between the bytes of a dripping answer.
const DRIP: Duration = Duration::from_secs(1);

/// A receiver's conduct for one request.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and answers 200 once the test lets it.
    Held(watch::Receiver<bool>),
    /// Answers 200 at once and its body one byte a second, without end.
    Drip,
    /// Reads the request and closes the connection.
    Close,
}

/// What one path does: the answers of a sequence first, then the last one for ever.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) first: VecDeque<Script>,
    pub(super) then: Script,
}

impl Script {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: format!("answer {status}").into_bytes() }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(302).with_header("location", to)
    }

    /// Holds its answers until the sender is told `true`.
    pub(crate) fn held() -> (watch::Sender<bool>, Self) {
        let (let_go, held) = watch::channel(false);
        (let_go, Self::Held(held))
    }

    /// An answer with a body of so many bytes.
    pub(crate) fn big_body(status: u16, bytes: usize) -> Self {
        Self::Answer { status, headers: Vec::new(), body: vec![b'x'; bytes] }
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        let Self::Answer { headers, .. } = &mut self else { panic!("only an answer has headers") };
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Carries it out; whether the connection may serve another request.
    pub(super) async fn perform(self, stream: &mut TcpStream) -> std::io::Result<bool> {
        match self {
            Self::Answer { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                stream.write_all(&[head.as_bytes(), &body].concat()).await?;
                Ok(true)
            }
            Self::Hang => std::future::pending().await,
            Self::Held(mut held) => {
                // A sender that is gone lets go, too.
                drop(held.wait_for(|let_go| *let_go).await);
                stream.write_all(b"HTTP/1.1 200 Held\r\ncontent-length: 0\r\n\r\n").await?;
                Ok(true)
            }
            Self::Drip => {
                stream.write_all(b"HTTP/1.1 200 Dripping\r\ncontent-length: 1000000\r\n\r\n").await?;
                loop {
                    stream.write_all(b".").await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Self::Close => Ok(false),
        }
    }
}

impl Plan {
    pub(super) fn next(&mut self) -> Script {
        self.first.pop_front().unwrap_or_else(|| self.then.clone())
    }
}
