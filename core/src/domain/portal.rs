//! What a link for integrators lets its bearer see and do, and until when. Knows no signature.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{Id, UnixMs, endpoint::Endpoint, tenant::Tenant};

/// A link opens the portal for so long at most.
pub const PORTAL_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
pub const PORTAL_AGE_DEFAULT: Duration = Duration::from_secs(3600);
/// Endpoints that one link names: it becomes a cookie, and browsers keep 4 KiB of one.
pub const PORTAL_ENDPOINTS_MAX: usize = 100;

const TIME_BYTES: usize = 8;
const ID_BYTES: usize = 16;

/// One tenant's endpoints, all or some of them, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalGrant {
    pub tenant: Id<Tenant>,
    /// The tenant's when it was made: another one, and all links of this one are revoked.
    pub epoch: i64,
    pub expires_at: UnixMs,
    /// Empty: all of the tenant's.
    pub endpoints: Vec<Id<Endpoint>>,
}

impl PortalGrant {
    #[must_use]
    pub fn reaches(&self, endpoint: Id<Endpoint>) -> bool {
        self.endpoints.is_empty() || self.endpoints.contains(&endpoint)
    }

    /// As a link carries it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = self.expires_at.0.to_be_bytes().to_vec();
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.tenant.uuid().as_bytes());
        self.endpoints.iter().for_each(|endpoint| bytes.extend(endpoint.uuid().as_bytes()));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` where it is no grant's text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (time, rest) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let (epoch, ids) = rest.split_first_chunk::<TIME_BYTES>()?;
        let (ids, rest) = ids.as_chunks::<ID_BYTES>();
        let (tenant, endpoints) = ids.split_first().filter(|_| rest.is_empty())?;
        Some(Self {
            tenant: Id::from_uuid(Uuid::from_bytes(*tenant)),
            epoch: i64::from_be_bytes(*epoch),
            expires_at: UnixMs(i64::from_be_bytes(*time)),
            endpoints: endpoints.iter().map(|id| Id::from_uuid(Uuid::from_bytes(*id))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_back_from_its_text_and_fits_into_a_cookie() {
        let endpoints: Vec<Id<Endpoint>> = (0..PORTAL_ENDPOINTS_MAX).map(|_| Id::new()).collect();
        let grant = PortalGrant { tenant: Id::new(), epoch: 7, expires_at: UnixMs(1_700_000_000_000), endpoints };
        assert_eq!(PortalGrant::read(&grant.text()), Some(grant.clone()));
        assert!(grant.text().len() < 3_000);
        assert!(grant.reaches(grant.endpoints[7]) && !grant.reaches(Id::new()));
        let all = PortalGrant { endpoints: Vec::new(), ..grant };
        assert_eq!(PortalGrant::read(&all.text()), Some(all.clone()));
        assert!(all.reaches(Id::new()));
        for bad in ["", "AAAA", &all.text()[1..], "!"] {
            assert_eq!(PortalGrant::read(bad), None, "{bad}");
        }
    }
}
