//! `postrider send`: publish an event from the shell.

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::value::RawValue;

use crate::{
    client::{Server, ServerArgs, text_of},
    logs,
};

#[derive(Args)]
pub(crate) struct SendArgs {
    /// What happened, for example invoice.paid.
    event_type: String,
    /// The payload as JSON, sent byte for byte; without it, or with -, it is read from standard input.
    payload: Option<String>,
    /// Your own id of the event; the same id again is the same event.
    #[arg(long)]
    id: Option<String>,
    /// A channel of the event; may be given several times.
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// When it is to be delivered, as in 2027-01-31T00:00:00Z; without it, at once.
    #[arg(long, value_name = "TIME")]
    deliver_at: Option<String>,
    /// The same key and event again give the first answer again: 1 to 255 visible ASCII characters.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// The body of `POST /v1/events`, with the payload as it was written.
#[derive(serde::Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<&'a str>,
}

pub(crate) async fn run(args: SendArgs) -> anyhow::Result<()> {
    let text = payload(args.payload.as_deref())?;
    let payload: &RawValue = serde_json::from_str(&text).context("the payload is not JSON")?;
    let body = Body {
        event_type: &args.event_type,
        payload,
        id: args.id.as_deref(),
        channels: &args.channels,
        deliver_at: args.deliver_at.as_deref(),
    };
    let body = serde_json::to_string(&body)?;
    let answer = Server::new(args.server)?.post("/v1/events", body, args.idempotency_key.as_deref()).await?;
    let deliveries = answer.get("deliveries").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let noun = if deliveries == 1 { "delivery" } else { "deliveries" };
    logs::say(&format!("{} accepted, {deliveries} {noun}", text_of(&answer, "id")))
}

fn payload(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some(text) if text != "-" => Ok(text.to_owned()),
        None if std::io::stdin().is_terminal() => {
            bail!("no payload: name it as JSON after the event's type, or pipe it in")
        }
        _ => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read as UTF-8")?;
            Ok(text.trim().to_owned())
        }
    }
}
