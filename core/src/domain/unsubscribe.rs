//! What lets somebody who has a mail say that they want no more of its category by e-mail. Knows no signature.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{Id, preferences::Category, recipient::Recipient, tenant::Tenant};

/// One person and one category. It has no end: whoever has the mail may say so years later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    pub tenant: Id<Tenant>,
    pub recipient: Id<Recipient>,
    pub category: Category,
}

impl Unsubscribe {
    /// As a link carries it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = self.tenant.uuid().as_bytes().to_vec();
        bytes.extend(self.recipient.uuid().as_bytes());
        bytes.extend(self.category.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` where it is none's text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tenant, rest) = bytes.split_first_chunk::<16>()?;
        let (recipient, category) = rest.split_first_chunk::<16>()?;
        Some(Self {
            tenant: Id::from_uuid(Uuid::from_bytes(*tenant)),
            recipient: Id::from_uuid(Uuid::from_bytes(*recipient)),
            category: std::str::from_utf8(category).ok()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back_from_its_text() {
        let from = Unsubscribe { tenant: Id::new(), recipient: Id::new(), category: "social".parse().unwrap() };
        assert_eq!(Unsubscribe::read(&from.text()), Some(from.clone()));
        for bad in ["", "AAAA", "!", &from.text()[..40], &format!("{}IA", &from.text()[..43])] {
            assert_eq!(Unsubscribe::read(bad), None, "{bad}");
        }
    }
}
