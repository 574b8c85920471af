//! The `postrider` command. Owns the command line; each command is a file of its own.

mod arriving;
mod bench;
mod bucket_http;
mod callers;
mod calls;
mod client;
mod connections;
mod dead;
mod demo;
mod doctor;
mod first_start;
mod http;
mod import;
mod linger;
mod listen;
mod logs;
mod migrate;
mod open_files;
mod seed;
mod send;
mod serve;
mod site;
mod token;
mod topic;
mod traces;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use postrider_core::config::Settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Background jobs and webhook delivery that lose nothing.
///
/// Without a command, `postrider` serves everything in one process: the API, the worker and the dashboard, on
/// SQLite in ./postrider-data and a queue inside the process. Settings stand in postrider.toml and in variables
/// that begin with POSTRIDER_; `postrider config` prints them all with their meaning.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// The file with the settings; by default postrider.toml in this folder, where there is one.
    #[arg(long, global = true, env = "POSTRIDER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API, the worker and the dashboard in one process (this is what happens without a command).
    Serve {
        /// Show a live system: with receivers that do well, fail, dawdle or are gone, and events that come by themselves. Its
        /// data is in a temporary folder, unless data_dir or database_url names another place.
        #[arg(long)]
        demo: bool,
    },
    /// Serve the API alone; any number of processes over one PostgreSQL and one Redis.
    Api,
    /// Run jobs alone; any number of processes over one PostgreSQL and one Redis.
    Worker,
    /// Serve the dashboard alone; any number of processes over one PostgreSQL and one Redis.
    Dashboard,
    /// Bring the database's tables up to date and end. Every start does this too.
    Migrate,
    /// Make, list and revoke API tokens, straight in the database.
    Token(token::TokenArgs),
    /// Make, list and remove users of the dashboard, straight in the database.
    User(user::UserArgs),
    /// Publish an event to a running server.
    Send(send::SendArgs),
    /// Receive deliveries on this machine: print each, verify its signature, and fail on demand.
    Listen(listen::ListenArgs),
    /// See and replay dead letters on a running server.
    Dead(dead::DeadArgs),
    /// Check the settings, the database, Redis, the clock and the way out, and say what to do.
    Doctor,
    /// Measure what this machine does with Postrider, beside what it does without.
    Bench(bench::BenchArgs),
    /// Fill the database with a past that never was, to try out a large installation.
    Seed(seed::SeedArgs),
    /// Check the addresses of a site's pages before its redirect rules go into service.
    Site(site::SiteArgs),
    /// Subscribe people to topics, from files.
    Topic(topic::TopicArgs),
    /// Print a commented template of every setting, ready to be saved as postrider.toml.
    Config,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logs::complain(&error);
            if error.is::<site::Unusable>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let config = cli.config;
    let settings = || Settings::load(config.clone()).map_err(anyhow::Error::from);
    match cli.command.unwrap_or(Command::Serve { demo: false }) {
        Command::Serve { demo: true } => block_on(demo::run(settings()?)),
        Command::Serve { demo: false } => block_on(serve::run(settings()?, config.clone(), serve::Roles::ALL)),
        Command::Api => block_on(serve::run(settings()?, config.clone(), serve::Roles::API)),
        Command::Worker => block_on(serve::run(settings()?, config.clone(), serve::Roles::WORKER)),
        Command::Dashboard => block_on(serve::run(settings()?, config.clone(), serve::Roles::DASHBOARD)),
        Command::Migrate => block_on(migrate::run(settings()?)),
        Command::Token(args) => block_on(token::run(settings()?, args)),
        Command::User(args) => block_on(user::run(settings()?, args)),
        Command::Send(args) => block_on(send::run(args)),
        Command::Listen(args) => block_on(listen::run(args)),
        Command::Dead(args) => block_on(dead::run(args)),
        Command::Doctor => block_on(doctor::run(settings()?)),
        Command::Bench(args) => block_on(bench::run(settings()?, args)),
        Command::Seed(args) => block_on(seed::run(settings()?, args)),
        Command::Site(args) => block_on(site::run(args)),
        Command::Topic(args) => block_on(topic::run(args)),
        Command::Config => logs::say(&Settings::template()),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // Already installed only where this ran before, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
