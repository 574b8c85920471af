//! The `postrider` command.

mod listen;

use clap::Parser;

/// Self-hosted background jobs and webhook delivery that loses nothing
#[derive(Debug, Parser)]
#[command(version)]
enum Cli {
    Listen(listen::ListenArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Listen(args) => listen::run(args).await,
    }
}
