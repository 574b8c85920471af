//! What goes to the terminal: logs on standard error, results on standard output.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// Starts logging: text on a terminal, JSON elsewhere.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("the setting log is {filter:?}, which is not a filter such as info"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
    Ok(())
}

/// Prints a result.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let ended = if text.ends_with('\n') { "" } else { "\n" };
    match write!(io::stdout().lock(), "{text}{ended}") {
        // A reader such as `head` that has seen enough is no fault.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written to"),
    }
}

/// Prints why a command failed, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = format!("postrider: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // Where standard error is closed there is nobody left to tell.
    drop(writeln!(io::stderr(), "{text}"));
}
