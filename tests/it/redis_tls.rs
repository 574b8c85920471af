//! Redis over TLS with a certificate of a private authority, with a password and a database's number.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{App, PrivateRedis, Receiver, SOON, Stack, free_port};

const PASSWORD: &str = "p@ss/word";

/// An authority of the test's own, and a file that names it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Puts a key and its certificate for localhost into a server's folder, and gives what the server needs to be told.
    fn certify(&self, folder: &Path, port: u16) -> Vec<String> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files =
            [("server.pem", certificate.pem()), ("server.key", key.serialize_pem()), ("ca.pem", self.issuer.pem())];
        let [certificate, key, authority] = files.map(|(name, pem)| {
            fs::write(folder.join(name), pem).unwrap();
            folder.join(name).display().to_string()
        });
        let told = format!(
            "--tls-port {port} --tls-cert-file {certificate} --tls-key-file {key} --tls-ca-cert-file {authority} \
             --tls-auth-clients no --requirepass {PASSWORD}"
        );
        told.split(' ').map(str::to_owned).collect()
    }

    async fn redis(&self) -> (PrivateRedis, String) {
        let port = free_port();
        let redis = PrivateRedis::start_with(|folder| self.certify(folder, port)).await;
        (redis, format!("rediss://:p%40ss%2Fword@localhost:{port}/3"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_a_private_authority_an_event_is_delivered() {
    let authority = Authority::new();
    let ((redis, url), receiver) = (authority.redis().await, Receiver::start().await);
    let builder = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", &url);
    let app = builder.env("POSTRIDER_REDIS_CA_FILE", authority.file().display().to_string()).start().await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.client.publish("a.b", "1").await;
    receiver.wait_for_events("/hook", 1, SOON).await;
    let log_in = ["AUTH", PASSWORD];
    let databases: String = redis.ask_all(&[&log_in, &["INFO", "keyspace"]]).await.unwrap();
    assert!(databases.contains("db3:") && !databases.contains("db0:"), "{databases}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_refused_with_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_redis, url) = authority.redis().await;
    let app = App::start(Stack::Postgres).await;
    let doctor = |ca_file: Option<PathBuf>| {
        let mut doctor = app.command(&["doctor"]);
        doctor.env("POSTRIDER_REDIS_URL", &url);
        ca_file.map(|file| doctor.env("POSTRIDER_REDIS_CA_FILE", file));
        String::from_utf8(doctor.output().unwrap().stdout).unwrap()
    };
    for untrusted in [None, Some(other.file())] {
        let said = doctor(untrusted);
        assert!(
            said.contains("WRONG queue") && said.contains("invalid peer certificate") && said.contains("redis_ca_file"),
            "{said}"
        );
        assert!(!said.contains("p%40ss"), "{said}");
    }
    let said = doctor(Some(authority.file()));
    assert!(said.contains("ok    queue"), "{said}");
    let said = doctor(Some("/dev/null".into()));
    assert!(said.contains("WRONG queue") && said.contains("no certificate is in it"), "{said}");
}
