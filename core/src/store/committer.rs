//! The grouped commit: what gathered while the last transaction ran goes into the next one. Knows no table.

use std::{fmt, future::Future, sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    StoreError,
    metrics::CommitMetrics,
    sql::{Pool, Tx},
};

/// Writes that one transaction takes.
const GROUP_MAX: usize = 512;
/// Writes that wait in memory; beyond it callers are told that the store is not available.
const WAITING_MAX: usize = 16_384;
/// How often a group that lost against another transaction is run again.
const AGAIN_MAX: u32 = 8;

/// A write that can share its transaction with others of its kind.
pub(super) trait Write: Send + Sync + Sized + 'static {
    type Answer: Send + 'static;

    /// Writes all of `group`, in order, with one answer for each.
    fn write(tx: &mut Tx, group: &[Self]) -> impl Future<Output = Result<Vec<Self::Answer>, StoreError>> + Send;
}

type Waiting<W> = (W, oneshot::Sender<Result<<W as Write>::Answer, StoreError>>);

/// The task that commits one kind of write.
pub(super) struct Committer<W: Write> {
    sender: mpsc::Sender<Waiting<W>>,
}

impl<W: Write> Clone for Committer<W> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<W: Write> fmt::Debug for Committer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").field("free", &self.sender.capacity()).finish()
    }
}

impl<W: Write> Committer<W> {
    /// Starts the task. It ends, with all it was given committed, once every clone of the committer is gone.
    pub(super) fn start(pool: Pool, metrics: CommitMetrics) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender }, tokio::spawn(run(pool, receiver, metrics)))
    }

    /// Hands in a write and waits for its commit.
    pub(super) async fn commit(&self, write: W) -> Result<W::Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send((write, answer)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Unavailable(Arc::new(sqlx::Error::PoolTimedOut)),
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn run<W: Write>(pool: Pool, mut receiver: mpsc::Receiver<Waiting<W>>, metrics: CommitMetrics) {
    let mut gathered = Vec::with_capacity(GROUP_MAX);
    while receiver.recv_many(&mut gathered, GROUP_MAX).await > 0 {
        let (group, callers): (Vec<W>, Vec<_>) = gathered.drain(..).unzip();
        let began = Instant::now();
        let answers = write_group(&pool, &group).await;
        metrics.ended(group.len(), answers.iter().filter(|answer| answer.is_err()).count(), began.elapsed());
        for (caller, answer) in callers.into_iter().zip(answers) {
            // A caller that has gone away (a closed connection) wants no answer.
            drop(caller.send(answer));
        }
    }
}

/// Writes the group in one transaction; where the database refuses it, each by itself, so that one bad write
/// does not take the others with it.
async fn write_group<W: Write>(pool: &Pool, group: &[W]) -> Vec<Result<W::Answer, StoreError>> {
    match write_once(pool, group).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if group.len() == 1 => vec![Err(error)],
        Err(error) => match error.shared() {
            Some(_) => group.iter().map(|_| Err(error.shared().unwrap_or(StoreError::Closed))).collect(),
            None => {
                tracing::warn!(%error, writes = group.len(), "a group was refused; writing each by itself");
                let mut answers = Vec::with_capacity(group.len());
                for write in group {
                    let alone = write_once(pool, std::slice::from_ref(write)).await;
                    answers.push(alone.and_then(|answers| answers.into_iter().next().ok_or(StoreError::Closed)));
                }
                answers
            }
        },
    }
}

async fn write_once<W: Write>(pool: &Pool, group: &[W]) -> Result<Vec<W::Answer>, StoreError> {
    let mut tries = 0;
    loop {
        let written = async {
            let mut tx = pool.begin().await?;
            let answers = W::write(&mut tx, group).await?;
            tx.commit().await?;
            Ok(answers)
        };
        match written.await {
            Err(StoreError::Again(error)) if tries < AGAIN_MAX => {
                tries += 1;
                tracing::debug!(%error, tries, "running a transaction again");
            }
            ended => return ended,
        }
    }
}
