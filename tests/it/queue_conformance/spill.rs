//! What does not fit waits in SQL: spilled lanes, their refill, and a queue that was emptied.

use std::time::Duration;

use postrider_core::{
    domain::UnixMs,
    queue::{Health, Next, Offered, Queue, QueueError, SpilledLane, Ticket},
};

use super::setup::{
    HOUR, NORMAL, SMALL, claim_soon, done, grow, lane, later, none_is_due, ordered, redis_options, refill, settle,
    take, ticket, tickets, view_of, worker,
};

super::on_both!(
    an_ordered_lane_that_was_not_known_is_filled_before_anything_enters(NORMAL),
    a_full_lane_spills_and_keeps_order_until_it_is_refilled(SMALL),
    a_spill_during_a_refill_is_not_forgotten(SMALL),
    a_retry_has_its_place_in_a_full_lane(SMALL),
    an_epoch_stays_while_the_queue_does(NORMAL),
);

async fn a_full_lane_spills_and_keeps_order_until_it_is_refilled(queue: Queue) {
    let (full, other) = (lane("full"), lane("other"));
    grow(&queue, &full, 4).await;
    take(&queue, &tickets(&full, 10)).await;
    assert_eq!(queue.offer(&tickets(&full, 2)).await.unwrap(), [Offered::Spilled; 2]);
    take(&queue, &tickets(&other, 1)).await;
    assert!(view_of(&queue, &full).await.spilled);
    assert_eq!(queue.spilled(10).await.unwrap(), []);

    let worker = worker();
    for _ in 0..2 {
        let leases = claim_soon(&queue, &worker, 4).await;
        done(&queue, &leases).await;
        assert_eq!(queue.offer(&tickets(&full, 1)).await.unwrap(), [Offered::Spilled], "order holds");
    }
    let low = queue.spilled(10).await.unwrap();
    let [SpilledLane { key, generation, depth }] = low.as_slice() else { panic!("{low:?}") };
    assert_eq!((key, *depth), (&full, 3));
    assert_eq!(refill(&queue, &tickets(&full, 8)).await.unwrap()[6..], [Offered::Taken, Offered::Spilled]);
    assert_eq!(queue.spilled(10).await.unwrap(), []);
    assert!(queue.unspill(key, *generation).await.unwrap(), "a refill that did not fit is no new spill");
    assert_eq!(queue.offer(&tickets(&full, 1)).await.unwrap(), [Offered::Spilled], "still full");
}

async fn an_ordered_lane_that_was_not_known_is_filled_before_anything_enters(queue: Queue) {
    let (strict, worker) = (lane("strict"), worker());
    let generation = queue.lane(&strict, &ordered()).await.unwrap().expect("it begins as spilled");
    assert_eq!(queue.lane(&strict, &ordered()).await.unwrap(), None, "it is known now");
    let new = ticket(&strict);
    assert_eq!(queue.offer(std::slice::from_ref(&new)).await.unwrap(), [Offered::Spilled]);
    assert!(!queue.unspill(&strict, generation).await.unwrap(), "what spilled meanwhile is not forgotten");

    let tried = Ticket { leads: true, delay: Duration::from_millis(100), ..ticket(&strict) };
    // Older than the new one.
    let old: Vec<Ticket> = tickets(&strict, 2).into_iter().map(|old| Ticket { order: UnixMs(1), ..old }).collect();
    let waiting = [old[1].clone(), old[0].clone(), tried.clone()];
    assert_eq!(refill(&queue, &waiting).await.unwrap(), [Offered::Taken; 3]);
    none_is_due(&queue).await;
    let read = queue.spilled(10).await.unwrap().remove(0);
    assert_eq!((&read.key, read.depth), (&strict, 3));
    assert!(queue.unspill(&strict, read.generation).await.unwrap());
    take(&queue, std::slice::from_ref(&new)).await;
    for expected in [tried.job, old[0].job, old[1].job, new.job] {
        let lease = claim_soon(&queue, &worker, 1).await.remove(0);
        assert_eq!(lease.job, expected);
        none_is_due(&queue).await;
        settle(&queue, &lease, Health::Good, Next::Done).await;
    }
}

async fn a_spill_during_a_refill_is_not_forgotten(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 8).await;
    take(&queue, &tickets(&lane, 10)).await;
    assert_eq!(queue.offer(&tickets(&lane, 1)).await.unwrap(), [Offered::Spilled]);
    let leases = claim_soon(&queue, &worker(), 8).await;
    done(&queue, &leases).await;
    let read = queue.spilled(10).await.unwrap().remove(0);
    assert_eq!(queue.offer(&tickets(&lane, 1)).await.unwrap(), [Offered::Spilled]);
    assert!(!queue.unspill(&lane, read.generation).await.unwrap());
    assert_eq!(queue.offer(&tickets(&lane, 1)).await.unwrap(), [Offered::Spilled]);
    let read = queue.spilled(10).await.unwrap().remove(0);
    assert!(queue.unspill(&lane, read.generation).await.unwrap());
    assert_eq!(queue.spilled(10).await.unwrap(), []);
    take(&queue, &tickets(&lane, 1)).await;
}

async fn a_retry_has_its_place_in_a_full_lane(queue: Queue) {
    let lane = lane("a");
    take(&queue, &tickets(&lane, 10)).await;
    let leases = claim_soon(&queue, &worker(), 2).await;
    assert_eq!(queue.offer(&tickets(&lane, 1)).await.unwrap(), [Offered::Spilled], "leased ones count");
    settle(&queue, &leases[0], Health::Good, later(HOUR)).await;
    settle(&queue, &leases[1], Health::Good, Next::Release).await;
    let view = view_of(&queue, &lane).await;
    assert_eq!((view.ready, view.delayed, view.in_flight, view.oldest), (9, 1, 0, Some(UnixMs(1_000))));
}

async fn an_epoch_stays_while_the_queue_does(queue: Queue) {
    let epoch = queue.epoch().await.unwrap();
    assert!(!epoch.token.is_empty());
    assert_eq!(queue.epoch().await.unwrap().token, epoch.token);
}

#[tokio::test]
async fn an_emptied_redis_has_a_new_epoch_and_takes_everything_again() {
    let options = redis_options(NORMAL);
    let queue = Queue::redis(options.clone()).unwrap();
    let (worker, lane) = (worker(), lane("a"));
    let all = tickets(&lane, 5);
    take(&queue, &all).await;
    queue.renew(&worker).await.unwrap();
    let old = claim_soon(&queue, &worker, 1).await.remove(0);
    let epoch = queue.epoch().await.unwrap();

    let client = ::redis::Client::open(std::env::var("POSTRIDER_TEST_REDIS_URL").unwrap()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{{{}:*", options.prefix);
    let keys: Vec<Vec<u8>> = ::redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    ::redis::cmd("DEL").arg(&keys).exec_async(&mut connection).await.unwrap();

    // What was read from SQL before may run elsewhere, which the queue does not know yet.
    let emptied = |answer| assert!(matches!(answer, Err(QueueError::Emptied { .. })), "{answer:?}");
    for _ in 0..2 {
        emptied(queue.offer_again(&all, &epoch).await);
        emptied(queue.refill(&all, &epoch).await);
        queue.epoch().await.unwrap();
    }
    let fresh = queue.epoch().await.unwrap();
    assert_ne!(fresh.token, epoch.token);
    assert!(fresh.age < Duration::from_secs(2) && !fresh.unheard().is_zero(), "{fresh:?}");
    assert!(!queue.renew(&worker).await.unwrap());
    take(&queue, &all[..1]).await;
    assert_eq!(queue.offer_again(&all[..2], &fresh).await.unwrap(), [Offered::Held, Offered::Taken]);
    assert_eq!(
        queue.refill(&all, &fresh).await.unwrap()[1..],
        [Offered::Held, Offered::Taken, Offered::Taken, Offered::Taken]
    );
    let new = claim_soon(&queue, &worker, 1).await.remove(0);
    assert_eq!(new.job, old.job);
    assert!(new.fence > old.fence, "a fence from before is never met again");
}
