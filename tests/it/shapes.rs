//! The shapes of answers, as snapshots: a change of one is a change of the contract, and is to be seen as that.

use serde_json::json;

use crate::harness::{App, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(answers_keep_their_shapes);

macro_rules! shape {
    ($name:literal, $body:expr) => {
        insta::assert_json_snapshot!($name, $body, {
            ".**.id" => "[id]",
            ".**.event_id" => "[id]",
            ".**.endpoint_id" => "[id]",
            ".**.job_id" => "[id]",
            ".**.lane" => "[lane]",
            ".**.secret" => "[secret]",
            ".**.request_id" => "[request]",
            ".**.message_id" => "[id]",
            ".**.url" => "[url]",
            ".**.endpoint_url" => "[url]",
            ".**.address" => "[address]",
            ".**.duration_ms" => "[ms]",
            ".**.created_at" => "[time]",
            ".**.updated_at" => "[time]",
            ".**.deliver_at" => "[time]",
            ".**.state_since" => "[time]",
            ".**.run_at" => "[time]",
            ".**.started_at" => "[time]",
            ".**.finished_at" => "[time]",
            ".**.first_seen_at" => "[time]",
            ".**.last_seen_at" => "[time]",
        });
    };
}

async fn answers_keep_their_shapes(stack: Stack) {
    let app = App::start(stack).await;
    let receiver = Receiver::start().await;
    receiver.always("/dead", Script::status(500));
    let settings = json!({"url": receiver.url("/dead"), "retry_schedule_seconds": [0.01], "headers": {"x-own": "1"}});
    let made = app.client.post("/v1/endpoints").json(&settings).send().await;
    shape!("endpoint_made", &made.expect(201).body);
    let body = r#"{"type": "a.b", "payload": {"n": 1.0e3}, "id": "own-1", "channels": ["x"]}"#;
    let published = app.client.post("/v1/events").json_text(body).send().await;
    shape!("event_published", &published.expect(202).body);
    let letters = eventually("the delivery dies", SOON, || async {
        let listed = app.client.get("/v1/dead-letters").send().await;
        (!listed.list("/data").is_empty()).then(|| listed.expect(200))
    })
    .await;
    shape!("dead_letters", &letters.body);
    shape!("jobs", &app.client.get("/v1/jobs").send().await.expect(200).body);
    let job = letters.string("/data/0/job_id");
    shape!("job", &app.client.get(&format!("/v1/jobs/{job}")).send().await.expect(200).body);
    shape!("event", &app.client.get("/v1/events/own-1").send().await.expect(200).body);
    shape!("failures", &app.client.get("/v1/failures").send().await.expect(200).body);
    let refused = app.client.post("/v1/endpoints").json(&json!({"url": "ftp://x", "colour": 1})).send().await;
    shape!("problem", &refused.body);
}
