//! `postrider listen`: an integrator's receiver on this machine. It prints each delivery, says whether its signature
//! holds, and misbehaves on request. Knows signatures, but nothing of a server.

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use postrider_core::domain::{
    UnixMs,
    signature::{self, SignedHeaders, SigningSecret},
};

/// Deliveries whose timestamp is further off are refused (Standard Webhooks, "Verifying webhook authenticity").
const TOLERANCE_MS: i64 = 5 * 60 * 1000;
/// More than the largest payload that can be configured; what is larger is answered 413.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Receive deliveries on this machine, print them and check their signatures
///
/// Point an endpoint at http://127.0.0.1:4400/ and give its secret. The server must be allowed to reach this machine:
/// POSTRIDER_EGRESS_ALLOW=127.0.0.0/8. Without --status, --hang or --gone a delivery is answered 200 when its signature
/// holds (or no secret is given), else 401. Ends on Ctrl-C.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4400", conflicts_with = "port")]
    pub(crate) addr: SocketAddr,
    /// Listen on 127.0.0.1 and this port; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// The endpoint's secret; again for each further one. Any of them may have signed
    #[arg(long = "secret", value_name = "whsec_…", env = "POSTRIDER_LISTEN_SECRET", value_delimiter = ',', value_parser = parse_secret, hide_env_values = true)]
    pub(crate) secrets: Vec<SigningSecret>,
    /// Answer every delivery with this status
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(200..=599), conflicts_with_all = ["hang", "gone"])]
    pub(crate) status: Option<u16>,
    /// Read each delivery and never answer it
    #[arg(long, conflicts_with = "gone")]
    pub(crate) hang: bool,
    /// Answer 410, which disables the endpoint
    #[arg(long)]
    pub(crate) gone: bool,
    /// Answer the first N deliveries with 500, then go on as the other options say
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) fail_first: u64,
    /// Wait this long before each answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) delay_ms: u64,
}

/// Listens until Ctrl-C.
///
/// # Errors
/// When the address cannot be bound, or standard output is closed.
pub(crate) async fn run(args: ListenArgs) -> anyhow::Result<()> {
    let addr = args.port.map_or(args.addr, |port| SocketAddr::from(([127, 0, 0, 1], port)));
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}; give another address with --addr or --port"))?;
    let bound = listener.local_addr()?;
    let mut greeting = format!("Listening on http://{bound}/  (Ctrl-C ends)\n");
    if args.secrets.is_empty() {
        greeting.push_str("No --secret is given, so signatures are not checked.\n");
    }
    print(&greeting)?;
    let desk = Arc::new(Desk { args, received: AtomicU64::new(0), printing: Mutex::new(Printing::to_stdout()) });
    let router = Router::new().fallback(receive).with_state(Arc::clone(&desk));
    let serving = axum::serve(listener, router).into_future();
    // Not a graceful end: with --hang it would wait for ever.
    tokio::select! {
        served = serving => served.context("the receiver ended")?,
        stopped = tokio::signal::ctrl_c() => stopped.context("cannot wait for Ctrl-C")?,
    }
    print(&format!("\n{} received.\n", desk.received.load(Ordering::Relaxed)))
}

fn parse_secret(text: &str) -> Result<SigningSecret, signature::SecretError> {
    SigningSecret::parse(text.trim())
}

/// What all deliveries share.
struct Desk {
    args: ListenArgs,
    received: AtomicU64,
    printing: Mutex<Printing>,
}

/// What the delivery's signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Verified,
    /// There is no secret to check with.
    Unchecked,
    Refused(&'static str),
}

async fn receive(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let number = desk.received.fetch_add(1, Ordering::Relaxed) + 1;
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let now = jiff::Timestamp::now();
    let verdict = verdict(&desk.args.secrets, &head.headers, &body, UnixMs(now.as_millisecond()));
    let answer = planned_answer(&desk.args, number, verdict);
    let delivery = Delivery {
        number,
        now,
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body: &body,
        verdict,
        answer,
    };
    if let Ok(mut printing) = desk.printing.lock() {
        // A closed terminal is no reason to stop answering.
        if let Err(error) = printing.delivery(&delivery) {
            tracing::warn!(%error, "cannot print a delivery");
        }
    }
    tokio::time::sleep(Duration::from_millis(desk.args.delay_ms)).await;
    match answer {
        Some(status) => (status, Body::empty()).into_response(),
        None => std::future::pending().await,
    }
}

/// The status to answer with; `None` hangs.
fn planned_answer(args: &ListenArgs, number: u64, verdict: Verdict) -> Option<StatusCode> {
    if number <= args.fail_first {
        return Some(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if args.hang {
        return None;
    }
    if args.gone {
        return Some(StatusCode::GONE);
    }
    // Its bounds were checked as the argument was parsed.
    let told = args.status.and_then(|code| StatusCode::from_u16(code).ok());
    Some(told.unwrap_or(match verdict {
        Verdict::Verified | Verdict::Unchecked => StatusCode::OK,
        Verdict::Refused(_) => StatusCode::UNAUTHORIZED,
    }))
}

fn verdict(secrets: &[SigningSecret], headers: &HeaderMap, body: &[u8], now: UnixMs) -> Verdict {
    if secrets.is_empty() {
        return Verdict::Unchecked;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (Some(id), Some(timestamp), Some(signature)) =
        (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"))
    else {
        return Verdict::Refused("webhook-id, webhook-timestamp or webhook-signature is missing");
    };
    let Ok(sent_s) = timestamp.parse::<i64>() else { return Verdict::Refused("webhook-timestamp is not a number") };
    let signed = SignedHeaders { id, timestamp, signature };
    if !secrets.iter().any(|secret| signature::verify(secret, &signed, body)) {
        return Verdict::Refused("no signature was made with the secret given here over these bytes");
    }
    match now.0.saturating_sub(sent_s.saturating_mul(1000)) {
        age if age > TOLERANCE_MS => Verdict::Refused("signed more than 5 minutes ago"),
        age if age < -TOLERANCE_MS => Verdict::Refused("signed more than 5 minutes in the future; compare the clocks"),
        _ => Verdict::Verified,
    }
}

/// One received request, as it is printed.
struct Delivery<'a> {
    number: u64,
    now: jiff::Timestamp,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: &'a [u8],
    verdict: Verdict,
    answer: Option<StatusCode>,
}

/// Writes deliveries for people, with colours on a terminal.
struct Printing {
    coloured: bool,
}

impl Printing {
    fn to_stdout() -> Self {
        Self { coloured: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn delivery(&mut self, delivery: &Delivery<'_>) -> anyhow::Result<()> {
        print(&self.text_of(delivery))
    }

    fn text_of(&self, delivery: &Delivery<'_>) -> String {
        let verdict = match delivery.verdict {
            Verdict::Verified => self.paint(GREEN, "signature verified"),
            Verdict::Unchecked => self.paint(DIM, "signature not checked (no --secret)"),
            Verdict::Refused(why) => self.paint(RED, &format!("SIGNATURE REFUSED: {why}")),
        };
        let answer = delivery.answer.map_or_else(|| "hanging".to_owned(), |status| format!("answering {status}"));
        let time = delivery.now.strftime("%H:%M:%S%.3f");
        let Delivery { number, method, uri, .. } = delivery;
        let mut text = format!("\n#{number}  {time} UTC  {method} {uri}  {answer}\n{verdict}\n");
        for (name, value) in &delivery.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            text.push_str(&format!("  {}: {}\n", self.paint(DIM, name.as_str()), without_controls(&value)));
        }
        text.push('\n');
        text.push_str(&pretty(delivery.body));
        text.push('\n');
        text
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";

/// The body, indented where it is JSON, with its key order and number forms as they came.
fn pretty(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return without_controls(&String::from_utf8_lossy(body)) };
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() { indented(text) } else { without_controls(text) }
}

/// Indents what is known to be JSON, outside its strings.
fn indented(json: &str) -> String {
    let (mut text, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
    let mut characters = json.chars().filter(|c| *c != '\r').peekable();
    while let Some(c) = characters.next() {
        if in_string {
            text.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\t' | '\n' => {}
            '{' | '[' => {
                text.push(c);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    break_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                break_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ => {
                in_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

/// What a stranger sends must not steer the terminal.
fn without_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn secret() -> SigningSecret {
        SigningSecret::from_random([7; 32])
    }

    fn signed(at: UnixMs, body: &[u8]) -> HeaderMap {
        let headers = signature::sign(&[secret()], "evt_1", at, body);
        let mut map = HeaderMap::new();
        map.insert("webhook-id", headers.id.parse().unwrap());
        map.insert("webhook-timestamp", headers.timestamp.parse().unwrap());
        map.insert("webhook-signature", headers.signature.parse().unwrap());
        map
    }

    #[test]
    fn a_signature_holds_by_its_secret_body_and_time() {
        let other = SigningSecret::from_random([8; 32]);
        let good = signed(NOW, b"1");
        assert_eq!(verdict(&[other.clone(), secret()], &good, b"1", NOW), Verdict::Verified);
        assert_eq!(verdict(&[], &good, b"1", NOW), Verdict::Unchecked);
        assert!(matches!(verdict(&[other], &good, b"1", NOW), Verdict::Refused(_)));
        assert!(matches!(verdict(&[secret()], &good, b"2", NOW), Verdict::Refused(_)));
        assert!(matches!(verdict(&[secret()], &HeaderMap::new(), b"1", NOW), Verdict::Refused(_)));
        for off_ms in [TOLERANCE_MS + 1000, -TOLERANCE_MS - 1000] {
            let off = signed(UnixMs(NOW.0 + off_ms), b"1");
            assert!(matches!(verdict(&[secret()], &off, b"1", NOW), Verdict::Refused(_)), "{off_ms}");
        }
    }

    #[test]
    fn the_answer_is_what_the_options_say() {
        let args = ListenArgs {
            addr: ([127, 0, 0, 1], 0).into(),
            port: None,
            secrets: Vec::new(),
            status: None,
            hang: false,
            gone: false,
            fail_first: 2,
            delay_ms: 0,
        };
        let plan =
            |args: &ListenArgs, number| planned_answer(args, number, Verdict::Verified).map(|status| status.as_u16());
        assert_eq!((plan(&args, 2), plan(&args, 3)), (Some(500), Some(200)));
        assert_eq!(planned_answer(&args, 3, Verdict::Refused("")), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(plan(&ListenArgs { gone: true, ..args.clone() }, 3), Some(410));
        assert_eq!(plan(&ListenArgs { hang: true, ..args.clone() }, 3), None);
        assert_eq!(plan(&ListenArgs { status: Some(503), ..args }, 3), Some(503));
    }

    #[test]
    fn a_body_cannot_steer_the_terminal() {
        assert_eq!(pretty(b"\x1b[2Jgone"), "\u{fffd}[2Jgone");
    }

    #[test]
    fn json_is_indented_and_otherwise_as_it_came() {
        let shown = "{\n  \"b\": 1.0e3,\n  \"a\": [\n    {},\n    \"x\\\"{,\"\n  ]\n}";
        assert_eq!(pretty(br#"{"b":1.0e3, "a" : [{ },"x\"{,"]}"#), shown);
    }
}
