//! Verifies deliveries with the official `standardwebhooks` package of PyPI, so that our signatures do not only agree
//! with ourselves.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::harness::Recorded;

/// Reads `{secret, headers, body, any_time}` from stdin; exits 0 when the signature holds, 3 with the reason when not.
/// `any_time` sets the package's clock to the request's own timestamp, for vectors from the past.
const SCRIPT: &str = r#"
import base64, datetime, json, sys
import standardwebhooks.webhooks as package

request = json.load(sys.stdin)
headers = request["headers"]
if request["any_time"]:
    then = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=datetime.timezone.utc)
    class Then(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return then
    package.datetime = Then
try:
    package.Webhook(request["secret"]).verify(base64.b64decode(request["body"]), headers)
except package.WebhookVerificationError as error:
    print(error)
    sys.exit(3)
"#;

/// That the official package accepts this delivery by this secret, its timestamp included.
#[track_caller]
pub(crate) fn assert_verifies(request: &Recorded, secret: &str) {
    if let Err(reason) = verify(request, secret, false) {
        panic!("standardwebhooks refuses the delivery: {reason}\n{request:#?}");
    }
}

/// That the official package refuses this delivery by this secret.
#[track_caller]
pub(crate) fn assert_refuses(request: &Recorded, secret: &str) {
    assert!(!verifies(request, secret), "standardwebhooks accepts a foreign secret\n{request:#?}");
}

/// Whether the official package accepts this delivery by this secret.
pub(crate) fn verifies(request: &Recorded, secret: &str) -> bool {
    verify(request, secret, false).is_ok()
}

/// `Err` has the package's reason. Panics when Python itself fails, so that this is never taken for a verdict.
fn verify(request: &Recorded, secret: &str, any_time: bool) -> Result<(), String> {
    let python = std::env::var("POSTRIDER_TEST_PYTHON")
        .expect("POSTRIDER_TEST_PYTHON is not set: run the tests with tests/run, which prepares it");
    let headers: serde_json::Map<_, _> =
        request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let body = STANDARD.encode(&request.body);
    let input = json!({ "secret": secret, "headers": headers, "body": body, "any_time": any_time }).to_string();
    let mut process = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tests' Python starts");
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = process.wait_with_output().unwrap();
    match ended.status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(String::from_utf8_lossy(&ended.stdout).trim().to_owned()),
        _ => panic!("the tests' Python failed: {}", String::from_utf8_lossy(&ended.stderr)),
    }
}

const VECTOR_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The example of the Standard Webhooks specification.
fn vector() -> Recorded {
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    Recorded {
        at: std::time::Instant::now(),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: br#"{"test": 2432232314}"#.to_vec(),
    }
}

#[test]
fn the_official_package_accepts_the_specification_s_example() {
    assert_eq!(verify(&vector(), VECTOR_SECRET, true), Ok(()));
}

#[test]
fn the_official_package_refuses_another_body_secret_and_time() {
    let changed = Recorded { body: br#"{"test": 2432232315}"#.to_vec(), ..vector() };
    verify(&changed, VECTOR_SECRET, true).unwrap_err();
    verify(&vector(), "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true).unwrap_err();
    verify(&vector(), VECTOR_SECRET, false).unwrap_err();
}
