//! Whose turn it is: fairness, concurrency, rate, pause, and what the receiver bears.

use std::time::{Duration, Instant};

use postrider_core::{
    domain::{
        Id,
        lane::{BAD_STREAK_MAX, IN_FLIGHT_MAX, LaneSettings, QUICK},
    },
    queue::{Breaker, Health, Next, Offered, Queue, Settled, Verdict},
};

use super::setup::{
    HOUR, NORMAL, claim, claim_soon, delayed, done, grow, jobs, lane, lane_of, none_is_due, refill, settle, take,
    ticket, tickets, verdict, view_of, wide, worker,
};

super::on_both!(
    nothing_is_taken_for_a_lane_that_the_queue_was_not_told_of(NORMAL),
    a_job_is_offered_once(NORMAL),
    a_lane_holds_no_more_than_its_concurrency(NORMAL),
    a_raised_concurrency_is_in_force_at_once(NORMAL),
    a_lane_starts_no_faster_than_its_rate(NORMAL),
    a_paused_lane_rests_until_it_is_resumed(NORMAL),
    a_lane_grows_while_its_receiver_answers_and_halves_when_it_fails(NORMAL),
    only_a_quick_receiver_gets_more_than_what_suits_any(NORMAL),
    a_failing_receiver_gets_one_probe_at_a_time_until_it_answers(NORMAL),
    a_failing_receiver_rests_as_long_as_its_probe_took(NORMAL),
    an_idle_worker_is_woken(NORMAL);
    in_one_shard:
    turns_go_round_tenants_then_lanes(NORMAL),
    a_thousand_busy_lanes_of_one_tenant_do_not_delay_another(NORMAL),
);

async fn nothing_is_taken_for_a_lane_that_the_queue_was_not_told_of(queue: Queue) {
    let (known, unknown) = (lane("known"), lane("unknown"));
    queue.lane(&known, &LaneSettings::default()).await.unwrap();
    // A pause is not all that holds for a lane.
    queue.pause(&unknown).await.unwrap();
    queue.resume(&unknown).await.unwrap();
    let mixed = [ticket(&unknown), ticket(&known), ticket(&unknown)];
    assert_eq!(refill(&queue, &mixed).await.unwrap(), [Offered::Unknown, Offered::Taken, Offered::Unknown]);
    assert_eq!(queue.offer(&mixed).await.unwrap(), [Offered::Unknown, Offered::Held, Offered::Unknown]);
    assert_eq!(queue.view(10).await.unwrap().totals.tickets, 1);
    queue.lane(&unknown, &LaneSettings { concurrency_max: Some(1), ..LaneSettings::default() }).await.unwrap();
    assert_eq!(queue.offer(&mixed).await.unwrap(), [Offered::Taken, Offered::Held, Offered::Taken]);
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 2);
}

async fn a_job_is_offered_once(queue: Queue) {
    let lane = lane("a");
    let [ready, waiting] = [ticket(&lane), delayed(&lane, HOUR)];
    let both = [ready.clone(), waiting.clone()];
    take(&queue, &both).await;
    assert_eq!(queue.offer(&both).await.unwrap(), [Offered::Held; 2]);
    let leases = claim(&queue, &worker(), 10).await;
    assert_eq!(jobs(&leases), [ready.job]);
    assert_eq!(queue.offer(&both).await.unwrap(), [Offered::Held; 2]);
    done(&queue, &leases).await;
    assert_eq!(queue.offer(&both).await.unwrap(), [Offered::Taken, Offered::Held]);
}

async fn turns_go_round_tenants_then_lanes(queue: Queue) {
    let (one, two) = (Id::new(), Id::new());
    let lanes = [lane_of(one, "a"), lane_of(one, "b"), lane_of(two, "c")];
    for lane in &lanes {
        grow(&queue, lane, 4).await;
    }
    for lane in &lanes {
        take(&queue, &tickets(lane, 4)).await;
    }
    let leases = claim(&queue, &worker(), 8).await;
    let turns: Vec<&str> = leases.iter().map(|lease| lease.lane.name.as_str()).collect();
    assert_eq!(turns, ["a", "c", "b", "c", "a", "c", "b", "c"]);
}

async fn a_thousand_busy_lanes_of_one_tenant_do_not_delay_another(queue: Queue) {
    let busy = Id::new();
    let backlog: Vec<_> = (0..1_000).flat_map(|lane| tickets(&lane_of(busy, &lane.to_string()), 3)).collect();
    take(&queue, &backlog).await;
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 10);
    let other = ticket(&lane("other"));
    take(&queue, std::slice::from_ref(&other)).await;
    assert!(jobs(&claim(&queue, &worker(), 2).await).contains(&other.job));
}

async fn a_lane_holds_no_more_than_its_concurrency(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 8).await;
    queue.lane(&lane, &LaneSettings { concurrency_max: Some(3), ..LaneSettings::default() }).await.unwrap();
    take(&queue, &tickets(&lane, 10)).await;
    let leases = claim(&queue, &worker(), 10).await;
    assert_eq!(leases.len(), 3);
    none_is_due(&queue).await;
    done(&queue, &leases[..2]).await;
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 2);
}

async fn a_raised_concurrency_is_in_force_at_once(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 8).await;
    queue.lane(&lane, &LaneSettings { concurrency_max: Some(1), ..LaneSettings::default() }).await.unwrap();
    take(&queue, &tickets(&lane, 10)).await;
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 1);
    queue.lane(&lane, &wide()).await.unwrap();
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 7);
}

async fn a_lane_starts_no_faster_than_its_rate(queue: Queue) {
    let lane = lane("a");
    let settings = LaneSettings { rate_per_second: Some(100), ..wide() };
    queue.lane(&lane, &settings).await.unwrap();
    take(&queue, &tickets(&lane, 30)).await;
    let worker = worker();
    let begun = Instant::now();
    let mut leases = claim(&queue, &worker, 30).await;
    while leases.len() < 26 {
        done(&queue, &leases).await;
        leases.clear();
        leases = claim_soon(&queue, &worker, 1).await;
        if view_of(&queue, &lane).await.ready <= 4 {
            break;
        }
    }
    // Five at once, the others at 10 ms each.
    assert!(begun.elapsed() >= Duration::from_millis(205), "{:?}", begun.elapsed());
}

async fn a_paused_lane_rests_until_it_is_resumed(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 3).await;
    take(&queue, &tickets(&lane, 2)).await;
    queue.pause(&lane).await.unwrap();
    none_is_due(&queue).await;
    assert!(view_of(&queue, &lane).await.paused);
    take(&queue, &tickets(&lane, 1)).await;
    none_is_due(&queue).await;
    queue.resume(&lane).await.unwrap();
    assert_eq!(claim(&queue, &worker(), 10).await.len(), 3);
}

async fn a_lane_grows_while_its_receiver_answers_and_halves_when_it_fails(queue: Queue) {
    let lane = lane("a");
    queue.lane(&lane, &LaneSettings { concurrency_max: Some(5), ..LaneSettings::default() }).await.unwrap();
    take(&queue, &tickets(&lane, 50)).await;
    let worker = worker();
    for (health, limit) in [
        (Health::Neutral, 2),
        (Health::Good, 3),
        (Health::Good, 4),
        (Health::Good, 5),
        (Health::Good, 5),
        (Health::Bad, 2),
        (Health::Bad, 1),
        (Health::Bad, 1),
        (Health::Good, 2),
    ] {
        let lease = claim_soon(&queue, &worker, 1).await.remove(0);
        settle(&queue, &lease, health, Next::Done).await;
        assert_eq!(view_of(&queue, &lane).await.limit, limit, "after {health:?}");
    }
}

async fn only_a_quick_receiver_gets_more_than_what_suits_any(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, IN_FLIGHT_MAX + 2).await;
    take(&queue, &tickets(&lane, 10)).await;
    let worker = worker();
    let slow = QUICK + Duration::from_millis(1);
    for (took, more) in [(slow, 1), (slow, 0), (slow, 0), (QUICK, 1), (QUICK, 2), (slow, 1)] {
        let lease = claim_soon(&queue, &worker, 1).await.remove(0);
        let answered = Verdict { took, ..verdict(&lease, Health::Good, Next::Done) };
        assert_eq!(queue.settle(&[answered]).await.unwrap(), [Settled::Applied]);
        assert_eq!(view_of(&queue, &lane).await.limit, IN_FLIGHT_MAX + more, "after {took:?}");
    }
}

async fn a_failing_receiver_gets_one_probe_at_a_time_until_it_answers(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 8).await;
    take(&queue, &tickets(&lane, 50)).await;
    let worker = worker();
    for lease in &claim(&queue, &worker, 8).await {
        settle(&queue, lease, Health::Bad, Next::Done).await;
    }
    assert!(matches!(view_of(&queue, &lane).await.breaker, Breaker::Open { .. }));
    for health in [Health::Bad, Health::Bad, Health::Good] {
        let probe = claim_soon(&queue, &worker, 1).await.remove(0);
        none_is_due(&queue).await;
        settle(&queue, &probe, health, Next::Done).await;
    }
    let view = view_of(&queue, &lane).await;
    assert_eq!((view.breaker, view.limit), (Breaker::Closed, 1));
    let ramp = claim(&queue, &worker, 10).await;
    done(&queue, &ramp).await;
    assert_eq!(claim(&queue, &worker, 10).await.len(), 2);
}

async fn a_failing_receiver_rests_as_long_as_its_probe_took(queue: Queue) {
    const TOOK: Duration = Duration::from_millis(200);
    let lane = lane("a");
    take(&queue, &tickets(&lane, 10)).await;
    let worker = worker();
    for _ in 0..BAD_STREAK_MAX {
        let lease = claim_soon(&queue, &worker, 1).await.remove(0);
        let failed = Verdict { took: TOOK, ..verdict(&lease, Health::Bad, Next::Done) };
        assert_eq!(queue.settle(&[failed]).await.unwrap(), [Settled::Applied]);
    }
    let failed = Instant::now();
    none_is_due(&queue).await;
    claim_soon(&queue, &worker, 1).await;
    // Times are kept with milliseconds.
    assert!(failed.elapsed() + Duration::from_millis(2) >= TOOK, "it rested {:?}", failed.elapsed());
}

async fn an_idle_worker_is_woken(queue: Queue) {
    let lane = lane("a");
    none_is_due(&queue).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { claim_soon(&queue, &worker(), 1).await }
    });
    take(&queue, &tickets(&lane, 1)).await;
    assert_eq!(waiting.await.unwrap().len(), 1);
}
