//! Events: what a product publishes, and how endpoints' filters match them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Id, UnixMs, id::Identified, tenant::Tenant};

const TYPE_BYTES_MAX: usize = 128;
const OWN_ID_BYTES_MAX: usize = 128;

/// One published event. Its payload is kept as the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: Id<Event>,
    pub tenant_id: Id<Tenant>,
    /// The publisher's own id for it.
    pub own_id: Option<OwnId>,
    pub kind: EventType,
    pub channels: Vec<Channel>,
    /// `None` once retention has removed it.
    pub payload: Option<Vec<u8>>,
    pub deliver_at: UnixMs,
    pub created_at: UnixMs,
}

impl Identified for Event {
    const PREFIX: &'static str = "evt";
}

impl Event {
    /// The id that the product and its receivers see (`webhook-id`): its own if it gave one.
    #[must_use]
    pub fn public_id(&self) -> String {
        public_id(self.id, self.own_id.as_ref().map(OwnId::as_str))
    }
}

/// See [`Event::public_id`].
#[must_use]
pub fn public_id(id: Id<Event>, own_id: Option<&str>) -> String {
    own_id.map_or_else(|| id.to_string(), str::to_owned)
}

macro_rules! token_text {
    ($(#[$doc:meta])* $name:ident, $error:ident, $max:expr, $extra:expr, $upper:expr, $message:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                let known = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || $extra.contains(&byte) || ($upper && byte.is_ascii_uppercase())
                };
                let fits = (1..=$max).contains(&text.len()) && text.bytes().all(known);
                if fits { Ok(Self(text.to_owned())) } else { Err($error) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

token_text!(
    /// What happened, for example `invoice.paid`.
    EventType, EventTypeError, TYPE_BYTES_MAX, b"_.-", false,
    "an event type is 1 to 128 characters of a-z, 0-9, _ . and -"
);
impl EventType {
    /// Of what tells an endpoint's owner whether it works, and of nothing that happened.
    #[must_use]
    pub fn of_test() -> Self {
        Self("postrider.test".to_owned())
    }
}

token_text!(
    /// A publisher's own id of an event; the same id again within the retention is the same event.
    OwnId, OwnIdError, OWN_ID_BYTES_MAX, b"_.:-", true,
    "an event's own id is 1 to 128 characters of A-Z, a-z, 0-9, _ . : and -"
);
token_text!(
    /// A further dimension to filter by, for example a project or a region.
    Channel, ChannelError, TYPE_BYTES_MAX, b"_.:-", true,
    "a channel is 1 to 128 characters of A-Z, a-z, 0-9, _ . : and -"
);

/// One entry of an endpoint's filter: a type, or all types below a prefix (`invoice.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TypePattern {
    Exactly(EventType),
    /// With its trailing dot; empty for `*`.
    Below(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event type filter is an event type, one ending in .* or * alone")]
pub struct TypePatternError;

impl TypePattern {
    #[must_use]
    pub fn matches(&self, kind: &EventType) -> bool {
        match self {
            Self::Exactly(exact) => exact == kind,
            Self::Below(prefix) => kind.as_str().starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for TypePattern {
    type Err = TypePatternError;
    fn from_str(text: &str) -> Result<Self, TypePatternError> {
        if text == "*" {
            return Ok(Self::Below(String::new()));
        }
        let parsed = |text: &str| text.parse::<EventType>().map_err(|_| TypePatternError);
        match text.strip_suffix(".*") {
            Some(prefix) => parsed(prefix).map(|kind| Self::Below(format!("{kind}."))),
            None => parsed(text).map(Self::Exactly),
        }
    }
}

impl TryFrom<String> for TypePattern {
    type Error = TypePatternError;
    fn try_from(text: String) -> Result<Self, TypePatternError> {
        text.parse()
    }
}

impl From<TypePattern> for String {
    fn from(pattern: TypePattern) -> Self {
        match pattern {
            TypePattern::Exactly(kind) => kind.into(),
            TypePattern::Below(prefix) => format!("{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_exactly_or_below_a_prefix() {
        for (pattern, kind, matches) in [
            ("invoice.paid", "invoice.paid", true),
            ("invoice.paid", "invoice.paid.late", false),
            ("invoice.*", "invoice.paid", true),
            ("invoice.*", "invoice", false),
            ("invoice.*", "invoices.paid", false),
            ("*", "anything", true),
        ] {
            let pattern: TypePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&kind.parse().unwrap()), matches, "{pattern:?} {kind}");
        }
        assert!("inv*".parse::<TypePattern>().is_err());
        assert!("".parse::<TypePattern>().is_err());
    }

    #[test]
    fn an_event_type_keeps_to_its_alphabet() {
        for (text, fits) in [("a.b_c-1", true), ("A", false), ("a b", false), ("", false), ("é", false)] {
            assert_eq!(text.parse::<EventType>().is_ok(), fits, "{text}");
        }
        assert!("a".repeat(129).parse::<EventType>().is_err());
    }
}
