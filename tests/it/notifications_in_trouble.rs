//! Fan-outs whose process is killed, and jobs of them that end otherwise: nobody is told twice or forgotten, and the receipt adds up.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{
    App, Client, LONG, Stack, eventually,
    notifying::{a_type, counts, followers, notified, receipt},
};

on_both_stacks!(
    a_fan_out_that_is_killed_again_and_again_tells_everybody_once,
    who_would_be_told_by_a_cancelled_job_is_told_by_none_and_counted,
);

const FOLLOWERS: usize = 100_000;
const KILLS: u32 = 10;

/// Everybody's counts, of which each says how many they have been told.
async fn told(client: &Client, keys: impl Iterator<Item = usize>) -> Vec<(u64, u64)> {
    let of = |n: usize| async move { counts(client, &format!("u{n}")).await };
    futures::stream::iter(keys).map(of).buffered(16).collect().await
}

async fn a_fan_out_that_is_killed_again_and_again_tells_everybody_once(stack: Stack) {
    let mut app = App::start(stack).await;
    a_type(&app.client).await;
    followers(&app.client, "a", 0..FOLLOWERS).await;
    let body =
        json!({ "type": "post", "topics": ["a"], "recipients": ["u7", "stranger"], "data": { "who": "a", "n": 1 } });
    let id = notified(&app.client, body).await;
    for kill in 0..KILLS {
        // At another moment of the fan-out each time.
        let until = u64::from(kill) * FOLLOWERS as u64 / u64::from(KILLS);
        eventually("so many were told", LONG, || async {
            let shown = receipt(&app.client, &id).await;
            (shown.body["receipt"]["inbox"]["delivered"].as_u64().unwrap() >= until).then_some(())
        })
        .await;
        app.kill();
        app.restart().await;
    }
    let shown = eventually("everybody was told", LONG, || async {
        let shown = receipt(&app.client, &id).await;
        (shown.body["state"] == "done").then(|| shown.body["receipt"]["inbox"].clone())
    })
    .await;
    let all = FOLLOWERS as u64 + 1;
    assert_eq!(shown, json!({ "planned": all, "delivered": all, "pending": 0, "dead": 0, "suppressed": {} }));
    let told = told(&app.client, (0..FOLLOWERS).step_by(29).chain([FOLLOWERS - 1])).await;
    assert!(told.iter().all(|counts| *counts == (1, 1)), "{told:?}");
    assert_eq!(counts(&app.client, "stranger").await, (1, 1));
    let inbox = app.client.all("/v1/recipients/u7/inbox").await;
    assert_eq!(inbox.iter().map(|item| item["id"].clone()).collect::<Vec<Value>>(), [json!(id)]);
}

async fn who_would_be_told_by_a_cancelled_job_is_told_by_none_and_counted(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    followers(&app.client, "a", 0..1_500).await;
    // Nobody is told on a lane that is paused.
    let lane = "/v1/lanes/fanout:normal";
    app.client.post(&format!("{lane}/pause")).send().await.expect(200);
    let id = notified(&app.client, json!({ "type": "post", "topics": ["a"], "data": { "who": "a", "n": 1 } })).await;
    let waiting = eventually("all is planned", LONG, || async {
        let shown = receipt(&app.client, &id).await;
        (shown.body["planned_at"] != Value::Null).then_some(shown)
    })
    .await;
    assert_eq!(
        (waiting.string("/state").as_str(), &waiting.body["receipt"]["inbox"]["pending"]),
        ("delivering", &json!(1_500))
    );
    let jobs = app.client.all("/v1/jobs?kind=notification.chunk").await;
    assert_eq!(jobs.len(), 2);
    app.client.post(&format!("/v1/jobs/{}/cancel", jobs[0]["id"].as_str().unwrap())).send().await.expect(200);
    app.client.post(&format!("{lane}/resume")).send().await.expect(200);
    let ended = eventually("the other is told", LONG, || async {
        let shown = receipt(&app.client, &id).await;
        (shown.body["state"] == "done").then(|| shown.body["receipt"]["inbox"].clone())
    })
    .await;
    let count = |field: &str| ended[field].as_u64().unwrap();
    assert_eq!((count("planned"), count("pending")), (1_500, 0));
    assert_eq!(ended["suppressed"]["cancelled"].as_u64().unwrap() + count("delivered"), 1_500);
    assert!([500, 1_000].contains(&count("delivered")), "{ended}");
}
