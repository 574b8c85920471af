//! What went wrong, as a class and in stable words: failures are grouped by them, and a change of words parts a
//! group. No words hold an address, a port or a system's error number.

use std::{error::Error, io, time::Duration};

use postrider_core::domain::{attempt::AttemptClass, egress::UrlRefused};
use reqwest::StatusCode;
use rustls::CertificateError;

use super::resolver::{Dialling, ResolveFailed};

/// All that a tenant is told of a refused address.
const REFUSED_FOR_TENANT: &str = "the URL leads to an address that deliveries may not reach";
/// All that a tenant is told of a fault on this side.
const OURS_FOR_TENANT: &str = "the connection could not be made";
/// ENFILE and EMFILE, the same in every Unix: the machine or the process has too many open files.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: AttemptClass,
    /// For operators.
    pub(super) words: String,
    /// Where the tenant is told something else.
    pub(super) tenant_words: Option<&'static str>,
    /// This machine had no socket for the call.
    pub(super) starved: bool,
}

impl Failure {
    fn new(class: AttemptClass, words: impl Into<String>) -> Self {
        Self { class, words: words.into(), tenant_words: None, starved: false }
    }

    fn with_tenant_words(self, words: &'static str) -> Self {
        Self { tenant_words: Some(words), ..self }
    }

    /// A call that cannot be made as it is.
    pub(super) fn invalid(words: impl Into<String>) -> Self {
        Self::new(AttemptClass::Invalid, words)
    }

    /// A URL that the policy of today refuses.
    pub(super) fn of_url(refused: &UrlRefused) -> Self {
        match refused {
            UrlRefused::Host(_) => {
                Self::new(AttemptClass::Egress, "the URL's host is not one that deliveries may reach")
                    .with_tenant_words(REFUSED_FOR_TENANT)
            }
            UrlRefused::Port(port) => Self::new(AttemptClass::Egress, port.to_string()),
            _ => Self::invalid(refused.to_string()),
        }
    }

    /// A status that is not 2xx, or `None` where it is.
    pub(super) fn of_status(status: StatusCode) -> Option<Self> {
        let words = match status.canonical_reason() {
            Some(reason) => format!("HTTP {} {reason}", status.as_u16()),
            None => format!("HTTP {}", status.as_u16()),
        };
        match status {
            status if status.is_success() => None,
            status if status.is_redirection() => {
                Some(Self::new(AttemptClass::Redirect, format!("{words}: redirects are not followed")))
            }
            _ => Some(Self::new(AttemptClass::HttpStatus, words)),
        }
    }

    /// The deadline passed before the answer's headers were there.
    pub(super) fn no_answer(dialling: Dialling, timeout: Duration) -> Self {
        let whose = if matches!(dialling, Dialling::Resolving) { "DNS: " } else { "" };
        Self::new(AttemptClass::Timeout, format!("{whose}no answer within {}", in_words(timeout)))
    }

    /// The deadline passed before the answer's body was over.
    pub(super) fn no_end(timeout: Duration) -> Self {
        Self::new(AttemptClass::Timeout, format!("the answer did not end within {}", in_words(timeout)))
    }

    /// The body could not be read to its end.
    pub(super) fn broke_off() -> Self {
        Self::new(AttemptClass::Protocol, "the answer broke off")
    }

    /// What reqwest reports when no answer came.
    pub(super) fn of(error: &reqwest::Error, dialling: Dialling) -> Self {
        if let Some(failed) = cause::<ResolveFailed>(error) {
            return Self::of_resolving(*failed);
        }
        if let Some(tls) = cause::<rustls::Error>(error) {
            return Self::new(AttemptClass::Tls, format!("TLS: {}", tls_words(tls)));
        }
        if error.is_timeout() && matches!(dialling, Dialling::Resolving) {
            return Self::of_resolving(ResolveFailed::NoAnswer);
        }
        if error.is_timeout() {
            return Self::new(AttemptClass::Timeout, "the connection timed out");
        }
        // The innermost is the system's; those around it are often `Other`.
        if let Some(io) = causes(error).filter_map(|error| error.downcast_ref::<io::Error>()).last() {
            return Self::of_io(io, error.is_connect());
        }
        match cause::<hyper::Error>(error) {
            Some(http) if http.is_parse() => {
                Self::new(AttemptClass::Protocol, format!("the answer is not HTTP: {http}"))
            }
            Some(http) if http.is_user() => Self::invalid(format!("the request cannot be sent: {http}")),
            Some(http) if http.is_incomplete_message() || http.is_canceled() || http.is_closed() => closed(),
            _ if error.is_builder() => Self::invalid("the request cannot be built"),
            _ => Self::new(AttemptClass::Protocol, "the receiver broke the HTTP protocol"),
        }
    }

    fn of_resolving(failed: ResolveFailed) -> Self {
        match failed {
            ResolveFailed::Refused(_) => {
                Self::new(AttemptClass::Egress, failed.to_string()).with_tenant_words(REFUSED_FOR_TENANT)
            }
            _ => Self::new(AttemptClass::Dns, failed.to_string()),
        }
    }

    fn of_io(error: &io::Error, connecting: bool) -> Self {
        let connect = |words: &str| Self::new(AttemptClass::Connect, words);
        if error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) {
            let starved = connect("too many files are open on this side").with_tenant_words(OURS_FOR_TENANT);
            return Self { starved: true, ..starved };
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => connect("connection refused"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => connect("connection reset"),
            io::ErrorKind::HostUnreachable => connect("host unreachable"),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => connect("network unreachable"),
            io::ErrorKind::UnexpectedEof if connecting => {
                Self::new(AttemptClass::Tls, "TLS: the connection closed during the handshake")
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => closed(),
            kind => connect(&format!("the connection could not be made: {kind}")).with_tenant_words(OURS_FOR_TENANT),
        }
    }
}

fn closed() -> Failure {
    Failure::new(AttemptClass::Connect, "connection closed before an answer")
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(certificate) => certificate_words(certificate).to_owned(),
        Tls::AlertReceived(alert) => format!("the receiver refused the handshake ({alert:?})"),
        Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => "the receiver does not speak TLS".to_owned(),
        Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol => "no version or cipher in common".to_owned(),
        _ => "the handshake failed".to_owned(),
    }
}

fn certificate_words(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        CertificateError::UnknownIssuer => "the certificate's issuer is unknown",
        CertificateError::Revoked => "the certificate is revoked",
        _ => "the certificate is not valid",
    }
}

/// The first error of type `E` in the chain.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The chain, outermost first. `io::Error` hides the one inside it from `source`.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let outermost: &'a (dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |&error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn in_words(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_says_nothing_of_the_receiver() {
        for (code, starved) in [(23, true), (24, true), (111, false), (110, false)] {
            let failure = Failure::of_io(&io::Error::from_raw_os_error(code), true);
            assert_eq!((failure.starved, failure.class), (starved, AttemptClass::Connect), "{code}");
        }
    }
}
