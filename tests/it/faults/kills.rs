//! SIGKILL: of everything, of one worker of two.

use serde_json::json;

use crate::harness::{App, Books, Load, Publishing, Receiver, Script, Stack, rounds};

on_both_stacks!(sigkill_of_everything_at_random_points_loses_none);

async fn sigkill_of_everything_at_random_points_loses_none(stack: Stack) {
    let (events, kills) = (rounds(2_000, 10_000), rounds(5, 10));
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    // Some answers fail, so that retries are on their way too when the process dies.
    receiver.first("/hook", (0..200).map(|n| Script::status(if n % 5 == 0 { 500 } else { 200 })), Script::status(200));
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
