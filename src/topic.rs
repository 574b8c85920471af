//! `postrider topic`: what people subscribe to.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    client::ServerArgs,
    import::{self, count, refused_lines},
    logs,
};

const NOUN: &str = "subscription";

#[derive(Args)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Subcommand)]
enum TopicCommand {
    /// Subscribe any number of people to a topic, from a file with a line for each.
    ///
    /// A line is {"recipient": "KEY"}, with "removed": true for one who subscribes no more. All others stay. People who are not
    /// known yet are made; the topic has to be there. The same import again changes nothing.
    Import(ImportArgs),
}

#[derive(Args)]
struct ImportArgs {
    /// The topic's key.
    topic: String,
    /// The file: a subscription a line, as `POST /v1/topics/{key}/subscriptions/import` takes it; - is standard input.
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: TopicArgs) -> anyhow::Result<()> {
    let TopicCommand::Import(args) = args.command;
    let topic = utf8_percent_encode(&args.topic, NON_ALPHANUMERIC);
    let call = format!("/v1/topics/{topic}/subscriptions/import");
    let imported = import::send(&args.file, NOUN, args.server, &call).await?;
    logs::say(&told(&imported))?;
    import::judge(&imported, &args.file, NOUN)
}

fn told(imported: &Value) -> String {
    let count = |name: &str| count(imported, name);
    let mut lines = vec![format!(
        "Lines: {}. Subscribed: {}. Unsubscribed: {}. New recipients: {}. Refused lines: {}. The topic has {} subscribers.",
        count("lines"),
        count("subscribed"),
        count("unsubscribed"),
        count("recipients_created"),
        count("refused"),
        count("subscribers")
    )];
    lines.extend(refused_lines(imported, NOUN));
    lines.join("\n")
}
