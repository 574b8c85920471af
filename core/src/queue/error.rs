//! Why a queue did not do what it was asked. Nothing is lost by any of these: SQL holds every job.

use std::{path::PathBuf, time::Duration};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    #[error("{url:?} is no address of a queue: {reason}; give {form}", form = super::redis::URL_FORMS)]
    Url { url: String, reason: String },
    #[error(
        "the queue at {at} is not available: {reason}. {remedy} Jobs are kept in SQL and offered again once it answers"
    )]
    Unavailable { at: String, reason: String, remedy: &'static str },
    #[error(
        "the queue at {at} did not answer within {after:?}. Is Redis running there, may this machine reach it, and does \
         it speak TLS (rediss://) or not (redis://)? Jobs are kept in SQL and offered again once it answers"
    )]
    Silent { at: String, after: Duration },
    #[error(
        "the queue at {at} was emptied a moment ago; what is undone is offered again once every worker has said what it runs"
    )]
    Emptied { at: String },
    #[error("the queue at {at} answered {what}; is another version of Postrider using its keys?")]
    Answer { at: String, what: String },
    #[error(
        "the queue at {at} shows a certificate that is not believed: {reason}; name its authorities in the setting \
         redis_ca_file, and in redis_url a host that the certificate is for"
    )]
    Certificate { at: String, reason: String },
    #[error("the file {} of the setting redis_ca_file cannot be used: {why}; it has to hold certificates as PEM", path.display())]
    Authorities { path: PathBuf, why: String },
    #[error("the journal of running jobs cannot be written: {0}; check the data folder's disk and rights")]
    Journal(#[from] std::io::Error),
}

impl QueueError {
    /// Whether the same call may succeed later with nothing changed here.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        !matches!(self, Self::Url { .. } | Self::Answer { .. } | Self::Authorities { .. })
    }
}
