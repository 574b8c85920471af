//! Whom the client believes.

use std::path::PathBuf;

use hyper::{Request, Response, Version, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_core::domain::attempt::AttemptClass;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority of the test's own, and a file that names it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = std::env::temp_dir().join(format!("postrider-{}-{test}.pem", std::process::id()));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    fn client(&self) -> EgressClient {
        let options = EgressOptions { ca_file: Some(self.file.clone()), ..EgressOptions::default() };
        EgressClient::new(loopback_allowed(), &options).unwrap()
    }

    /// What a receiver needs to speak TLS as `name` until `year`.
    fn acceptor(&self, name: &str, year: i32, protocol: &str) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// A receiver with a certificate for `name` that ends in `year`.
    async fn receiver(&self, name: &str, year: i32) -> Receiver {
        let acceptor = self.acceptor(name, year, "http/1.1");
        Receiver::start(move |stream, requests| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                read_request(&mut stream).await;
                requests.lock().unwrap().push(name);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        })
        .await
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).unwrap();
    }
}

fn https(receiver: &Receiver) -> String {
    format!("https://localhost:{}/", receiver.address.port())
}

#[tokio::test]
async fn a_receiver_is_believed_by_an_authority_in_the_file_and_by_the_urls_name() {
    let authority = Authority::new("believed");
    let receiver = authority.receiver("localhost", 4000).await;
    let exchange = post(&authority.client(), &https(&receiver), AMPLE).await;
    assert_eq!(exchange.class, AttemptClass::Succeeded, "{:?}", exchange.error);
    assert_eq!(receiver.requests(), ["localhost"]);
}

#[tokio::test]
async fn http_2_is_spoken_where_the_receiver_offers_it() {
    async fn answer(request: Request<Incoming>) -> Result<Response<String>, hyper::Error> {
        assert_eq!((request.version(), request.uri().host()), (Version::HTTP_2, Some("localhost")));
        Ok(Response::builder().status(503).header("retry-after", "5").body("x".repeat(5000)).unwrap())
    }
    let authority = Authority::new("http2");
    let acceptor = authority.acceptor("localhost", 4000, "h2");
    let receiver = Receiver::start(move |stream, requests| {
        let acceptor = acceptor.clone();
        async move {
            let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
            requests.lock().unwrap().push("a connection".to_owned());
            http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service_fn(answer)).await.unwrap();
        }
    })
    .await;
    let client = authority.client();
    for _ in 0..3 {
        let exchange = post(&client, &https(&receiver), AMPLE).await;
        assert_eq!(exchange.error.as_deref(), Some("HTTP 503 Service Unavailable"));
        assert_eq!(exchange.retry_after, Some(Duration::from_secs(5)));
        assert_eq!(exchange.response_body, Some(vec![b'x'; 4096]));
    }
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn certificates_that_do_not_hold_are_told_apart() {
    let authority = Authority::new("apart");
    let good = authority.receiver("localhost", 4000).await;
    let old = authority.receiver("localhost", 2020).await;
    let other = authority.receiver("example.com", 4000).await;
    let believing = authority.client();
    for (client, receiver, words) in [
        (&client(), &good, "TLS: the certificate's issuer is unknown"),
        (&believing, &old, "TLS: the certificate has expired"),
        (&believing, &other, "TLS: the certificate is for another name"),
    ] {
        let exchange = post(client, &https(receiver), AMPLE).await;
        assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Tls, Some(words)));
        assert_eq!(exchange.address, Some(receiver.address.to_string()));
        assert!(receiver.requests().is_empty());
    }
}

#[tokio::test]
async fn a_receiver_without_tls_is_told_from_one_that_hangs_up() {
    let plain = Receiver::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let exchange = post(&client(), &https(&plain), AMPLE).await;
    let words = Some("TLS: the receiver does not speak TLS");
    assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Tls, words));

    let curt = Receiver::start(|mut stream, _| async move {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
        stream.read_exact(&mut rest).await.unwrap();
    })
    .await;
    let exchange = post(&client(), &https(&curt), AMPLE).await;
    let words = Some("TLS: the connection closed during the handshake");
    assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Tls, words));
}

#[test]
fn a_file_without_authorities_is_refused_by_name() {
    let options = EgressOptions { ca_file: Some("/dev/null".into()), ..EgressOptions::default() };
    let error = EgressClient::new(EgressPolicy::default(), &options).unwrap_err();
    assert!(error.to_string().contains("/dev/null"), "{error}");
}
