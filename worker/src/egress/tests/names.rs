//! Which names and addresses are dialled.

use std::{collections::VecDeque, net::IpAddr};

use hickory_resolver::Hosts;
use postrider_core::domain::attempt::AttemptClass;
use tokio::net::UdpSocket;

use super::*;

const TYPE_A: u16 = 1;
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;
const REFUSED_WORDS: Option<&str> = Some("the URL leads to an address that deliveries may not reach");

/// A DNS server (RFC 1035 §4.1) that gives its answers one after another, the last for ever, with a TTL of 0.
struct Dns {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Dns {
    async fn answering(code: u8, answers: &[&[Ipv4Addr]]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut answers: VecDeque<Vec<Ipv4Addr>> = answers.iter().map(|answer| answer.to_vec()).collect();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut query = [0; 512];
            loop {
                let (_, from) = socket.recv_from(&mut query).await.unwrap();
                let question = question(&query);
                let asks_a = question[question.len() - 4..][..2] == TYPE_A.to_be_bytes();
                let records = if asks_a && answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                let records = records.filter(|_| asks_a).unwrap_or_default();
                socket.send_to(&answer(&query, question, code, &records), from).await.unwrap();
            }
        });
        Self { address, _task: task }
    }

    fn client(&self) -> EgressClient {
        let options = EgressOptions { name_servers: vec![self.address], ..EgressOptions::default() };
        let only_receivers = EgressPolicy { allow: vec!["127.0.0.1/32".parse().unwrap()], ports_allowed: Vec::new() };
        EgressClient::with_hosts(only_receivers, &options, Hosts::default()).unwrap()
    }
}

fn question(query: &[u8]) -> &[u8] {
    let labels_end = query[12..].iter().position(|byte| *byte == 0).unwrap();
    &query[12..12 + labels_end + 5]
}

fn answer(query: &[u8], question: &[u8], code: u8, records: &[Ipv4Addr]) -> Vec<u8> {
    let count = u8::try_from(records.len()).unwrap();
    let mut message = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    message.extend(question);
    for record in records {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        message.extend(record.octets());
    }
    message
}

#[tokio::test]
async fn addresses_in_urls_are_judged_before_anything_is_dialled() {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let closed = EgressClient::new(EgressPolicy::default(), &EgressOptions::default()).unwrap();
    let port = receiver.address.port();
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]", "[::]", "0.0.0.0", "localhost"] {
        let exchange = post(&closed, &format!("http://{host}:{port}/"), AMPLE).await;
        assert_eq!(exchange.class, AttemptClass::Egress, "{host}");
        assert_eq!((exchange.tenant_error.as_deref(), exchange.address), (REFUSED_WORDS, None), "{host}");
        assert!(!exchange.error.unwrap().contains("127"), "{host}");
    }
    for url in ["http://169.254.169.254/", "http://168.63.129.16/", "http://10.0.0.1/", "http://127.0.0.1:6379/"] {
        assert_eq!(post(&client(), url, AMPLE).await.class, AttemptClass::Egress, "{url}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_name_is_refused_if_any_of_its_addresses_is() {
    let (open, private) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 7));
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let url = format!("http://hooks.example.com:{}/", receiver.address.port());
    for answers in [&[private][..], &[open, private], &[private, open]] {
        let dns = Dns::answering(NO_ERROR, &[answers]).await;
        let exchange = post(&dns.client(), &url, AMPLE).await;
        assert_eq!((exchange.class, exchange.address), (AttemptClass::Egress, None), "{answers:?}");
        assert_eq!(exchange.error.as_deref(), Some("the name leads to an address that is not a public address"));
        assert_eq!(exchange.tenant_error.as_deref(), REFUSED_WORDS);
    }
    let dns = Dns::answering(NO_ERROR, &[&[open]]).await;
    let exchange = post(&dns.client(), &url, AMPLE).await;
    assert_eq!((exchange.class, exchange.address), (AttemptClass::Succeeded, Some(receiver.address.to_string())));
    let host = format!("host: hooks.example.com:{}", receiver.address.port());
    assert!(receiver.requests().len() == 1 && receiver.requests()[0].contains(&host));
}

#[tokio::test]
async fn a_name_that_turns_to_a_private_address_is_refused_then() {
    let dns = Dns::answering(NO_ERROR, &[&[Ipv4Addr::LOCALHOST], &[Ipv4Addr::new(127, 0, 0, 2)]]).await;
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", true).await;
    let url = format!("http://hooks.example.com:{}/", receiver.address.port());
    let client = dns.client();
    assert_eq!(post(&client, &url, AMPLE).await.class, AttemptClass::Succeeded);
    assert_eq!(post(&client, &url, AMPLE).await.class, AttemptClass::Egress);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn names_without_addresses_and_dns_that_hangs_are_told_apart() {
    let url = "http://hooks.example.com/";
    let dns = Dns::answering(NAME_ERROR, &[]).await;
    let exchange = post(&dns.client(), url, AMPLE).await;
    assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Dns, Some("DNS: the name does not exist")));

    let dns = Dns::answering(NO_ERROR, &[]).await;
    let exchange = post(&dns.client(), url, AMPLE).await;
    assert_eq!((exchange.class, exchange.error.as_deref()), (AttemptClass::Dns, Some("DNS: the name has no address")));

    let mute = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dns = Dns { address: mute.local_addr().unwrap(), _task: JoinSet::new() };
    let exchange = post(&dns.client(), url, SCANT).await;
    assert_eq!(exchange.class, AttemptClass::Timeout);
    assert_eq!(exchange.error.as_deref(), Some("DNS: no answer within 300 ms"));
}

#[tokio::test]
async fn localhost_is_loopback_and_etc_hosts_goes_before_dns() {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let port = receiver.address.port();
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(&b"127.0.0.1 receiver\n10.0.0.7 other.example\n192.0.2.1 localhost\n"[..]).unwrap();
    let mute = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let options = EgressOptions { name_servers: vec![mute.local_addr().unwrap()], ..EgressOptions::default() };
    let client = EgressClient::with_hosts(loopback_allowed(), &options, hosts).unwrap();
    for host in ["localhost", "localhost.", "a.localhost", "receiver", "RECEIVER"] {
        let exchange = post(&client, &format!("http://{host}:{port}/"), AMPLE).await;
        assert_eq!(exchange.class, AttemptClass::Succeeded, "{host}: {:?}", exchange.error);
        assert_eq!(exchange.address.as_deref().map(str::parse), Some(Ok(receiver.address)));
    }
    assert_eq!(post(&client, &format!("http://other.example:{port}/"), AMPLE).await.class, AttemptClass::Egress);
    assert_eq!(receiver.address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
}
