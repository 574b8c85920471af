//! What is said to push services, and what their answers mean. Pushes to real receivers are among the integration tests.

use postrider_core::domain::retry::RETRY_AFTER_MAX;

use super::*;

fn answered(status: Option<u16>, class: AttemptClass) -> Exchange {
    Exchange {
        status_code: status,
        class,
        error: Some("the operator's words".to_owned()),
        tenant_error: Some("the tenant's words".to_owned()),
        response_body: Some(b"why".to_vec()),
        address: Some("192.0.2.1:443".to_owned()),
        retry_after: Some(Duration::from_secs(7)),
        duration: Duration::from_millis(12),
        starved: false,
    }
}

#[test]
fn an_answer_means_accepted_gone_later_or_never() {
    let end = |status| end_of(answered(Some(status), AttemptClass::HttpStatus), UnixMs(5), true);
    for accepted in [200, 201, 202, 204] {
        assert_eq!(end(accepted), PushEnd::Accepted, "{accepted}");
    }
    for gone in [404, 410] {
        assert_eq!(end(gone), PushEnd::Gone, "{gone}");
    }
    for later in [408, 429, 500, 502, 503, 504, 599] {
        let after = Some(Duration::from_secs(7));
        assert!(matches!(end(later), PushEnd::Retry { after: asked, .. } if asked == after), "{later}");
    }
    for never in [301, 307, 400, 401, 403, 405, 406, 413, 415, 422] {
        assert!(matches!(end(never), PushEnd::Refused { .. }), "{never}");
    }
    // That its body did not end takes nothing back.
    assert_eq!(end_of(answered(Some(201), AttemptClass::Timeout), UnixMs(5), true), PushEnd::Accepted);
}

#[test]
fn who_does_not_answer_is_asked_again_but_not_where_nobody_may_be_asked() {
    let end = |class| end_of(answered(None, class), UnixMs(5), true);
    for class in AttemptClass::ALL {
        let may_answer_later = !matches!(class, AttemptClass::Egress | AttemptClass::Invalid);
        assert_eq!(matches!(end(class), PushEnd::Retry { .. }), may_answer_later, "{class}");
    }
    let PushEnd::Refused { report } = end(AttemptClass::Egress) else { panic!("refused") };
    assert_eq!((report.address, report.error.as_str()), (None, "the tenant's words"));
}

#[test]
fn a_refusal_says_what_is_to_be_done() {
    let told =
        |status, has_subject| match end_of(answered(Some(status), AttemptClass::HttpStatus), UnixMs(5), has_subject) {
            PushEnd::Refused { report } => report.error,
            other => panic!("{other:?}"),
        };
    for (status, has_subject, words) in [
        (401, true, "subscribe again"),
        (403, true, "subscribe again"),
        (403, false, "PUT /v1/push"),
        (400, false, "PUT /v1/push"),
        (400, true, "its answer says why"),
        (413, true, "shorten"),
    ] {
        let told = told(status, has_subject);
        assert!(told.starts_with("the tenant's words: ") && told.contains(words), "{status}: {told}");
    }
    assert_eq!(told(418, true), "the tenant's words");
}

#[test]
fn a_report_has_what_attempts_keep() {
    let end = end_of(answered(Some(503), AttemptClass::HttpStatus), UnixMs(5), true);
    let PushEnd::Retry { report, .. } = end else { panic!("{end:?}") };
    let attempt = report.attempt("a-worker");
    assert_eq!((attempt.started_at, attempt.duration_ms, attempt.status_code), (UnixMs(5), 12, Some(503)));
    assert_eq!((attempt.worker.as_str(), attempt.response_body.as_deref()), ("a-worker", Some(b"why".as_slice())));
    assert!(attempt.retry_after.is_some_and(|after| after <= RETRY_AFTER_MAX));
}

#[test]
fn a_text_that_no_push_service_takes_is_refused_before_it_is_sent() {
    let message = |bytes| PushMessage::new(&[b'x'; 4_000][..bytes], Duration::ZERO, Urgency::High).map(drop);
    assert_eq!(message(0), Ok(()));
    assert_eq!(message(PUSH_TEXT_BYTES_MAX), Ok(()));
    assert_eq!(message(PUSH_TEXT_BYTES_MAX + 1), Err(PushTooLarge { bytes: 3_994 }));
}

#[test]
fn a_push_says_how_urgent_it_is_for_how_long_and_what_it_replaces() {
    let topic = "upd".parse().unwrap();
    let message = PushMessage::new(b"x", Duration::from_secs(60), Urgency::Low).unwrap();
    let headers = message.clone().with_topic(&topic).headers("vapid t=a, k=b");
    let expected = [
        ("authorization", "vapid t=a, k=b"),
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
        ("urgency", "low"),
        ("topic", "upd"),
        ("ttl", "60"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(!message.headers("").iter().any(|(name, _)| name == "topic"));
    let longest = PushMessage::new(b"x", Duration::MAX, Urgency::Normal).unwrap().headers("");
    assert_eq!(longest.last().map(|(_, value)| value.as_str()), Some("2419200"));
}
