//! What lets somebody's browser see their inbox, and until when. Knows no signature.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{Id, UnixMs, recipient::Recipient, tenant::Tenant};

/// One person's inbox, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxGrant {
    pub tenant: Id<Tenant>,
    pub recipient: Id<Recipient>,
    pub expires_at: UnixMs,
}

impl InboxGrant {
    /// As a token carries it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = self.expires_at.0.to_be_bytes().to_vec();
        bytes.extend(self.tenant.uuid().as_bytes());
        bytes.extend(self.recipient.uuid().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` where it is no grant's text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (time, ids) = bytes.split_first_chunk::<8>()?;
        let (ids, rest) = ids.as_chunks::<16>();
        let [tenant, recipient] = ids else { return None };
        let grant = Self {
            tenant: Id::from_uuid(Uuid::from_bytes(*tenant)),
            recipient: Id::from_uuid(Uuid::from_bytes(*recipient)),
            expires_at: UnixMs(i64::from_be_bytes(*time)),
        };
        rest.is_empty().then_some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_back_from_its_text() {
        let grant = InboxGrant { tenant: Id::new(), recipient: Id::new(), expires_at: UnixMs(1_700_000_000_000) };
        assert_eq!(InboxGrant::read(&grant.text()), Some(grant.clone()));
        for bad in ["", "AAAA", &grant.text()[1..], "!", &format!("{}AAAA", grant.text())] {
            assert_eq!(InboxGrant::read(bad), None, "{bad}");
        }
    }
}
