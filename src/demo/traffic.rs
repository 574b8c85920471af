//! Events and jobs that come by themselves, over the API as a product's do.

use std::time::Duration;

use postrider_core::domain::{UnixMs, event::EventType};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{json, value::RawValue};

use super::{RETRIES_S, Stage, receivers::Receivers};
use crate::{
    client::{Server, ServerArgs},
    seed::payloads,
};

/// Between two events, at least and at most.
const PAUSE_MS: std::ops::Range<u64> = 200..700;
/// Every so many steps a job is made too, and an event that is due later.
const STEPS_TO_JOB: u64 = 7;
const STEPS_TO_LATER: u64 = 23;
const LATER: Duration = Duration::from_secs(600);
const TASKS: [&str; 3] = ["sitemap", "feed", "search-index"];

/// Goes on until it is dropped. Begins with one event of each type, so that every receiver is soon seen at what it does.
pub(super) async fn run(stage: &Stage, receivers: &Receivers, token: String) -> anyhow::Result<()> {
    let server = Server::new(ServerArgs::of(format!("http://{}", stage.address), token))?;
    let mut dice = StdRng::from_os_rng();
    let mut first = payloads::kinds();
    for step in 0u64.. {
        let sent = match step % STEPS_TO_JOB {
            0 => job(&server, receivers, step / STEPS_TO_JOB).await,
            _ => match first.next().or_else(|| payloads::kind(&mut dice)) {
                Some(kind) => event(&server, &kind, step.is_multiple_of(STEPS_TO_LATER), &mut dice).await,
                None => Ok(()),
            },
        };
        if let Err(error) = sent {
            tracing::warn!(error = %format!("{error:#}"), "the demo's traffic is not taken");
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(PAUSE_MS))).await;
    }
    Ok(())
}

async fn event(server: &Server, kind: &EventType, later: bool, dice: &mut StdRng) -> anyhow::Result<()> {
    let now = UnixMs::now();
    let payload = String::from_utf8(payloads::payload(kind, now, dice))?;
    let payload: &RawValue = serde_json::from_str(&payload)?;
    let mut body = json!({ "type": kind, "payload": payload });
    if later {
        body["deliver_at"] = (now + LATER).to_string().into();
    }
    server.post("/v1/events", body.to_string(), None).await.map(drop)
}

async fn job(server: &Server, receivers: &Receivers, number: u64) -> anyhow::Result<()> {
    let task = TASKS[usize::try_from(number)? % TASKS.len()];
    let body = json!({
        "kind": "http.request",
        "tags": ["nightly", task],
        "args": {
            "url": receivers.task_url(task, !number.is_multiple_of(3)),
            "method": "POST",
            "headers": { "content-type": "application/json" },
            "body": json!({ "site": number, "full": false }).to_string(),
            "retry_schedule_seconds": RETRIES_S,
        },
    });
    server.post("/v1/jobs", body.to_string(), None).await.map(drop)
}
