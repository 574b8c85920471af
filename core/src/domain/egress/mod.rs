//! Which addresses, ports, URLs and headers deliveries may use. Owns the rules; knows no DNS, no socket, no TLS.
//!
//! A URL is judged twice: when it is stored, as a courtesy to whoever types it, and when it is dialled, by the
//! addresses that its name has at that moment. Only the second is the guard.

mod address;
mod headers;
mod port;
mod url;

use ipnet::IpNet;

pub use address::{AddressFault, AddressRefused};
pub use headers::{HeaderRefused, HeadersOf, is_framing, judge_header, judge_headers};
pub use port::PortRefused;
pub use url::{EndpointUrl, UrlRefused};

/// What an operator allows beyond the public internet. The default allows nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Networks that deliveries may reach although they are not public (`POSTRIDER_EGRESS_ALLOW`).
    ///
    /// A cloud's metadata address is allowed only by a network that is that address alone (/32 or /128), so that
    /// `100.64.0.0/10` or `169.254.0.0/16` does not give its credentials away.
    pub allow: Vec<IpNet>,
    /// Ports that deliveries may reach although they are below 1024 or a database's. They hold for every address
    /// that deliveries may reach, and `allow` widens no port.
    pub ports_allowed: Vec<u16>,
}
