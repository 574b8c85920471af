//! A reader of server-sent events (HTML, section 9.2), as a browser is one.

use std::time::Duration;

use reqwest::{Response, StatusCode};

/// What one event has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Sent {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

pub(crate) struct EventStream {
    answer: Response,
    read: Vec<u8>,
}

impl EventStream {
    /// Opens `url`, with a token in the header where one is given, and after the event of this id.
    pub(crate) async fn open(url: &str, token: Option<&str>, after: Option<&str>) -> Result<Self, StatusCode> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.get(url).header("accept", "text/event-stream");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.unwrap();
        if answer.status() != StatusCode::OK {
            return Err(answer.status());
        }
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Ok(Self { answer, read: Vec::new() })
    }

    /// The next event that is one; `None` at the stream's end.
    pub(crate) async fn next(&mut self, within: Duration) -> Option<Sent> {
        tokio::time::timeout(within, self.read_next()).await.expect("an event comes")
    }

    async fn read_next(&mut self) -> Option<Sent> {
        loop {
            while let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let mut sent = Sent::default();
                for line in String::from_utf8(block).unwrap().lines() {
                    let Some((field, value)) = line.split_once(':') else { continue };
                    let value = value.strip_prefix(' ').unwrap_or(value);
                    match field {
                        "event" => value.clone_into(&mut sent.event),
                        "id" => value.clone_into(&mut sent.id),
                        "data" => sent.data.push_str(value),
                        _ => {}
                    }
                }
                if !sent.data.is_empty() {
                    return Some(sent);
                }
            }
            match self.answer.chunk().await {
                Ok(Some(bytes)) => self.read.extend_from_slice(&bytes),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}
