//! Links for integrators: a grant, signed with the installation's key. Nothing of them is kept but when all of a tenant's
//! were revoked.

use super::{Scope, Store, StoreError, sql::sql};
use crate::domain::{UnixMs, portal::PortalGrant};

/// Why a link opens nothing.
#[derive(Debug)]
pub enum NoPortal {
    /// It is no link of this installation, or was changed.
    Forged,
    Expired,
    /// All links of its tenant that were made by then were revoked.
    Revoked,
    Store(StoreError),
}

impl From<StoreError> for NoPortal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
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
    /// When nobody with the key has signed it, its time is over, or it was revoked.
    pub async fn portal(&self, link: &str, now: UnixMs) -> Result<PortalGrant, NoPortal> {
        let (text, signature) = link.split_once('.').ok_or(NoPortal::Forged)?;
        if !self.cipher.is_link(&meaning(text), signature) {
            return Err(NoPortal::Forged);
        }
        let grant = PortalGrant::read(text).ok_or(NoPortal::Forged)?;
        if grant.expires_at <= now {
            return Err(NoPortal::Expired);
        }
        let epoch = self.tenant(grant.tenant).portal_epoch().await?;
        if grant.epoch == epoch { Ok(grant) } else { Err(NoPortal::Revoked) }
    }
}

impl Scope<'_> {
    /// What links to the portal carry now: when all before them were revoked, as milliseconds since 1970; 0 where none were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn portal_epoch(&self) -> Result<i64, StoreError> {
        let select = sql("SELECT portal_epoch FROM tenants").and(" WHERE id = ", self.tenant);
        let row: Option<(i64,)> = self.store.pool.fetch_one(select).await?;
        row.map(|(epoch,)| epoch).ok_or_else(|| StoreError::unreadable("tenant", "its row is missing"))
    }

    /// Ends all links to the portal that were made by now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revoke_portal_links(&self, now: UnixMs) -> Result<(), StoreError> {
        let mut tx = self.store.pool.begin().await?;
        // It moves on also where another host's clock was ahead.
        let update = sql("UPDATE tenants SET portal_epoch = CASE WHEN portal_epoch >= ")
            .and("", now)
            .and(" THEN portal_epoch + 1 ELSE ", now)
            .and(" END WHERE id = ", self.tenant);
        let Some((slug,)) = tx.fetch_one::<(String,)>(update.then(" RETURNING slug")).await? else {
            return Err(StoreError::unreadable("tenant", "its row is missing"));
        };
        self.note(&mut tx, "portal.revoke_links", slug, None).await?;
        tx.commit().await
    }
}

fn meaning(text: &str) -> String {
    format!("portal {text}")
}
