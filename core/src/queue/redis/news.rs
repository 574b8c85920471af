//! News through a stream of Redis, which keeps the last of them: each has a number, so that a gap shows, be it one of a slow listener
//! or of an emptied server.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use redis::Value;

use super::{
    super::{
        QueueError,
        news::{Heard, NEWS_KEPT},
    },
    Redis,
    codec::parsed,
    scripts,
    server::Server,
};

/// One blocking command lasts this long.
const BLOCK_MS: u32 = 5_000;
/// News of one answer.
const COUNT: u32 = 32;
/// After a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// One that reads the stream, on a connection that waits for nothing else.
#[derive(Debug)]
pub(crate) struct Listener {
    server: Arc<Server>,
    /// What the stream's shard's keys begin with.
    base: String,
    /// The last that was read: its place, and its number. `None`: where the stream ends is to be found out.
    last: Option<(String, u64)>,
    read: VecDeque<Heard>,
}

impl Redis {
    pub(in super::super) async fn tell(&self, news: &[u8]) -> Result<(), QueueError> {
        let args = [news.to_vec(), NEWS_KEPT.to_string().into_bytes()];
        self.0.server.run(&scripts::TELL, &self.0.shards[0], &args).await.map(drop)
    }

    pub(in super::super) fn listener(&self) -> Listener {
        let (server, base) = (Arc::clone(&self.0.news), self.0.shards[0].clone());
        Listener { server, base, last: None, read: VecDeque::new() }
    }
}

impl Listener {
    pub(in super::super) async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.read.pop_front() {
                return heard;
            }
            if let Err(error) = self.read_on().await {
                tracing::debug!(%error, "not listening for news; what is missed is read from SQL");
                self.last = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), QueueError> {
        let Some((place, number)) = self.last.clone() else {
            // What was told by now was told to others.
            self.last = Some(self.end().await?);
            self.read.push_back(Heard::Missed);
            return Ok(());
        };
        let stream = format!("{}news", self.base);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK_MS).arg("STREAMS").arg(stream).arg(&place);
        let answer = self.server.command(&read).await?;
        if answer == Value::Nil {
            // One that was emptied, or whose clock went back, begins anew, and what is told there never comes after our place.
            if self.end().await?.1 != number {
                self.last = None;
            }
            return Ok(());
        }
        type Entries = Vec<(String, Vec<Vec<u8>>)>;
        let streams: Vec<(String, Entries)> =
            parsed(answer).ok_or_else(|| self.server.unexpected("news in another form"))?;
        let mut last = (place, number);
        for (place, fields) in streams.into_iter().flat_map(|(_, entries)| entries) {
            let (number, news) = entry(&fields).ok_or_else(|| self.server.unexpected("news in another form"))?;
            if number != last.1 + 1 {
                self.read.push_back(Heard::Missed);
            }
            self.read.push_back(Heard::News(news));
            last = (place, number);
        }
        self.last = Some(last);
        Ok(())
    }

    /// The newest entry's place and number.
    async fn end(&self) -> Result<(String, u64), QueueError> {
        let mut newest = redis::cmd("XREVRANGE");
        newest.arg(format!("{}news", self.base)).arg("+").arg("-").arg("COUNT").arg(1);
        let answer = self.server.command(&newest).await?;
        let entries: Vec<(String, Vec<Vec<u8>>)> =
            parsed(answer).ok_or_else(|| self.server.unexpected("news in another form"))?;
        let Some((place, fields)) = entries.into_iter().next() else { return Ok(("0-0".to_owned(), 0)) };
        let (number, _) = entry(&fields).ok_or_else(|| self.server.unexpected("news in another form"))?;
        Ok((place, number))
    }
}

/// The number and the news of an entry, as lua/tell.lua writes it.
fn entry(fields: &[Vec<u8>]) -> Option<(u64, Vec<u8>)> {
    let [_, number, _, news] = fields else { return None };
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, news.clone()))
}
