//! Calls to addresses that strangers chose: one guarded HTTP client for all of them.
//!
//! Owns what is dialled, what is read, and the words for what went wrong. Must not know jobs, tenants or SQL.
//! Which addresses are allowed is decided in `domain::egress`; here is where the decision is taken on the very
//! address that is dialled.

mod client;
mod failure;
mod resolver;
mod retry_after;
mod tls;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use postrider_core::domain::{attempt::AttemptClass, egress::EndpointUrl};

pub use client::{EgressClient, Reader};

/// How the client is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressOptions {
    /// `User-Agent` where a call has none of its own.
    pub user_agent: String,
    /// DNS servers in place of the system's; empty: the system's (`/etc/resolv.conf`, read once).
    pub name_servers: Vec<SocketAddr>,
    /// PEM file of certificate authorities that are trusted beside the system's (`POSTRIDER_EGRESS_CA_FILE`).
    pub ca_file: Option<PathBuf>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("Postrider/", env!("CARGO_PKG_VERSION")).to_owned(),
            name_servers: Vec::new(),
            ca_file: None,
        }
    }
}

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EgressSetupError {
    #[error(
        "the certificates in {path} (setting egress_ca_file) cannot be read ({why}); it must be a PEM file of certificate authorities"
    )]
    CaFile { path: PathBuf, why: String },
    #[error("the resolver cannot be set up: {0}")]
    Dns(String),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// One HTTP call.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// GET, POST, PUT, PATCH, DELETE or HEAD.
    pub method: &'a str,
    pub url: &'a EndpointUrl,
    /// All headers but `Host`, `Content-Length` and, unless it is here, `User-Agent`.
    pub headers: &'a [(String, String)],
    /// Cheap to clone; sent as it stands.
    pub body: Bytes,
    /// Covers DNS, connecting, TLS, headers and body together; of it, the first three may take 10 s.
    pub timeout: Duration,
}

/// What came of a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Of the answer, where one came, even if its body did not end in time.
    pub status_code: Option<u16>,
    /// `Succeeded` for a 2xx whose body ended, or passed 64 KiB, within the timeout.
    pub class: AttemptClass,
    /// In words for operators, without addresses, so that they can be grouped; `None` on success.
    pub error: Option<String>,
    /// In words for the tenant: they say nothing about the network that Postrider runs in. `None` on success.
    pub tenant_error: Option<String>,
    /// The first 4 KiB of the answer's body, as it came over the wire; `None` where there was none.
    pub response_body: Option<Vec<u8>>,
    /// The address that was dialled, with its port; without an answer, the first of those that were tried.
    pub address: Option<String>,
    /// The receiver's `Retry-After` on 429 and 503, at most `RETRY_AFTER_MAX`.
    pub retry_after: Option<Duration>,
    pub duration: Duration,
    /// This machine had no socket for the call. Nothing was sent, and it says nothing of the receiver.
    pub starved: bool,
}
