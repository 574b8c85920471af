//! `postrider dead`: dead letters from the shell.

use std::{io::IsTerminal, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use postrider_core::domain::{Id, dead_letter::DeadLetter};
use serde_json::{Value, json};

use crate::{
    client::{Server, ServerArgs, text_of},
    logs,
};

const PROGRESS_EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: DeadCommand,
}

#[derive(Subcommand)]
enum DeadCommand {
    /// List dead letters that nobody has dealt with, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Rows at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=250))]
        limit: u32,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one dead letter whole, as JSON.
    Show {
        /// The dead letter's id.
        id: Id<DeadLetter>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Replay one dead letter, or with --all every one that the filter takes.
    Replay {
        /// The dead letter's id. It is replayed at once and goes with nothing that is for --all.
        // What would be passed over beside an id is refused: a --dry-run that replays is worse than none.
        #[arg(
            conflicts_with_all = ["all", "dry_run", "rate_per_second", "Filter"],
            required_unless_present = "all"
        )]
        id: Option<Id<DeadLetter>>,
        /// Replay all that the filter takes; without a filter, all there are.
        #[arg(long)]
        all: bool,
        /// With --all: only say how many it would be.
        #[arg(long, requires = "all")]
        dry_run: bool,
        /// With --all: jobs a second at most.
        #[arg(long, requires = "all")]
        rate_per_second: Option<u32>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Args)]
struct Filter {
    /// Only of this kind, for example webhook.deliver.
    #[arg(long)]
    kind: Option<String>,
    /// Only of this endpoint.
    #[arg(long)]
    endpoint: Option<String>,
    /// Only with this failure's fingerprint.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Only with this text in the error.
    #[arg(long)]
    q: Option<String>,
    /// Only since then, as in 2027-01-31T00:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Only before then.
    #[arg(long)]
    until: Option<String>,
}

impl Filter {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("kind", &self.kind),
            ("endpoint", &self.endpoint),
            ("fingerprint", &self.fingerprint),
            ("q", &self.q),
            ("since", &self.since),
            ("until", &self.until),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

pub(crate) async fn run(args: DeadArgs) -> anyhow::Result<()> {
    match args.command {
        DeadCommand::List { filter, limit, server } => list(&Server::new(server)?, &filter, limit).await,
        DeadCommand::Show { id, server } => {
            let letter = Server::new(server)?.get(&format!("/v1/dead-letters/{id}")).await?;
            logs::say(&serde_json::to_string_pretty(&letter)?)
        }
        DeadCommand::Replay { id: Some(id), server, .. } => {
            let replayed =
                Server::new(server)?.post(&format!("/v1/dead-letters/{id}/replay"), "{}".to_owned(), None).await?;
            logs::say(&format!("{id} is replayed as {}", text_of(&replayed, "job_id")))
        }
        DeadCommand::Replay { filter, dry_run, rate_per_second, server, .. } => {
            replay_all(&Server::new(server)?, &filter, dry_run, rate_per_second).await
        }
    }
}

async fn list(server: &Server, filter: &Filter, limit: u32) -> anyhow::Result<()> {
    let mut query = url_query(&filter.pairs());
    query.push_str(&format!("&state=open&limit={limit}"));
    let listed = server.get(&format!("/v1/dead-letters?{query}")).await?;
    let rows = listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    if rows.is_empty() {
        return logs::say("There is no dead letter that nobody has dealt with.");
    }
    let line = |row: &Value| {
        let target = row.get("endpoint_url").and_then(Value::as_str).unwrap_or_else(|| text_of(row, "lane"));
        let attempts = row.get("attempt").and_then(Value::as_u64).unwrap_or_default();
        format!(
            "{}  {}  {:<15}  {attempts:>2} attempts  {target}  {}",
            text_of(row, "id"),
            text_of(row, "created_at"),
            text_of(row, "kind"),
            text_of(row, "last_error")
        )
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if listed.get("next_cursor").is_some_and(Value::is_string) {
        lines.push(format!("… and more than these {limit}; narrow the list down, or raise --limit"));
    }
    logs::say(&lines.join("\n"))
}

async fn replay_all(server: &Server, filter: &Filter, dry_run: bool, rate: Option<u32>) -> anyhow::Result<()> {
    let filter: serde_json::Map<String, Value> =
        filter.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut body = json!({ "filter": filter, "dry_run": dry_run });
    if let Some(rate) = rate {
        body["rate_per_second"] = rate.into();
    }
    let answer = server.post("/v1/dead-letters/replay", body.to_string(), None).await?;
    if dry_run {
        let skipped = match answer["skipped"].as_u64() {
            None | Some(0) => String::new(),
            Some(count) => format!("; {count} would stay, since their endpoint is deleted or disabled"),
        };
        return logs::say(&format!("{} dead letters would be replayed{skipped}", answer["count"]));
    }
    let id = text_of(&answer, "id").to_owned();
    let ended = follow(server, &id).await?;
    match text_of(&ended, "state") {
        "succeeded" => logs::say(&format!("{} replayed, {} skipped", ended["replayed"], ended["skipped"])),
        state => bail!(
            "{id} ended as {state}: {} replayed, {} skipped; {}",
            ended["replayed"],
            ended["skipped"],
            text_of(&ended, "error")
        ),
    }
}

/// Waits for an operation to end, with a progress bar on a terminal.
async fn follow(server: &Server, id: &str) -> anyhow::Result<Value> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}")?);
    loop {
        let operation = server.get(&format!("/v1/operations/{id}")).await?;
        bar.set_length(operation["total"].as_u64().unwrap_or_default());
        bar.set_position(operation["seen"].as_u64().unwrap_or_default());
        if text_of(&operation, "state") != "running" {
            bar.finish_and_clear();
            return Ok(operation);
        }
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

fn url_query(pairs: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("http://localhost").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}
