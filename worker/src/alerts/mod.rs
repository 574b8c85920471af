//! Tells people what is wrong with a site: each cause once, and once that it is over. Runs in every process, also where no
//! worker does: that nothing runs is one of the causes. E-mail and Slack are called from here, since jobs may be what fails.

mod words;

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use postrider_core::{
    dispatch::Dispatcher,
    domain::{
        UnixMs,
        attempt::AttemptClass,
        egress::EndpointUrl,
        site::{alert::causes, settings::Site},
    },
    store::{AlertChannel, AlertMessage, AlertWay, Store, StoreError},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    egress::{Call, EgressClient},
    mail::{Letter, Mailer},
    own_event::OwnEvent,
    pace::rest,
};

const ROUND: Duration = Duration::from_secs(5);
/// The event that endpoints subscribe to.
const EVENT: &str = "site.alert";
const TIMEOUT: Duration = Duration::from_secs(20);
/// A message that was not taken is tried again after this, doubled each time up to the longest.
const AGAIN: Duration = Duration::from_secs(10);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// How long mail waits for a process that has a mail server, before one that has none says so.
const NO_MAILER: Duration = Duration::from_secs(300);
/// A message that nobody took for so often is given up: about four hours.
const TRIES_MAX: u32 = 30;

/// Who tells.
#[derive(Clone, Debug)]
pub struct Alerts {
    pub store: Store,
    pub dispatcher: Dispatcher,
    pub egress: EgressClient,
    /// `None` where no mail server is set.
    pub mailer: Option<Mailer>,
}

impl Alerts {
    /// Looks after all sites until `stop`. No way by which people are told waits for another: each may be what fails.
    pub async fn run(self, stop: CancellationToken) {
        let sending = join_all(AlertWay::ALL.map(|way| self.keep_sending(way, &stop)));
        tokio::join!(self.keep_judging(&stop), sending);
    }

    async fn keep_judging(&self, stop: &CancellationToken) {
        while rest(ROUND, stop).await {
            if let Some(Err(error)) = stop.run_until_cancelled(self.judge()).await {
                tracing::warn!(%error, "how sites do could not be looked at; it is tried again");
            }
        }
    }

    async fn keep_sending(&self, way: AlertWay, stop: &CancellationToken) {
        while rest(ROUND, stop).await {
            // What is cut off in the middle of being sent is sent again.
            if let Some(Err(error)) = stop.run_until_cancelled(self.send_due(way)).await {
                tracing::warn!(%error, "alerts could not be sent; it is tried again");
            }
        }
    }

    async fn judge(&self) -> Result<(), StoreError> {
        for id in self.store.watched_sites().await? {
            let Some(site) = self.store.site_by_id(id).await? else { continue };
            let now = UnixMs::now();
            let condition = self.store.site_condition(&site, now).await?;
            self.store.judge_site(&site, &causes(&site.settings, &condition, now), now).await?;
        }
        Ok(())
    }

    /// Sends what is due, some at once, so that none of them waits for longer than one takes.
    async fn send_due(&self, way: AlertWay) -> Result<(), StoreError> {
        let patience = if way == AlertWay::Email && self.mailer.is_none() { NO_MAILER } else { Duration::ZERO };
        loop {
            let now = UnixMs::now();
            let taken = self.store.take_alert_messages(way, now - patience, now).await?;
            if taken.is_empty() {
                return Ok(());
            }
            for sent in join_all(taken.iter().map(|message| self.see_to(message))).await {
                sent?;
            }
        }
    }

    async fn see_to(&self, message: &AlertMessage) -> Result<(), StoreError> {
        let Some(site) = self.store.site_by_id(message.site).await? else {
            return self.store.alert_was_sent(message).await;
        };
        match self.send(&site, message).await {
            Ok(()) => self.store.alert_was_sent(message).await,
            Err(why) if message.tries + 1 >= TRIES_MAX => {
                tracing::error!(site = %site.slug, cause = %message.alert.cause, why, "nobody took an alert; it is given up");
                self.store.alert_was_sent(message).await
            }
            Err(why) => {
                tracing::warn!(site = %site.slug, cause = %message.alert.cause, why, "an alert was not taken; it is tried again");
                let wait = AGAIN.saturating_mul(1 << message.tries.min(10)).min(AGAIN_MAX);
                self.store.alert_was_not_sent(message, UnixMs::now() + wait).await
            }
        }
    }

    async fn send(&self, site: &Site, message: &AlertMessage) -> Result<(), String> {
        let (subject, text) = words::of(site, message);
        match &message.channel {
            AlertChannel::Event => self.send_event(site, message, &text).await.map_err(|error| error.to_string()),
            AlertChannel::Slack => {
                // It was taken out of the settings since.
                let Some(url) = &site.settings.alerts.slack_url else { return Ok(()) };
                self.send_slack(url, &text).await
            }
            AlertChannel::Email(address) => match &self.mailer {
                Some(mailer) => {
                    let letter = Letter::plain(address, &subject, &text);
                    mailer.send(&letter).await.map_err(|error| error.to_string())
                }
                None => Err("no mail server is set here (smtp_url)".to_owned()),
            },
        }
    }

    async fn send_slack(&self, url: &EndpointUrl, text: &str) -> Result<(), String> {
        let headers = [("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
        let body = Bytes::from(json!({ "text": text }).to_string());
        let call = Call { method: "POST", url, headers: &headers, body, timeout: TIMEOUT };
        let exchange = self.egress.send(call).await;
        match exchange.class {
            AttemptClass::Succeeded => Ok(()),
            _ => Err(exchange.error.unwrap_or_default()),
        }
    }

    /// Stores the event once, however often this is called.
    async fn send_event(&self, site: &Site, message: &AlertMessage, text: &str) -> Result<(), StoreError> {
        let key = format!("{}/{}", message.alert.id, words::state(message));
        let own = OwnEvent { tenant: site.tenant_id, kind: EVENT, key };
        own.publish(&self.store, &self.dispatcher, words::payload(site, message, text), Vec::new()).await
    }
}
