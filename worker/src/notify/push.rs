//! The channel *push*: to all browsers of somebody. They are reached where one of them is.

use std::time::Duration;

use futures::future::join_all;
use moka::sync::Cache;
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        collapse::CollapseKey,
        notification::Suppression,
        push::{PushSubscription, PushTopic},
        recipient::Recipient,
    },
    notify::RenderError,
    store::StoreError,
};
use serde_json::json;
use url::Url;

use super::{Channels, Failed, Message, Person, Reached};
use crate::push::{PushEnd, PushMessage, PushReport};

/// How long a push service keeps what a browser that is away has not got.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// Pushes to one service that failed one after the other, after which those who are reached with others do not wait for it any more.
const FAILURES_MAX: u32 = 5;
/// For how long they do not.
const REST: Duration = Duration::from_secs(30);
/// Push services whose failures are counted; browsers have four or five.
const SERVICES_MAX: u64 = 10_000;

/// Push services that failed lately, by host: how often since they answered.
#[derive(Clone, Debug)]
pub(super) struct Services(Cache<String, u32>);

impl Services {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(SERVICES_MAX).time_to_live(REST).build())
    }

    fn rests(&self, host: &str) -> bool {
        self.0.get(host).is_some_and(|failures| failures >= FAILURES_MAX)
    }

    fn answered(&self, host: &str) {
        if self.0.contains_key(host) {
            self.0.invalidate(host);
        }
    }

    fn failed(&self, host: &str) {
        let failures = self.0.get(host).unwrap_or(0);
        // The rest begins with the failure that is one too many, and is not made longer by those that were under way.
        if failures < FAILURES_MAX {
            self.0.insert(host.to_owned(), failures + 1);
        }
    }
}

/// What came of a push to one browser.
enum Ended {
    Accepted,
    Gone,
    Failed(Id<PushSubscription>, Failed),
}

impl Channels {
    /// `only` these browsers, where some have got it; `is_alone`: a push service that fails is asked all the same.
    pub(super) async fn push(
        &self,
        message: &Message,
        to: &Person,
        only: &[Id<PushSubscription>],
        is_alone: bool,
    ) -> Result<Reached, StoreError> {
        let wanted = |of: &&PushSubscription| only.is_empty() || only.contains(&of.id);
        let browsers: Vec<&PushSubscription> = to.subscriptions.iter().filter(wanted).collect();
        if browsers.is_empty() {
            return Ok(Reached::Suppressed(Suppression::NoSubscription));
        }
        let text = match text(message, &to.recipient) {
            Ok(text) => text,
            Err(error) => {
                let host = browsers.first().map_or_else(String::new, |browser| host_of(browser));
                let failed = Failed::new(AttemptClass::Invalid, error, &host);
                return Ok(Reached::Failed(Failed { is_lasting: true, ..failed }));
            }
        };
        let ended =
            join_all(browsers.into_iter().map(|browser| self.push_one(message, &text, browser, is_alone))).await;
        let (mut is_accepted, mut failures) = (!only.is_empty(), Vec::new());
        for ended in ended {
            match ended? {
                Ended::Accepted => is_accepted = true,
                Ended::Gone => {}
                Ended::Failed(id, failed) => failures.push((id, failed)),
            }
        }
        Ok(of_all(is_accepted, failures))
    }

    async fn push_one(
        &self,
        message: &Message,
        text: &str,
        browser: &PushSubscription,
        is_alone: bool,
    ) -> Result<Ended, StoreError> {
        let host = host_of(browser);
        if !is_alone && self.services.rests(&host) {
            let error = "the push service failed for others a moment ago, so it is asked later";
            return Ok(Ended::Failed(browser.id, Failed::new(AttemptClass::Connect, error, &host)));
        }
        let push = match PushMessage::new(text.as_bytes(), TTL, message.of.of.urgency) {
            Ok(push) => push,
            Err(error) => {
                let failed = Failed::new(AttemptClass::Invalid, error, &host);
                return Ok(Ended::Failed(browser.id, Failed { is_lasting: true, ..failed }));
            }
        };
        let topic = message.collapse_key().map(|key| PushTopic::of(message.of.tenant, key));
        let push = topic.iter().fold(push, PushMessage::with_topic);
        Ok(match self.pusher.push(browser, &push).await {
            PushEnd::Accepted => {
                self.services.answered(&host);
                Ended::Accepted
            }
            PushEnd::Gone => {
                self.services.answered(&host);
                self.store.forget_push_subscription(browser.id).await?;
                Ended::Gone
            }
            PushEnd::Retry { after, report } => {
                if !report.starved {
                    self.services.failed(&host);
                }
                Ended::Failed(browser.id, Failed { retry_after: after, ..failed(report, &host) })
            }
            PushEnd::Refused { report } => {
                Ended::Failed(browser.id, Failed { is_lasting: true, ..failed(report, &host) })
            }
        })
    }
}

/// What came of it for somebody. Those who are reached are so, whatever is tried again for their other browsers.
fn of_all(is_accepted: bool, failures: Vec<(Id<PushSubscription>, Failed)>) -> Reached {
    let ids: Vec<Id<PushSubscription>> = failures.iter().map(|(id, _)| *id).collect();
    let is_lasting = failures.iter().all(|(_, failed)| failed.is_lasting);
    // What may still succeed is the reason that counts.
    let worst = failures.into_iter().map(|(_, failed)| failed).min_by_key(|failed| failed.is_lasting);
    match worst {
        None if is_accepted => Reached::Delivered,
        None => Reached::Suppressed(Suppression::NoSubscription),
        Some(failed) => {
            let subscriptions = if is_accepted { ids } else { Vec::new() };
            Reached::Failed(Failed { is_lasting, subscriptions, ..failed })
        }
    }
}

fn failed(report: PushReport, host: &str) -> Failed {
    Failed {
        status: report.status_code,
        retry_after: report.retry_after,
        response_body: report.response_body,
        address: report.address,
        ..Failed::new(report.class, report.error, host)
    }
}

pub(super) fn host_of(browser: &PushSubscription) -> String {
    let url = Url::parse(browser.endpoint.as_str()).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

impl Message {
    /// By which it takes the place of others in a browser; what a digest gathered does not.
    fn collapse_key(&self) -> Option<&CollapseKey> {
        self.of.of.collapse_key.as_ref().filter(|_| self.is_itself)
    }
}

/// What the service worker of a page is handed.
fn text(message: &Message, to: &Recipient) -> Result<String, RenderError> {
    let notice = message.version.push(message.form, &message.data, to)?;
    let of = &message.of;
    let mut text = json!({ "id": of.id.to_string(), "type": of.of.key.as_str(), "title": notice.title, "body": notice.body,
        "url": notice.url, "at": UnixMs::now().0 });
    // Not null where there is none: a browser would take that for a tag that all of them have.
    if let Some(key) = message.collapse_key() {
        text["tag"] = json!(key.as_str());
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(is_lasting: bool) -> (Id<PushSubscription>, Failed) {
        (Id::new(), Failed { is_lasting, ..Failed::new(AttemptClass::HttpStatus, "no", "push.example") })
    }

    #[test]
    fn somebody_is_reached_where_one_of_their_browsers_is() {
        assert_eq!(of_all(true, Vec::new()), Reached::Delivered);
        assert_eq!(of_all(false, Vec::new()), Reached::Suppressed(Suppression::NoSubscription));
        let (later, never) = (failure(false), failure(true));
        let ids = vec![never.0, later.0];
        let Reached::Failed(failed) = of_all(true, vec![never.clone(), later]) else { panic!("they are tried again") };
        assert_eq!((failed.is_lasting, failed.subscriptions), (false, ids));
        let Reached::Failed(failed) = of_all(false, vec![never]) else { panic!("it failed") };
        assert_eq!((failed.is_lasting, failed.subscriptions), (true, Vec::new()));
    }

    #[test]
    fn a_push_service_that_fails_again_and_again_rests_until_it_answers() {
        let services = Services::new();
        for _ in 0..FAILURES_MAX {
            assert!(!services.rests("a"));
            services.failed("a");
        }
        assert!(services.rests("a") && !services.rests("b"));
        services.answered("a");
        assert!(!services.rests("a"));
    }
}
