//! What is new in somebody's inbox as it comes, by server-sent events (HTML, section 9.2). At least once: an item's id is its place in
//! the order in which they were told, so a client knows one that it has.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use postrider_core::{
    domain::{Id, UnixMs, notification::Notification},
    live::{Newest, Reader, Word},
    store::{InboxCounts, InboxItem, InboxState},
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    inbox::{CountsJson, Inbox},
    problem::{Code, Problem},
};

/// Items that are sent of what was missed; of more, the client is told to read its inbox again.
const MISSED_MAX: usize = 50;
/// A stream looks into SQL after so long in any case.
const LOOK: Duration = Duration::from_secs(60);
/// A stream ends after so long, and its client comes back.
const LIFE: Duration = Duration::from_secs(3_600);
/// A client comes back after so long, and something that says that the connection lives is sent so often.
const RETRY: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// After a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a client heard last, as it says when it comes back.
#[derive(Debug)]
pub(crate) struct LastEventId(Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let text = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self(text.and_then(|text| text.parse().ok())))
    }
}

/// Somebody who is told of their inbox as it changes.
struct Following {
    inbox: Inbox,
    reader: Reader,
    /// The last item that was sent, or was there before.
    seq: u64,
    counts: Option<InboxCounts>,
    /// How often the inbox was changed, as far as is known here: what is heard of before is old.
    changes: u64,
    missed: u64,
    waiting: VecDeque<Event>,
    /// Something may have been missed.
    behind: bool,
    ends_at: Instant,
}

/// Follows an inbox, `until` a token's end.
///
/// # Errors
/// When too many do, or the database does not answer.
pub(crate) async fn follow(inbox: Inbox, after: LastEventId, until: Option<UnixMs>) -> Result<Response, Problem> {
    let too_many = || Problem::new(Code::TooManyRequests, "too many follow their inboxes here; try again in a minute");
    let reader = inbox.api.live().reader(inbox.recipient.id).ok_or_else(too_many)?;
    let state = inbox.scope().inbox_state(inbox.recipient.id).await?;
    let seq = after.0.map_or(state.seq, |after| after.min(state.seq));
    // Those who came at once do not go at once.
    let life = LIFE.mul_f64(0.75 + 0.25 * rand::random::<f64>());
    let life = until.map_or(life, |until| life.min(until.since(UnixMs::now())));
    let missed = reader.now().missed;
    // Whoever loses the connection before the first item comes back after what was there.
    let waiting = VecDeque::from([Event::default().retry(RETRY).id(seq.to_string()).comment("")]);
    let ends_at = Instant::now() + life;
    let following = Following { inbox, reader, seq, counts: None, changes: 0, missed, waiting, behind: true, ends_at };
    let stream = Sse::new(events(following)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that gathers answers would gather this one for ever.
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, stream).into_response())
}

fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(following, async |mut following| following.next().await.map(|event| (Ok(event), following)))
}

impl Following {
    /// Waits for the next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let look = match self.behind {
                // Each by itself: they are large, and most streams wait most of the time.
                true => match Box::pin(self.catch_up()).await {
                    Ok(()) => {
                        self.behind = false;
                        continue;
                    }
                    Err(problem) => {
                        tracing::debug!(?problem, "an inbox that is followed could not be read");
                        LOOK_AGAIN
                    }
                },
                false => LOOK,
            };
            let stop = self.inbox.api.stop().clone();
            let word = tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends_at) => return None,
                () = tokio::time::sleep(look.mul_f64(0.5 + 0.5 * rand::random::<f64>())) => None,
                word = self.reader.next() => Some(word),
            };
            match word {
                Some(word) => Box::pin(self.hear(word)).await,
                None => self.behind = true,
            }
        }
    }

    async fn hear(&mut self, word: Word) {
        let nothing_missed = word.missed == self.missed && !self.behind;
        self.missed = word.missed;
        if nothing_missed && word.changes <= self.changes {
            return;
        }
        self.changes = self.changes.max(word.changes);
        match word.newest {
            _ if nothing_missed && word.seq <= self.seq => self.count(word.counts),
            Some(Newest { id, at, gone }) if nothing_missed && word.seq == self.seq + 1 => {
                let state =
                    InboxState { seq: word.seq, delivered_at: at, seen_at: None, read_at: None, archived_at: None };
                match self.inbox.api.notified().notification(id).await {
                    Ok(of) => {
                        gone.into_iter().for_each(|id| self.gone(id));
                        self.item(InboxItem { of: of.as_ref().clone(), state }).await;
                        self.count(word.counts);
                    }
                    Err(_) => self.behind = true,
                }
            }
            _ => self.behind = true,
        }
    }

    /// Reads what came since.
    async fn catch_up(&mut self) -> Result<(), Problem> {
        let turn = self.inbox.api.live().turn().await;
        let state = self.inbox.scope().inbox_state(self.inbox.recipient.id).await?;
        let (mut items, mut gone, mut is_more) = (Vec::new(), Vec::new(), false);
        if state.seq > self.seq {
            let (scope, of) = (self.inbox.scope(), self.inbox.recipient.id);
            let after = scope.inbox_after(of, self.seq, MISSED_MAX).await?;
            // After the items: what left since they were read has an item that comes next.
            let left = scope.inbox_gone_after(of, self.seq, MISSED_MAX).await?;
            is_more = after.1 || left.1;
            (items, gone) = (after.0, left.0);
        }
        drop(turn);
        if is_more {
            self.waiting.push_back(Event::default().event("reload").id(state.seq.to_string()).data("{}"));
        } else {
            gone.into_iter().for_each(|id| self.gone(id));
            for item in items {
                self.item(item).await;
            }
        }
        // Items that were removed since have a place still.
        self.seq = self.seq.max(state.seq);
        self.changes = state.changes;
        self.count(state.counts);
        Ok(())
    }

    async fn item(&mut self, item: InboxItem) {
        let seq = item.state.seq;
        self.seq = self.seq.max(seq);
        let event = match self.inbox.show(item).await {
            Ok(item) => Event::default().event("item").id(seq.to_string()).json_data(item).ok(),
            Err(problem) => {
                tracing::warn!(?problem, "an inbox's item cannot be shown");
                None
            }
        };
        self.waiting.extend(event);
    }

    /// An item left the inbox. Without an id: whoever loses the connection before the item that took its place hears of both again.
    fn gone(&mut self, id: Id<Notification>) {
        self.waiting.extend(Event::default().event("gone").json_data(json!({ "id": id.to_string() })).ok());
    }

    /// Counts that the client has are not sent again.
    fn count(&mut self, counts: InboxCounts) {
        if self.counts != Some(counts) {
            self.counts = Some(counts);
            self.waiting.extend(Event::default().event("counts").json_data(CountsJson::from(counts)).ok());
        }
    }
}
