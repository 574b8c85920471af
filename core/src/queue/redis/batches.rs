//! Operations on many items at once: offers, verdicts, and what is told or asked of many jobs. Owns how the items are
//! spread over the shards, and that their answers come back in the items' order.

use futures::future::try_join_all;

use super::{
    super::{Epoch, Lease, Offered, QueueError, Settled, Ticket, Verdict, WorkerId},
    BATCH, Redis,
    codec::{self, job_bytes, lane_bytes, number, shard_of},
    scripts::{self, Script},
};
use crate::domain::{Id, job::Job, lane::LaneKey};

impl Redis {
    pub(in crate::queue) async fn offer(&self, tickets: &[Ticket]) -> Result<Vec<Offered>, QueueError> {
        self.offer_as(tickets, b"0", "").await
    }

    pub(in crate::queue) async fn offer_again(
        &self,
        tickets: &[Ticket],
        epoch: &Epoch,
    ) -> Result<Vec<Offered>, QueueError> {
        self.offer_as(tickets, b"0", &epoch.token).await
    }

    pub(in crate::queue) async fn refill(&self, tickets: &[Ticket], epoch: &Epoch) -> Result<Vec<Offered>, QueueError> {
        self.offer_as(tickets, b"1", &epoch.token).await
    }

    async fn offer_as(&self, tickets: &[Ticket], refill: &[u8], epoch: &str) -> Result<Vec<Offered>, QueueError> {
        let head = [number(self.0.limits.window), refill.to_vec(), epoch.into()];
        let answers: Vec<Vec<u8>> =
            self.batched(&scripts::OFFER, &head, tickets, |ticket| &ticket.lane, codec::ticket_args).await?;
        let offered = |answer: &Vec<u8>| match answer.as_slice() {
            b"taken" => Ok(Offered::Taken),
            b"held" => Ok(Offered::Held),
            b"spilled" => Ok(Offered::Spilled),
            b"unknown" => Ok(Offered::Unknown),
            other => Err(self.0.server.unexpected(String::from_utf8_lossy(other))),
        };
        answers.iter().map(offered).collect()
    }

    pub(in crate::queue) async fn settle(&self, verdicts: &[Verdict]) -> Result<Vec<Settled>, QueueError> {
        let answers: Vec<u8> =
            self.batched(&scripts::SETTLE, &[], verdicts, |verdict| &verdict.lease.lane, codec::verdict_args).await?;
        Ok(answers.iter().map(|&applied| if applied == 1 { Settled::Applied } else { Settled::Stale }).collect())
    }

    pub(in crate::queue) async fn reassert(
        &self,
        worker: &WorkerId,
        leases: &[Lease],
    ) -> Result<Vec<bool>, QueueError> {
        let head = [worker.as_str().into(), self.lease_ms()];
        let args = |lease: &Lease| [lane_bytes(&lease.lane), job_bytes(lease.job), number(lease.fence)];
        let answers: Vec<u8> = self.batched(&scripts::REASSERT, &head, leases, |lease| &lease.lane, args).await?;
        Ok(answers.iter().map(|&current| current == 1).collect())
    }

    pub(in crate::queue) async fn held(&self, jobs: &[(LaneKey, Id<Job>)]) -> Result<Vec<bool>, QueueError> {
        let args = |(lane, job): &(LaneKey, Id<Job>)| [lane_bytes(lane), job_bytes(*job)];
        self.batched(&scripts::HELD, &[], jobs, |(lane, _)| lane, args).await
    }

    /// Runs a script over many items: each shard gets its own in batches, and the answers come back in order.
    async fn batched<T, A, const N: usize>(
        &self,
        script: &Script,
        head: &[Vec<u8>],
        items: &[T],
        lane: impl Fn(&T) -> &LaneKey,
        args: impl Fn(&T) -> [Vec<u8>; N],
    ) -> Result<Vec<A>, QueueError>
    where
        A: redis::FromRedisValue,
    {
        let mut by_shard: Vec<Vec<usize>> = vec![Vec::new(); self.0.shards.len()];
        for (at, item) in items.iter().enumerate() {
            by_shard[shard_of(lane(item), self.0.shards.len())].push(at);
        }
        // A script reads and writes a lane once for all of its items, so these come in one batch, in their order.
        for places in by_shard.iter_mut().filter(|places| places.len() > BATCH) {
            places.sort_by(|&one, &other| lane(&items[one]).cmp(lane(&items[other])));
        }
        let (args, by_shard) = (&args, &by_shard);
        let runs = by_shard.iter().enumerate().map(|(shard, places)| async move {
            let mut answered = Vec::with_capacity(places.len());
            for places in places.chunks(BATCH) {
                let rows = places.iter().flat_map(|&at| args(&items[at]));
                let all: Vec<Vec<u8>> = head.iter().cloned().chain(rows).collect();
                let answers: Vec<A> = self.ask(script, shard, &all).await?;
                if answers.len() != places.len() {
                    return Err(self.0.server.unexpected(format!("{} of {}", answers.len(), places.len())));
                }
                answered.extend(places.iter().copied().zip(answers));
            }
            Ok(answered)
        });
        let mut answered: Vec<(usize, A)> = try_join_all(runs).await?.into_iter().flatten().collect();
        answered.sort_by_key(|&(at, _)| at);
        Ok(answered.into_iter().map(|(_, answer)| answer).collect())
    }
}
