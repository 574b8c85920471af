//! Recipients: people whom a product tells things, and what it has said of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Id, UnixMs, email::EmailAddress, id::Identified, line::is_unseen, locale::Locale, preferences::Preferences,
    quiet_hours::QuietHours, site::zone::Zone,
};

/// Characters of a key.
pub const KEY_CHARS_MAX: usize = 255;
/// Bytes of a recipient's attributes as JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 4 * 1024;
/// Characters of an attribute's name.
const ATTRIBUTE_NAME_CHARS_MAX: usize = 64;
/// What stands where a key does in a path of the API, and what clients take out of paths.
const RESERVED: [&str; 4] = [".", "..", "batch", "import"];

/// What a product calls somebody: 1 to 255 visible characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecipientKey(String);

/// Why a text is no key of a recipient or topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    #[error("a key has 1 to {KEY_CHARS_MAX} visible characters, and no spaces")]
    Invisible,
    #[error("\".\", \"..\", \"batch\" and \"import\" stand for something else in paths, so they are no keys")]
    Reserved,
}

/// A person as they are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipient {
    pub id: Id<Recipient>,
    pub key: RecipientKey,
    pub email: Option<Email>,
    pub profile: Profile,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

/// A person as a product hands them in: all that is kept of them but what is known of their address.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecipient {
    pub key: RecipientKey,
    pub email: Option<NewEmail>,
    pub profile: Profile,
}

/// What is known of a person but their address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub locale: Option<Locale>,
    pub time_zone: Option<Zone>,
    pub preferences: Preferences,
    pub quiet_hours: Option<QuietHours>,
    pub attributes: Attributes,
}

/// An e-mail address, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    pub address: EmailAddress,
    pub state: EmailState,
}

/// An e-mail address as it is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEmail {
    pub address: EmailAddress,
    /// `None`: nothing is said, so what is known of the same address stays.
    pub state: Option<EmailState>,
}

/// Whether an address may be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailState {
    /// Nobody has shown that it is theirs.
    Unverified,
    Verified,
    /// Nothing is sent to it, for this reason.
    Suppressed(String),
}

/// What else a product says of somebody: names with a text, a number or a truth value each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(Map<String, Value>);

/// Why an object is none of attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributesRefused {
    #[error("the attribute {0:?} is neither a text, a number, true nor false; attributes are not nested")]
    Nested(String),
    #[error(
        "an attribute's name has 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters and no control characters; {0:?} has not"
    )]
    Name(String),
    #[error("the attributes have {0} bytes as JSON; they may have {ATTRIBUTES_BYTES_MAX}")]
    TooLarge(usize),
}

impl Identified for Recipient {
    const PREFIX: &'static str = "rcp";
}

/// # Errors
/// When `text` is no key of a recipient or topic.
pub(super) fn judge_key(text: &str) -> Result<(), KeyRefused> {
    let is_visible = |char: char| !char.is_control() && !char.is_whitespace() && !is_unseen(char);
    if !(1..=KEY_CHARS_MAX).contains(&text.chars().count()) || !text.chars().all(is_visible) {
        return Err(KeyRefused::Invisible);
    }
    if RESERVED.contains(&text) { Err(KeyRefused::Reserved) } else { Ok(()) }
}

impl RecipientKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RecipientKey {
    type Err = KeyRefused;
    fn from_str(text: &str) -> Result<Self, KeyRefused> {
        judge_key(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NewEmail {
    /// What is kept of it where `known` is what was kept before, and nothing is sent to the address because of `suppressed`. What was
    /// found out of an address is not forgotten because somebody hands it in again.
    #[must_use]
    pub fn after(&self, known: Option<&Email>, suppressed: Option<&str>) -> Email {
        let same = known.filter(|known| known.address == self.address).map(|known| known.state.clone());
        let suppressed = suppressed.map(|reason| EmailState::Suppressed(reason.to_owned()));
        let state = self.state.clone().or(suppressed).or(same).unwrap_or(EmailState::Unverified);
        Email { address: self.address.clone(), state }
    }

    /// What is said of the address, whosever it is: why nothing is sent to it, or that something may be.
    #[must_use]
    pub fn said(&self) -> Option<(&EmailAddress, Option<&str>)> {
        self.state.as_ref().map(|state| (&self.address, state.reason()))
    }
}

impl EmailState {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Suppressed(_) => "suppressed",
        }
    }

    /// What is known of it beside that nothing is sent to it.
    #[must_use]
    pub const fn beside_suppression(&self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified | Self::Suppressed(_) => "unverified",
        }
    }

    /// Why nothing is sent to it.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Suppressed(reason) => Some(reason),
            Self::Unverified | Self::Verified => None,
        }
    }

    /// The state of this name; `reason` says why nothing is sent to an address.
    ///
    /// # Errors
    /// When there is no such state, or a reason is missing, or there is one of another state.
    pub fn of(name: &str, reason: Option<String>) -> Result<Self, EmailStateRefused> {
        match (name, reason) {
            ("unverified", None) => Ok(Self::Unverified),
            ("verified", None) => Ok(Self::Verified),
            ("suppressed", Some(reason)) => Ok(Self::Suppressed(reason)),
            ("suppressed", None) => Err(EmailStateRefused::NoReason),
            ("unverified" | "verified", Some(_)) => Err(EmailStateRefused::Reason),
            _ => Err(EmailStateRefused::Unknown(name.chars().take(64).collect())),
        }
    }
}

/// Why something is no state of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailStateRefused {
    #[error("{0:?} is no state: unverified, verified or suppressed")]
    Unknown(String),
    #[error("an address that is suppressed has a reason; set email_reason")]
    NoReason,
    #[error("only an address that is suppressed has a reason; leave it out")]
    Reason,
}

impl Attributes {
    /// # Errors
    /// When one is not flat or has no name, or all are too large together.
    pub fn new(attributes: Map<String, Value>) -> Result<Self, AttributesRefused> {
        for (name, value) in &attributes {
            let shown = || name.chars().take(ATTRIBUTE_NAME_CHARS_MAX).collect();
            let is_name =
                (1..=ATTRIBUTE_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
            if !is_name {
                return Err(AttributesRefused::Name(shown()));
            }
            if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
                return Err(AttributesRefused::Nested(shown()));
            }
        }
        let bytes = serde_json::to_string(&attributes).map_or(usize::MAX, |text| text.len());
        if bytes > ATTRIBUTES_BYTES_MAX { Err(AttributesRefused::TooLarge(bytes)) } else { Ok(Self(attributes)) }
    }

    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_visible_characters_alone() {
        for good in ["1", "user/42", "anna@example.com", "Ünï-42", &"é".repeat(255)] {
            assert_eq!(good.parse::<RecipientKey>().unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "a\n", "a\0", "a\u{200b}", "a\u{a0}b", &"é".repeat(256)] {
            assert_eq!(bad.parse::<RecipientKey>(), Err(KeyRefused::Invisible), "{bad:?}");
        }
        for bad in RESERVED {
            assert_eq!(bad.parse::<RecipientKey>(), Err(KeyRefused::Reserved));
        }
    }

    #[test]
    fn what_is_known_of_an_address_stays_with_it() {
        let new = |address: &str, state| NewEmail { address: address.parse().unwrap(), state };
        let known = new("a@b.example", Some(EmailState::Verified)).after(None, None);
        assert_eq!(new("a@b.example", None).after(Some(&known), None), known);
        assert_eq!(new("c@b.example", None).after(Some(&known), None).state, EmailState::Unverified);
        assert_eq!(new("a@b.example", None).after(None, None).state, EmailState::Unverified);
        let suppressed = new("a@b.example", None).after(Some(&known), Some("it bounced"));
        assert_eq!(suppressed.state, EmailState::Suppressed("it bounced".to_owned()));
        let lifted = new("a@b.example", Some(EmailState::Verified)).after(Some(&suppressed), Some("it bounced"));
        assert_eq!(lifted.state, EmailState::Verified);
    }

    #[test]
    fn an_address_is_suppressed_for_a_reason_and_for_nothing_else() {
        let reason = || Some("it bounced".to_owned());
        assert_eq!(EmailState::of("suppressed", reason()), Ok(EmailState::Suppressed("it bounced".to_owned())));
        assert_eq!(EmailState::of("verified", None), Ok(EmailState::Verified));
        assert_eq!(EmailState::of("suppressed", None), Err(EmailStateRefused::NoReason));
        assert_eq!(EmailState::of("verified", reason()), Err(EmailStateRefused::Reason));
        assert!(matches!(EmailState::of("good", None), Err(EmailStateRefused::Unknown(_))));
    }

    #[test]
    fn attributes_are_flat_and_bounded() {
        let judged = |value: Value| Attributes::new(value.as_object().unwrap().clone());
        assert!(judged(json!({ "plan": "pro", "age": 42, "beta": true, "ratio": 0.5 })).is_ok());
        for nested in [json!(null), json!([1]), json!({ "b": 1 })] {
            assert_eq!(judged(json!({ "a": nested })), Err(AttributesRefused::Nested("a".to_owned())));
        }
        for name in ["", "a\nb", &"n".repeat(65)] {
            assert!(matches!(judged(json!({ name: 1 })), Err(AttributesRefused::Name(_))), "{name:?}");
        }
        let text = |chars: usize| json!({ "a": "x".repeat(chars) });
        assert!(judged(text(ATTRIBUTES_BYTES_MAX - 8)).is_ok());
        assert_eq!(judged(text(ATTRIBUTES_BYTES_MAX - 7)), Err(AttributesRefused::TooLarge(4097)));
    }
}
