//! Pushes to a push service on a real socket: what a browser reads of them, and what the service's answers come to.

use std::time::Duration;

use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        egress::{EgressPolicy, EndpointUrl},
        notification_type::Urgency,
        push::{PUSH_TEXT_BYTES_MAX, PushKeys, PushSubscription, parse_auth},
        tenant::Tenant,
        vapid::VapidKey,
    },
    store::{Cipher, Store, StoreOptions},
};
use postrider_worker::{
    egress::{EgressClient, EgressOptions},
    push::{PushEnd, PushMessage, PushSender},
};
use tempfile::TempDir;

use crate::harness::{Database, PushBrowser, Receiver, SOON, Script, Stack, eventually, install_tls_provider};

on_both_stacks!(
    a_browser_reads_what_was_pushed_to_it_and_by_whom,
    an_answer_says_whether_to_try_again,
    a_token_serves_for_many_pushes_until_another_key_is_set,
    nothing_is_pushed_to_where_nobody_may_be_reached_nor_after_the_end,
);

const HOUR: Duration = Duration::from_secs(3600);

struct Pushing {
    store: Store,
    tenant: Id<Tenant>,
    sender: PushSender,
    database: Database,
    _data: TempDir,
}

impl Pushing {
    async fn start(stack: Stack, allow: &[&str]) -> Self {
        install_tls_provider();
        let data = tempfile::tempdir().unwrap();
        let database = Database::make(stack, data.path()).await;
        let cipher = Cipher::parse(&Cipher::key_text([7; 32])).unwrap();
        let url = database.url().to_owned();
        let options = StoreOptions { url, cipher, node: "test".to_owned(), connections_max: 4 };
        let store = Store::open(&options).await.unwrap();
        let tenant = store.default_tenant(UnixMs::now()).await.unwrap().id;
        let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
        let policy = EgressPolicy { allow, ports_allowed: Vec::new() };
        let sender = PushSender::new(store.clone(), EgressClient::new(policy, &EgressOptions::default()).unwrap());
        Self { store, tenant, sender, database, _data: data }
    }

    fn subscription(&self, browser: &PushBrowser, url: &str) -> PushSubscription {
        let said = browser.subscription(url);
        let key = |name: &str| said["keys"][name].as_str().unwrap().to_owned();
        PushSubscription {
            id: Id::new(),
            tenant_id: self.tenant,
            recipient_id: Id::new(),
            endpoint: EndpointUrl::stored(url.to_owned()),
            keys: PushKeys::new(key("p256dh").parse().unwrap(), parse_auth(&key("auth")).unwrap()),
            expires_at: None,
            created_at: UnixMs(0),
            updated_at: UnixMs(0),
        }
    }

    async fn push(&self, to: &PushSubscription, text: &[u8]) -> PushEnd {
        self.sender.push(to, &PushMessage::new(text, HOUR, Urgency::Normal).unwrap()).await
    }
}

async fn a_browser_reads_what_was_pushed_to_it_and_by_whom(stack: Stack) {
    let (at, service) = (Pushing::start(stack, &["127.0.0.0/8"]).await, Receiver::start().await);
    let subject = "mailto:ops@example.com".parse().unwrap();
    let vapid = at.store.tenant(at.tenant).put_vapid(Some(&subject), None, UnixMs::now()).await.unwrap();
    service.always("/b", Script::status(201));
    let (browser, other) = (PushBrowser::new(5), PushBrowser::new(6));
    let to = at.subscription(&browser, &service.url("/b"));
    let longest = "ü".repeat(PUSH_TEXT_BYTES_MAX / 2) + "!";
    let texts = ["", "{\"title\":\"Zoë\"}", &longest];
    let topic = Id::<Tenant>::new().to_string().parse().unwrap();
    for text in texts {
        let message = PushMessage::new(text.as_bytes(), HOUR, Urgency::High).unwrap().with_topic(&topic);
        assert_eq!(at.sender.push(&to, &message).await, PushEnd::Accepted);
    }
    let requests = service.requests("/b");
    for (request, text) in requests.iter().zip(texts) {
        assert!(request.method == "POST" && request.body.len() <= 4_096, "{} bytes", request.body.len());
        let expected = [
            ("ttl", "3600"),
            ("urgency", "high"),
            ("topic", topic.as_str()),
            ("content-encoding", "aes128gcm"),
            ("content-type", "application/octet-stream"),
        ];
        for (name, value) in expected {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        let read = browser.read(request);
        assert_eq!(String::from_utf8(read.text).unwrap(), text);
        assert_eq!(
            (read.key, read.claims["sub"].as_str()),
            (vapid.key.public().to_string(), Some("mailto:ops@example.com"))
        );
        assert_eq!(read.claims["aud"], service.url(""));
        let left_s = read.claims["exp"].as_i64().unwrap() - UnixMs::now().0 / 1000;
        assert!((6 * 3600..=24 * 3600).contains(&left_s), "{left_s}");
        other.try_read(request).unwrap_err();
    }
    assert_eq!(requests.len(), texts.len());
}

async fn an_answer_says_whether_to_try_again(stack: Stack) {
    let (at, service) = (Pushing::start(stack, &["127.0.0.0/8"]).await, Receiver::start().await);
    let to = at.subscription(&PushBrowser::new(7), &service.url("/b"));
    service.always("/elsewhere", Script::status(201));
    let end = async |script: Script| {
        service.always("/b", script);
        at.push(&to, b"x").await
    };
    assert_eq!(end(Script::status(201)).await, PushEnd::Accepted);
    for status in [404, 410] {
        assert_eq!(end(Script::status(status)).await, PushEnd::Gone);
    }
    let PushEnd::Retry { after, report } = end(Script::status(429).with_header("retry-after", "17")).await else {
        panic!("it is tried again")
    };
    assert_eq!((after, report.status_code), (Some(Duration::from_secs(17)), Some(429)));
    assert_eq!(
        (report.class, report.response_body.as_deref()),
        (AttemptClass::HttpStatus, Some(b"answer 429".as_slice()))
    );
    assert!(report.address.is_some() && report.error.starts_with("HTTP 429"), "{report:?}");
    for script in [Script::status(503), Script::Close] {
        assert!(matches!(end(script).await, PushEnd::Retry { after: None, .. }));
    }
    for status in [400, 401, 403, 413] {
        let PushEnd::Refused { report } = end(Script::status(status)).await else { panic!("{status} is refused") };
        assert!(report.error.starts_with(&format!("HTTP {status}")) && report.error.contains(": "), "{}", report.error);
        assert_eq!(report.attempt("w").status_code, Some(status));
    }
    let redirect = end(Script::redirect(&service.url("/elsewhere"))).await;
    assert!(matches!(&redirect, PushEnd::Refused { report } if report.class == AttemptClass::Redirect), "{redirect:?}");
    assert!(service.requests("/elsewhere").is_empty());
}

async fn a_token_serves_for_many_pushes_until_another_key_is_set(stack: Stack) {
    let (at, service) = (Pushing::start(stack, &["127.0.0.0/8"]).await, Receiver::start().await);
    let elsewhere = Receiver::start().await;
    let browser = PushBrowser::new(8);
    let (to, there) = (at.subscription(&browser, &service.url("/b")), at.subscription(&browser, &elsewhere.url("/b")));
    for to in [&to, &to, &there] {
        assert_eq!(at.push(to, b"x").await, PushEnd::Accepted);
    }
    let last = || service.requests("/b").pop().unwrap().header("authorization").unwrap().to_owned();
    let before = last();
    assert_eq!(service.requests("/b")[0].header("authorization"), Some(before.as_str()), "signed once");
    let read = browser.read(&elsewhere.requests("/b")[0]);
    assert_eq!((read.claims["aud"].as_str(), read.claims.get("sub")), (Some(elsewhere.url("").as_str()), None));
    // Another process sets another key.
    let key = VapidKey::from_private([9; 32]).unwrap();
    let cipher = Cipher::parse(&Cipher::key_text([7; 32])).unwrap();
    let url = at.database.url().to_owned();
    let options = StoreOptions { url, cipher, node: "other".to_owned(), connections_max: 2 };
    let other = Store::open(&options).await.unwrap();
    other.tenant(at.tenant).put_vapid(None, Some(&key), UnixMs::now()).await.unwrap();
    let signed = || async {
        assert_eq!(at.push(&to, b"x").await, PushEnd::Accepted);
        (last() != before).then(|| service.requests("/b").pop().unwrap())
    };
    let request = eventually("a push is signed with the new key", SOON, signed).await;
    assert_eq!(browser.read(&request).key, key.public().to_string());
}

async fn nothing_is_pushed_to_where_nobody_may_be_reached_nor_after_the_end(stack: Stack) {
    let (at, service) = (Pushing::start(stack, &[]).await, Receiver::start().await);
    let to = at.subscription(&PushBrowser::new(9), &service.url("/b"));
    let PushEnd::Refused { report } = at.push(&to, b"x").await else { panic!("it is refused") };
    assert_eq!((report.class, report.address), (AttemptClass::Egress, None));
    let over = PushSubscription { expires_at: Some(UnixMs::now()), ..to };
    assert_eq!(at.push(&over, b"x").await, PushEnd::Gone);
    assert_eq!(service.connections(), 0);
}
