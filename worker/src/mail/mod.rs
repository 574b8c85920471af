//! E-mail by the operator's own mail server (SMTP, RFC 5321).

mod dkim;
mod pool;

use std::{fmt, sync::Arc, time::Duration};

use lettre::{
    Message,
    address::AddressError,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{ContentType, Header, HeaderName, HeaderValue},
    },
    transport::smtp::extension::Extension,
};
use postrider_core::domain::email::EmailAddress;

pub use self::dkim::{Signer, SignerError};
use self::pool::Pool;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Enhanced status codes by which a mailbox is not there, and will not be (RFC 3463, section 3.2): no such mailbox, no such
/// system, no such address, a mailbox that has moved, a system that takes no mail (RFC 7505), one that is disabled.
const GONE: [&str; 6] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"];

/// Hands mail over. Clones share the connections.
#[derive(Clone)]
pub struct Mailer {
    from: EmailAddress,
    pool: Arc<Pool>,
    signer: Option<Arc<Signer>>,
}

/// A mail to one person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) to: &'a EmailAddress,
    pub(crate) subject: &'a str,
    pub(crate) text: &'a str,
    pub(crate) html: Option<&'a str>,
    /// What a second mail of the same would have too, before the @ of its `Message-ID`.
    pub(crate) id: Option<&'a str>,
    /// Where its reader wants no more of the kind with one call (RFC 8058).
    pub(crate) unsubscribe: Option<&'a str>,
}

/// Why mail was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("{0} is not an address that mail can go to or come from")]
    Address(#[from] AddressError),
    #[error("the mail cannot be written: {0}")]
    Content(#[from] lettre::error::Error),
    #[error("the mail server did not take it: {0}")]
    Server(#[from] lettre::transport::smtp::Error),
    #[error("the mail server did not take it: Connection error: {0}")]
    Connection(std::io::Error),
    #[error("the mail server did not take it within {} s", TIMEOUT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("an address that is not ASCII needs a mail server with {0}, which yours is not")]
    Extension(Extension),
    #[error("the mail cannot be signed; look at the setting dkim_key_file")]
    Signature,
    #[error("it is no URL of a mail server: {0}")]
    Url(String),
}

/// What keeps a mail from being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The mailbox is gone: nothing is to be sent there any more.
    Mailbox,
    /// This mail is not taken, for now.
    Passing,
    /// This mail is not taken.
    Lasting,
    /// No mail is taken: the server is away, or does not let us in.
    Server,
}

/// Headers that clients show a button by (RFC 2369, section 3.2; RFC 8058, section 3.1).
#[derive(Clone, Debug)]
struct ListUnsubscribe(String);

#[derive(Clone, Debug)]
struct ListUnsubscribePost;

impl Header for ListUnsubscribe {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Unsubscribe")
    }

    fn parse(value: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(value.to_owned()))
    }

    /// As it is: clients do not decode addresses.
    fn display(&self) -> HeaderValue {
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.clone(), self.0.clone())
    }
}

impl Header for ListUnsubscribePost {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Unsubscribe-Post")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "List-Unsubscribe=One-Click".to_owned())
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl MailError {
    pub(crate) fn obstacle(&self) -> Obstacle {
        match self {
            Self::Address(_) | Self::Content(_) | Self::Extension(_) => Obstacle::Lasting,
            Self::Connection(_) | Self::Slow(_) | Self::Signature | Self::Url(_) => Obstacle::Server,
            Self::Server(error) => match error.status().map(u16::from) {
                // Service not available, and who we are is not accepted (RFC 5321, section 4.2.3; RFC 4954, section 6).
                None | Some(421 | 454 | 530 | 534 | 535 | 538) => Obstacle::Server,
                Some(400..500) => Obstacle::Passing,
                Some(_) if says_gone(&self.to_string()) => Obstacle::Mailbox,
                Some(_) => Obstacle::Lasting,
            },
        }
    }

    /// The reply's code, where there is a reply.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Server(error) => error.status().map(u16::from),
            _ => None,
        }
    }
}

fn says_gone(reply: &str) -> bool {
    reply.split(|char: char| !char.is_ascii_digit() && char != '.').any(|word| GONE.contains(&word))
}

impl<'a> Letter<'a> {
    /// One of a text alone.
    pub(crate) const fn plain(to: &'a EmailAddress, subject: &'a str, text: &'a str) -> Self {
        Self { to, subject, text, html: None, id: None, unsubscribe: None }
    }

    fn write(&self, from: &EmailAddress) -> Result<Message, MailError> {
        let address: Mailbox = from.as_str().parse()?;
        let id = self.id.map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned);
        let mut message = Message::builder().from(address).to(self.to.as_str().parse()?).subject(self.subject);
        message = message.message_id(Some(format!("<{id}@{}>", from.host())));
        if let Some(link) = self.unsubscribe {
            message = message.header(ListUnsubscribe(format!("<{link}>"))).header(ListUnsubscribePost);
        }
        let text = format!("{}\r\n", self.text);
        Ok(match self.html {
            Some(html) => message.multipart(MultiPart::alternative_plain_html(text, html.to_owned()))?,
            None => message.singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text))?,
        })
    }
}

impl Mailer {
    /// Of a mail server by its URL: `smtps://USER:PASSWORD@HOST:465`, `smtp://HOST:587?tls=required`.
    ///
    /// # Errors
    /// When the URL is none that mail servers have.
    pub fn new(url: &str, from: EmailAddress) -> Result<Self, MailError> {
        Ok(Self { from, pool: Arc::new(Pool::new(url)?), signer: None })
    }

    /// Has what is sent signed.
    #[must_use]
    pub fn signed_by(self, signer: Signer) -> Self {
        Self { signer: Some(Arc::new(signer)), ..self }
    }

    /// The mail server's host and port.
    #[must_use]
    pub fn place(&self) -> String {
        self.pool.place()
    }

    #[must_use]
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_deref()
    }

    /// Connects, signs in, and sends nothing.
    ///
    /// # Errors
    /// When the server does not take us.
    pub async fn greet(&self) -> Result<(), MailError> {
        self.pool.greet().await
    }

    /// # Errors
    /// When the server does not take it.
    pub(crate) async fn send(&self, letter: &Letter<'_>) -> Result<(), MailError> {
        let message = letter.write(&self.from)?;
        let mail = match &self.signer {
            Some(signer) => Arc::clone(signer).sign(message.formatted()).await?,
            None => message.formatted(),
        };
        self.pool.send(message.envelope(), &mail).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_has_both_texts_and_says_how_to_get_no_more_of_its_kind() {
        let (from, to) = ("news@p.example".parse().unwrap(), "anna@x.example".parse().unwrap());
        let letter = Letter {
            to: &to,
            subject: "Zoë hat geschrieben",
            text: "Grüße",
            html: Some("<p>Grüße</p>"),
            id: Some("ntf_1.rcp_2"),
            unsubscribe: Some("https://p.example/unsubscribe/abc?x=y&z=1"),
        };
        let written = String::from_utf8(letter.write(&from).unwrap().formatted()).unwrap();
        for part in [
            "Message-ID: <ntf_1.rcp_2@p.example>\r\n",
            "List-Unsubscribe: <https://p.example/unsubscribe/abc?x=y&z=1>\r\n",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
            "multipart/alternative",
        ] {
            assert!(written.contains(part), "{part} in {written}");
        }
    }

    #[test]
    fn only_what_says_that_a_mailbox_is_gone_says_so() {
        for gone in ["550: 5.1.1 no such user", "5.1.10 null MX", "553 5.1.3 bad", "550 5.2.1 disabled"] {
            assert!(says_gone(gone), "{gone}");
        }
        for other in ["550 5.7.1 relay denied", "550 no", "552 5.2.2 full", "15.1.1", "5.1.15", "5.1.8 bad sender"] {
            assert!(!says_gone(other), "{other}");
        }
    }
}
