//! What a file has, a line each, sent to a running server while it is read.

use std::{io::IsTerminal, path::Path};

use anyhow::{Context, bail};
use futures::stream;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::{fs::File, io::AsyncReadExt};

use crate::client::{Server, ServerArgs, text_of};

/// Bytes that are read at once.
const PART_BYTES: usize = 256 * 1024;
/// Refused lines, and others that are named, that are shown.
pub(crate) const SHOWN_MAX: usize = 20;

/// Sends the file, of which each line is a `noun`, to where the server takes such lines; - is standard input. What came of it.
pub(crate) async fn send(path: &Path, noun: &str, server: ServerArgs, call: &str) -> anyhow::Result<Value> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left")?);
    let body = match path.as_os_str() == "-" {
        true => body(tokio::io::stdin(), bar.clone()),
        false => {
            let file = File::open(path).await.with_context(|| format!("{} cannot be read", path.display()))?;
            let about = file.metadata().await?;
            if about.is_dir() {
                bail!("{} is a folder; name a file with a {noun} a line", path.display());
            }
            bar.set_length(about.len());
            body(file, bar.clone())
        }
    };
    let imported = Server::new(server)?.stream(call, "application/x-ndjson", body).await;
    bar.finish_and_clear();
    imported.with_context(|| {
        format!(
            "the import of {} ended early; what was read before is stored, so mend it and import all of it again",
            path.display()
        )
    })
}

/// # Errors
/// When there was nothing in the file, or not all of it was taken.
pub(crate) fn judge(imported: &Value, path: &Path, noun: &str) -> anyhow::Result<()> {
    match [count(imported, "lines"), count(imported, "refused")] {
        [0, _] => bail!("{} has no {noun}, so nothing was changed", path.display()),
        [_, 0] => Ok(()),
        [_, refused] => {
            bail!("lines that were refused: {refused}. All others are stored; mend these and import them again")
        }
    }
}

/// The refused lines in words, with how many more there are.
pub(crate) fn refused_lines(imported: &Value, noun: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for refused in list(imported, "refused_lines").iter().take(SHOWN_MAX) {
        let line = refused.get("line").and_then(Value::as_u64).unwrap_or_default();
        lines.push(format!("  line {line} is no {noun}: {}", text_of(refused, "detail")));
    }
    lines.extend(more(imported, "refused_lines", "refused"));
    lines
}

/// How many more there are than are shown, where there are any.
pub(crate) fn more(imported: &Value, shown: &str, all: &str) -> Option<String> {
    let left = count(imported, all).saturating_sub(list(imported, shown).len().min(SHOWN_MAX) as u64);
    (left > 0).then(|| format!("  and {left} more"))
}

pub(crate) fn count(imported: &Value, name: &str) -> u64 {
    imported.get(name).and_then(Value::as_u64).unwrap_or_default()
}

pub(crate) fn list<'v>(imported: &'v Value, name: &str) -> &'v [Value] {
    imported.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn body(from: impl AsyncReadExt + Send + Unpin + 'static, bar: ProgressBar) -> reqwest::Body {
    let parts = stream::try_unfold((from, bar), |(mut from, bar)| async move {
        let mut part = vec![0; PART_BYTES];
        let read = from.read(&mut part).await?;
        part.truncate(read);
        bar.inc(read as u64);
        Ok::<_, std::io::Error>((read > 0).then_some((part, (from, bar))))
    });
    reqwest::Body::wrap_stream(parts)
}
