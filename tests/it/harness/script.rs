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
    /// Reads the request and answers 200 after this time.
    Late(Duration),
    /// Answers 200 at once and its body one byte a second, without end.
    Drip,
    /// Answers one byte a second, from the first byte of its head on, and never comes to the head's end.
    DripHead,
    /// Says these bytes, whatever they are, and closes the connection.
    Say(Vec<u8>),
    /// Says these bytes as soon as anything comes, and never reads it.
    Unread(Vec<u8>),
    /// Says `first`, then `again` over and over as fast as it is taken, until the caller hangs up.
    Endless {
        first: Vec<u8>,
        again: Vec<u8>,
    },
    /// Closes the connection.
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

    /// What it is for a request of HEAD: an answer without its body, which could be taken for the next answer.
    pub(super) async fn perform_head(self, stream: &mut TcpStream) -> std::io::Result<bool> {
        let Self::Answer { status, headers, body } = self else { return self.perform(stream).await };
        stream.write_all(head(status, &headers, body.len()).as_bytes()).await?;
        Ok(true)
    }

    /// Carries it out; whether the connection may serve another request.
    pub(super) async fn perform(self, stream: &mut TcpStream) -> std::io::Result<bool> {
        match self {
            Self::Answer { status, headers, body } => {
                let head = head(status, &headers, body.len());
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
            Self::Late(after) => {
                tokio::time::sleep(after).await;
                stream.write_all(b"HTTP/1.1 200 Late\r\ncontent-length: 0\r\n\r\n").await?;
                Ok(true)
            }
            Self::Drip => {
                stream.write_all(b"HTTP/1.1 200 Dripping\r\ncontent-length: 1000000\r\n\r\n").await?;
                drip(stream, std::iter::repeat(b'.')).await
            }
            Self::DripHead => {
                let head = b"HTTP/1.1 200 Dripping\r\nx-drops: ";
                drip(stream, head.iter().copied().chain(std::iter::repeat(b'.'))).await
            }
            Self::Say(bytes) => {
                stream.write_all(&bytes).await?;
                Ok(false)
            }
            Self::Unread(bytes) => {
                stream.peek(&mut [0]).await?;
                stream.write_all(&bytes).await?;
                std::future::pending().await
            }
            Self::Endless { first, again } => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&again).await?;
                }
            }
            Self::Close => Ok(false),
        }
    }
}

fn head(status: u16, headers: &[(String, String)], body_bytes: usize) -> String {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {body_bytes}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

async fn drip(stream: &mut TcpStream, drops: impl Iterator<Item = u8>) -> std::io::Result<bool> {
    for drop in drops {
        stream.write_all(&[drop]).await?;
        tokio::time::sleep(DRIP).await;
    }
    Ok(false)
}

impl Plan {
    pub(super) fn next(&mut self) -> Script {
        self.first.pop_front().unwrap_or_else(|| self.then.clone())
    }
}
