//! Tokens with which browsers see inboxes: a grant, signed with the installation's key. Nothing of them is kept.

use uuid::Uuid;

use super::{Scope, Store, StoreError, recipients};
use crate::domain::{Id, UnixMs, inbox_grant::InboxGrant, recipient::Recipient};

/// What a token begins with, so that whoever finds one knows what it is.
pub const INBOX_TOKEN_PREFIX: &str = "pri_";

/// Why a token opens no inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoInbox {
    /// It is no token of this installation, or was changed.
    Forged,
    Expired,
}

impl Store {
    /// What a browser carries: the grant and its signature.
    #[must_use]
    pub fn sign_inbox(&self, grant: &InboxGrant) -> String {
        let text = grant.text();
        let signature = self.cipher.sign_link(&meaning(&text));
        format!("{INBOX_TOKEN_PREFIX}{text}.{signature}")
    }

    /// # Errors
    /// When nobody with the key has signed it, or its time is over.
    pub fn inbox_grant(&self, token: &str, now: UnixMs) -> Result<InboxGrant, NoInbox> {
        let (text, signature) =
            token.strip_prefix(INBOX_TOKEN_PREFIX).and_then(|rest| rest.split_once('.')).ok_or(NoInbox::Forged)?;
        if !self.cipher.is_link(&meaning(text), signature) {
            return Err(NoInbox::Forged);
        }
        let grant = InboxGrant::read(text).ok_or(NoInbox::Forged)?;
        if grant.expires_at <= now { Err(NoInbox::Expired) } else { Ok(grant) }
    }
}

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn recipient_by_id(&self, id: Id<Recipient>) -> Result<Option<Recipient>, StoreError> {
        let id: Uuid = id.uuid();
        let row: Option<recipients::Row> =
            self.store.pool.fetch_one(recipients::select(self.tenant).and(" AND id = ", id)).await?;
        row.map(recipients::Row::read).transpose()
    }
}

fn meaning(text: &str) -> String {
    format!("inbox {text}")
}
