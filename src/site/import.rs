//! `postrider site import`: a site's pages from a file, sent while it is read.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use futures::stream;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::{fs::File, io::AsyncReadExt};

use crate::{
    client::{Server, ServerArgs, text_of},
    logs,
};

/// Bytes that are read at once.
const PART_BYTES: usize = 256 * 1024;
/// Refused lines and quarantined translations that are shown.
const SHOWN_MAX: usize = 20;

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The site's slug.
    site: String,
    /// The file: a page a line, as `POST /v1/sites/{site}/pages/import` takes it; - is standard input.
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ImportArgs) -> anyhow::Result<()> {
    let (path, from_input) = (&args.file, args.file.as_os_str() == "-");
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left")?);
    let body = match from_input {
        true => body(tokio::io::stdin(), bar.clone()),
        false => {
            let file = File::open(path).await.with_context(|| format!("{} cannot be read", path.display()))?;
            let about = file.metadata().await?;
            if about.is_dir() {
                bail!("{} is a folder; name a file with a page a line", path.display());
            }
            bar.set_length(about.len());
            body(file, bar.clone())
        }
    };
    let call = format!("/v1/sites/{}/pages/import", args.site);
    let imported = Server::new(args.server)?.stream(&call, "application/x-ndjson", body).await;
    bar.finish_and_clear();
    let imported = imported.with_context(|| {
        format!(
            "the import of {} ended early; what was read before is stored, so mend it and import all of it again",
            path.display()
        )
    })?;
    logs::say(&told(&imported))?;
    match [count(&imported, "lines"), count(&imported, "refused")] {
        [0, _] => bail!("{} has no page, so nothing was changed", path.display()),
        [_, 0] => Ok(()),
        [_, refused] => {
            bail!("lines that were refused: {refused}. All others are stored; mend these and import them again")
        }
    }
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

fn count(imported: &Value, name: &str) -> u64 {
    imported.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn told(imported: &Value) -> String {
    let count = |name: &str| count(imported, name);
    let list = |name: &str| imported.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let more = |shown: &str, all: &str| {
        let left = count(all).saturating_sub(list(shown).len().min(SHOWN_MAX) as u64);
        (left > 0).then(|| format!("  and {left} more"))
    };
    let mut lines = vec![format!(
        "Pages: {}. Changed: {}, of which removed: {}. Refused lines: {}. Quarantined translations: {}.",
        count("lines"),
        count("changed"),
        count("removed"),
        count("refused"),
        count("quarantined")
    )];
    for refused in list("refused_lines").iter().take(SHOWN_MAX) {
        let line = refused.get("line").and_then(Value::as_u64).unwrap_or_default();
        lines.push(format!("  line {line} is no page: {}", text_of(refused, "detail")));
    }
    lines.extend(more("refused_lines", "refused"));
    for one in list("quarantined_translations").iter().take(SHOWN_MAX) {
        let [key, locale, field, reason] = ["key", "locale", "field", "reason"].map(|name| text_of(one, name));
        lines.push(format!("  {key} ({locale}) is quarantined: {field}: {reason}"));
    }
    lines.extend(more("quarantined_translations", "quarantined"));
    let unknown: Vec<String> = list("unknown_sections").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if !unknown.is_empty() {
        lines.push(format!(
            "Sections that the site's settings do not have, so they have no feeds: {}.",
            unknown.join(", ")
        ));
    }
    lines.join("\n")
}
