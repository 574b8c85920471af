//! Kind `site.announce`: what was published of a locale is read back from its public addresses, as anybody else would read
//! it. Only then its changes count as public, and those who want to know are told: endpoints by the event `site.published`,
//! search engines, and the feeds' hub.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::{AttemptClass, AttemptReport},
        egress::EndpointUrl,
        job::Outcome,
        site::settings::Locale,
    },
    site::Contents,
    store::{PublishedFile, SitePublication, StoreError, Work, announcement_retries},
};

use super::{Executors, LOOK_AGAIN, after_failure};
use crate::{
    egress::{Call, Exchange},
    outcomes::{Ended, Execution},
    site::Announcement,
};

/// Files of one publication that are read back: of more, those of the newest pages and the index.
const FILES_MAX: usize = 50;
/// Bytes of one answer: more than any file has.
const BYTES_MAX: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);
const GONE: &str = "its publication is gone";

/// What is said of a publication that is not, or not yet, public as it was published.
struct Unlike {
    report: AttemptReport,
}

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let id = match parse(work) {
        Ok(id) => id,
        Err(why) => return executors.invalid(work, &why),
    };
    match announce(executors, work, id).await {
        Ok(execution) => execution,
        Err(error) => {
            tracing::warn!(%error, job = %work.job.id, "a publication could not be announced; its job waits");
            Execution::not_now(work, LOOK_AGAIN)
        }
    }
}

async fn announce(executors: &Executors, work: &Work, id: Id<SitePublication>) -> Result<Execution, StoreError> {
    let store = &executors.0.publisher.store;
    let gone = || Execution::decided(work, Outcome::Cancelled { reason: GONE.to_owned() });
    let Some((site, publication)) = store.site_publication(id).await? else { return Ok(gone()) };
    let Some(site) = store.site_by_id(site).await? else { return Ok(gone()) };
    let Some(locale) = site.settings.locale(&publication.locale).cloned() else { return Ok(gone()) };
    let files = store.published_files(id).await?;
    let (started_at, started) = (UnixMs::now(), std::time::Instant::now());
    if site.settings.read_back && publication.read_at.is_none() {
        match read_back(executors, work, &locale, &files).await {
            Ok(()) => {}
            Err(Ok(unlike)) => {
                let outcome = after_failure(work, &unlike.report, &announcement_retries());
                return Ok(Execution::Ended(Box::new(Ended::of(work, Some(unlike.report), outcome))));
            }
            Err(Err(not_now)) => return Ok(not_now),
        }
    }
    let announcement = Announcement { site: &site, locale: &locale, publication: &publication, files: &files };
    executors.0.publisher.announce(announcement).await?;
    let duration_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
    let report =
        AttemptReport { started_at, duration_ms, error: None, ..executors.report(AttemptClass::Succeeded, "") };
    Ok(Execution::Ended(Box::new(Ended::of(work, Some(report), Outcome::Succeeded))))
}

/// Reads the files that are public now, one after the other; ends with the first that is not as it should be.
async fn read_back(
    executors: &Executors,
    work: &Work,
    locale: &Locale,
    files: &[PublishedFile],
) -> Result<(), Result<Unlike, Execution>> {
    let mut there: Vec<&PublishedFile> = files.iter().filter(|file| file.hash.is_some()).collect();
    // The index says where all the others are.
    there.sort_by_key(|file| file.name != "sitemap.xml");
    for file in there.into_iter().take(FILES_MAX) {
        let url = format!("{}/{}", locale.base, file.name);
        let mut reading = Contents::new(&file.name);
        let exchange = fetch(executors, work, &url, &mut reading).await;
        let exchange = exchange.map_err(Err)?;
        let hash = reading.hash();
        if exchange.class == AttemptClass::Succeeded && Some(&hash) == file.hash.as_ref() {
            continue;
        }
        let words = match (exchange.class, &exchange.tenant_error) {
            (AttemptClass::Succeeded, _) => {
                format!("{url}: what is public is not what was published; a cache before it may keep an older one")
            }
            (_, error) => format!("{url}: {}", error.as_deref().unwrap_or("no answer")),
        };
        let report = executors.reported(work, &exchange, UnixMs::now() - exchange.duration);
        let class = match exchange.class {
            AttemptClass::Succeeded => AttemptClass::Publish,
            class => class,
        };
        return Err(Ok(Unlike { report: AttemptReport { class, error: Some(words), response_body: None, ..report } }));
    }
    Ok(())
}

async fn fetch(executors: &Executors, work: &Work, url: &str, contents: &mut Contents) -> Result<Exchange, Execution> {
    let url = EndpointUrl::stored(url.to_owned());
    let call = Call { method: "GET", url: &url, headers: &[], body: Bytes::new(), timeout: TIMEOUT };
    let exchange = executors.0.egress.send_reading(call, BYTES_MAX, &mut |part| contents.take(part)).await;
    if exchange.class == AttemptClass::Egress {
        executors.0.refusals.inc();
    }
    if exchange.starved {
        return Err(Execution::not_now(work, LOOK_AGAIN));
    }
    Ok(exchange)
}

fn parse(work: &Work) -> Result<Id<SitePublication>, String> {
    let args = work.payload.as_deref().ok_or("its arguments are missing")?;
    let text = std::str::from_utf8(args).map_err(|_| "its arguments are no text")?;
    text.parse().map_err(|error| format!("its arguments cannot be read: {error}"))
}
