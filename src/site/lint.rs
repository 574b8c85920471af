//! `postrider site lint`: what a partner would refuse of a site's newest items.

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use crate::{
    client::{Server, ServerArgs, text_of},
    logs,
};

#[derive(Args)]
pub(crate) struct LintArgs {
    /// The site's slug.
    site: String,
    /// google-news, msn or flipboard.
    #[arg(long)]
    partner: String,
    /// The language, as in pt-BR.
    #[arg(long)]
    locale: String,
    /// Print the answer as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: LintArgs) -> anyhow::Result<()> {
    let call = format!("/v1/sites/{}/lint?partner={}&locale={}", args.site, args.partner, args.locale);
    let found = Server::new(args.server)?.get(&call).await?;
    let refused = found.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    match args.json {
        true => logs::say(&serde_json::to_string_pretty(&found)?)?,
        false => logs::say(&told(&refused, &args.partner))?,
    }
    match refused.len() {
        0 => Ok(()),
        1 => bail!("1 thing has to be mended for {}", args.partner),
        many => bail!("{many} things have to be mended for {}", args.partner),
    }
}

fn told(refused: &[Value], partner: &str) -> String {
    if refused.is_empty() {
        return format!("{partner} would refuse nothing of it, by the rules that it has published.");
    }
    let line = |one: &Value| {
        let [rule, url, what, fix, source] = ["rule", "url", "what", "fix", "source"].map(|name| text_of(one, name));
        let place = if url.is_empty() { "all of it" } else { url };
        format!("{place}: {what} [{rule}]\n  {fix} ({source})")
    };
    refused.iter().map(line).collect::<Vec<_>>().join("\n")
}
