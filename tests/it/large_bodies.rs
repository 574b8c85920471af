//! A caller that sends far too much is told so, also when it reads no answer before it has sent all.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{ADMIN_TOKEN, App, SOON, Stack};

const BODY_BYTES: usize = 64 * 1024 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// How a body's length is told: by `Content-Length`, or by its chunks.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_64_mib_is_answered_with_413_after_all_of_it_was_written() {
    let app = App::start(Stack::Sqlite).await;
    for framing in [Framing::Length, Framing::Chunks] {
        for extra in ["", "expect: 100-continue\r\n"] {
            let answer = write_then_read(&app, ADMIN_TOKEN, framing, extra).await;
            let (status, problem) = parse(&answer);
            assert_eq!((status, &problem["code"]), (413, &Value::from("body_too_large")), "{framing:?} {extra:?}");
        }
    }
    assert!(app.client.all("/v1/events").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_has_room_for_the_largest_payload_that_is_allowed() {
    const MIB: usize = 1024 * 1024;
    let event = |payload: usize, padding: usize| {
        format!(r#"{{"type": "a.b", "payload": "{}"{}}}"#, "x".repeat(payload - 2), " ".repeat(padding))
    };
    let (small, large) = (App::start(Stack::Sqlite).await, App::builder(Stack::Sqlite));
    let large = large.env("POSTRIDER_PAYLOAD_BYTES_MAX", MIB.to_string()).start().await;
    let post = |app: &App, path: &str, body: String| app.client.post(path).json_text(body);
    post(&large, "/v1/events", event(MIB, 0)).send().await.expect(202);
    let batch = post(&large, "/v1/events/batch", format!(r#"{{"events": [{}]}}"#, event(MIB, 0))).send().await;
    assert_eq!(batch.expect(202).body["data"][0]["status"], 202);
    let over = post(&large, "/v1/events", event(MIB + 1, 0)).send().await;
    over.expect_problem(413, "payload_too_large");
    for (app, limit) in [(&small, MIB), (&large, MIB + 64 * 1024)] {
        let envelope = event(1024, 0).len();
        post(app, "/v1/events", event(1024, limit - envelope)).send().await.expect(202);
        for path in ["/v1/events", "/v1/events/batch", "/v1/endpoints", "/v1/dead-letters/replay"] {
            let refused = post(app, path, event(1024, limit - envelope + 1)).send().await;
            let refused = refused.expect_problem(413, "body_too_large");
            assert!(refused.string("/detail").contains(&format!("may have {limit} bytes")), "{}", refused.text);
        }
    }
    let made = large.client.create_endpoint("https://example.com/", serde_json::json!({})).await;
    for call in ["recover", "rotate-secret"] {
        let refused = post(&large, &format!("/v1/endpoints/{}/{call}", made.id), " ".repeat(MIB + 64 * 1024 + 1));
        refused.send().await.expect_problem(413, "body_too_large");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_reads_no_body_arrives_after_64_mib_were_written() {
    let app = App::start(Stack::Sqlite).await;
    for framing in [Framing::Length, Framing::Chunks] {
        let (status, problem) = parse(&write_then_read(&app, "nobody-s-token", framing, "").await);
        assert_eq!((status, &problem["code"]), (401, &Value::from("token_invalid")), "{framing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_waits_to_be_asked_is_refused_without_sending_its_body() {
    let app = App::start(Stack::Sqlite).await;
    let mut stream = connect(&app).await;
    let head = head(ADMIN_TOKEN, Framing::Length, "expect: 100-continue\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head is written");
    let (status, problem) = parse(&read(&mut stream).await);
    assert_eq!((status, &problem["code"]), (413, &Value::from("body_too_large")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_nobody_closes_do_not_hold_up_the_end_of_the_process() {
    let mut app = App::start(Stack::Sqlite).await;
    let mut refused = connect(&app).await;
    refused.write_all(head(ADMIN_TOKEN, Framing::Length, "").as_bytes()).await.expect("the head is written");
    let mut idle = connect(&app).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: postrider\r\n\r\n").await.expect("a request is written");
    idle.read_u8().await.expect("an answer begins");
    let asked = std::time::Instant::now();
    assert!(app.terminate().await.success());
    assert!(asked.elapsed().as_secs() < 2, "it took {:?}", asked.elapsed());
}

async fn connect(app: &App) -> TcpStream {
    let url = app.url();
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.expect("a connection")
}

fn head(token: &str, framing: Framing, extra: &str) -> String {
    let length = match framing {
        Framing::Length => format!("content-length: {BODY_BYTES}"),
        Framing::Chunks => "transfer-encoding: chunked".to_owned(),
    };
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: postrider\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\n{length}\r\n{extra}\r\n"
    )
}

/// Writes the whole request before it reads a byte, as simple clients do; gives all that was answered.
async fn write_then_read(app: &App, token: &str, framing: Framing, extra: &str) -> String {
    let mut stream = connect(app).await;
    let written = async {
        stream.write_all(head(token, framing, extra).as_bytes()).await?;
        let piece = vec![b' '; PIECE_BYTES];
        for _ in 0..BODY_BYTES / PIECE_BYTES {
            match framing {
                Framing::Length => stream.write_all(&piece).await?,
                Framing::Chunks => {
                    stream.write_all(format!("{PIECE_BYTES:x}\r\n").as_bytes()).await?;
                    stream.write_all(&piece).await?;
                    stream.write_all(b"\r\n").await?;
                }
            }
        }
        stream.flush().await
    };
    let written: std::io::Result<()> = written.await;
    written
        .unwrap_or_else(|error| panic!("{framing:?} {extra:?}: the connection was cut while it was written: {error}"));
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    read.expect("the server closes").unwrap_or_else(|error| panic!("the answer was cut: {error}"));
    String::from_utf8(answer).expect("text")
}

/// The status and body of the last answer; one before it may have asked for the body (`100 Continue`).
fn parse(answer: &str) -> (u16, Value) {
    let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
    let (Some(status), Some(body)) = (status, body) else { panic!("not an answer: {answer:?}") };
    (status, body)
}
