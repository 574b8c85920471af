//! `postrider bench`: how much this machine does with Postrider, beside how much it does without. Owns what can be
//! asked for; each case is a file of its own.

mod books;
mod figures;
mod isolation;
mod jobs;
mod lanes;
mod notify;
mod pages;
mod process;
mod publisher;
mod readers;
mod receiver;
mod sinks;
mod site;
mod target;
mod webhooks;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use postrider_core::config::Settings;

/// Measure this machine: a publisher, a server of its own on the configured stack, and a receiver that verifies every
/// signature, all on this machine. Beside each figure stands the machine's raw limit, measured in the same run: the same
/// client against the same receiver with nothing between.
///
/// A database and a Redis prefix are made for the run and removed after it. Nothing of yours is touched.
#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    case: Case,
}

#[derive(Subcommand)]
enum Case {
    /// Publish events and receive them as signed webhooks.
    Webhooks(webhooks::WebhooksArgs),
    /// Hand in jobs that do nothing, and drain them once all are accepted.
    Jobs(jobs::JobsArgs),
    /// One endpoint hangs, another is healthy: what the healthy one notices of it.
    Isolation(isolation::IsolationArgs),
    /// One tenant has a backlog on many lanes: what an event of another tenant notices of it.
    Lanes(lanes::LanesArgs),
    /// Open each page of the dashboard, over a past that is made up.
    Pages(pages::PagesArgs),
    /// Make all of a site's sitemaps and feeds again, and one page of it.
    Site(site::SiteArgs),
    /// Tell all followers of a topic something, and somebody else meanwhile.
    Notify(notify::NotifyArgs),
    /// Open many inboxes, and tell all of them something.
    Readers(readers::ReadersArgs),
}

#[derive(Args, Clone)]
struct Common {
    /// Measure this running server in place of one of its own. It has to be allowed to reach the receiver
    /// (egress_allow).
    #[arg(long, value_name = "URL", requires = "token")]
    url: Option<reqwest::Url>,
    /// An operator's token of that server.
    #[arg(long, env = "POSTRIDER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where the receiver listens; deliveries come to this address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    receiver: SocketAddr,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(settings: Settings, args: BenchArgs) -> anyhow::Result<()> {
    match args.case {
        Case::Webhooks(args) => webhooks::run(&settings, args).await,
        Case::Jobs(args) => jobs::run(&settings, args).await,
        Case::Isolation(args) => isolation::run(&settings, args).await,
        Case::Lanes(args) => lanes::run(&settings, args).await,
        Case::Pages(args) => pages::run(&settings, args).await,
        Case::Site(args) => site::run(&settings, args).await,
        Case::Notify(args) => notify::run(&settings, args).await,
        Case::Readers(args) => readers::run(&settings, args).await,
    }
}
