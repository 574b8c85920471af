//! The trace that work belongs to, as W3C Trace Context says it: <https://www.w3.org/TR/trace-context-2/>. Owns what of a
//! caller's headers is believed and how they are written; knows no exporter.

use std::{fmt, str::FromStr};

/// Bytes of a `tracestate` that are passed on; the least that everybody should (§3.3.1.5).
const STATE_BYTES_MAX: usize = 512;
/// Members of a `tracestate`; one with more is not believed (§3.3.1.1).
const STATE_MEMBERS_MAX: usize = 32;
/// Where a `tracestate` is too long, members longer than this go first (§3.3.1.5).
const STATE_MEMBER_BYTES_LONG: usize = 128;
/// The flags that are defined (§3.2.2.5): sampled, and that the trace's id is random. Others are sent as 0.
const SAMPLED: u8 = 0x01;
const KNOWN_FLAGS: u8 = 0x03;

/// A trace's id; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span in its trace; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// A place in a trace: what happens next is a child of its span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    pub span: SpanId,
    flags: u8,
    /// What tracing systems before this one have to say, for those after it.
    state: Option<String>,
}

impl TraceId {
    /// 0 is no id, so the least one stands for it.
    #[must_use]
    pub const fn from_random(bits: u128) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// 0 is no id, so the least one stands for it.
    #[must_use]
    pub const fn from_random(bits: u64) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl TraceContext {
    /// A new trace that is looked at, with its first span.
    #[must_use]
    pub const fn begin(trace: TraceId, span: SpanId) -> Self {
        Self { trace, span, flags: KNOWN_FLAGS, state: None }
    }

    /// The context of a caller's `traceparent` and `tracestate` headers, each as often as it came. `None` where there is
    /// no single `traceparent` that can be read (§3.2); a `tracestate` that cannot be read is left out (§3.3).
    #[must_use]
    pub fn of_headers(parents: &[&str], states: &[&str]) -> Option<Self> {
        let &[parent] = parents else { return None };
        let mut context = parse_parent(parent.trim_matches([' ', '\t']))?;
        context.state = parse_state(states);
        Some(context)
    }

    /// The same place in the trace for what another span does next.
    #[must_use]
    pub fn with_span(&self, span: SpanId) -> Self {
        Self { span, ..self.clone() }
    }

    /// Whether somebody records this trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }

    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The header `traceparent`, in version 00.
    #[must_use]
    pub fn parent_header(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }

    /// The header `tracestate`.
    #[must_use]
    pub fn state_header(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// As it is stored: both headers with a space between them.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parent_header())?;
        self.state.as_ref().map_or(Ok(()), |state| write!(f, " {state}"))
    }
}

impl FromStr for TraceContext {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (parent, state) = text.split_once(' ').map_or((text, None), |(parent, state)| (parent, Some(state)));
        Self::of_headers(&[parent], state.as_slice()).ok_or_else(|| format!("{text:?} is not a trace's context"))
    }
}

/// `version-traceid-parentid-flags` in lower hex. Later versions may go on behind a further dash (§3.2.4).
fn parse_parent(text: &str) -> Option<TraceContext> {
    const LENGTH: usize = 55;
    let (known, rest) = text.as_bytes().split_at_checked(LENGTH)?;
    let known = str::from_utf8(known).ok()?;
    let [version, trace, span, flags] = known.split('-').collect::<Vec<_>>()[..] else { return None };
    let version = hex(version, 2)?;
    let goes_on = matches!(rest, [] | [b'-', ..]);
    if version == 0xff || !goes_on || (version == 0 && !rest.is_empty()) {
        return None;
    }
    let trace = hex(trace, 32).filter(|trace| *trace != 0)?;
    let span = u64::try_from(hex(span, 16)?).ok().filter(|span| *span != 0)?;
    let flags = u8::try_from(hex(flags, 2)?).ok()? & KNOWN_FLAGS;
    Some(TraceContext { trace: TraceId(trace), span: SpanId(span), flags, state: None })
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The members of all headers as one list, shortened to what is passed on.
fn parse_state(headers: &[&str]) -> Option<String> {
    let parts = headers.iter().flat_map(|header| header.split(','));
    let mut members: Vec<&str> =
        parts.map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).collect();
    if members.len() > STATE_MEMBERS_MAX || !members.iter().all(|member| is_member(member)) {
        return None;
    }
    if joined_bytes(&members) > STATE_BYTES_MAX {
        members.retain(|member| member.len() <= STATE_MEMBER_BYTES_LONG);
    }
    while joined_bytes(&members) > STATE_BYTES_MAX {
        members.pop();
    }
    (!members.is_empty()).then(|| members.join(","))
}

fn joined_bytes(members: &[&str]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

/// `key=value` (§3.3.1.3).
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let key_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let begins = key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let one_system = key.matches('@').count() <= 1 && !key.ends_with('@');
    let value_byte = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'=';
    begins
        && one_system
        && key.len() <= 256
        && key.bytes().all(key_byte)
        && (1..=256).contains(&value.len())
        && value.bytes().all(value_byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of_parent(text: &str) -> Option<TraceContext> {
        TraceContext::of_headers(&[text], &[])
    }

    fn state_of(headers: &[&str]) -> Option<String> {
        TraceContext::of_headers(&[PARENT], headers).unwrap().state
    }

    /// The cases of <https://github.com/w3c/trace-context/blob/main/test/test.py>.
    #[test]
    fn a_parent_is_believed_as_the_standard_says() {
        for (text, sampled) in [
            (PARENT.to_owned(), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), false),
            (format!(" \t{PARENT}\t "), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-be-like"), true),
        ] {
            let context = of_parent(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((context.trace.to_string().as_str(), context.is_sampled()), (TRACE, sampled), "{text}");
            assert_eq!(context.span.to_string(), "00f067aa0ba902b7");
        }
        for text in [
            String::new(),
            format!("{PARENT}."),
            format!("{PARENT}-what"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01.what"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!(".0-{TRACE}-00f067aa0ba902b7-01"),
            format!("0-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00-{TRACE}-00f067aa0ba902b-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-.0"),
            format!("00-{TRACE}-00f067aa0ba902b7-0"),
            format!("00_{TRACE}-00f067aa0ba902b7-01"),
            PARENT.replace('4', "٤"),
        ] {
            assert_eq!(of_parent(&text), None, "{text:?}");
        }
        assert_eq!(TraceContext::of_headers(&[PARENT, PARENT], &[]), None, "which of the two?");
        assert_eq!(TraceContext::of_headers(&[], &["a=1"]), None);
    }

    #[test]
    fn flags_that_nobody_knows_are_not_passed_on() {
        let context = of_parent(&format!("00-{TRACE}-00f067aa0ba902b7-ff")).unwrap();
        assert_eq!(context.parent_header(), format!("00-{TRACE}-00f067aa0ba902b7-03"));
        let later = of_parent(&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")).unwrap();
        assert_eq!(later.parent_header(), PARENT);
    }

    #[test]
    fn a_state_is_passed_on_as_the_standard_says() {
        let many = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        for (headers, passed_on) in [
            (vec!["foo=1,bar=2"], Some("foo=1,bar=2")),
            (vec!["foo=1", "bar=2"], Some("foo=1,bar=2")),
            (vec!["foo=1 \t , \t bar=2, \t baz=3", ""], Some("foo=1,bar=2,baz=3")),
            (vec!["foo=1,,foo=1"], Some("foo=1,foo=1")),
            (vec!["tenant@system=a b!~"], Some("tenant@system=a b!~")),
            (vec![""], None),
            (vec!["foo"], None),
            (vec!["foo="], None),
            (vec!["=1"], None),
            (vec!["Foo=1"], None),
            (vec!["foo =1"], None),
            (vec!["foo=1=2"], None),
            (vec!["a@b@c=1"], None),
            (vec!["foo@=1"], None),
            (vec!["foo=ä"], None),
        ] {
            assert_eq!(state_of(&headers).as_deref(), passed_on, "{headers:?}");
        }
        assert_eq!(state_of(&[&many(32)]), Some(many(32)));
        assert_eq!(state_of(&[&many(33)]), None);
    }

    #[test]
    fn a_state_that_is_too_long_loses_its_long_members_then_its_last() {
        let member = |name: &str, bytes: usize| format!("{name}={}", "v".repeat(bytes - name.len() - 1));
        let long = [member("a", 129), member("b", 100), member("c", 200), member("d", 100)];
        assert_eq!(state_of(&[&long.join(",")]), Some([long[1].as_str(), &long[3]].join(",")));
        let short: Vec<String> = ["a", "b", "c", "d", "e"].iter().map(|name| member(name, 120)).collect();
        assert_eq!(state_of(&[&short.join(",")]), Some(short[..4].join(",")));
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back(trace: u128, span: u64, flags in 0u8..4, state in "([a-z]{1,9}=[ -+.-<>-~]{0,9}[a-z],?){0,4}") {
            let begun = TraceContext { flags, ..TraceContext::begin(TraceId::from_random(trace), SpanId::from_random(span)) };
            let context = TraceContext::of_headers(&[&begun.parent_header()], &[&state]).unwrap();
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn any_text_is_read_or_left(parent: String, state: String) {
            prop_assert!(TraceContext::of_headers(&[&parent], &[&state]).is_none());
        }
    }
}
