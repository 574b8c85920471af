//! `postrider bench jobs`: a backlog of jobs that do nothing, drained: all of a job's cost but its work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Args;
use postrider_core::config::Settings;
use serde::Serialize;

use super::{
    Common, figures,
    figures::TimesMs,
    publisher::{self, Plan, TIME_MAX},
    target::Target,
};

/// How long the backlog is given to be accepted, at so many jobs a second; it becomes due after that.
const ACCEPTED_PER_SECOND_MIN: u64 = 1_000;
const HEADSTART: Duration = Duration::from_secs(5);
/// A backlog that does not get smaller for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

#[derive(Args)]
pub(super) struct JobsArgs {
    /// Jobs of the backlog.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    jobs: u64,
    /// Lanes that they are spread over.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    lanes: u64,
    /// Connections that hand them in, each with one request under way.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Figures {
    stack: String,
    jobs: u64,
    lanes: u64,
    accepted_per_second: f64,
    request_to_answer_ms: TimesMs,
    drained_per_second: f64,
    server_cpu_seconds_for_1000_drained: Option<f64>,
    server_peak_memory_mb: Option<f64>,
}

pub(super) async fn run(settings: &Settings, args: JobsArgs) -> anyhow::Result<()> {
    let target = Target::of(settings, &args.common).await?;
    let measured = measure(&args, &target).await;
    target.end().await?;
    figures::print(&measured?, args.common.json)
}

async fn measure(args: &JobsArgs, target: &Target) -> anyhow::Result<Figures> {
    let before = drained(target).await?;
    let began = Instant::now();
    let headstart = HEADSTART + Duration::from_secs(args.jobs / ACCEPTED_PER_SECOND_MIN);
    let run_at = jiff::Timestamp::now() + headstart;
    let accepted = accept(args, target, run_at).await?;
    if began.elapsed() >= headstart {
        bail!("the backlog took longer to be accepted than it was to stand; take fewer --jobs");
    }
    tokio::time::sleep_until((began + headstart).into()).await;

    let (due, cpu_before) = (Instant::now(), target.cpu_seconds());
    let (mut done, mut at) = (before, Instant::now());
    while done < before + args.jobs {
        let now = drained(target).await?;
        if now > done {
            (done, at) = (now, Instant::now());
        } else if at.elapsed() > SILENCE_MAX {
            bail!("the backlog is stuck: {} of {} jobs are done", done - before, args.jobs);
        }
        tokio::time::sleep(LOOK).await;
    }
    let cpu = target.cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    let took = at.saturating_duration_since(due);
    Ok(Figures {
        stack: target.stack.clone(),
        jobs: args.jobs,
        lanes: args.lanes,
        accepted_per_second: accepted.per_second(),
        request_to_answer_ms: TimesMs::of(&accepted.latencies_us),
        drained_per_second: args.jobs as f64 / took.as_secs_f64(),
        server_cpu_seconds_for_1000_drained: cpu.map(|cpu| cpu * 1000.0 / args.jobs as f64),
        server_peak_memory_mb: target.peak_memory_mb(),
    })
}

async fn accept(args: &JobsArgs, target: &Target, run_at: jiff::Timestamp) -> anyhow::Result<publisher::Sent> {
    let (caller, lanes) = (target.caller(), args.lanes);
    let make = move |number: u64, _| {
        let lane = number % lanes;
        let body = format!("{{\"kind\":\"noop\",\"args\":{{}},\"lane\":\"bench-{lane}\",\"run_at\":\"{run_at}\"}}");
        caller.post("/v1/jobs", body.into())
    };
    let plan = Plan {
        to: target.address,
        connections: args.connections.into(),
        requests: Some(args.jobs),
        time_max: TIME_MAX,
        rate_per_second: None,
        make: Arc::new(make),
    };
    publisher::send(plan).await
}

/// Jobs that do nothing and are done, as the server counts them.
async fn drained(target: &Target) -> anyhow::Result<u64> {
    let text = target.metrics().await?;
    let counted = |line: &str| {
        let ours = line.starts_with("postrider_jobs_finished_total")
            && line.contains("\"noop\"")
            && line.contains("\"succeeded\"");
        ours.then(|| line.rsplit(' ').next()?.parse().ok()).flatten()
    };
    Ok(text.lines().find_map(counted).unwrap_or(0))
}
