//! Connections to the mail server, which mails share.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use lettre::{
    Address,
    address::Envelope,
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Url;

use super::{MailError, TIMEOUT};

/// Connections at once.
const CONNECTIONS_MAX: usize = 32;
/// A connection that nothing was sent on for so long is closed: servers close theirs after some minutes.
const IDLE: Duration = Duration::from_secs(30);
/// How long a server may take to let go of a mail or a connection.
const FAREWELL: Duration = Duration::from_secs(5);
/// The server closes the connection (RFC 5321, section 3.8).
const CLOSING: u16 = 421;
const URLS: &str = "smtps://USER:PASSWORD@HOST:465, smtp://HOST:587?tls=required or smtp://HOST:25";

/// A mail server, and the connections to it.
pub(super) struct Pool {
    server: Server,
    room: Semaphore,
    idle: Mutex<Idle>,
    idle_max: Duration,
}

#[derive(Default)]
struct Idle {
    /// Who became idle last comes last, and is used next.
    connections: Vec<Parked>,
    /// Whether somebody closes those that have been idle for too long.
    is_watched: bool,
}

struct Parked {
    connection: AsyncSmtpConnection,
    since: Instant,
}

struct Server {
    host: String,
    port: u16,
    security: Security,
    /// Who we say we are.
    hello: ClientId,
    credentials: Option<Credentials>,
}

enum Security {
    None,
    /// STARTTLS (RFC 3207) where the server has it.
    Offered(TlsParameters),
    /// STARTTLS, or nothing is sent.
    Required(TlsParameters),
    /// TLS from the first byte on (RFC 8314, section 3.3).
    Wrapped(TlsConnector, ServerName<'static>),
}

impl Pool {
    /// # Errors
    /// When the URL is none that mail servers have.
    pub(super) fn new(url: &str) -> Result<Self, MailError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let server = Server::parse(url, roots, TlsParameters::new)?;
        Ok(Self { server, room: Semaphore::new(CONNECTIONS_MAX), idle: Mutex::default(), idle_max: IDLE })
    }

    /// The server's host and port.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }

    /// Connects, and says goodbye.
    ///
    /// # Errors
    /// When the server does not take us.
    pub(super) async fn greet(&self) -> Result<(), MailError> {
        let connection = tokio::time::timeout(TIMEOUT, self.server.connect()).await??;
        say_goodbye(connection).await;
        Ok(())
    }

    /// # Errors
    /// When the server does not take the mail.
    pub(super) async fn send(self: &Arc<Self>, envelope: &Envelope, mail: &[u8]) -> Result<(), MailError> {
        // Nobody closes it.
        let _room = self.room.acquire().await.ok();
        tokio::time::timeout(TIMEOUT, self.hand_over(envelope, mail)).await?
    }

    async fn hand_over(self: &Arc<Self>, envelope: &Envelope, mail: &[u8]) -> Result<(), MailError> {
        let used = self.idle().connections.pop();
        if let Some(Parked { mut connection, .. }) = used {
            let begun = begin(&mut connection, envelope, mail).await;
            // The server may have closed it while it was idle. It has nothing of the mail then.
            if !begun.as_ref().is_err_and(MailError::says_closed) {
                return self.go_on(connection, begun, envelope, mail).await;
            }
        }
        let mut connection = self.server.connect().await?;
        let begun = begin(&mut connection, envelope, mail).await;
        self.go_on(connection, begun, envelope, mail).await
    }

    async fn go_on(
        self: &Arc<Self>,
        mut connection: AsyncSmtpConnection,
        begun: Result<(), MailError>,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<(), MailError> {
        let taken = match begun {
            Ok(()) => end(&mut connection, envelope, mail).await,
            Err(error) => Err(error),
        };
        let is_free = match &taken {
            Ok(()) => true,
            Err(error) if error.says_closed() => false,
            // What was said of this mail is forgotten, and the connection is good for others.
            Err(_) => matches!(tokio::time::timeout(FAREWELL, connection.command(Rset)).await, Ok(Ok(_))),
        };
        if is_free {
            self.park(connection);
        }
        taken
    }

    fn park(self: &Arc<Self>, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        idle.connections.push(Parked { connection, since: Instant::now() });
        if !std::mem::replace(&mut idle.is_watched, true) {
            tokio::spawn(close_idle(Arc::downgrade(self), self.idle_max));
        }
    }

    /// Those that have been idle for too long, and when to look again, where there are others.
    fn too_old(&self) -> (Vec<Parked>, Option<Duration>) {
        let mut idle = self.idle();
        let old = idle.connections.partition_point(|parked| parked.since.elapsed() >= self.idle_max);
        let old = idle.connections.drain(..old).collect();
        let next = idle.connections.first().map(|parked| self.idle_max.saturating_sub(parked.since.elapsed()));
        idle.is_watched = next.is_some();
        (old, next)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the last of them; who is idle after that starts another.
async fn close_idle(pool: Weak<Pool>, mut wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        let Some((old, next)) = pool.upgrade().map(|pool| pool.too_old()) else { return };
        for parked in old {
            tokio::spawn(say_goodbye(parked.connection));
        }
        match next {
            Some(next) => wait = next,
            None => return,
        }
    }
}

async fn say_goodbye(mut connection: AsyncSmtpConnection) {
    // Whether the server has heard it does not matter.
    drop(tokio::time::timeout(FAREWELL, connection.abort()).await);
}

/// Says from whom a mail comes.
async fn begin(connection: &mut AsyncSmtpConnection, envelope: &Envelope, mail: &[u8]) -> Result<(), MailError> {
    let mut parameters = Vec::new();
    let can = |extension: Extension| match connection.server_info().supports_feature(extension) {
        true => Ok(()),
        false => Err(MailError::Extension(extension)),
    };
    if envelope.from().into_iter().chain(envelope.to()).any(|address| !is_ascii(address)) {
        can(Extension::SmtpUtfEight)?;
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !mail.is_ascii() {
        can(Extension::EightBitMime)?;
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await?;
    Ok(())
}

/// Says to whom it goes, and what stands in it.
async fn end(connection: &mut AsyncSmtpConnection, envelope: &Envelope, mail: &[u8]) -> Result<(), MailError> {
    for to in envelope.to() {
        connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
    }
    connection.command(Data).await?;
    connection.message(mail).await?;
    Ok(())
}

fn is_ascii(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

impl MailError {
    /// Whether the connection is of no use any more.
    fn says_closed(&self) -> bool {
        match self {
            Self::Server(error) => error.status().is_none_or(|code| u16::from(code) == CLOSING),
            _ => false,
        }
    }
}

impl Server {
    /// `starttls` makes what a host's certificate is judged by after STARTTLS.
    fn parse(
        url: &str,
        roots: RootCertStore,
        starttls: impl FnOnce(String) -> Result<TlsParameters, lettre::transport::smtp::Error>,
    ) -> Result<Self, MailError> {
        let unfit = |why: &str| MailError::Url(why.to_owned());
        let url = Url::parse(url).map_err(|error| unfit(&error.to_string()))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(unfit("it names no host"));
        }
        let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let (port, security) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (25, Security::None),
            ("smtp", Some("opportunistic")) => (587, Security::Offered(starttls(host.clone())?)),
            ("smtp", Some("required")) => (587, Security::Required(starttls(host.clone())?)),
            ("smtps", _) => (465, Security::wrapped(&host, roots)?),
            _ => return Err(unfit(URLS)),
        };
        let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(unfit("its user or password is no UTF-8")),
        };
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self { port: url.port().unwrap_or(port), host, security, hello, credentials })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(MailError::Connection)?;
        // A mail is written in several pieces, and each would wait for the server to say that it has the one before.
        stream.set_nodelay(true).map_err(MailError::Connection)?;
        let stream: Box<dyn AsyncTokioStream> = match &self.security {
            Security::Wrapped(connector, name) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(MailError::Connection)?;
                Box::new(Encrypted(stream))
            }
            Security::None | Security::Offered(_) | Security::Required(_) => Box::new(stream),
        };
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await?;
        match &self.security {
            Security::Offered(tls) if connection.can_starttls() => {
                connection.starttls(tls.clone(), &self.hello).await?;
            }
            Security::Required(tls) => connection.starttls(tls.clone(), &self.hello).await?,
            Security::None | Security::Offered(_) | Security::Wrapped(..) => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

impl Security {
    fn wrapped(host: &str, roots: RootCertStore) -> Result<Self, MailError> {
        let unfit = |error: &dyn std::error::Error| MailError::Url(error.to_string());
        let name = ServerName::try_from(host.to_owned()).map_err(|error| unfit(&error))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::Wrapped(TlsConnector::from(Arc::new(config)), name))
    }
}

/// TLS from the first byte on, as a connection takes it.
#[derive(Debug)]
struct Encrypted(TlsStream<TcpStream>);

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
