//! `postrider site import`: a site's pages from a file.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::{
    client::{ServerArgs, text_of},
    import::{self, SHOWN_MAX, count, list, more, refused_lines},
    logs,
};

const NOUN: &str = "page";

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
    let call = format!("/v1/sites/{}/pages/import", args.site);
    let imported = import::send(&args.file, NOUN, args.server, &call).await?;
    logs::say(&told(&imported))?;
    import::judge(&imported, &args.file, NOUN)
}

fn told(imported: &Value) -> String {
    let count = |name: &str| count(imported, name);
    let mut lines = vec![format!(
        "Pages: {}. Changed: {}. Removed: {}. Refused lines: {}. Quarantined translations: {}.",
        count("lines"),
        count("changed"),
        count("removed"),
        count("refused"),
        count("quarantined")
    )];
    lines.extend(refused_lines(imported, NOUN));
    for one in list(imported, "quarantined_translations").iter().take(SHOWN_MAX) {
        let [key, locale, field, reason] = ["key", "locale", "field", "reason"].map(|name| text_of(one, name));
        lines.push(format!("  {key} ({locale}) is quarantined: {field}: {reason}"));
    }
    lines.extend(more(imported, "quarantined_translations", "quarantined"));
    let unknown: Vec<&str> = list(imported, "unknown_sections").iter().filter_map(Value::as_str).collect();
    if !unknown.is_empty() {
        lines.push(format!(
            "Sections that the site's settings do not have, so they have no feeds: {}.",
            unknown.join(", ")
        ));
    }
    lines.join("\n")
}
