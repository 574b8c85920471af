//! Which of a lane's tickets is next: priority, order, delay, and lanes that keep order through failures.

use std::time::Duration;

use postrider_core::{
    domain::{
        UnixMs,
        job::Priority,
        lane::{LIMIT_START, LaneSettings},
    },
    queue::{Health, Next, Offered, Queue, Ticket},
};

use super::setup::{
    HOUR, NORMAL, claim, claim_soon, delayed, done, grow, jobs, lane, later, none_is_due, ordered, refill, settle,
    take, tell, ticket, tickets, view_of, worker,
};

super::on_both!(
    priority_goes_before_order_and_order_before_age(NORMAL),
    a_delayed_ticket_comes_when_it_is_due(NORMAL),
    a_retry_waits_and_the_rest_goes_on(NORMAL),
    an_ordered_lane_waits_with_its_failed_first(NORMAL),
    what_goes_before_a_claimed_ticket_is_put_before_it(NORMAL),
    an_ordered_lane_that_is_so_no_more_goes_on(NORMAL),
    a_cancelled_ticket_is_gone_and_an_ordered_lane_goes_on(NORMAL),
    run_now_ends_a_wait(NORMAL),
    ids_of_any_bytes_survive(NORMAL);
    in_one_shard:
    the_view_shows_the_oldest_of_all_priorities(NORMAL),
);

const SHORT: Duration = Duration::from_millis(30);

async fn priority_goes_before_order_and_order_before_age(queue: Queue) {
    let lane = lane("a");
    let new = |priority: u8, order| Ticket {
        priority: Priority::try_from(priority).unwrap(),
        order: UnixMs(order),
        ..ticket(&lane)
    };
    let sorted = [new(9, 7), new(5, 1_700_000_000_000), new(5, 1_700_000_000_001), new(4, 3), new(4, 3), new(0, 1)];
    grow(&queue, &lane, 6).await;
    let mut offered = sorted.clone();
    offered.reverse();
    take(&queue, &offered).await;
    assert_eq!(jobs(&claim(&queue, &worker(), 10).await), sorted.map(|ticket| ticket.job));
}

async fn a_delayed_ticket_comes_when_it_is_due(queue: Queue) {
    let lane = lane("a");
    let soon = delayed(&lane, SHORT);
    take(&queue, &[delayed(&lane, HOUR), soon.clone(), delayed(&lane, Duration::MAX)]).await;
    none_is_due(&queue).await;
    assert_eq!(jobs(&claim_soon(&queue, &worker(), 1).await), [soon.job]);
    assert_eq!(view_of(&queue, &lane).await.delayed, 2);
}

async fn a_retry_waits_and_the_rest_goes_on(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 4).await;
    let all = tickets(&lane, 2);
    take(&queue, &all).await;
    let worker = worker();
    let first = claim_soon(&queue, &worker, 1).await.remove(0);
    settle(&queue, &first, Health::Bad, later(SHORT)).await;
    let second = claim_soon(&queue, &worker, 1).await.remove(0);
    let again = claim_soon(&queue, &worker, 1).await.remove(0);
    assert_eq!([first.job, second.job, again.job], [all[0].job, all[1].job, all[0].job]);
    assert!(again.fence > first.fence);
}

async fn an_ordered_lane_waits_with_its_failed_first(queue: Queue) {
    let lane = lane("a");
    tell(&queue, &lane, &ordered()).await;
    let all = tickets(&lane, 3);
    take(&queue, &all).await;
    let worker = worker();
    let first = claim_soon(&queue, &worker, 1).await.remove(0);
    none_is_due(&queue).await;
    settle(&queue, &first, Health::Bad, later(SHORT)).await;
    none_is_due(&queue).await;
    let urgent = Ticket { priority: Priority::MAX, order: UnixMs(0), ..ticket(&lane) };
    take(&queue, std::slice::from_ref(&urgent)).await;
    for expected in [all[0].job, urgent.job, all[1].job, all[2].job] {
        let lease = claim_soon(&queue, &worker, 1).await.remove(0);
        assert_eq!(lease.job, expected);
        none_is_due(&queue).await;
        settle(&queue, &lease, Health::Good, Next::Done).await;
    }
}

async fn what_goes_before_a_claimed_ticket_is_put_before_it(queue: Queue) {
    let lane = lane("a");
    tell(&queue, &lane, &ordered()).await;
    let all = tickets(&lane, 3);
    take(&queue, &all[2..]).await;
    let worker = worker();
    let claimed = claim_soon(&queue, &worker, 1).await.remove(0);
    let generation = queue.spill(&lane).await.unwrap();
    assert_eq!(queue.offer(&tickets(&lane, 1)).await.unwrap(), [Offered::Spilled]);
    assert!(!queue.unspill(&lane, generation).await.unwrap(), "one was offered since");
    let generation = queue.spilled(1).await.unwrap()[0].generation;
    assert_eq!(refill(&queue, &all).await.unwrap(), [Offered::Taken, Offered::Taken, Offered::Held]);
    assert!(queue.unspill(&lane, generation).await.unwrap());
    let next = Next::InTurn { order: all[2].order, priority: all[2].priority };
    settle(&queue, &claimed, Health::Neutral, next).await;
    for ticket in &all {
        let lease = claim_soon(&queue, &worker, 1).await.remove(0);
        assert_eq!(lease.job, ticket.job);
        settle(&queue, &lease, Health::Good, Next::Done).await;
    }
}

async fn an_ordered_lane_that_is_so_no_more_goes_on(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 6).await;
    queue.lane(&lane, &ordered()).await.unwrap();
    take(&queue, &tickets(&lane, 3)).await;
    let first = claim_soon(&queue, &worker(), 1).await.remove(0);
    settle(&queue, &first, Health::Bad, later(HOUR)).await;
    none_is_due(&queue).await;
    queue.lane(&lane, &LaneSettings::default()).await.unwrap();
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 3);
}

async fn a_cancelled_ticket_is_gone_and_an_ordered_lane_goes_on(queue: Queue) {
    let lane = lane("a");
    tell(&queue, &lane, &ordered()).await;
    let all = tickets(&lane, 3);
    let waiting = delayed(&lane, HOUR);
    take(&queue, &all).await;
    take(&queue, std::slice::from_ref(&waiting)).await;
    let first = claim_soon(&queue, &worker(), 1).await.remove(0);
    assert!(!queue.cancel(&lane, first.job).await.unwrap(), "a leased ticket is not cancelled");
    settle(&queue, &first, Health::Bad, later(HOUR)).await;
    for job in [first.job, all[1].job, waiting.job] {
        assert!(queue.cancel(&lane, job).await.unwrap());
        assert!(!queue.cancel(&lane, job).await.unwrap());
    }
    assert_eq!(jobs(&claim(&queue, &worker(), 10).await), [all[2].job]);
}

async fn run_now_ends_a_wait(queue: Queue) {
    let (free, strict) = (lane("free"), lane("strict"));
    tell(&queue, &strict, &ordered()).await;
    let waiting = delayed(&free, HOUR);
    take(&queue, std::slice::from_ref(&waiting)).await;
    assert!(queue.run_now(&free, waiting.job).await.unwrap());
    assert!(!queue.run_now(&free, waiting.job).await.unwrap());
    let lease = claim_soon(&queue, &worker(), 1).await;
    assert_eq!(jobs(&lease), [waiting.job]);
    assert!(!queue.run_now(&free, waiting.job).await.unwrap(), "it runs already");
    done(&queue, &lease).await;

    take(&queue, &tickets(&strict, 2)).await;
    let first = claim_soon(&queue, &worker(), 1).await.remove(0);
    settle(&queue, &first, Health::Bad, later(HOUR)).await;
    assert!(queue.run_now(&strict, first.job).await.unwrap());
    assert_eq!(jobs(&claim_soon(&queue, &worker(), 1).await), [first.job]);
}

async fn the_view_shows_the_oldest_of_all_priorities(queue: Queue) {
    let (lane, deep) = (lane("a"), lane("deep"));
    let old = Ticket { priority: Priority::try_from(0).unwrap(), order: UnixMs(17), ..ticket(&lane) };
    take(&queue, &[ticket(&lane), old, delayed(&lane, HOUR)]).await;
    take(&queue, &tickets(&deep, 9)).await;
    let worker = worker();
    assert!(!queue.renew(&worker).await.unwrap());
    let lease = claim(&queue, &worker, 1).await;
    assert_eq!(lease[0].lane, lane);
    let view = queue.view(1).await.unwrap();
    assert_eq!(view.lanes.len(), 1);
    assert_eq!(view.lanes[0].key, deep);
    assert_eq!((view.totals.lanes, view.totals.tickets, view.totals.in_flight), (2, 12, 1));
    assert_eq!((view.workers[0].id.clone(), view.workers[0].in_flight), (worker, 1));
    assert!(view.workers[0].expires_at > view.workers[0].last_seen);
    let lane = view_of(&queue, &lane).await;
    assert_eq!((lane.ready, lane.delayed, lane.in_flight, lane.oldest), (1, 1, 1, Some(UnixMs(17))));
    assert_eq!((lane.limit, lane.settings), (LIMIT_START, LaneSettings::default()));
}

async fn ids_of_any_bytes_survive(queue: Queue) {
    use postrider_core::domain::Id;
    let tricky = [*b"{}{}\r\n\0\0 %*:-._\xff", [0; 16], [0xff; 16], *b"                ", [1; 16]];
    for bytes in tricky {
        let id = uuid::Uuid::from_bytes(bytes);
        let lane = super::setup::lane_of(Id::from_uuid(id), "a:-._b");
        let ticket = Ticket { job: Id::from_uuid(id), ..ticket(&lane) };
        take(&queue, std::slice::from_ref(&ticket)).await;
        let lease = claim_soon(&queue, &worker(), 1).await;
        assert_eq!((lease[0].job, &lease[0].lane), (ticket.job, &lane));
        assert_eq!(queue.held(&[(lane.clone(), ticket.job), (lane.clone(), Id::new())]).await.unwrap(), [true, false]);
        done(&queue, &lease).await;
    }
    assert_eq!(queue.view(10).await.unwrap().totals.tickets, 0);
}
