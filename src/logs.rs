//! What goes to the terminal: logs on standard error, results on standard output.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// What our own modules' names begin with.
const OURS: &str = "postrider";

/// Starts logging: text on a terminal, JSON elsewhere.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("the setting log is {filter:?}, which is not a filter such as info"))?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match io::stderr().is_terminal() {
        true => lines.with_target(false).boxed(),
        false => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter).with(filter_fn(is_discreet)).init();
    Ok(())
}

/// Whether nothing secret can be in it. Below `info`, other crates print what goes over the wire: frames with tenants'
/// headers and payloads, statements, queries. So whatever the setting says, only our own words are had there.
fn is_discreet(what: &Metadata<'_>) -> bool {
    // It tells of each try of a request; what comes of them is told by us, once.
    if what.target().starts_with("object_store") {
        return *what.level() <= Level::WARN;
    }
    what.target().starts_with(OURS) || *what.level() <= Level::INFO
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
