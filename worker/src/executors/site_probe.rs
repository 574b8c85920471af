//! Kind `site.probe`: what an image or an enclosure of a site's feeds really is. Asks for its head, then for its first bytes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use postrider_core::{
    domain::{
        UnixMs,
        attempt::{AttemptClass, AttemptReport},
        egress::EndpointUrl,
        job::Outcome,
        site::{
            media::{Found, Media, Sample},
            settings::Site,
        },
    },
    store::{Looked, Probe, StoreError, Work, probe_schedule},
};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LOCATION};
use url::Url;

use super::{Executors, LOOK_AGAIN, after_failure, trace};
use crate::{
    egress::{Call, Exchange},
    outcomes::{Ended, Execution, health},
};

/// How long one answer may take, and all of them.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const LOOK_MAX: Duration = Duration::from_secs(20);
/// Bytes that are asked for: by then every kind of file has shown what it is.
const RANGE: &str = "bytes=0-4095";
/// Addresses that are gone on to, each of them judged as the first one.
const REDIRECTS_MAX: usize = 4;
const SITE_DELETED: &str = "its site is deleted";
const NAMED_NO_MORE: &str = "nothing names the file any more";

/// What came of a look, beside the last answer.
enum Seen {
    Looked(Looked),
    /// Its host gave no answer that says anything of the file.
    NoAnswer(String),
    /// This machine had no socket for the call.
    Starved,
}

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let probe = match parse(work) {
        Ok(probe) => probe,
        Err(why) => return executors.invalid(work, &why),
    };
    let (site, media) = match known(executors, &probe).await {
        Ok(Some(known)) => known,
        Ok(None) => return cancelled(work, SITE_DELETED),
        Err(error) => return unread(work, &error),
    };
    let Some(media) = media else { return cancelled(work, NAMED_NO_MORE) };
    let (step, started_at, started) = (executors.step(work), UnixMs::now(), Instant::now());
    let (seen, exchange) = Look { executors, url: probe.url.clone(), until: started + LOOK_MAX }.look(&media).await;
    let took = started.elapsed();
    let mut report = AttemptReport {
        duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        // A picture's bytes say nothing to whoever reads attempts.
        response_body: None,
        ..executors.reported(work, &exchange, started_at)
    };
    let health = health(exchange.class, exchange.status_code);
    let (outcome, looked) = match seen {
        Seen::Starved => return Execution::not_now(work, LOOK_AGAIN),
        Seen::Looked(looked) => {
            report = AttemptReport { class: AttemptClass::Succeeded, error: None, ..report };
            (Outcome::Succeeded, Some(looked))
        }
        Seen::NoAnswer(why) => {
            report.error = Some(why.clone());
            let outcome = after_failure(work, &report, &probe_schedule());
            let is_last = matches!(outcome, Outcome::Dead { .. });
            (outcome, is_last.then(|| Looked::Found(Found::bad(why), None)))
        }
    };
    if let Some(looked) = looked {
        match executors.0.store.site_media_looked_at(&site, &probe.url, &looked, UnixMs::now()).await {
            Ok(job) => executors.0.dispatcher.offer(job.as_slice()),
            Err(error) => return unread(work, &error),
        }
    }
    trace::end(step, work, &report);
    Execution::Ended(Box::new(Ended { health, took, ..Ended::of(work, Some(report), outcome) }))
}

async fn known(executors: &Executors, probe: &Probe) -> Result<Option<(Site, Option<Media>)>, StoreError> {
    let Ok(id) = probe.site.parse() else { return Ok(None) };
    let Some(site) = executors.0.store.site_by_id(id).await? else { return Ok(None) };
    let media = executors.0.store.site_media(id, &[&probe.url]).await?.remove(&probe.url);
    Ok(Some((site, media)))
}

/// A look that goes on.
struct Look<'a> {
    executors: &'a Executors,
    /// Where the file is, as far as redirects have led.
    url: String,
    until: Instant,
}

impl Look<'_> {
    async fn look(&mut self, media: &Media) -> (Seen, Exchange) {
        let etag = media.etag.iter().map(|etag| ("if-none-match".to_owned(), etag.clone()));
        let (head, head_headers) = self.call("HEAD", &etag.collect::<Vec<_>>()).await;
        match (head.status_code, head.class) {
            _ if head.starved => return (Seen::Starved, head),
            (Some(304), _) if media.etag.is_some() => return (Seen::Looked(Looked::Unchanged), head),
            (None, _) => return (no_answer(&head), head),
            _ => {}
        }
        let (got, headers) = self.call("GET", &[("range".to_owned(), RANGE.to_owned())]).await;
        let seen = match got.status_code {
            _ if got.starved => Seen::Starved,
            Some(200..=299) => {
                let body = got.response_body.as_deref().unwrap_or_default();
                // Of an answer that broke off something has come, unless nothing did.
                if body.is_empty() && got.class != AttemptClass::Succeeded {
                    return (no_answer(&got), got);
                }
                let is_part = got.status_code == Some(206);
                let length_bytes = if is_part { whole_length(&headers) } else { number(&headers, &CONTENT_LENGTH) };
                // Some hosts say zero of every head.
                let is_told = |bytes: &u64| *bytes > 0 && head.class == AttemptClass::Succeeded;
                let of_head = || number(&head_headers, &CONTENT_LENGTH).filter(is_told);
                let found = Found::of(Sample {
                    bytes: body,
                    said_type: text(&headers, &CONTENT_TYPE),
                    length_bytes: length_bytes.or_else(of_head),
                    is_image: media.is_image,
                    said_length: media.said.length_bytes,
                });
                Seen::Looked(Looked::Found(found, text(&headers, &ETAG).map(str::to_owned)))
            }
            Some(408 | 425 | 429 | 500..) | None => no_answer(&got),
            Some(300..=399) => found_bad("it is behind more redirects than readers go on to, or behind one to nowhere"),
            Some(status) => found_bad(&format!("its host answers {}", words(status, &got))),
        };
        (seen, got)
    }

    /// Makes a call, and goes on where its answer leads.
    async fn call(&mut self, method: &str, headers: &[(String, String)]) -> (Exchange, HeaderMap) {
        let mut redirects = 0;
        loop {
            let (exchange, answered) = self.call_once(method, headers).await;
            let is_redirect = matches!(exchange.status_code, Some(301 | 302 | 303 | 307 | 308));
            let next = Url::parse(&self.url).ok().zip(text(&answered, &LOCATION));
            let next = next.and_then(|(from, to)| from.join(to).ok());
            match next.filter(|_| is_redirect && redirects < REDIRECTS_MAX) {
                Some(next) => self.url = next.into(),
                None => return (exchange, answered),
            }
            redirects += 1;
        }
    }

    async fn call_once(&self, method: &str, headers: &[(String, String)]) -> (Exchange, HeaderMap) {
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let call = Call {
            method,
            url: &EndpointUrl::stored(self.url.clone()),
            headers,
            body: Bytes::new(),
            timeout: left.min(ANSWER_MAX),
        };
        let answered = self.executors.0.egress.look(call).await;
        if answered.0.class == AttemptClass::Egress {
            self.executors.0.refusals.inc();
        }
        answered
    }
}

/// A refusal to go there is for good; what else brought no answer may pass.
fn no_answer(exchange: &Exchange) -> Seen {
    let why = exchange.tenant_error.clone().unwrap_or_else(|| "it was not answered".to_owned());
    match exchange.class {
        AttemptClass::Egress | AttemptClass::Invalid => found_bad(&why),
        _ => Seen::NoAnswer(why),
    }
}

fn found_bad(why: &str) -> Seen {
    Seen::Looked(Looked::Found(Found::bad(why), None))
}

fn words(status: u16, exchange: &Exchange) -> String {
    exchange.tenant_error.clone().unwrap_or_else(|| format!("HTTP {status}"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// As in `bytes 0-4095/81234` (RFC 9110, section 14.4).
fn whole_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_RANGE)?.rsplit_once('/')?.1.trim().parse().ok()
}

fn cancelled(work: &Work, reason: &str) -> Execution {
    Execution::decided(work, Outcome::Cancelled { reason: reason.to_owned() })
}

fn unread(work: &Work, error: &StoreError) -> Execution {
    tracing::warn!(%error, job = %work.job.id, "what is known of a file could not be read or kept; its job waits");
    Execution::not_now(work, LOOK_AGAIN)
}

fn parse(work: &Work) -> Result<Probe, String> {
    let args = work.payload.as_deref().ok_or("its arguments are missing")?;
    serde_json::from_slice(args).map_err(|error| format!("its arguments cannot be read: {error}"))
}
