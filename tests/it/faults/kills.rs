//! SIGKILL: of everything, and of one worker of two. What was accepted is done all the same, and what comes twice had
//! left before the kill.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{App, Books, Load, Publishing, Receiver, Script, Stack, rounds};

on_both_stacks!(sigkill_of_everything_at_random_points_loses_none);

/// The contract's bound for a dead worker's jobs to run again.
const TAKEN_OVER: Duration = Duration::from_secs(20);
/// How long what a killed process had sent may take to the receiver, on a busy machine.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
const LANES: usize = 8;

async fn sigkill_of_everything_at_random_points_loses_none(stack: Stack) {
    let (events, kills) = (rounds(2_000, 10_000), rounds(5, 10));
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.fails_some_at_first("/hook");
    let extras = json!({ "retry_schedule_seconds": vec![0.1; 10] });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let publishing = Publishing::start(&app.client, &Load::of(events));
    for _ in 0..kills {
        // The random point: a number of accepted events that lies ahead of now.
        let ahead = rand::random_range(50..events * 5 / 8 / kills);
        publishing.wait_for((publishing.accepted_count() + ahead).min(events)).await;
        app.kill();
        app.restart().await;
    }
    let accepted = publishing.finish().await;
    assert_eq!(accepted.len(), events);
    let books = Books { workers_vanish: true, ..Books::of(&accepted) };
    assert_eq!(books.balance(&app.client, &receiver).await.dead, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_2000_jobs_those_of_a_killed_worker_run_again_within_20_s_and_only_those() {
    for _ in 0..rounds(1, 5) {
        one_worker_of_two_is_killed().await;
    }
}

async fn one_worker_of_two_is_killed() {
    const EVENTS: usize = 2_000;
    let receiver = Receiver::start().await;
    let api = App::builder(Stack::Postgres).role("api").start().await;
    let (mut killed, _other) = tokio::join!(api.beside("worker"), api.beside("worker"));
    receiver.always("/hook", Script::Late(Duration::from_millis(100)));
    api.client.create_lanes(LANES, &receiver.url("/hook"), json!({})).await;
    let load = Load { kind: |n| format!("lane.{}", n % LANES), ..Load::of(EVENTS) };
    let publishing = Publishing::start(&api.client, &load);
    publishing.wait_for(rand::random_range(EVENTS / 4..EVENTS * 3 / 4)).await;
    let at = Instant::now();
    killed.kill();
    let accepted = publishing.finish().await;
    let books = Books { workers_vanish: true, ..Books::of(&accepted) };
    assert_eq!(books.balance(&api.client, &receiver).await.dead, 0);

    let mut came: HashMap<String, Vec<Instant>> = HashMap::new();
    for request in receiver.requests("/hook") {
        came.entry(request.event_id().to_owned()).or_default().push(request.at);
    }
    let jobs = api.client.all("/v1/jobs").await;
    let lost = jobs.iter().filter(|job| job["lost_workers"] != 0);
    let lost: Vec<&[Instant]> = lost.map(|job| came[job["event_id"].as_str().unwrap()].as_slice()).collect();
    let again = lost.iter().filter_map(|came| came.last()).max().expect("the worker was killed with jobs in flight");
    let took = again.duration_since(at);
    eprintln!("a worker was killed with {} jobs; they ran again within {took:?}", lost.len());
    assert!(took < TAKEN_OVER, "the last job of the killed worker ran again after {took:?}");
    // That they came at most once for each worker is in the books.
    let early = lost.iter().filter(|came| came.len() == 2).all(|came| came[0] < at + ON_ITS_WAY && came[1] > at);
    assert!(early, "one came twice whose request had not left before the kill");
}
