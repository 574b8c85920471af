//! Inboxes as they change, for those who look at them: who is told something in any process is heard of in all, and each hands it to
//! the readers that it has. What is heard is a hint, since SQL has it already: a reader that missed something reads there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{Id, UnixMs, notification::Notification, recipient::Recipient},
    queue::{Heard, Queue},
    store::{Gone, InboxCounts, Told},
};

/// Readers that look into SQL at once: where all of them missed something, requests go in between.
const TURNS: usize = 4;
/// Readers of one process.
pub const READERS_MAX: usize = 20_000;
/// Bytes of one person in what is told: id, what is gone, place, changes, unread and unseen.
const TOLD_BYTES: usize = 16 + 16 + 8 + 8 + 8 + 8;
/// Bytes before the people: the notification and when they were told.
const HEAD_BYTES: usize = 16 + 8;

/// What some people were told, or did with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// `None`: they marked something.
    pub notification: Option<Id<Notification>>,
    pub at: UnixMs,
    pub told: Vec<Told>,
}

/// What a reader hears of its inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word {
    pub seq: u64,
    pub changes: u64,
    pub counts: InboxCounts,
    /// The item at `seq`; `None` where it was not heard.
    pub newest: Option<Newest>,
    /// How often something was missed: then SQL is to be asked.
    pub missed: u64,
}

/// An item that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    pub id: Id<Notification>,
    pub at: UnixMs,
    /// What it took the place of.
    pub gone: Option<Id<Notification>>,
}

/// All readers of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Live {
    queue: Queue,
    readers: Arc<Mutex<HashMap<Id<Recipient>, watch::Sender<Word>>>>,
    turns: Arc<Semaphore>,
}

/// One reader of an inbox, until it is dropped.
#[derive(Debug)]
pub struct Reader {
    live: Live,
    recipient: Id<Recipient>,
    heard: watch::Receiver<Word>,
}

impl News {
    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.told.len() * TOLD_BYTES);
        bytes.extend(self.notification.map_or(Uuid::nil(), Id::uuid).as_bytes());
        bytes.extend(self.at.0.to_be_bytes());
        for Told { recipient, seq, changes, counts, gone } in &self.told {
            bytes.extend(recipient.uuid().as_bytes());
            bytes.extend(gone_id(*gone).as_bytes());
            [*seq, *changes, counts.unread, counts.unseen].iter().for_each(|count| bytes.extend(count.to_be_bytes()));
        }
        bytes
    }

    /// `None` where it is no news as they are written by this version.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (notification, rest) = bytes.split_first_chunk::<16>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (people, rest) = rest.as_chunks::<TOLD_BYTES>();
        let told = people.iter().map(|person| {
            let (id, rest) = person.split_first_chunk::<16>()?;
            let (gone, counts) = rest.split_first_chunk::<16>()?;
            let (counts, _) = counts.as_chunks::<8>();
            let [seq, changes, unread, unseen] = counts else { return None };
            let [seq, changes, unread, unseen] = [seq, changes, unread, unseen].map(|count| u64::from_be_bytes(*count));
            let recipient = Id::from_uuid(Uuid::from_bytes(*id));
            let gone = gone_of(Uuid::from_bytes(*gone));
            Some(Told { recipient, seq, changes, counts: InboxCounts { unread, unseen }, gone })
        });
        let notification = Uuid::from_bytes(*notification);
        let told = told.collect::<Option<Vec<_>>>().filter(|_| rest.is_empty())?;
        let notification = (!notification.is_nil()).then(|| Id::from_uuid(notification));
        Some(Self { notification, at: UnixMs(i64::from_be_bytes(*at)), told })
    }
}

/// What is gone, as it is told.
fn gone_id(gone: Gone) -> Uuid {
    match gone {
        Gone::Nothing => Uuid::nil(),
        Gone::One(id) => id.uuid(),
        Gone::Several => Uuid::max(),
    }
}

fn gone_of(id: Uuid) -> Gone {
    match id {
        id if id.is_nil() => Gone::Nothing,
        id if id.is_max() => Gone::Several,
        id => Gone::One(Id::from_uuid(id)),
    }
}

impl Word {
    /// What is heard after `told`, by the item that came at this time, if any; `None` where it is no news.
    fn after(self, told: &Told, item: Option<(Id<Notification>, UnixMs)>) -> Option<Self> {
        if told.changes <= self.changes {
            return None;
        }
        let newest = match told.gone {
            Gone::Nothing => item.map(|(id, at)| Newest { id, at, gone: None }),
            Gone::One(gone) => item.map(|(id, at)| Newest { id, at, gone: Some(gone) }),
            // There is no room for them in what is told: SQL has them.
            Gone::Several => None,
        };
        let newest = if told.seq > self.seq { newest } else { self.newest };
        Some(Self { seq: told.seq.max(self.seq), changes: told.changes, counts: told.counts, newest, ..self })
    }
}

impl Live {
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self { queue, readers: Arc::default(), turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// Has all readers of these people hear of it. Nobody waits for a queue that does not answer: readers look by themselves.
    pub async fn tell(&self, news: News) {
        if news.told.is_empty() {
            return;
        }
        if let Err(error) = self.queue.tell(&news.write()).await {
            tracing::debug!(%error, "readers of inboxes are not told at once; they look by themselves");
        }
    }

    /// A new reader; `None` where there are too many.
    #[must_use]
    pub fn reader(&self, recipient: Id<Recipient>) -> Option<Reader> {
        let mut readers = self.lock();
        if readers.values().map(watch::Sender::receiver_count).sum::<usize>() >= READERS_MAX {
            return None;
        }
        let heard = readers.entry(recipient).or_insert_with(|| watch::channel(Word::default()).0).subscribe();
        Some(Reader { live: self.clone(), recipient, heard })
    }

    /// A reader's turn to look into SQL; `None` once the process ends.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Gives out what is heard, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut hearing = self.queue.hear();
        loop {
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = hearing.next() => heard,
            };
            match heard {
                Some(Heard::News(bytes)) => match News::read(&bytes) {
                    Some(news) => self.give_out(&news),
                    // Told by another version.
                    None => self.missed(),
                },
                Some(Heard::Missed) => self.missed(),
                None => return,
            }
        }
    }

    fn give_out(&self, news: &News) {
        let readers = self.lock();
        if readers.is_empty() {
            return;
        }
        let item = news.notification.map(|id| (id, news.at));
        for told in &news.told {
            let Some(reader) = readers.get(&told.recipient) else { continue };
            reader.send_if_modified(|word| {
                let after = word.after(told, item);
                after.is_some_and(|after| {
                    *word = after;
                    true
                })
            });
        }
    }

    fn missed(&self) {
        for reader in self.lock().values() {
            reader.send_modify(|word| word.missed += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id<Recipient>, watch::Sender<Word>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// What was heard last.
    #[must_use]
    pub fn now(&self) -> Word {
        *self.heard.borrow()
    }

    /// Waits until there is something new, and gives the last of it.
    pub async fn next(&mut self) -> Word {
        if self.heard.changed().await.is_err() {
            // Its sender stays for as long as it does.
            std::future::pending::<()>().await;
        }
        *self.heard.borrow_and_update()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut readers = self.live.lock();
        // This one is among them still.
        if readers.get(&self.recipient).is_some_and(|sender| sender.receiver_count() <= 1) {
            readers.remove(&self.recipient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::EmbeddedOptions;

    fn told(recipient: Id<Recipient>, seq: u64, changes: u64, unread: u64) -> Told {
        Told { recipient, seq, changes, counts: InboxCounts { unread, unseen: unread }, gone: Gone::Nothing }
    }

    #[test]
    fn news_survive_being_written() {
        for notification in [None, Some(Id::new())] {
            let all = [Gone::Nothing, Gone::One(Id::new()), Gone::Several];
            let told = all.map(|gone| Told { gone, ..told(Id::new(), 1, 2, 3) }).to_vec();
            let news = News { notification, at: UnixMs(7), told };
            assert_eq!(News::read(&news.write()), Some(news.clone()));
            assert_eq!(News::read(&news.write()[1..]), None);
        }
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let (of, id, gone) = (Id::new(), Id::new(), Id::new());
        let item = Some((id, UnixMs(1)));
        let news = Told { gone: Gone::One(gone), ..told(of, 2, 5, 2) };
        let word = Word::default().after(&news, item).unwrap();
        assert_eq!(word.after(&told(of, 1, 4, 1), None), None);
        let read = word.after(&told(of, 2, 6, 0), None).unwrap();
        let newest = Newest { id, at: UnixMs(1), gone: Some(gone) };
        assert_eq!((read.counts.unread, read.seq, read.newest), (0, 2, Some(newest)));
        // Of more than are told of, SQL is asked.
        let several = Told { gone: Gone::Several, ..told(of, 3, 7, 1) };
        assert_eq!(word.after(&several, item).unwrap().newest, None);
    }

    #[tokio::test]
    async fn a_reader_hears_of_its_own_inbox_and_is_forgotten_when_it_goes() {
        let live = Live::new(Queue::embedded(EmbeddedOptions::default()).unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(live.clone().run(stop.clone()));
        let (mine, other) = (Id::new(), Id::new());
        let (mut one, mut two) = (live.reader(mine).unwrap(), live.reader(mine).unwrap());
        tokio::task::yield_now().await;
        let notification = Some(Id::new());
        live.tell(News { notification, at: UnixMs(1), told: vec![told(other, 9, 9, 9), told(mine, 1, 1, 1)] }).await;
        for reader in [&mut one, &mut two] {
            let word = reader.next().await;
            let newest = notification.map(|id| Newest { id, at: UnixMs(1), gone: None });
            assert_eq!((word.seq, word.counts.unread, word.newest), (1, 1, newest));
        }
        live.missed();
        assert_eq!(one.next().await.missed, 1);
        drop(one);
        assert_eq!(live.lock().len(), 1);
        drop(two);
        assert!(live.lock().is_empty());
        stop.cancel();
        task.await.unwrap();
    }
}
