//! `POST /v1/topics/{key}/subscriptions/import`: who subscribes to a topic, a line each, for the first hundred thousand. What was
//! read is stored in groups while the rest still comes.

use axum::{Json as Answer, body::Body, http::HeaderMap};
use postrider_core::{
    domain::{
        recipient::{KeyRefused, RecipientKey},
        topic::{Topic, TopicKey},
    },
    store::SubscriptionChanges,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish},
    json::or_absent,
    ndjson::{Line, Lines, Refusals},
    path::Key,
    problem::{Code, Problem},
    state::ApiState,
    topic_subscriptions::store,
    topics::find,
};

/// Subscriptions of one commit: many, since each costs a round trip for some statements, and not so many that others wait for it.
const GROUP_CHANGES: usize = 2_000;
/// Bytes of a line, whose key may be written in escapes.
const LINE_BYTES_MAX: usize = 4 * 1024;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(import_subscriptions))
}

/// A line of an import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionLine {
    recipient: String,
    #[serde(default, deserialize_with = "or_absent")]
    removed: bool,
}

/// What came of an import of subscriptions.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ImportedSubscriptions {
    /// Lines that had something on them.
    lines: u64,
    /// Subscriptions that are new.
    subscribed: u64,
    /// Subscriptions that are gone.
    unsubscribed: u64,
    /// Recipients who were not known before.
    recipients_created: u64,
    /// Who subscribe to the topic now.
    subscribers: u64,
    #[serde(flatten)]
    refusals: Refusals,
}

struct Import {
    caller: Caller<Publish>,
    topic: Topic,
    group: SubscriptionChanges,
    imported: ImportedSubscriptions,
}

/// Changes any number of subscriptions: one JSON object a line (`application/x-ndjson`), `{"recipient": "KEY"}` for one that
/// subscribes, with `"removed": true` for one that does so no more. Of the same key the last line counts. Lines that were stored
/// stay so, whatever becomes of the rest; the same import again changes nothing.
#[utoipa::path(post, path = "/v1/topics/{key}/subscriptions/import", tag = "topics", params(("key" = String, Path)),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = ImportedSubscriptions)))]
async fn import_subscriptions(
    caller: Caller<Publish>,
    Key(key): Key<TopicKey>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<ImportedSubscriptions>, Problem> {
    let mut lines = Lines::of(&headers, body, "subscription", LINE_BYTES_MAX)?;
    let topic = find(&caller, &key).await?;
    let imported = ImportedSubscriptions { subscribers: topic.subscribers, ..ImportedSubscriptions::default() };
    let mut import = Import { caller, topic, group: SubscriptionChanges::new(), imported };
    while let Some(line) = lines.next().await? {
        import.take(&line).await?;
    }
    import.store().await?;
    Ok(Answer(import.imported))
}

impl Import {
    async fn take(&mut self, line: &Line) -> Result<(), Problem> {
        self.imported.lines += 1;
        match read(line) {
            Ok((key, subscribes)) => drop(self.group.insert(key, subscribes)),
            Err(problem) => self.imported.refusals.add(line.number, &problem),
        }
        if self.group.len() >= GROUP_CHANGES { self.store().await } else { Ok(()) }
    }

    async fn store(&mut self) -> Result<(), Problem> {
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        let changed = store(&self.caller, &self.topic, &group).await?;
        self.imported.subscribed += changed.subscribed;
        self.imported.unsubscribed += changed.unsubscribed;
        self.imported.recipients_created += changed.recipients_created;
        self.imported.subscribers = changed.subscribers;
        Ok(())
    }
}

fn read(line: &Line) -> Result<(RecipientKey, bool), Problem> {
    let SubscriptionLine { recipient, removed } = line.parse()?;
    let key = recipient.parse();
    let key = key.map_err(|error: KeyRefused| Problem::at(Code::InvalidBody, "/recipient", error))?;
    Ok((key, !removed))
}
