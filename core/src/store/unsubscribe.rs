//! Links by which people get no more mail of a category: signed with the installation's key. Nothing of them is kept.

use super::{Store, StoreError, recipients, sql::sql};
use crate::domain::{
    UnixMs,
    preferences::{Channel, Preferences},
    unsubscribe::Unsubscribe,
};

impl Store {
    /// What stands in a link.
    #[must_use]
    pub fn sign_unsubscribe(&self, of: &Unsubscribe) -> String {
        let text = of.text();
        let signature = self.cipher.sign_link(&meaning(&text));
        format!("{text}.{signature}")
    }

    /// What a link is for; `None` where nobody with the key has signed it.
    #[must_use]
    pub fn read_unsubscribe(&self, link: &str) -> Option<Unsubscribe> {
        let (text, signature) = link.split_once('.')?;
        Unsubscribe::read(text).filter(|_| self.cipher.is_link(&meaning(text), signature))
    }

    /// Whether they get mail of the category; `None` where nobody is known any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_subscribed(&self, of: &Unsubscribe) -> Result<Option<bool>, StoreError> {
        let found = self.tenant(of.tenant).recipient_by_id(of.recipient).await?;
        Ok(found.map(|found| found.profile.preferences.wants(&of.category, Channel::Email)))
    }

    /// From now on they get mail of the category, or none. Whether they are known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn subscribe(&self, of: &Unsubscribe, wants: bool, now: UnixMs) -> Result<bool, StoreError> {
        let unreadable = |error: serde_json::Error| StoreError::unreadable("recipient", error);
        let mut tx = self.pool.begin().await?;
        let lock = tx.for_update();
        let select = recipients::select(of.tenant).and(" AND id = ", of.recipient).then(lock);
        let Some(row): Option<recipients::Row> = tx.fetch_one(select).await? else { return Ok(false) };
        let mut preferences: Preferences = row.read()?.profile.preferences;
        preferences.set(of.category.clone(), Channel::Email, wants);
        let update = sql("UPDATE recipients SET")
            .and(" preferences = ", serde_json::to_string(&preferences).map_err(unreadable)?)
            .and(", updated_at = ", now)
            .and(" WHERE id = ", of.recipient);
        tx.execute(update).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn meaning(text: &str) -> String {
    format!("unsubscribe {text}")
}
