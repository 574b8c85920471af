//! Mails are signed, as a verifier of others sees them.

use std::{os::unix::fs::PermissionsExt, path::Path};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    App, SOON, SmtpServer, Stack, bad, is_signed,
    notifying::{a_mail_type, a_reader, notified, planned},
    postrider, private_keys,
};

on_both_stacks!(mails_are_signed_as_others_verify_them);

/// What a signature covers at least.
const COVERED: [&str; 9] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "list-unsubscribe",
    "list-unsubscribe-post",
];

/// What the doctor says that DNS has to have: its name, and its text.
fn record(app: &App) -> (String, String) {
    let said = String::from_utf8(app.shell(&["doctor"]).stdout).unwrap();
    assert!(said.lines().any(|line| line.starts_with("ok    e-mail ")), "{said}");
    let line = said.lines().find(|line| line.starts_with("ok    DKIM ")).unwrap_or_else(|| panic!("{said}"));
    let (name, text) = line.split_once(" TXT ").unwrap();
    let name = name.rsplit(' ').next().unwrap().to_owned();
    (name, text.split('"').skip(1).step_by(2).collect())
}

async fn mails_are_signed_as_others_verify_them(stack: Stack) {
    let server = SmtpServer::start();
    let keys = tempfile::tempdir().unwrap();
    let [rsa, old, ed25519, _] = private_keys(keys.path());
    let mut app = App::builder(stack)
        .env("POSTRIDER_SMTP_URL", server.url())
        .env("POSTRIDER_SMTP_FROM", "news@product.example")
        .env("POSTRIDER_PUBLIC_URL", "https://postrider.example")
        .env("POSTRIDER_DKIM_SELECTOR", "one")
        .env("POSTRIDER_DKIM_KEY_FILE", rsa.to_str().unwrap())
        .start()
        .await;
    std::fs::set_permissions(app.folder(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let kind = json!({ "category": "social", "default_locale": "en", "sample": { "who": "Anna" }, "channels": { "email": {
        "templates": { "en": { "subject": "{{ data.who }} posted  {{ data.who }}", "text": "Hello  {{ data.who }} \n\n\n.\nBye\n\n" } } } } });
    app.client.call(Method::PUT, "/v1/notification-types/plain").json(&kind).send().await;
    a_mail_type(&app.client).await;
    for (number, key) in [rsa, old, ed25519].iter().enumerate() {
        if number > 0 {
            app.terminate().await;
            app.restart_with("POSTRIDER_DKIM_KEY_FILE", key.to_str().unwrap()).await;
        }
        let (name, text) = record(&app);
        assert_eq!(name, "one._domainkey.product.example.");
        // With HTML and without.
        for kind in ["mail", "plain"] {
            let to = format!("{kind}{number}");
            a_reader(&app.client, &to, &format!("{to}@x.example")).await;
            let who = "Zoë, ".repeat(40);
            let body = json!({ "type": kind, "recipients": [to], "data": { "who": who } });
            planned(&app.client, &notified(&app.client, body).await).await;
            let mail = server.mail_to(&format!("{to}@x.example"), SOON).await;
            verify(&mail, &name, &text, key);
        }
    }
    app.terminate().await;
    app.restart_with("POSTRIDER_DKIM_DOMAIN", "example.com").await;
    assert_eq!(record(&app).0, "one._domainkey.example.com.");
}

fn verify(mail: &Value, name: &str, text: &str, key: &Path) {
    let raw = mail["raw"].as_str().unwrap();
    assert!(is_signed(raw, name, text), "{} with {}: {raw}", key.display(), text);
    let signature = raw.split_once("h=").unwrap().1.split_once(';').unwrap().0;
    let covered: Vec<&str> = signature.split(':').collect();
    assert!(COVERED.iter().all(|header| covered.contains(header)), "{signature}");
    assert!(raw.lines().all(|line| line.len() <= 998), "{raw}");
    // It is of what was sent, and nothing else.
    for (was, is) in [
        ("List-Unsubscribe: <https://postrider.example/", "List-Unsubscribe: <https://other.example/"),
        ("List-Unsubscribe-Post: ", "List-Unsubscribe-Post: x"),
        ("From: news", "From: old"),
        ("\r\n\r\n", "\r\n\r\nx"),
        ("DKIM-Signature", "From: a@b.example\r\nDKIM-Signature"),
    ] {
        let changed = raw.replacen(was, is, 1);
        assert!(changed != raw && !is_signed(&changed, name, text), "{was} in {raw}");
    }
}

#[test]
fn a_key_that_mails_cannot_be_signed_with_ends_the_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let [rsa, _, _, short] = private_keys(folder.path());
    let none = folder.path().join("none.pem");
    std::fs::write(&none, "no key").unwrap();
    let with = |variables: &[(&str, &str)], command: &str| {
        let mut postrider = postrider(folder.path());
        postrider
            .arg(command)
            .env("POSTRIDER_SMTP_URL", "smtp://127.0.0.1:1")
            .env("POSTRIDER_SMTP_FROM", "n@p.example");
        postrider.envs(variables.iter().copied()).output().unwrap()
    };
    let gone = folder.path().join("gone.pem");
    for (file, why) in [(&short, "TooSmall"), (&none, "no items found"), (&gone, "No such file")] {
        let file = file.to_str().unwrap();
        let variables = [("POSTRIDER_DKIM_KEY_FILE", file), ("POSTRIDER_DKIM_SELECTOR", "one")];
        let doctor = String::from_utf8(with(&variables, "doctor").stdout).unwrap();
        let doctor = doctor.lines().find(|line| line.starts_with("WRONG e-mail ")).unwrap_or_default().to_owned();
        for said in [bad(with(&variables, "serve")), doctor] {
            for words in [file, "dkim_key_file", why, "openssl genrsa"] {
                assert!(said.contains(words), "{words} in {said}");
            }
        }
    }
    let rsa = rsa.to_str().unwrap();
    for (variables, words) in [
        (vec![("POSTRIDER_DKIM_KEY_FILE", rsa)], "dkim_selector together"),
        (vec![("POSTRIDER_DKIM_DOMAIN", "p.example")], "dkim_domain"),
        (vec![("POSTRIDER_DKIM_KEY_FILE", rsa), ("POSTRIDER_DKIM_SELECTOR", "a b")], "dkim_selector"),
    ] {
        let said = bad(with(&variables, "serve"));
        assert!(said.contains(words), "{words} in {said}");
    }
}
