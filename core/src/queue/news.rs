//! News that each process hears, whichever tells them. They are hints: what is told is in SQL already, and whoever missed something
//! is told so, and looks there.

use tokio::sync::broadcast;

use super::redis;

/// News that are kept for whoever is behind; of more, they are told that they missed some.
pub(super) const NEWS_KEPT: usize = 128;

/// What somebody hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    News(Vec<u8>),
    /// Something was told that is not heard any more.
    Missed,
}

/// What is heard from when it was asked for.
#[derive(Debug)]
pub struct Hearing(pub(super) Ear);

#[derive(Debug)]
pub(super) enum Ear {
    Embedded(broadcast::Receiver<Vec<u8>>),
    Redis(Box<redis::Listener>),
}

impl Hearing {
    /// Waits for the next. `None` when nothing is told any more.
    pub async fn next(&mut self) -> Option<Heard> {
        match &mut self.0 {
            Ear::Embedded(news) => match news.recv().await {
                Ok(news) => Some(Heard::News(news)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            Ear::Redis(listener) => Some(listener.next().await),
        }
    }
}
