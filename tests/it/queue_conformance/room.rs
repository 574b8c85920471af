//! What a worker has room for: tenants and standings that would take too much are passed over.

use std::time::{Duration, Instant};

use postrider_core::{
    domain::{Id, lane::Standing},
    queue::{Health, Lease, Next, Places, Queue, QueueLimits, Rest, Room},
};

use super::setup::{
    NORMAL, claim, claim_soon, done, grow, jobs, lane, lane_of, none_is_due, settle, take, ticket, tickets, view_of,
    worker,
};

const TALKATIVE: QueueLimits = QueueLimits { silence: Duration::from_millis(50), ..NORMAL };

super::on_both!(
    a_tenant_without_room_is_passed_over(NORMAL),
    a_tenant_gets_no_more_than_its_room(NORMAL),
    a_tenant_s_new_lanes_take_no_more_than_their_room(NORMAL),
    a_silent_receiver_gets_no_more_than_a_new_one(TALKATIVE);
    in_one_shard:
    standings_take_turns_and_no_more_than_their_room(NORMAL),
    what_there_is_no_room_for_wakes_nobody_twice(NORMAL),
);

async fn a_tenant_without_room_is_passed_over(queue: Queue) {
    let (full, other) = (Id::new(), Id::new());
    let waiting: Vec<_> = ["a", "b", "c"].map(|name| ticket(&lane_of(full, name))).into();
    let prompt = ticket(&lane_of(other, "d"));
    take(&queue, &waiting).await;
    take(&queue, std::slice::from_ref(&prompt)).await;
    let room = Room { tenants: vec![(full, Places::default())], ..Room::whole(10) };
    let claimed = queue.claim(&worker(), room.clone()).await.unwrap();
    assert_eq!((jobs(&claimed.leases), claimed.rest), (vec![prompt.job], Rest::HeldBack));
    let claimed = queue.claim(&worker(), room).await.unwrap();
    assert_eq!((claimed.leases, claimed.rest), (vec![], Rest::HeldBack));
    let claimed = queue.claim(&worker(), Room::whole(10)).await.unwrap();
    assert_eq!((claimed.leases.len(), claimed.rest), (3, Rest::Nothing));
}

async fn a_tenant_gets_no_more_than_its_room(queue: Queue) {
    let (one, two) = (Id::new(), Id::new());
    for tenant in [one, two] {
        for name in ["a", "b", "c"] {
            take(&queue, &tickets(&lane_of(tenant, name), 2)).await;
        }
    }
    let room = Room { tenant: Places::whole(4), tenants: vec![(two, Places::whole(1))], ..Room::whole(10) };
    let leases = queue.claim(&worker(), room).await.unwrap().leases;
    let of = |tenant| leases.iter().filter(|lease| lease.lane.tenant == tenant).count();
    assert_eq!((of(one), of(two)), (4, 1));
}

async fn standings_take_turns_and_no_more_than_their_room(queue: Queue) {
    let tenant = Id::new();
    let lanes = [lane_of(tenant, "answering"), lane_of(tenant, "unknown"), lane_of(tenant, "failing")];
    for (lane, health) in [(&lanes[0], Health::Good), (&lanes[2], Health::Bad)] {
        take(&queue, &tickets(lane, 1)).await;
        let lease = claim_soon(&queue, &worker(), 1).await.remove(0);
        assert_eq!(lease.standing, Standing::Unknown);
        settle(&queue, &lease, health, Next::Done).await;
    }
    for lane in &lanes {
        take(&queue, &tickets(lane, 4)).await;
    }
    let stand = |leases: &[Lease]| leases.iter().map(|lease| lease.standing).collect::<Vec<_>>();
    let room = Room { all: Places { all: 2, ..Places::default() }, ..Room::whole(2) };
    let mut leases = queue.claim(&worker(), room).await.unwrap().leases;
    assert_eq!(stand(&leases), [Standing::Answering; 2]);
    leases.extend(claim(&queue, &worker(), 3).await);
    let turns = [Standing::Unknown, Standing::Failing, Standing::Answering];
    assert_eq!(stand(&leases[2..]), turns);
    assert!(leases.iter().zip([0, 0, 1, 2, 0]).all(|(lease, at)| lease.lane == lanes[at]), "{leases:?}");
    done(&queue, &leases).await;
}

async fn a_tenant_s_new_lanes_take_no_more_than_their_room(queue: Queue) {
    let (one, two) = (Id::new(), Id::new());
    let answering = lane_of(one, "answering");
    grow(&queue, &answering, 4).await;
    take(&queue, &tickets(&answering, 4)).await;
    for lane in [lane_of(one, "a"), lane_of(one, "b"), lane_of(one, "c"), lane_of(two, "d"), lane_of(two, "e")] {
        take(&queue, &tickets(&lane, 1)).await;
    }
    let tenant = Places { unknown: 1, ..Places::whole(10) };
    let claimed = queue.claim(&worker(), Room { tenant, ..Room::whole(20) }).await.unwrap();
    let of = |tenant, standing| {
        let such = |lease: &&Lease| lease.lane.tenant == tenant && lease.standing == standing;
        claimed.leases.iter().filter(such).count()
    };
    assert_eq!((of(one, Standing::Answering), of(one, Standing::Unknown), of(two, Standing::Unknown)), (4, 1, 1));
    assert_eq!(claimed.rest, Rest::HeldBack);
}

async fn a_silent_receiver_gets_no_more_than_a_new_one(queue: Queue) {
    let lane = lane("a");
    grow(&queue, &lane, 8).await;
    take(&queue, &tickets(&lane, 20)).await;
    let leases = claim_soon(&queue, &worker(), 3).await;
    // Time itself is what changes here.
    tokio::time::sleep(TALKATIVE.silence * 2).await;
    none_is_due(&queue).await;
    settle(&queue, &leases[0], Health::Neutral, Next::Done).await;
    none_is_due(&queue).await;
    settle(&queue, &leases[1], Health::Neutral, Next::Done).await;
    let trial = claim(&queue, &worker(), 10).await;
    assert_eq!(trial.iter().map(|lease| lease.standing).collect::<Vec<_>>(), [Standing::Failing]);
    settle(&queue, &leases[2], Health::Good, Next::Done).await;
    let many = claim(&queue, &worker(), 10).await;
    assert!(many.iter().all(|lease| lease.standing == Standing::Answering), "{many:?}");
    assert_eq!(view_of(&queue, &lane).await.in_flight, 9);
}

async fn what_there_is_no_room_for_wakes_nobody_twice(queue: Queue) {
    const PATIENCE: Duration = Duration::from_millis(100);
    take(&queue, &tickets(&lane("a"), 2)).await;
    let worker = worker();
    for round in 0.. {
        assert!(round < 5, "it is woken again and again");
        let claimed = queue.claim(&worker, Room { tenant: Places::default(), ..Room::whole(5) }).await.unwrap();
        assert_eq!((claimed.leases.len(), claimed.rest), (0, Rest::HeldBack));
        let begun = Instant::now();
        queue.wait(PATIENCE).await;
        if begun.elapsed() >= PATIENCE {
            break;
        }
    }
}
