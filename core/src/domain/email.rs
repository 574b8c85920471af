//! E-mail addresses, of people and of whoever looks after a site.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::line::is_unseen;

/// Something before and after one `@`, 254 bytes at most (RFC 5321, section 4.5.3.1.3), without spaces and control characters. What
/// comes after it is in lower case, since a host's name means the same in either (section 2.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address has something before and after one @, and no spaces")]
pub struct EmailAddressError;

impl EmailAddress {
    /// Whose mail server takes what is sent to it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, host)| host)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = EmailAddressError;
    fn from_str(text: &str) -> Result<Self, EmailAddressError> {
        let plain = text.len() <= 254
            && !text
                .chars()
                .any(|char| char.is_control() || char.is_whitespace() || is_unseen(char) || "<>,;".contains(char));
        let (name, host) = text.split_once('@').filter(|_| plain).ok_or(EmailAddressError)?;
        let parted = !name.is_empty() && !host.is_empty() && !host.contains('@');
        if parted { Ok(Self(format!("{name}@{}", host.to_lowercase()))) } else { Err(EmailAddressError) }
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
        assert_eq!("Anna@X.Example".parse::<EmailAddress>().unwrap().as_str(), "Anna@x.example");
        assert_eq!("Anna@X.Example".parse::<EmailAddress>().unwrap().host(), "x.example");
        for bad in ["", "a", "a\u{200b}@b", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: c@d", "<a@b>"] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
        }
    }
}
