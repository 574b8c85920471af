//! Addresses that nothing is sent to, whosever they are.

use std::{fmt, str::FromStr};

use super::{UnixMs, email::EmailAddress};

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// An address that nothing is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressedAddress {
    pub address: EmailAddress,
    pub cause: SuppressionCause,
    /// In words.
    pub reason: String,
    pub created_at: UnixMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {REASON_CHARS_MAX} characters and no control characters")]
pub struct ReasonError;

/// # Errors
/// When a text is no reason.
pub fn judge_reason(text: &str) -> Result<(), ReasonError> {
    let fits = (1..=REASON_CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
    if fits { Ok(()) } else { Err(ReasonError) }
}

/// How it came that nothing is sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressionCause {
    /// Its server says that there is no such mailbox.
    Bounce,
    /// Its owner has called a mail unwanted.
    Complaint,
    /// Somebody said so.
    Manual,
}

impl SuppressionCause {
    pub const ALL: [Self; 3] = [Self::Bounce, Self::Complaint, Self::Manual];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Manual => "manual",
        }
    }

    /// The reason where nobody gives another.
    #[must_use]
    pub const fn usual_reason(self) -> &'static str {
        match self {
            Self::Bounce => "mail to it came back",
            Self::Complaint => "its owner has called a mail unwanted",
            Self::Manual => "somebody said so",
        }
    }
}

impl FromStr for SuppressionCause {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|cause| cause.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no cause: bounce, complaint or manual"))
    }
}

impl fmt::Display for SuppressionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
