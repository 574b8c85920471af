//! A mail server of others (aiosmtpd of PyPI), and what Python's own parser reads in what it took.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::{eventually, from_test_run};

/// Takes all mail but for some: whose local part begins with `gone`, `policy` or `full`, and the first to one with `later`. Hangs up
/// on who writes to one with `poison`.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, sys
from aiosmtpd.smtp import SMTP

late = set()

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name.startswith("poison"):
            server.transport.abort()
            return "421 bye"
        if name.startswith("gone"):
            return "550 5.1.1 no such mailbox here"
        if name.startswith("policy"):
            return "550 5.7.1 you may not send to anybody here"
        if name.startswith("full"):
            return "452 4.2.2 the mailbox is full"
        if name.startswith("later") and name not in late:
            late.add(name)
            return "451 4.7.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        def part(kind):
            found = mail.get_body(preferencelist=(kind,))
            return found and found.get_content()
        print(json.dumps({
            "to": envelope.rcpt_tos, "from": mail["From"], "header_to": mail["To"], "subject": mail["Subject"],
            "id": mail["Message-ID"], "date": mail["Date"], "unsubscribe": mail["List-Unsubscribe"],
            "unsubscribe_post": mail["List-Unsubscribe-Post"], "text": part("plain"), "html": part("html"),
            "defects": [repr(defect) for defect in mail.defects], "raw": envelope.content.decode(),
        }), flush=True)
        return "250 taken"

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="mail.example", loop=loop), "127.0.0.1", int(sys.argv[1]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

/// Reads `{name, text, mail}` from stdin, and prints whether the mail is signed with the key that DNS has in `text` under `name`.
const VERIFIER: &str = r#"
import json, sys
import dkim

given = json.load(sys.stdin)
def dns(name, timeout=5):
    return given["text"].encode() if name == given["name"].encode() else None
json.dump(dkim.verify(given["mail"].encode(), dnsfunc=dns), sys.stdout)
"#;

/// Makes a private key in each of these files, as OpenSSL writes them: RSA in both of its forms, and Ed25519.
const KEYS: &str = r#"
import sys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

formats = serialization.PrivateFormat
for path, key, form in [
    (sys.argv[1], rsa.generate_private_key(65537, 2048), formats.PKCS8),
    (sys.argv[2], rsa.generate_private_key(65537, 2048), formats.TraditionalOpenSSL),
    (sys.argv[3], ed25519.Ed25519PrivateKey.generate(), formats.PKCS8),
    (sys.argv[4], rsa.generate_private_key(65537, 1024), formats.PKCS8),
]:
    with open(path, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
"#;

/// Private keys for signatures: RSA of 2048 bits twice, Ed25519, and RSA of 1024 bits, which is too short.
pub(crate) fn private_keys(folder: &Path) -> [PathBuf; 4] {
    let files = ["rsa.pem", "rsa1.pem", "ed25519.pem", "short.pem"].map(|name| folder.join(name));
    let status = Command::new(from_test_run("POSTRIDER_TEST_PYTHON")).args(["-c", KEYS]).args(&files).status();
    assert!(status.expect("Python starts").success());
    files
}

/// Whether dkimpy of PyPI finds a mail signed, where DNS has a text under a name.
pub(crate) fn is_signed(mail: &str, name: &str, text: &str) -> bool {
    let mut process = Command::new(from_test_run("POSTRIDER_TEST_PYTHON"))
        .args(["-c", VERIFIER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let given = json!({ "name": name, "text": text, "mail": mail }).to_string();
    process.stdin.take().expect("its input").write_all(given.as_bytes()).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("true or false")
}

/// A running mail server; it stops when dropped.
pub(crate) struct SmtpServer {
    port: u16,
    process: Child,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl SmtpServer {
    pub(crate) fn start() -> Self {
        Self::at(0, Arc::default())
    }

    /// What it took so far is kept.
    fn at(port: u16, mails: Arc<Mutex<Vec<Value>>>) -> Self {
        let python = from_test_run("POSTRIDER_TEST_PYTHON");
        let mut command = Command::new(python);
        command.args(["-c", SERVER, &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("Python starts");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().expect("its output")));
        let port = lines.next().expect("it says its port").expect("it says its port").parse().expect("a port");
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).expect("a mail as JSON"));
            }
        });
        Self { port, process, mails }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// It is gone, and what it took is known.
    pub(crate) fn stop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// It is there again, where it was.
    pub(crate) fn restart(&mut self) {
        let again = Self::at(self.port, Arc::clone(&self.mails));
        *self = again;
    }

    pub(crate) fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// To whom mail came, in order.
    pub(crate) fn readers(&self) -> Vec<String> {
        let mut readers: Vec<String> =
            self.mails().iter().map(|mail| mail["to"][0].as_str().unwrap().to_owned()).collect();
        readers.sort_unstable();
        readers
    }

    /// Waits for a mail to somebody.
    pub(crate) async fn mail_to(&self, address: &str, within: Duration) -> Value {
        let found = || async { self.mails().into_iter().find(|mail| mail["to"][0] == address) };
        eventually("the mail comes", within, found).await
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.stop();
    }
}
