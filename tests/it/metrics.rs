//! `/metrics`: what an operator alerts on is counted as it happens, by Prometheus' conventions, and costs a scrape little.

use std::{collections::HashMap, time::Duration};

use serde_json::json;

use crate::harness::{App, Client, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    what_happened_is_counted,
    what_waits_is_told_by_what_it_waits_for,
    a_queue_that_lost_its_tickets_shows_as_repairs,
);

/// Labels whose values are few, whatever customers do.
const LABELS: [&str; 9] = ["kind", "outcome", "state", "cause", "status", "writes", "operation", "waits_for", "le"];

/// Of one scrape: each series, as it is written, with its value.
struct Scrape(HashMap<String, f64>);

impl Scrape {
    async fn of(client: &Client) -> Self {
        let text = client.get("/metrics").without_token().send().await.expect(200).text;
        let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        });
        Self(series.collect())
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.0.keys()))
    }

    /// All series of one name.
    fn sum(&self, name: &str) -> f64 {
        let named = |series: &str| series.split('{').next() == Some(name);
        self.0.iter().filter(|(series, _)| named(series)).map(|(_, value)| value).sum()
    }
}

async fn scraped(client: &Client, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, SOON, || async { Some(Scrape::of(client).await).filter(&holds) }).await
}

async fn what_happened_is_counted(stack: Stack) {
    let receiver = Receiver::start().await;
    let mut app = App::start(stack).await;
    let api = app.client.clone();
    receiver.always("/bad", Script::status(500));
    api.create_endpoint(&receiver.url("/good"), json!({ "event_types": ["good"] })).await;
    let no_retries = json!({ "event_types": ["bad"], "retry_schedule_seconds": [] });
    api.create_endpoint(&receiver.url("/bad"), no_retries).await;
    for kind in ["good", "good", "bad", "unwanted"] {
        api.publish(kind, "1").await;
    }
    api.post("/v1/jobs").json(&json!({ "kind": "noop", "args": {} })).send().await.expect(202);
    let ended = |scrape: &Scrape| scrape.sum("postrider_jobs_finished_total") >= 4.0;
    let scrape = scraped(&api, "four jobs have ended", ended).await;
    for (series, value) in [
        ("postrider_events_accepted_total", 4.0),
        ("postrider_jobs_accepted_total", 4.0),
        (r#"postrider_attempts_total{kind="webhook.deliver",outcome="succeeded"}"#, 2.0),
        (r#"postrider_attempts_total{kind="webhook.deliver",outcome="http_status"}"#, 1.0),
        (r#"postrider_attempts_total{kind="noop",outcome="succeeded"}"#, 1.0),
        (r#"postrider_jobs_finished_total{kind="webhook.deliver",state="succeeded"}"#, 2.0),
        (r#"postrider_jobs_finished_total{kind="webhook.deliver",state="dead"}"#, 1.0),
        (r#"postrider_dead_letters_total{kind="webhook.deliver",cause="attempts_spent"}"#, 1.0),
        (r#"postrider_commit_batch_writes_sum{writes="requests"}"#, 5.0),
        (r#"postrider_commit_batch_writes_sum{writes="outcomes"}"#, 4.0),
        (r#"postrider_commit_failures_total{writes="requests"}"#, 0.0),
        ("postrider_late_outcomes_total", 0.0),
        ("postrider_egress_refusals_total", 0.0),
    ] {
        assert_eq!(scrape.value(series), value, "{series}");
    }
    assert!(scrape.value(r#"postrider_commit_duration_seconds_count{writes="requests"}"#) >= 1.0);
    assert_eq!(scrape.0.contains_key("postrider_queue_round_trip_failures_total"), stack == Stack::Postgres);
    if stack == Stack::Postgres {
        assert!(scrape.value(r#"postrider_queue_round_trip_seconds_count{operation="settle"}"#) >= 1.0);
    }
    conventions_hold(&api).await;

    // The address was allowed when the endpoint was made, and is so no longer.
    app.terminate().await;
    app.restart_with("POSTRIDER_EGRESS_ALLOW", "10.255.0.0/16").await;
    api.publish("good", "1").await;
    let refused = |scrape: &Scrape| scrape.value("postrider_egress_refusals_total") == 1.0;
    scraped(&api, "the refused call is counted", refused).await;
}

/// <https://prometheus.io/docs/practices/naming>: one unit in a name's end, counters end in `_total`, all are explained.
async fn conventions_hold(client: &Client) {
    let text = client.get("/metrics").without_token().send().await.expect(200).text;
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let [_, _, name, kind] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(name.starts_with("postrider_"), "{line}");
        assert!(!name.contains("_ms") && !name.ends_with("_total"), "{line}: the suffix is the encoder's to add");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is not explained");
        assert!(kind != "unknown", "{line}");
    }
    for series in Scrape::of(client).await.0.keys() {
        let Some((_, labels)) = series.split_once('{') else { continue };
        for label in labels.trim_end_matches('}').split(',') {
            let name = label.split('=').next().unwrap_or_default();
            assert!(LABELS.contains(&name), "{series}: may {name} have many values?");
        }
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

async fn what_waits_is_told_by_what_it_waits_for(stack: Stack) {
    let receiver = Receiver::start().await;
    let app = App::builder(stack).env("POSTRIDER_WORKER_CONCURRENCY", "1").start().await;
    let (let_go, held) = Script::held();
    receiver.always("/held", held);
    let oldest = |waits_for: &str| format!("postrider_queue_oldest_ticket_age_seconds{{waits_for=\"{waits_for}\"}}");
    let one_at_a_time = json!({ "event_types": ["first"], "concurrency_max": 1, "timeout_ms": 60_000 });
    app.client.create_endpoint(&receiver.url("/held"), one_at_a_time).await;
    let paused = app.client.create_endpoint(&receiver.url("/paused"), json!({ "event_types": ["paused"] })).await;
    app.client.post(&format!("/v1/endpoints/{}/pause", paused.id)).send().await.expect(200);
    app.client.publish("first", "1").await;
    receiver.wait_for("/held", 1, SOON).await;

    app.client.publish("first", "2").await;
    let receiver_busy = |scrape: &Scrape| scrape.value(&oldest("receiver")) > 1.0;
    let scrape = scraped(&app.client, "the second waits for its receiver", receiver_busy).await;
    assert_eq!((scrape.value(&oldest("worker")), scrape.value(&oldest("resume"))), (0.0, 0.0));
    assert_eq!(scrape.value("postrider_jobs_in_flight"), 1.0);
    assert_eq!(scrape.value("postrider_worker_slots"), 2.0);
    assert_eq!((scrape.value("postrider_queue_tickets"), scrape.value("postrider_queue_in_flight")), (2.0, 1.0));
    assert_eq!(scrape.value("postrider_queue_workers"), 1.0);

    app.client.publish("paused", "1").await;
    let resume = |scrape: &Scrape| scrape.value(&oldest("resume")) > 1.0;
    scraped(&app.client, "one waits until its endpoint is resumed", resume).await;

    // Two others take what is left of the slots, so that the last has a turn and no slot.
    app.client.create_lanes(2, &receiver.url("/held"), json!({ "timeout_ms": 60_000 })).await;
    for lane in 0..2 {
        app.client.publish(&format!("lane.{lane}"), "1").await;
    }
    let worker = |scrape: &Scrape| scrape.value(&oldest("worker")) > 1.0;
    scraped(&app.client, "one waits for a worker", worker).await;
    let_go.send(true).unwrap();
    let none = |scrape: &Scrape| scrape.value(&oldest("worker")) + scrape.value(&oldest("receiver")) == 0.0;
    scraped(&app.client, "nothing waits but for the resume", none).await;
}

async fn a_queue_that_lost_its_tickets_shows_as_repairs(stack: Stack) {
    const EVENTS: usize = 20;
    let receiver = Receiver::start().await;
    let mut app = App::start(stack).await;
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.client.post(&format!("/v1/endpoints/{}/pause", endpoint.id)).send().await.expect(200);
    for n in 0..EVENTS {
        app.client.publish("waits", &n.to_string()).await;
    }
    let all_held = |scrape: &Scrape| scrape.value("postrider_queue_tickets") == 20.0;
    let scrape = scraped(&app.client, "the queue holds them", all_held).await;
    assert_eq!(scrape.value("postrider_sweep_repairs_total"), 0.0, "nothing is lost yet");
    let published = std::time::Instant::now();
    let due = || async { (published.elapsed() > Duration::from_secs(2)).then_some(()) };
    eventually("the deliveries are due for a while", SOON, due).await;
    // Another queue, as empty as one that was flushed.
    app.terminate().await;
    app.restart_with("POSTRIDER_REDIS_PREFIX", &format!("it{}", uuid::Uuid::now_v7().simple())).await;
    let repaired = |scrape: &Scrape| scrape.value("postrider_sweep_repairs_total") == 20.0;
    scraped(&app.client, "the sweep has offered them again", repaired).await;
}
