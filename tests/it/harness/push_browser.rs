//! A browser's side of web push: its keys, and what it reads of a push, by `http-ece` and `py-vapid` of PyPI. So what is pushed does
//! not only agree with ourselves.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use postrider_core::domain::vapid::VapidKey;
use serde_json::{Value, json};

use super::{Recorded, from_test_run};

/// Reads `{private, auth, body, authorization}` from stdin, and prints the text and the claims of whoever pushed it. Fails where the
/// text cannot be read, or the token is not signed with the key that is named. The package looks for parts without spaces between.
const READER: &str = r#"
import base64, json, sys
import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

given = json.load(sys.stdin)
private, auth, body = (base64.b64decode(given[name]) for name in ("private", "auth", "body"))
private = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
text = http_ece.decrypt(body, private_key=private, auth_secret=auth, version="aes128gcm")
authorization = given["authorization"].replace(", ", ",")
assert Vapid02.verify(authorization), "the signature is another's"
scheme, parameters = authorization.split(" ")
parameters = dict(parameter.split("=", 1) for parameter in parameters.split(","))
head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parameters["t"].split(".")[:2])
json.dump({"text": base64.b64encode(text).decode(), "head": head, "claims": claims, "key": parameters["k"]}, sys.stdout)
"#;

/// A browser's keys.
pub(crate) struct PushBrowser {
    private: [u8; 32],
    auth: [u8; 16],
}

/// What a browser reads of a push.
#[derive(Debug)]
pub(crate) struct ReadPush {
    pub(crate) text: Vec<u8>,
    /// Of the token that says who pushed it.
    pub(crate) claims: Value,
    /// The public key with which the token is signed.
    pub(crate) key: String,
}

impl PushBrowser {
    /// One of some whose keys are not those of the others.
    pub(crate) fn new(n: u8) -> Self {
        Self { private: [n; 32], auth: [n ^ 255; 16] }
    }

    /// What its `PushSubscription.toJSON()` says.
    pub(crate) fn subscription(&self, endpoint: &str) -> Value {
        let public = VapidKey::from_private(self.private).expect("a private key").public().to_string();
        let keys = json!({ "p256dh": public, "auth": URL_SAFE_NO_PAD.encode(self.auth) });
        json!({ "endpoint": endpoint, "expirationTime": null, "keys": keys })
    }

    /// What came with this request, which no other browser can read.
    #[track_caller]
    pub(crate) fn read(&self, request: &Recorded) -> ReadPush {
        self.try_read(request).unwrap_or_else(|why| panic!("{why}\n{request:#?}"))
    }

    pub(crate) fn try_read(&self, request: &Recorded) -> Result<ReadPush, String> {
        let [private, auth, body] =
            [self.private.as_slice(), &self.auth, &request.body].map(|bytes| STANDARD.encode(bytes));
        let authorization = request.header("authorization").unwrap_or_default();
        let input = json!({ "private": private, "auth": auth, "body": body, "authorization": authorization });
        let mut process = Command::new(from_test_run("POSTRIDER_TEST_PYTHON"))
            .args(["-c", READER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tests' Python starts");
        process.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        let ended = process.wait_with_output().unwrap();
        if !ended.status.success() {
            return Err(String::from_utf8_lossy(&ended.stderr).into_owned());
        }
        let seen: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
        assert_eq!(seen["head"], json!({ "typ": "JWT", "alg": "ES256" }));
        let text = |name: &str| seen[name].as_str().expect("a text").to_owned();
        Ok(ReadPush { text: STANDARD.decode(text("text")).unwrap(), claims: seen["claims"].clone(), key: text("key") })
    }
}
