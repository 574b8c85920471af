//! The grouped commit: what gathered while the last transaction ran goes into the next one. Knows no table.

use std::{fmt, future::Future, sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Finished, Publication, Published, Recorded, StoreError,
    connect::ANSWER_MAX,
    metrics::{CommitMetrics, StoreMetrics},
    pool::{Kept, Pool, Tx},
    sql::{Dialect, Part},
};

/// Writes that one transaction takes.
const GROUP_MAX: usize = 512;
/// Writes that wait in memory; beyond it callers are told that the store is not available.
const WAITING_MAX: usize = 16_384;
/// How often a group that lost against another transaction is run again.
const AGAIN_MAX: u32 = 8;

/// A write that can share its transaction with others.
pub(super) trait Write: Send + Sync + Sized + 'static {
    type Answer: Send + 'static;

    /// How `group` is written where nothing in it has to be looked up first, which is nearly always; `None` where something
    /// has.
    fn usual(group: &[&Self], dialect: Dialect) -> Option<Usual<Self::Answer>>;

    /// Writes all of `group`, in order, with one answer for each.
    fn write(tx: &mut Tx<'_>, group: &[&Self]) -> impl Future<Output = Result<Vec<Self::Answer>, StoreError>> + Send;
}

/// A group as statements none of which needs another's answer, with the answers to those who wait.
pub(super) struct Usual<A> {
    pub(super) parts: Vec<Part>,
    pub(super) answers: Vec<A>,
}

/// Hands writes to the tasks that commit them.
#[derive(Clone)]
pub(super) struct Committer {
    publications: mpsc::Sender<Change>,
    outcomes: mpsc::Sender<Change>,
}

enum Change {
    Publish(Box<Publication>, Caller<Publication>),
    Finish(Box<Finished>, Caller<Finished>),
}

type Caller<W> = oneshot::Sender<Result<<W as Write>::Answer, StoreError>>;

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").field("free", &self.publications.capacity()).finish()
    }
}

impl Committer {
    /// Starts the tasks. They end, with all they were given committed, once every clone of the committer is gone.
    ///
    /// SQLite has one writer, so one task writes all: two would take turns, with half as much in each transaction. With
    /// PostgreSQL, outcomes are written while publications are forced to the disk.
    pub(super) fn start(pool: &Pool, metrics: &StoreMetrics) -> (Self, Vec<JoinHandle<()>>) {
        let start = || {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            let task = Task {
                connection: Kept::of(pool.clone()),
                requests: metrics.of("requests"),
                outcomes: metrics.of("outcomes"),
            };
            (sender, tokio::spawn(task.run(receiver)))
        };
        let (publications, publishing) = start();
        match pool {
            Pool::Sqlite { .. } => (Self { outcomes: publications.clone(), publications }, vec![publishing]),
            Pool::Postgres(_) => {
                let (outcomes, recording) = start();
                (Self { publications, outcomes }, vec![publishing, recording])
            }
        }
    }

    /// Hands in a request's work and waits for its commit.
    pub(super) async fn publish(&self, publication: Box<Publication>) -> Result<Published, StoreError> {
        let (caller, answered) = oneshot::channel();
        hand_in(&self.publications, Change::Publish(publication, caller))?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Hands in an outcome and waits for its commit.
    pub(super) async fn finish(&self, finished: Box<Finished>) -> Result<Recorded, StoreError> {
        let (caller, answered) = oneshot::channel();
        hand_in(&self.outcomes, Change::Finish(finished, caller))?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn hand_in(sender: &mpsc::Sender<Change>, change: Change) -> Result<(), StoreError> {
    sender.try_send(change).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => StoreError::Unavailable(Arc::new(sqlx::Error::PoolTimedOut)),
        mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
    })
}

struct Task {
    connection: Kept,
    requests: CommitMetrics,
    outcomes: CommitMetrics,
}

impl Task {
    async fn run(mut self, mut receiver: mpsc::Receiver<Change>) {
        let mut gathered = Vec::with_capacity(GROUP_MAX);
        while receiver.recv_many(&mut gathered, GROUP_MAX).await > 0 {
            let (mut publications, mut publishers) = (Vec::with_capacity(gathered.len()), Vec::new());
            let (mut finished, mut recorders) = (Vec::with_capacity(gathered.len()), Vec::new());
            for change in gathered.drain(..) {
                match change {
                    // Whoever handed it in was refused, or will do so again: what nobody waits for is not stored.
                    Change::Publish(_, caller) if caller.is_closed() => {}
                    Change::Publish(publication, caller) => {
                        publications.push(publication);
                        publishers.push(caller);
                    }
                    Change::Finish(outcome, caller) => {
                        finished.push(outcome);
                        recorders.push(caller);
                    }
                }
            }
            if publications.is_empty() && finished.is_empty() {
                continue;
            }
            let began = Instant::now();
            let group = (
                publications.iter().map(Box::as_ref).collect::<Vec<_>>(),
                finished.iter().map(Box::as_ref).collect::<Vec<_>>(),
            );
            let (published, recorded) = self.write(&group.0, &group.1).await;
            answer(&self.requests, publishers, published, began);
            answer(&self.outcomes, recorders, recorded, began);
        }
    }

    /// Writes the group in one transaction; where the database refuses it, each by itself, so that one bad write
    /// does not take the others with it.
    async fn write(
        &mut self,
        publications: &[&Publication],
        finished: &[&Finished],
    ) -> (Answers<Publication>, Answers<Finished>) {
        let error = match self.write_once(publications, finished).await {
            Ok((published, recorded)) => {
                return (published.into_iter().map(Ok).collect(), recorded.into_iter().map(Ok).collect());
            }
            Err(error) => error,
        };
        if error.shared().is_some() {
            let news = || error.shared().unwrap_or(StoreError::Closed);
            return (
                publications.iter().map(|_| Err(news())).collect(),
                finished.iter().map(|_| Err(news())).collect(),
            );
        }
        let writes = publications.len() + finished.len();
        if writes == 1 {
            return if finished.is_empty() { (vec![Err(error)], Vec::new()) } else { (Vec::new(), vec![Err(error)]) };
        }
        tracing::warn!(%error, writes, "a group was refused; writing each by itself");
        let mut answers = (Vec::with_capacity(publications.len()), Vec::with_capacity(finished.len()));
        for publication in publications {
            let alone = self.write_once(&[publication], &[]).await;
            answers.0.push(alone.and_then(|(answers, _)| answers.into_iter().next().ok_or(StoreError::Closed)));
        }
        for outcome in finished {
            let alone = self.write_once(&[], &[outcome]).await;
            answers.1.push(alone.and_then(|(_, answers)| answers.into_iter().next().ok_or(StoreError::Closed)));
        }
        answers
    }

    async fn write_once(
        &mut self,
        publications: &[&Publication],
        finished: &[&Finished],
    ) -> Result<(Vec<Published>, Vec<Recorded>), StoreError> {
        let mut tries = 0;
        let mut usual = true;
        loop {
            let written = async {
                if usual && let Some(answers) = self.write_usual(publications, finished).await? {
                    return Ok(answers);
                }
                let mut tx = self.connection.begin().await?;
                let published = Publication::write(&mut tx, publications).await?;
                let recorded = Finished::write(&mut tx, finished).await?;
                tx.commit().await?;
                Ok((published, recorded))
            };
            let silent = || Err(StoreError::Unavailable(Arc::new(sqlx::Error::PoolTimedOut)));
            let error = match timeout(ANSWER_MAX, written).await.unwrap_or_else(|_| silent()) {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            // A connection to a file that is gone is good again where the same file is put back.
            if !matches!(error, StoreError::Unreachable(_)) {
                self.connection.renew();
            }
            match error {
                // One of them is not as usual: a job had gone on without its worker.
                StoreError::Refused(error) if usual => {
                    usual = false;
                    tracing::debug!(%error, "looking at what a transaction writes");
                }
                StoreError::Again(error) if tries < AGAIN_MAX => {
                    tries += 1;
                    tracing::debug!(%error, tries, "running a transaction again");
                }
                error => return Err(error),
            }
        }
    }

    async fn write_usual(
        &mut self,
        publications: &[&Publication],
        finished: &[&Finished],
    ) -> Result<Option<(Vec<Published>, Vec<Recorded>)>, StoreError> {
        let dialect = self.connection.dialect();
        let Some(published) = Publication::usual(publications, dialect) else { return Ok(None) };
        let Some(recorded) = Finished::usual(finished, dialect) else { return Ok(None) };
        self.connection.write(published.parts.into_iter().chain(recorded.parts).collect()).await?;
        Ok(Some((published.answers, recorded.answers)))
    }
}

type Answers<W> = Vec<Result<<W as Write>::Answer, StoreError>>;

fn answer<A>(
    metrics: &CommitMetrics,
    callers: Vec<oneshot::Sender<Result<A, StoreError>>>,
    answers: Vec<Result<A, StoreError>>,
    began: Instant,
) {
    if !answers.is_empty() {
        metrics.ended(answers.len(), answers.iter().filter(|answer| answer.is_err()).count(), began.elapsed());
    }
    for (caller, answer) in callers.into_iter().zip(answers) {
        // A caller that has gone away (a closed connection) wants no answer.
        drop(caller.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::UnixMs,
        store::{
            Gate, ItemResult,
            tests::{a_store, remove},
        },
    };

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_stored() {
        let (store, folder) = a_store().await;
        let tenant = store.default_tenant(UnixMs(0)).await.unwrap().id;
        let publish = async |key: &str, body: u8| {
            let gate = Gate { scope: "test", key: key.to_owned(), body_hash: vec![body], expires_at: UnixMs(1) };
            let compose = Box::new(|_: &[ItemResult]| String::new());
            store.tenant(tenant).publish(Publication::new(Some(gate), Vec::new(), UnixMs(0), compose)).await
        };
        let Pool::Sqlite { turn, .. } = &store.pool else { panic!("it is a SQLite database") };
        let turn = turn.lock().await;
        let mut first = Box::pin(publish("first", 1));
        let taken = async {
            while store.committer.publications.capacity() < WAITING_MAX {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { biased; _ = &mut first => panic!("stored out of turn"), () = taken => {} }
        tokio::select! { biased; _ = publish("second", 1) => panic!("stored out of turn"), () = std::future::ready(()) => {} }
        drop(turn);
        assert_eq!(first.await.unwrap(), Published::Stored(Vec::new()));
        assert_eq!(publish("second", 2).await.unwrap(), Published::Stored(Vec::new()));
        remove(store, folder).await;
    }
}
