//! A mail server of the tests' own, and what it sees of connections.

use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const WITHIN: Duration = Duration::from_secs(20);

/// When and how the server speaks TLS.
#[derive(Clone)]
enum Speaks {
    Plain,
    StartTls(TlsAcceptor),
    Tls(TlsAcceptor),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a server does, and what it heard.
#[derive(Default)]
struct Heard {
    /// Of each connection.
    commands: Vec<Vec<String>>,
    open: usize,
    open_max: usize,
}

struct Behaviour {
    speaks: Speaks,
    /// It hangs up after this many mails, which nobody hears of before the next.
    mails_max: usize,
    /// It says so first (RFC 5321, section 3.8).
    says_so: bool,
    /// It takes no mail before this is set.
    is_open: AtomicBool,
}

struct MailServer {
    port: u16,
    heard: Arc<Mutex<Heard>>,
    behaviour: Arc<Behaviour>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { speaks: Speaks::Plain, mails_max: usize::MAX, says_so: false, is_open: AtomicBool::new(true) }
    }
}

impl MailServer {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, behaviour) = (Arc::new(Mutex::new(Heard::default())), Arc::new(behaviour));
        let (all, acts) = (Arc::clone(&heard), Arc::clone(&behaviour));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, behaviour) = (Arc::clone(&all), Arc::clone(&acts));
                tokio::spawn(async move {
                    let number = {
                        let mut heard = heard.lock().unwrap();
                        heard.open += 1;
                        heard.open_max = heard.open_max.max(heard.open);
                        heard.commands.push(Vec::new());
                        heard.commands.len() - 1
                    };
                    drop(serve(stream, &heard, number, &behaviour).await);
                    heard.lock().unwrap().open -= 1;
                });
            }
        });
        Self { port, heard, behaviour }
    }

    fn pool(&self) -> Arc<Pool> {
        Arc::new(Pool::new(&format!("smtp://127.0.0.1:{}", self.port)).unwrap())
    }

    /// The first words of what was said on each connection.
    fn commands(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let word = |line: &String| line.split([' ', ':']).next().unwrap_or_default().to_owned();
        heard.commands.iter().map(|lines| lines.iter().map(word).collect::<Vec<_>>().join(" ")).collect()
    }
}

async fn serve(stream: TcpStream, heard: &Mutex<Heard>, number: usize, behaviour: &Behaviour) -> io::Result<()> {
    let mut stream: BufReader<Box<dyn Stream>> = BufReader::new(match &behaviour.speaks {
        Speaks::Tls(acceptor) => Box::new(acceptor.accept(stream).await?),
        Speaks::Plain | Speaks::StartTls(_) => Box::new(stream),
    });
    let (mut line, mut mails, mut encrypted) = (String::new(), 0, false);
    stream.write_all(b"220 ready\r\n").await?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let said = line.trim_end().to_owned();
        heard.lock().unwrap().commands[number].push(said.clone());
        if said.starts_with("MAIL") {
            while !behaviour.is_open.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        }
        let answer = match said.split([' ', ':']).next().unwrap_or_default() {
            "MAIL" if mails >= behaviour.mails_max && behaviour.says_so => {
                stream.write_all(b"421 too long\r\n").await?;
                return Ok(());
            }
            "EHLO" if matches!(behaviour.speaks, Speaks::StartTls(_)) && !encrypted => "250-me\r\n250 STARTTLS\r\n",
            "EHLO" => "250-me\r\n250 AUTH PLAIN\r\n",
            "RCPT" if said.contains("gone@") => "550 5.1.1 no such mailbox\r\n",
            "RCPT" if said.contains("poison@") => return Ok(()),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                while line != ".\r\n" {
                    line.clear();
                    if stream.read_line(&mut line).await? == 0 {
                        return Ok(());
                    }
                }
                mails += 1;
                if mails == behaviour.mails_max && !behaviour.says_so {
                    return stream.write_all(b"250 taken\r\n").await;
                }
                "250 taken\r\n"
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            "STARTTLS" => {
                let Speaks::StartTls(acceptor) = &behaviour.speaks else { return Ok(()) };
                stream.write_all(b"220 go on\r\n").await?;
                stream = BufReader::new(Box::new(acceptor.accept(stream.into_inner()).await?));
                encrypted = true;
                continue;
            }
            "AUTH" => "235 fine\r\n",
            _ => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

fn envelope(to: &str) -> Envelope {
    Envelope::new(Some("a@x.example".parse().unwrap()), vec![to.parse().unwrap()]).unwrap()
}

async fn sent(pool: &Arc<Pool>, to: &str) -> Result<(), MailError> {
    pool.send(&envelope(to), b"Subject: x\r\n\r\nx\r\n").await
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(WITHIN, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within {WITHIN:?}: {what}"));
}

#[tokio::test]
async fn mails_share_a_connection_and_nothing_is_asked_between_them() {
    let server = MailServer::start(Behaviour::default()).await;
    let pool = server.pool();
    for to in ["b@x.example", "c@x.example", "d@x.example"] {
        sent(&pool, to).await.unwrap();
    }
    assert_eq!(server.commands(), ["EHLO MAIL RCPT DATA MAIL RCPT DATA MAIL RCPT DATA"]);
}

#[tokio::test]
async fn a_mail_that_meets_a_connection_that_was_closed_goes_by_another() {
    for says_so in [false, true] {
        let server = MailServer::start(Behaviour { mails_max: 1, says_so, ..Behaviour::default() }).await;
        let pool = server.pool();
        for to in ["b@x.example", "c@x.example", "d@x.example"] {
            sent(&pool, to).await.unwrap();
            let is_closed = || server.heard.lock().unwrap().open == 0;
            if !says_so {
                eventually("the server has hung up", is_closed).await;
            }
        }
        let datas = server.commands().concat().matches("DATA").count();
        assert_eq!((server.commands().len(), datas), (3, 3), "{:?}", server.commands());
    }
}

#[tokio::test]
async fn a_mail_is_tried_once_where_the_server_hangs_up_at_it() {
    let server = MailServer::start(Behaviour::default()).await;
    let pool = server.pool();
    sent(&pool, "b@x.example").await.unwrap();
    let error = sent(&pool, "poison@x.example").await.unwrap_err();
    assert_eq!((error.status(), error.obstacle()), (None, crate::mail::Obstacle::Server));
    assert_eq!(server.commands(), ["EHLO MAIL RCPT DATA MAIL RCPT"]);
    sent(&pool, "c@x.example").await.unwrap();
    assert_eq!(server.commands().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_of_one_mail_and_the_connection_is_good_for_others() {
    let server = MailServer::start(Behaviour::default()).await;
    let pool = server.pool();
    let error = sent(&pool, "gone@x.example").await.unwrap_err();
    assert_eq!((error.status(), error.obstacle()), (Some(550), crate::mail::Obstacle::Mailbox));
    let error = sent(&pool, "ü@x.example").await.unwrap_err();
    assert_eq!((error.status(), error.obstacle()), (None, crate::mail::Obstacle::Lasting));
    sent(&pool, "b@x.example").await.unwrap();
    assert_eq!(server.commands(), ["EHLO MAIL RCPT RSET RSET MAIL RCPT DATA"]);
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed_with_a_goodbye() {
    let server = MailServer::start(Behaviour::default()).await;
    let mut pool = Pool::new(&format!("smtp://127.0.0.1:{}", server.port)).unwrap();
    pool.idle_max = Duration::from_millis(50);
    let pool = Arc::new(pool);
    for round in 1..=2 {
        sent(&pool, "b@x.example").await.unwrap();
        let quits = || server.commands().concat().matches("QUIT").count();
        eventually("the connection is closed", || quits() == round).await;
    }
    assert_eq!(server.commands(), ["EHLO MAIL RCPT DATA QUIT"; 2]);
}

#[tokio::test]
async fn no_more_connections_are_open_than_there_may_be() {
    let server = MailServer::start(Behaviour { is_open: AtomicBool::new(false), ..Behaviour::default() }).await;
    let pool = server.pool();
    let all: Vec<_> = (0..80)
        .map(|n| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { sent(&pool, &format!("r{n}@x.example")).await })
        })
        .collect();
    let waiting = || server.commands().iter().filter(|said| said.ends_with("MAIL")).count();
    eventually("as many wait as may", || waiting() == CONNECTIONS_MAX).await;
    server.behaviour.is_open.store(true, Ordering::Relaxed);
    for one in all {
        one.await.unwrap().unwrap();
    }
    let datas = server.commands().concat().matches("DATA").count();
    let open_max = server.heard.lock().unwrap().open_max;
    assert_eq!((open_max, datas), (CONNECTIONS_MAX, 80));
}

/// Certificates for `localhost`, of an authority that is made here.
fn authority() -> (Vec<u8>, TlsAcceptor) {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (authority.der().to_vec(), TlsAcceptor::from(Arc::new(config)))
}

fn believing(authority: &[u8], url: &str) -> Arc<Pool> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.to_vec().into()).unwrap();
    let starttls = |host| {
        let certificate = lettre::transport::smtp::client::Certificate::from_der(authority.to_vec()).unwrap();
        TlsParameters::builder(host).add_root_certificate(certificate).build()
    };
    Arc::new(Pool { server: Server::parse(url, roots, starttls).unwrap(), ..Pool::new(url).unwrap() })
}

#[tokio::test]
async fn mail_goes_by_tls_to_whom_its_certificate_is_believed_and_to_nobody_else() {
    drop(ring::default_provider().install_default());
    let (authority, acceptor) = authority();
    for (speaks, scheme, query, said) in [
        (Speaks::Tls(acceptor.clone()), "smtps", "", "EHLO AUTH MAIL RCPT DATA"),
        (Speaks::StartTls(acceptor.clone()), "smtp", "?tls=required", "EHLO STARTTLS EHLO AUTH MAIL RCPT DATA"),
        (Speaks::StartTls(acceptor), "smtp", "?tls=opportunistic", "EHLO STARTTLS EHLO AUTH MAIL RCPT DATA"),
        (Speaks::Plain, "smtp", "?tls=opportunistic", "EHLO AUTH MAIL RCPT DATA"),
    ] {
        let is_plain = matches!(speaks, Speaks::Plain);
        let server = MailServer::start(Behaviour { speaks, ..Behaviour::default() }).await;
        let url = |host: &str| format!("{scheme}://us%40x:s%2Fcret@{host}:{}/me.example{query}", server.port);
        sent(&believing(&authority, &url("localhost")), "b@x.example").await.unwrap();
        assert_eq!(server.commands(), [said]);
        let first = server.heard.lock().unwrap().commands[0].clone();
        // NUL us@x NUL s/cret (RFC 4616).
        assert!(first.contains(&"AUTH PLAIN AHVzQHgAcy9jcmV0".to_owned()), "{first:?}");
        assert!(first.contains(&"EHLO me.example".to_owned()), "{first:?}");
        if is_plain {
            continue;
        }
        // One whose authority nobody knows, and one that is for another host.
        for pool in [Arc::new(Pool::new(&url("localhost")).unwrap()), believing(&authority, &url("127.0.0.1"))] {
            let error = sent(&pool, "b@x.example").await.unwrap_err();
            assert!(error.to_string().contains("certificate"), "{error}");
            assert_eq!(error.obstacle(), crate::mail::Obstacle::Server);
        }
        assert!(server.commands()[1..].iter().all(|said| !said.contains("AUTH")), "{:?}", server.commands());
    }
}

#[tokio::test]
async fn without_tls_where_it_is_required_nothing_is_said() {
    let server = MailServer::start(Behaviour::default()).await;
    let pool = Arc::new(Pool::new(&format!("smtp://u:p@localhost:{}?tls=required", server.port)).unwrap());
    sent(&pool, "b@x.example").await.unwrap_err();
    assert_eq!(server.commands(), ["EHLO"]);
}

#[test]
fn a_url_is_one_of_a_mail_server() {
    let place = |url: &str| Pool::new(url).map(|pool| pool.place());
    for (url, expected) in [
        ("smtp://mail.example", "mail.example:25"),
        ("smtp://mail.example?tls=required", "mail.example:587"),
        ("smtp://u:p@mail.example:2525?tls=opportunistic", "mail.example:2525"),
        ("smtps://mail.example", "mail.example:465"),
        ("smtp://[::1]:25", "::1:25"),
    ] {
        assert_eq!(place(url).unwrap(), expected, "{url}");
    }
    for url in ["smtp://", "http://mail.example", "smtp://mail.example?tls=maybe", "smtps://u:%ff@mail.example"] {
        assert!(matches!(place(url), Err(MailError::Url(_))), "{url}");
    }
}
