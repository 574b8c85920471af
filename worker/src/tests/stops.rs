//! The graceful end: nothing is lost, and nothing waits for a lease to run out.

use postrider_core::domain::job::JobState;

use super::bench::{Bench, Receiver, Running, until};

/// A worker with one executor that is busy, one job read ahead, and one that waits in the queue.
async fn busy(bench: &mut Bench, receiver: &Receiver) -> (Running, Vec<postrider_core::store::NewJob>) {
    bench.parts.settings.concurrency = 1;
    let endpoint = bench.endpoint(&receiver.url(), &[]).await;
    let worker = bench.start();
    // A receiver that has not answered yet gets half of the slots only.
    let first = bench.publish(&endpoint, b"{}").await;
    bench.offer(&first).await;
    until("the first answer", || async { bench.leased().await == 0 && receiver.requests().len() == 1 }).await;
    receiver.hold();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = bench.publish(&endpoint, b"{}").await;
        bench.offer(&job).await;
        jobs.push(job);
    }
    until("the request", || async { receiver.requests().len() == 2 }).await;
    until("the prefetch", || async { bench.leased().await == 2 }).await;
    // Offers are made by a task of their own.
    let tickets = async || bench.parts.queue.view(10).await.unwrap().totals.tickets;
    until("the third ticket", || async { tickets().await == 3 }).await;
    (worker, jobs)
}

#[tokio::test]
async fn a_stop_gives_back_what_was_not_started_and_waits_for_what_runs() {
    let (mut bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let (worker, jobs) = busy(&mut bench, &receiver).await;
    worker.shutdown.cancel();
    until("the release", || async { bench.leased().await == 1 }).await;
    receiver.let_go();
    worker.ended().await;

    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(bench.job(jobs[0].id).await.state, JobState::Succeeded);
    let totals = bench.parts.queue.view(10).await.unwrap().totals;
    assert_eq!((totals.tickets, totals.in_flight), (2, 0));
}

#[tokio::test]
async fn a_hurried_stop_gives_back_what_runs_as_well() {
    let (mut bench, receiver) = (Bench::new().await, Receiver::answering(200).await);
    let (worker, jobs) = busy(&mut bench, &receiver).await;
    worker.shutdown.cancel();
    worker.hurry.cancel();
    worker.ended().await;

    assert_eq!(bench.job(jobs[0].id).await.state, JobState::Pending);
    assert_eq!(bench.job(jobs[0].id).await.lost_workers, 0);
    let totals = bench.parts.queue.view(10).await.unwrap().totals;
    assert_eq!((totals.tickets, totals.in_flight), (3, 0));
    receiver.let_go();
    let next = bench.start();
    for job in &jobs {
        bench.until_state(job.id, JobState::Succeeded).await;
    }
    next.stop().await;
}
