//! E-mail addresses, of people and of whoever looks after a site.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something before and after one `@`, 254 bytes at most (RFC 5321, section 4.5.3.1.3), without spaces and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address has something before and after one @, and no spaces")]
pub struct EmailAddressError;

impl EmailAddress {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = EmailAddressError;
    fn from_str(text: &str) -> Result<Self, EmailAddressError> {
        let plain = text.len() <= 254
            && !text.chars().any(|char| char.is_control() || char.is_whitespace() || "<>,;".contains(char));
        let parted = text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
        if plain && parted { Ok(Self(text.to_owned())) } else { Err(EmailAddressError) }
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailAddressError;
    fn try_from(text: String) -> Result<Self, EmailAddressError> {
        text.parse()
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_mail_takes() {
        for good in ["a@b", "a.b+c@d.example", "ü@exämple.org"] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: c@d", "<a@b>"] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
        }
    }
}
