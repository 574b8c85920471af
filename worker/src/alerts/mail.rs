//! E-mail by the operator's own mail server (SMTP, RFC 5321).

use std::{fmt, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor, address::AddressError,
    message::header::ContentType,
};
use postrider_core::domain::email::EmailAddress;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Hands mail over. Clones share the connection.
#[derive(Clone)]
pub struct Mailer {
    from: EmailAddress,
    server: AsyncSmtpTransport<Tokio1Executor>,
}

/// Why mail cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    #[error("{0} is not an address that mail can go to or come from")]
    Address(#[from] AddressError),
    #[error("the mail cannot be written: {0}")]
    Content(#[from] lettre::error::Error),
    #[error("the mail server did not take it: {0}")]
    Server(#[from] lettre::transport::smtp::Error),
    #[error("the mail server did not take it within {} s", TIMEOUT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Of a mail server by its URL: `smtps://USER:PASSWORD@HOST:465`, `smtp://HOST:587?tls=required`.
    ///
    /// # Errors
    /// When the URL is none that mail servers have.
    pub fn new(url: &str, from: EmailAddress) -> Result<Self, MailerError> {
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?.timeout(Some(TIMEOUT)).build();
        Ok(Self { from, server })
    }

    /// # Errors
    /// When the server does not take it.
    pub async fn send(&self, to: &EmailAddress, subject: &str, text: &str) -> Result<(), MailerError> {
        let mail = Message::builder()
            .from(self.from.as_str().parse()?)
            .to(to.as_str().parse()?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(format!("{text}\r\n"))?;
        // The transport's own limit is of connecting alone: a server that then says nothing would be waited for without end.
        tokio::time::timeout(TIMEOUT, self.server.send(mail)).await??;
        Ok(())
    }
}
