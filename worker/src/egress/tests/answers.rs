//! What becomes of each kind of answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use postrider_core::domain::attempt::AttemptClass;

use super::*;

async fn sent_to(answer: impl Into<Vec<u8>>) -> Exchange {
    let receiver = Receiver::answering(answer, true).await;
    post(&client(), &receiver.url(), AMPLE).await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_given_and_nothing_is_added_to_it() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false).await;
    let url = EndpointUrl::stored(format!("http://localhost:{}/a?b=c", receiver.address.port()));
    let headers = [("webhook-id".to_owned(), "evt_1".to_owned()), ("content-type".to_owned(), "text/x".to_owned())];
    let call = Call { method: "PUT", url: &url, headers: &headers, body: Bytes::from_static(b"body"), timeout: AMPLE };
    let exchange = client().send(call).await;
    assert_eq!(exchange.class, AttemptClass::Succeeded);
    assert_eq!((exchange.status_code, exchange.error, exchange.tenant_error), (Some(200), None, None));
    assert_eq!(exchange.response_body.as_deref(), Some(&b"ok"[..]));
    assert_eq!(exchange.address, Some(receiver.address.to_string()));
    let mut lines: Vec<_> = receiver.requests()[0].lines().map(str::to_owned).collect();
    lines.sort();
    let host = format!("host: localhost:{}", receiver.address.port());
    let agent = concat!("user-agent: Postrider/", env!("CARGO_PKG_VERSION"));
    let expected =
        ["", "PUT /a?b=c HTTP/1.1", "accept: */*", "body", "content-length: 4", "content-type: text/x", &host, agent];
    assert_eq!(lines[..8], expected);
    assert_eq!(lines[8..], ["webhook-id: evt_1"]);
}

#[tokio::test]
async fn a_status_that_is_no_success_is_told_in_stable_words() {
    for (status, class, words) in [
        ("500 Whatever", AttemptClass::HttpStatus, "HTTP 500 Internal Server Error"),
        ("404 x", AttemptClass::HttpStatus, "HTTP 404 Not Found"),
        ("410 Gone", AttemptClass::HttpStatus, "HTTP 410 Gone"),
        ("599 x", AttemptClass::HttpStatus, "HTTP 599"),
        ("304 x", AttemptClass::Redirect, "HTTP 304 Not Modified: redirects are not followed"),
    ] {
        let exchange = sent_to(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((exchange.class, exchange.error.as_deref()), (class, Some(words)));
        assert_eq!((exchange.tenant_error.as_deref(), exchange.response_body), (Some(words), None));
    }
}

#[tokio::test]
async fn retry_after_is_heard_on_429_and_503_only() {
    for (status, asked) in [(429, true), (503, true), (500, false), (301, false), (200, false)] {
        let exchange = sent_to(format!("HTTP/1.1 {status} x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(exchange.retry_after, asked.then_some(Duration::from_secs(7)), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_to_metadata_is_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering(answer, false).await;
    let exchange = post(&client(), &receiver.url(), AMPLE).await;
    assert_eq!((exchange.class, exchange.status_code), (AttemptClass::Redirect, Some(302)));
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_came() {
    let bomb = b"\x1f\x8b\x08not really gzip";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let exchange = sent_to([head.as_bytes(), bomb].concat()).await;
    assert_eq!(exchange.class, AttemptClass::Succeeded);
    assert_eq!(exchange.response_body.as_deref(), Some(&bomb[..]));
}

#[tokio::test]
async fn reading_an_endless_body_stops_and_the_status_counts() {
    let endless = |status: &'static str| {
        Receiver::start(move |mut stream, _| async move {
            read_request(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        })
    };
    let exchange = post(&client(), &endless("200 OK").await.url(), AMPLE).await;
    assert_eq!(exchange.class, AttemptClass::Succeeded);
    assert_eq!(exchange.response_body, Some(vec![b'x'; 4096]));
    let exchange = post(&client(), &endless("500 x").await.url(), AMPLE).await;
    assert_eq!(exchange.class, AttemptClass::HttpStatus);
}

#[tokio::test]
async fn a_body_that_drips_past_the_deadline_spoils_a_success_but_no_failure() {
    let dripping = |status: &'static str| {
        Receiver::start(move |mut stream, _| async move {
            read_request(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\ndrip").as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
    };
    let exchange = post(&client(), &dripping("200 OK").await.url(), SCANT).await;
    assert_eq!((exchange.class, exchange.status_code), (AttemptClass::Timeout, Some(200)));
    assert_eq!(exchange.error.as_deref(), Some("the answer did not end within 300 ms"));
    assert_eq!(exchange.response_body.as_deref(), Some(&b"drip"[..]));
    let exchange = post(&client(), &dripping("410 Gone").await.url(), SCANT).await;
    assert_eq!((exchange.class, exchange.status_code), (AttemptClass::HttpStatus, Some(410)));
}

#[tokio::test]
async fn a_receiver_that_hangs_is_left_at_the_deadline() {
    let receiver = Receiver::hanging().await;
    let exchange = post(&client(), &receiver.url(), SCANT).await;
    assert_eq!((exchange.class, exchange.status_code), (AttemptClass::Timeout, None));
    assert_eq!(exchange.error.as_deref(), Some("no answer within 300 ms"));
    assert_eq!(exchange.address, Some(receiver.address.to_string()));
    assert!(exchange.duration >= SCANT);
}

#[tokio::test]
async fn provisional_answers_without_end_are_left_at_the_deadline() {
    let receiver = Receiver::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {}
    })
    .await;
    let exchange = post(&client(), &receiver.url(), SCANT).await;
    assert_eq!((exchange.class, exchange.status_code), (AttemptClass::Timeout, None));
}

#[tokio::test]
async fn a_body_that_is_never_taken_is_left_at_the_deadline() {
    let receiver = Receiver::hanging().await;
    let url = EndpointUrl::stored(receiver.url());
    let body = Bytes::from(vec![b'x'; 64 << 20]);
    let call = Call { method: "POST", url: &url, headers: &[], body, timeout: SCANT };
    assert_eq!(client().send(call).await.class, AttemptClass::Timeout);
}

#[tokio::test]
async fn connections_that_fail_are_told_apart() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let exchange = post(&client(), &format!("http://{free}/"), AMPLE).await;
    assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Connect, Some("connection refused")));
    assert_eq!(exchange.address, Some(free.to_string()));

    let exchange = sent_to("").await;
    let words = Some("connection closed before an answer");
    assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Connect, words));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_success() {
    let exchange = sent_to("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!((exchange.class, exchange.status_code), (AttemptClass::Protocol, Some(200)));
    assert_eq!(exchange.error.as_deref(), Some("the answer broke off"));
    let exchange = sent_to("HTTP/1.1 503 x\r\nretry-after: 9\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!((exchange.class, exchange.retry_after), (AttemptClass::HttpStatus, Some(Duration::from_secs(9))));
}

#[tokio::test]
async fn what_is_not_http_or_has_ten_thousand_headers_is_refused() {
    let headers = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let broad = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n");
    for answer in [broad.as_str(), "SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"] {
        let exchange = sent_to(answer).await;
        assert_eq!(exchange.class, AttemptClass::Protocol, "{:?}", exchange.error);
        assert!(exchange.error.unwrap().starts_with("the answer is not HTTP: "));
    }
}

#[tokio::test]
async fn http_1_0_is_understood() {
    let exchange = sent_to("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    assert_eq!(exchange.class, AttemptClass::Succeeded);
    assert_eq!(exchange.response_body.as_deref(), Some(&b"until the end"[..]));
}

#[tokio::test]
async fn connections_are_used_again_and_a_closed_one_costs_no_call() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let receiver = Receiver::start(|mut stream, requests| async move {
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        for _ in 0..2 {
            let Some(request) = read_request(&mut stream).await else { return };
            requests.lock().unwrap().push(request);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let client = client();
    for _ in 0..20 {
        assert_eq!(post(&client, &receiver.url(), AMPLE).await.class, AttemptClass::Succeeded);
    }
    assert_eq!(receiver.requests().len(), 20);
    assert!(CONNECTIONS.load(Ordering::Relaxed) >= 10);
}

#[tokio::test]
async fn what_cannot_be_sent_is_invalid() {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let client = client();
    let url = EndpointUrl::stored(receiver.url());
    for (method, name, value) in [
        ("CONNECT", "x", "y"),
        ("get", "x", "y"),
        ("POST", "Host", "elsewhere"),
        ("POST", "transfer-encoding", "chunked"),
        ("POST", "content-length", "1"),
        ("POST", "a b", "y"),
        ("POST", "x", "a\r\nb: c"),
    ] {
        let headers = [(name.to_owned(), value.to_owned())];
        let call = Call { method, url: &url, headers: &headers, body: Bytes::new(), timeout: AMPLE };
        assert_eq!(client.send(call).await.class, AttemptClass::Invalid, "{method} {name}");
    }
    assert_eq!(post(&client, "gopher://example.com/", AMPLE).await.class, AttemptClass::Invalid);
    assert!(receiver.requests().is_empty());
}
