//! Kind `site.regenerate`: all that is stale of a site, once its changes have rested for a moment.

use std::time::Instant;

use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::{AttemptClass, AttemptReport},
        job::Outcome,
        site::{
            change::{PATIENCE, QUIET, publishing_retries},
            settings::Site,
        },
    },
    store::{StoreError, Work},
};

use super::{Executors, LOOK_AGAIN, after_failure};
use crate::outcomes::{Ended, Execution};

const SITE_DELETED: &str = "its site is deleted";

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let site = match parse(work) {
        Ok(id) => executors.0.publisher.store.site_by_id(id).await,
        Err(why) => return executors.invalid(work, &why),
    };
    let site = match site {
        Ok(Some(site)) => site,
        Ok(None) => return deleted(work),
        Err(error) => return unread(work, &error),
    };
    let stale = match executors.0.publisher.store.site_stale_between(site.id).await {
        Ok(stale) => stale,
        Err(error) => return unread(work, &error),
    };
    let (now, due) = (UnixMs::now(), rested_at(stale));
    if due > now {
        return Execution::not_now(work, due.since(now));
    }
    publish(executors, work, &site).await
}

async fn publish(executors: &Executors, work: &Work, site: &Site) -> Execution {
    let (started_at, started) = (UnixMs::now(), Instant::now());
    let published = executors.0.publisher.publish(site.id).await;
    let took = started.elapsed();
    let duration_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    match published {
        Ok(None) => deleted(work),
        Ok(Some(published)) => {
            tracing::info!(site = %site.slug, ?published, duration_ms, "a site is public as it is now");
            executors.done(work, started_at, took)
        }
        Err(error) => {
            tracing::warn!(site = %site.slug, %error, "something of a site could not be published; it is tried again");
            let report = AttemptReport {
                started_at,
                duration_ms,
                ..executors.report(AttemptClass::Publish, &error.to_string())
            };
            let outcome = after_failure(work, &report, &publishing_retries());
            Execution::Ended(Box::new(Ended { took, ..Ended::of(work, Some(report), outcome) }))
        }
    }
}

fn deleted(work: &Work) -> Execution {
    Execution::decided(work, Outcome::Cancelled { reason: SITE_DELETED.to_owned() })
}

/// When changes have rested, or waited for long enough.
fn rested_at(stale: Option<(UnixMs, UnixMs)>) -> UnixMs {
    stale.map_or(UnixMs(0), |(oldest, newest)| (newest + QUIET).min(oldest + PATIENCE))
}

fn unread(work: &Work, error: &StoreError) -> Execution {
    tracing::warn!(%error, job = %work.job.id, "a site could not be read; its job waits");
    Execution::not_now(work, LOOK_AGAIN)
}

fn parse(work: &Work) -> Result<Id<Site>, String> {
    let args = work.payload.as_deref().ok_or("its arguments are missing")?;
    let text = std::str::from_utf8(args).map_err(|_| "its arguments are no text")?;
    text.parse().map_err(|error| format!("its arguments cannot be read: {error}"))
}
