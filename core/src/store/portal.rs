//! Links for integrators: a grant, signed with the installation's key. Nothing of them is kept.

use super::Store;
use crate::domain::{UnixMs, portal::PortalGrant};

/// Why a link opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPortal {
    /// It is no link of this installation, or was changed.
    Forged,
    Expired,
}

impl Store {
    /// What a link carries: the grant and its signature.
    #[must_use]
    pub fn sign_portal(&self, grant: &PortalGrant) -> String {
        let text = grant.text();
        let signature = self.cipher.sign_link(&meaning(&text));
        format!("{text}.{signature}")
    }

    /// # Errors
    /// When nobody with the key has signed it, or its time is over.
    pub fn portal(&self, link: &str, now: UnixMs) -> Result<PortalGrant, NoPortal> {
        let (text, signature) = link.split_once('.').ok_or(NoPortal::Forged)?;
        if !self.cipher.is_link(&meaning(text), signature) {
            return Err(NoPortal::Forged);
        }
        let grant = PortalGrant::read(text).ok_or(NoPortal::Forged)?;
        if grant.expires_at > now { Ok(grant) } else { Err(NoPortal::Expired) }
    }
}

fn meaning(text: &str) -> String {
    format!("portal {text}")
}
