//! What happens when Redis, or the way to it, fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use postrider_core::queue::{Queue, RedisOptions, Room};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use super::setup::{NORMAL, claim_soon, done, grow, jobs, lane, redis_options, take, tickets, view_of, worker};

/// A way to Redis that can be cut, or lose all answers.
struct Way {
    address: SocketAddr,
    cut: Arc<Notify>,
    loses_answers: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Way {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, cut) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
        let loses_answers = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        let (cuts, loses) = (Arc::clone(&cut), Arc::clone(&loses_answers));
        task.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let far = TcpStream::connect(&server).await.unwrap();
                        links.spawn(carry(accepted.unwrap().0, far, Arc::clone(&loses)));
                    }
                    () = cuts.notified() => links.abort_all(),
                }
            }
        });
        Self { address, cut, loses_answers, _task: task }
    }
}

async fn carry(near: TcpStream, far: TcpStream, loses_answers: Arc<AtomicBool>) {
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let answers = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
            if !loses_answers.load(Ordering::SeqCst) && to_near.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    let questions = tokio::io::copy(&mut from_near, &mut to_far);
    tokio::select! { () = answers => {} _ = questions => {} }
}

async fn behind_a_way() -> (Queue, Way) {
    let options = redis_options(NORMAL);
    let server = options.url.to_string().replace("redis://", "");
    let way = Way::to(server).await;
    let url = format!("redis://{}", way.address).parse().unwrap();
    let response_timeout = Duration::from_millis(300);
    (Queue::redis(RedisOptions { url, response_timeout, ..options }).unwrap(), way)
}

#[tokio::test]
async fn what_only_reads_is_asked_again_where_the_connection_was_cut_meanwhile() {
    let (queue, way) = behind_a_way().await;
    take(&queue, &tickets(&lane("a"), 2)).await;
    for _ in 0..5 {
        way.cut.notify_one();
        assert_eq!(queue.view(1).await.unwrap().totals.tickets, 2);
        assert!(queue.held_by(&worker(), 1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_cut_connection_is_made_again() {
    let (queue, way) = behind_a_way().await;
    let (lane, worker) = (lane("a"), worker());
    take(&queue, &tickets(&lane, 2)).await;
    for _ in 0..3 {
        way.cut.notify_one();
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            queue.wait(Duration::from_millis(10)).await;
            match queue.ready().await {
                Ok(()) => break,
                Err(error) => assert!(error.is_unavailable() && Instant::now() < until, "{error}"),
            }
        }
    }
    let leases = claim_soon(&queue, &worker, 2).await;
    done(&queue, &leases).await;
}

#[tokio::test]
async fn a_claim_whose_answer_never_came_is_given_back_by_the_next_heartbeat() {
    let (queue, way) = behind_a_way().await;
    let (lane, worker) = (lane("a"), worker());
    grow(&queue, &lane, 3).await;
    let all = tickets(&lane, 3);
    take(&queue, &all).await;
    queue.renew(&worker).await.unwrap();
    way.loses_answers.store(true, Ordering::SeqCst);
    let silent = queue.claim(&worker, Room::whole(3)).await.unwrap_err();
    assert!(silent.is_unavailable(), "{silent}");
    way.loses_answers.store(false, Ordering::SeqCst);
    assert_eq!(view_of(&queue, &lane).await.in_flight, 3);
    assert!(queue.renew(&worker).await.unwrap());
    assert_eq!(jobs(&claim_soon(&queue, &worker, 3).await), all.iter().map(|ticket| ticket.job).collect::<Vec<_>>());
}
