//! Browsers of recipients: where each is pushed to. A browser is one person's at a time, the last one's who handed it in.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Scope, Store, StoreError,
    sql::{Dialect, Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    egress::EndpointUrl,
    push::{NewPushSubscription, PushKeys, PushSubscription, SUBSCRIPTIONS_MAX},
    recipient::Recipient,
};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    recipient_id: Uuid,
    endpoint: String,
    p256dh: Vec<u8>,
    auth: Vec<u8>,
    expires_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

const COLUMNS: &str = "id, tenant_id, recipient_id, endpoint, p256dh, auth, expires_at, created_at, updated_at";

impl Row {
    fn read(self) -> Result<PushSubscription, StoreError> {
        let keys = PushKeys::stored(&self.p256dh, &self.auth);
        Ok(PushSubscription {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            recipient_id: Id::from_uuid(self.recipient_id),
            endpoint: EndpointUrl::stored(self.endpoint),
            keys: keys.map_err(|error| StoreError::unreadable("push subscription", error))?,
            expires_at: self.expires_at.map(UnixMs),
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

impl Scope<'_> {
    /// Keeps a browser as this recipient's, whoever's it was; of too many the one goes that was not handed in for the longest. With
    /// it, whether it was not known before. `None` where there is no such recipient.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_push_subscription(
        &self,
        of: Id<Recipient>,
        new: &NewPushSubscription,
        now: UnixMs,
    ) -> Result<Option<(PushSubscription, bool)>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let (lock, of_others) = match tx.dialect() {
            Dialect::Sqlite => ("", ""),
            // Who moves one of these to somebody else at this moment does not wait for us while we wait for them.
            Dialect::Postgres => (" FOR UPDATE", " FOR UPDATE SKIP LOCKED"),
        };
        let owner = sql("SELECT id FROM recipients").and(" WHERE tenant_id = ", self.tenant).and(" AND id = ", of);
        if tx.fetch_one::<(Uuid,)>(owner.then(lock)).await?.is_none() {
            return Ok(None);
        }
        let id = Id::<PushSubscription>::new();
        let row = vec![
            id.into(),
            self.tenant.into(),
            of.into(),
            new.endpoint.as_str().into(),
            new.keys.p256dh().as_bytes().as_slice().into(),
            new.keys.auth().as_slice().into(),
            new.expires_at.into(),
            now.into(),
            now.into(),
        ];
        let upsert = sql("INSERT INTO push_subscriptions (").then(COLUMNS).then(") VALUES (").list(row).then(
            ") ON CONFLICT (tenant_id, endpoint) DO UPDATE SET recipient_id = excluded.recipient_id, \
            p256dh = excluded.p256dh, auth = excluded.auth, expires_at = excluded.expires_at, updated_at = excluded.updated_at \
            RETURNING ",
        );
        let Some(row) = tx.fetch_one::<Row>(upsert.then(COLUMNS)).await? else { return Ok(None) };
        let subscription = row.read()?;
        let too_many = sql("DELETE FROM push_subscriptions WHERE id IN (SELECT id FROM push_subscriptions")
            .and(" WHERE recipient_id = ", of)
            .then(" ORDER BY updated_at DESC, id DESC")
            .and(" LIMIT 100 OFFSET ", SUBSCRIPTIONS_MAX)
            .then(of_others);
        tx.execute(too_many.then(")")).await?;
        tx.commit().await?;
        let is_new = subscription.id == id;
        Ok(Some((subscription, is_new)))
    }

    /// Somebody's browsers, the one first that was handed in last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn push_subscriptions(&self, of: Id<Recipient>) -> Result<Vec<PushSubscription>, StoreError> {
        let select = select().and(" WHERE tenant_id = ", self.tenant).and(" AND recipient_id = ", of);
        let rows: Vec<Row> = self.store.pool.fetch(select.then(" ORDER BY updated_at DESC, id DESC")).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// `false` where they have no such browser.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_push_subscription(
        &self,
        of: Id<Recipient>,
        id: Id<PushSubscription>,
    ) -> Result<bool, StoreError> {
        Ok(self.store.pool.execute(self.without_browser(of).and(" AND id = ", id)).await? > 0)
    }

    /// As [`Self::delete_push_subscription`], for a browser that knows its address alone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_push_subscription_at(&self, of: Id<Recipient>, endpoint: &str) -> Result<bool, StoreError> {
        Ok(self.store.pool.execute(self.without_browser(of).and(" AND endpoint = ", endpoint)).await? > 0)
    }

    fn without_browser(&self, of: Id<Recipient>) -> Sql {
        sql("DELETE FROM push_subscriptions").and(" WHERE tenant_id = ", self.tenant).and(" AND recipient_id = ", of)
    }
}

impl Store {
    /// The browsers of many recipients; who has none is not among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn push_subscriptions(
        &self,
        recipients: &[Id<Recipient>],
    ) -> Result<HashMap<Id<Recipient>, Vec<PushSubscription>>, StoreError> {
        let mut found: HashMap<_, Vec<PushSubscription>> = HashMap::new();
        for run in self.pool.dialect().runs(recipients.to_vec()) {
            for row in self.pool.fetch::<Row>(select().then(" WHERE recipient_id").any(run)).await? {
                let subscription = row.read()?;
                found.entry(subscription.recipient_id).or_default().push(subscription);
            }
        }
        Ok(found)
    }

    /// Removes a browser that its push service knows no more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_push_subscription(&self, id: Id<PushSubscription>) -> Result<(), StoreError> {
        self.pool.execute(sql("DELETE FROM push_subscriptions").and(" WHERE id = ", id)).await.map(drop)
    }
}

fn select() -> Sql {
    sql("SELECT ").then(COLUMNS).then(" FROM push_subscriptions")
}
