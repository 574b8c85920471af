//! Leases: fences, heartbeats, lost workers, and tickets given back.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use postrider_core::{
    domain::Id,
    queue::{Health, Lease, LostLease, Next, Offered, Queue, Settled, Ticket, WorkerId},
};

use super::setup::{
    BRIEF, NORMAL, claim_soon, done, grow, jobs, lane, none_is_due, settle, take, ticket, tickets, verdict, view_of,
    wide, worker,
};

super::on_both!(
    what_a_forgotten_worker_runs_is_its_own_again(BRIEF),
    a_verdict_without_the_current_fence_changes_nothing(NORMAL),
    a_lost_worker_s_tickets_go_to_the_front_and_are_told_once(BRIEF),
    what_a_finder_of_lost_leases_held_is_told_to_the_next(BRIEF),
    one_that_looks_for_the_lost_is_not_lost_itself(BRIEF),
    a_heartbeat_keeps_leases(BRIEF),
    leases_do_not_run_out_while_nobody_can_be_heard(BRIEF),
    a_lost_worker_is_told_so(BRIEF),
    a_retired_worker_gives_back_what_it_holds(NORMAL),
    what_runs_goes_on_under_a_worker_s_next_id(NORMAL),
    a_released_ticket_goes_to_the_front(NORMAL),
    many_lost_tickets_are_told_once_to_many_callers(BRIEF),
);

/// Waits until a worker is lost; what it held is `finder`'s then.
async fn lose(queue: &Queue, finder: &WorkerId) -> Vec<LostLease> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let lost = queue.expire(finder).await.unwrap();
        if !lost.is_empty() {
            return lost;
        }
        assert!(Instant::now() < until, "no worker was lost");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As [`lose`], and lets others have it.
async fn lose_and_release(queue: &Queue) -> Vec<LostLease> {
    let lost = lose(queue, &worker()).await;
    for LostLease { lease, .. } in &lost {
        settle(queue, lease, Health::Neutral, Next::Release).await;
    }
    lost
}

async fn a_verdict_without_the_current_fence_changes_nothing(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 1)).await;
    let worker = worker();
    let old = claim_soon(&queue, &worker, 1).await.remove(0);
    settle(&queue, &old, Health::Neutral, Next::Release).await;
    let new = claim_soon(&queue, &worker, 1).await.remove(0);
    assert!(new.fence > old.fence);
    let before = view_of(&queue, &lane).await;
    let unknown = Lease { job: ticket(&lane).job, ..new.clone() };
    let stale = [verdict(&old, Health::Bad, Next::Done), verdict(&unknown, Health::Bad, Next::Release)];
    assert_eq!(queue.settle(&stale).await.unwrap(), [Settled::Stale; 2]);
    assert_eq!(view_of(&queue, &lane).await, before);
    let twice = [verdict(&new, Health::Good, Next::Done), verdict(&new, Health::Good, Next::Done)];
    assert_eq!(queue.settle(&twice).await.unwrap(), [Settled::Applied, Settled::Stale]);
}

async fn a_lost_worker_s_tickets_go_to_the_front_and_are_told_once(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 3).await;
    let all = tickets(&lane, 4);
    take(&queue, &all).await;
    let (vanishing, finder) = (worker(), worker());
    let leases = claim_soon(&queue, &vanishing, 2).await;
    assert_eq!(queue.expire(&finder).await.unwrap(), []);
    let urgent = Ticket { priority: postrider_core::domain::job::Priority::MAX, ..ticket(&lane) };
    take(&queue, std::slice::from_ref(&urgent)).await;
    let mut lost = lose(&queue, &finder).await;
    lost.sort_by_key(|lost| lost.lease.job);
    assert_eq!(lost.iter().map(|lost| lost.lease.job).collect::<Vec<_>>(), [all[0].job, all[1].job]);
    assert!(lost.iter().all(|lost| lost.vanished == vanishing && lost.lease.fence > leases[1].fence), "{lost:?}");
    assert_eq!(queue.expire(&finder).await.unwrap(), []);
    assert_eq!(view_of(&queue, &lane).await.in_flight, 2, "nothing runs again before the loss is counted");
    for LostLease { lease, .. } in &lost {
        settle(&queue, lease, Health::Neutral, Next::Release).await;
    }
    let again = claim_soon(&queue, &worker(), 3).await;
    assert_eq!(jobs(&again), [all[0].job, all[1].job, urgent.job]);
    let late: Vec<_> = leases.iter().map(|lease| verdict(lease, Health::Good, Next::Done)).collect();
    assert_eq!(queue.settle(&late).await.unwrap(), [Settled::Stale; 2]);
}

async fn what_a_finder_of_lost_leases_held_is_told_to_the_next(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 1)).await;
    let [first, second, third] = [worker(), worker(), worker()];
    claim_soon(&queue, &first, 1).await;
    let found = lose(&queue, &second).await.remove(0);
    let again = lose(&queue, &third).await.remove(0);
    assert_eq!((&found.vanished, &again.vanished), (&first, &second));
    assert_eq!(queue.settle(&[verdict(&found.lease, Health::Neutral, Next::Done)]).await.unwrap(), [Settled::Stale]);
    settle(&queue, &again.lease, Health::Neutral, Next::Done).await;
    assert_eq!(queue.view(10).await.unwrap().totals.tickets, 0);
}

async fn one_that_looks_for_the_lost_is_not_lost_itself(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 1)).await;
    let worker = worker();
    let leases = claim_soon(&queue, &worker, 1).await;
    // Its lease has run out, as after a long pause of its process.
    tokio::time::sleep(BRIEF.lease * 2).await;
    assert_eq!(queue.expire(&worker).await.unwrap(), []);
    done(&queue, &leases).await;
}

async fn a_heartbeat_keeps_leases(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 1)).await;
    let worker = worker();
    let leases = claim_soon(&queue, &worker, 1).await;
    let until = Instant::now() + BRIEF.lease * 3;
    while Instant::now() < until {
        queue.renew(&worker).await.unwrap();
        assert_eq!(queue.expire(&super::setup::worker()).await.unwrap(), []);
        tokio::time::sleep(BRIEF.lease / 10).await;
    }
    done(&queue, &leases).await;
}

async fn leases_do_not_run_out_while_nobody_can_be_heard(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 1)).await;
    let [runs, looks] = [worker(), worker()];
    let leases = claim_soon(&queue, &runs, 1).await;
    assert_eq!(queue.expire(&looks).await.unwrap(), []);
    // As while the server stands still or refuses writes. Whoever is quicker afterwards says nothing of the other.
    tokio::time::sleep(BRIEF.lease * 2).await;
    assert_eq!(queue.expire(&looks).await.unwrap(), []);
    queue.renew(&runs).await.unwrap();
    done(&queue, &leases).await;
}

async fn a_lost_worker_is_told_so(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 1)).await;
    let worker = worker();
    assert!(!queue.renew(&worker).await.unwrap(), "the first registers it");
    assert!(queue.renew(&worker).await.unwrap());
    claim_soon(&queue, &worker, 1).await;
    assert_eq!(lose_and_release(&queue).await.len(), 1);
    assert!(!queue.renew(&worker).await.unwrap());
    assert!(queue.renew(&worker).await.unwrap());
}

async fn what_a_forgotten_worker_runs_is_its_own_again(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 3).await;
    let all = tickets(&lane, 3);
    take(&queue, &all).await;
    let (first, other) = (worker(), worker());
    let leases = claim_soon(&queue, &first, 3).await;
    assert_eq!(lose_and_release(&queue).await.len(), 3);
    let taken = claim_soon(&queue, &other, 1).await.remove(0);
    assert_eq!(taken.job, leases[0].job);
    assert_eq!(queue.reassert(&first, &leases).await.unwrap(), [false, true, true]);
    assert_eq!(queue.reassert(&first, &leases).await.unwrap(), [false, true, true], "saying it again is safe");
    none_is_due(&queue).await;
    assert_eq!(view_of(&queue, &lane).await.in_flight, 3);
    done(&queue, &leases[1..]).await;
    done(&queue, &[taken]).await;
    // A queue that was emptied knows neither lane nor job.
    let lane = super::setup::lane("forgotten");
    let held = Lease { job: Id::new(), lane: lane.clone(), ..leases[0].clone() };
    assert_eq!(queue.reassert(&first, std::slice::from_ref(&held)).await.unwrap(), [true]);
    queue.lane(&lane, &wide()).await.unwrap();
    let again = Ticket { job: held.job, ..ticket(&lane) };
    assert_eq!(queue.offer(&[again]).await.unwrap(), [Offered::Held]);
    done(&queue, &[held]).await;
    assert_eq!(queue.view(10).await.unwrap().totals.tickets, 0);
}

async fn a_retired_worker_gives_back_what_it_holds(queue: Queue) {
    let lane = lane("a");
    queue.lane(&lane, &wide()).await.unwrap();
    grow(&queue, &lane, 3).await;
    let all = tickets(&lane, 6);
    take(&queue, &all).await;
    let worker = worker();
    queue.renew(&worker).await.unwrap();
    assert_eq!(claim_soon(&queue, &worker, 3).await.len(), 3);
    queue.retire(&worker).await.unwrap();
    assert_eq!(queue.view(10).await.unwrap().workers, []);
    assert_eq!(queue.expire(&worker).await.unwrap(), []);
    let again = claim_soon(&queue, &super::setup::worker(), 3).await;
    assert_eq!(jobs(&again), all[..3].iter().map(|ticket| ticket.job).collect::<Vec<_>>());
}

async fn what_runs_goes_on_under_a_worker_s_next_id(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 3).await;
    let all = tickets(&lane, 3);
    take(&queue, &all).await;
    let [before, next] = [worker(), worker()];
    let leases = claim_soon(&queue, &before, 3).await;
    // The queue may hold an older lease of a job than the one under which it runs.
    let newer = Lease { fence: leases[1].fence + 1_000, ..leases[1].clone() };
    let older = Lease { fence: leases[2].fence - 1_000, ..leases[2].clone() };
    let told = [leases[0].clone(), newer.clone(), older];
    assert_eq!(queue.reassert(&next, &told).await.unwrap(), [true, true, false]);
    queue.retire(&before).await.unwrap();
    let back = claim_soon(&queue, &worker(), 1).await;
    assert_eq!(jobs(&back), [leases[2].job], "what nobody says to run goes back with the id before");
    none_is_due(&queue).await;
    done(&queue, &[leases[0].clone(), newer, back[0].clone()]).await;
    assert_eq!(queue.view(10).await.unwrap().totals.tickets, 0);
}

async fn a_released_ticket_goes_to_the_front(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 3).await;
    let all = tickets(&lane, 3);
    take(&queue, &all).await;
    let worker = worker();
    let leases = claim_soon(&queue, &worker, 2).await;
    settle(&queue, &leases[1], Health::Neutral, Next::Release).await;
    settle(&queue, &leases[0], Health::Neutral, Next::Release).await;
    let again = claim_soon(&queue, &worker, 3).await;
    assert_eq!(jobs(&again), all.iter().map(|ticket| ticket.job).collect::<Vec<_>>());
    none_is_due(&queue).await;
}

async fn many_lost_tickets_are_told_once_to_many_callers(queue: Queue) {
    let lanes: Vec<_> = (0..400).map(|n| lane(&n.to_string())).collect();
    let all: Vec<Ticket> = lanes.iter().flat_map(|lane| tickets(lane, 2)).collect();
    take(&queue, &all).await;
    claim_soon(&queue, &worker(), all.len()).await;
    tokio::time::sleep(BRIEF.lease).await;
    let finders: Vec<WorkerId> = (0..4).map(|_| worker()).collect();
    let (mut lost, until) = (Vec::new(), Instant::now() + Duration::from_secs(10));
    while lost.len() < all.len() {
        assert!(Instant::now() < until, "{} of {} leases were lost", lost.len(), all.len());
        let callers = finders.iter().map(|finder| queue.expire(finder));
        lost.extend(futures::future::join_all(callers).await.into_iter().flat_map(Result::unwrap));
    }
    assert_eq!(lost.len(), all.len());
    assert_eq!(lost.iter().map(|lost| lost.lease.job).collect::<HashSet<_>>().len(), all.len());
}
