//! The demo: a live system at once, and nothing left of it.

use std::{
    fs::{self, File},
    process::Child,
    sync::{Arc, RwLock},
};

use crate::harness::{ADMIN_TOKEN, Browser, Client, SOON, eventually, postrider, signal};

/// Ends with the test, however that ends.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_lives_fails_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let mut command = postrider(folder.path());
    command.args(["serve", "--demo"]).env("TMPDIR", folder.path());
    command.env("POSTRIDER_LISTEN", "127.0.0.1:0").env("POSTRIDER_ADMIN_TOKEN", ADMIN_TOKEN);
    let mut demo = Demo(command.stdout(File::create(&said).unwrap()).spawn().unwrap());
    let word_after = |words: &str| {
        let text = fs::read_to_string(&said).unwrap();
        let rest = text.split_once(words)?.1.split_once(['\n', ',', ' '])?.0.to_owned();
        Some(rest)
    };
    let started = async || {
        Some((word_after("Health     http://")?, word_after("with the password ")?, word_after("Data       in ")?))
    };
    let (health, password, data) = eventually("it says where it is", SOON, started).await;
    let address = health.trim_end_matches("/readyz").to_owned();
    let mut browser = Browser::at(&format!("http://{address}"));
    browser.send("/sign-in", &[("name", "demo"), ("password", &password)]).await.expect(200, "Overview");
    let client = Client::new(Arc::new(RwLock::new(address)), ADMIN_TOKEN);
    for (what, path) in [
        ("a delivery has succeeded", "/v1/jobs?state=succeeded&kind=webhook.deliver"),
        ("a call has succeeded", "/v1/jobs?state=succeeded&kind=http.request"),
        ("something is retried", "/v1/jobs?state=retrying"),
        ("what the broken receiver failed is dead", "/v1/dead-letters?state=open&status=500"),
    ] {
        eventually(what, SOON, async || Some(client.all(path).await).filter(|rows| !rows.is_empty()).map(drop)).await;
    }
    let failing = async || {
        let endpoints = client.all("/v1/endpoints").await;
        assert_eq!(endpoints.len(), 5);
        endpoints.iter().any(|endpoint| endpoint["state"] == "failing").then_some(())
    };
    eventually("an endpoint is failing", SOON, failing).await;
    browser.open("/t/default/failures").await.expect(200, "HTTP 500");

    assert!(fs::exists(&data).unwrap());
    signal("TERM", demo.0.id());
    let process = std::cell::RefCell::new(&mut demo.0);
    let ended = || {
        let status = process.borrow_mut().try_wait().unwrap();
        async move { status }
    };
    assert!(eventually("it ends", SOON, ended).await.success());
    assert!(!fs::exists(&data).unwrap(), "its folder is removed");
}
