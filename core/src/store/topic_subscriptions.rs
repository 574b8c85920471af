//! Who subscribes to what. Whoever changes this locks people first, by key, and topics after them, by id: so no two changes wait for
//! each other in a ring, and each topic's count is that of its rows.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{
    Listed, Page, Scope, StoreError,
    pool::Tx,
    recipients::make_known,
    sql::{Dialect, sql},
    topics,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    recipient::{Recipient, RecipientKey},
    topic::Topic,
};

/// Topics that somebody who is removed leaves with one transaction, which locks them for whoever subscribes to them.
const LEFT_AT_ONCE: u32 = 500;

/// By key, whether they subscribe from now on, or do so no more.
pub type SubscriptionChanges = BTreeMap<RecipientKey, bool>;

/// What came of a change of a topic's subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionsChanged {
    /// Subscriptions that were not there before.
    pub subscribed: u64,
    /// Subscriptions that were there before.
    pub unsubscribed: u64,
    /// People who were not known before.
    pub recipients_created: u64,
    /// Of the topic, from now on.
    pub subscribers: u64,
}

/// Somebody who subscribes to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    pub id: Id<Recipient>,
    pub key: RecipientKey,
}

impl Scope<'_> {
    /// Changes who subscribes to a topic: all of it or nothing. Subscribers who are not known are made, by their keys alone. `None`
    /// where the topic was removed meanwhile.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change_subscriptions(
        &self,
        topic: &Topic,
        changes: &SubscriptionChanges,
        now: UnixMs,
    ) -> Result<Option<SubscriptionsChanged>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let subscribing: Vec<&str> =
            changes.iter().filter(|(_, subscribes)| **subscribes).map(|(key, _)| key.as_str()).collect();
        let created = make_known(&mut tx, self.tenant, &subscribing, now).await?;
        let ids = self.lock_recipients(&mut tx, changes).await?;
        let lock = tx.for_update();
        let locked: Vec<(Uuid,)> =
            tx.fetch(sql("SELECT id FROM topics").and(" WHERE id = ", topic.id).then(lock)).await?;
        if locked.is_empty() {
            return Ok(None);
        }
        let (mut rows, mut leaving): (Vec<Vec<Value>>, Vec<Uuid>) = (Vec::new(), Vec::new());
        for (key, subscribes) in changes {
            match (ids.get(key.as_str()), subscribes) {
                (Some(id), true) => rows.push(vec![topic.id.into(), (*id).into()]),
                (Some(id), false) => leaving.push(*id),
                (None, _) => {}
            }
        }
        let mut changed =
            SubscriptionsChanged { recipients_created: created.len() as u64, ..SubscriptionsChanged::default() };
        for run in tx.dialect().runs(rows) {
            let insert = sql("INSERT INTO topic_subscriptions (topic_id, recipient_id) ").rows(run);
            changed.subscribed += tx.execute(insert.then(" ON CONFLICT (topic_id, recipient_id) DO NOTHING")).await?;
        }
        for run in tx.dialect().runs(leaving) {
            let delete = sql("DELETE FROM topic_subscriptions").and(" WHERE topic_id = ", topic.id);
            changed.unsubscribed += tx.execute(delete.then(" AND recipient_id").any(run)).await?;
        }
        let [more, fewer] = [changed.subscribed, changed.unsubscribed].map(|count| i64::try_from(count).unwrap_or(0));
        let update = sql("UPDATE topics SET").and(" subscribers = subscribers + ", more - fewer);
        let update = update.and(" WHERE id = ", topic.id).then(" RETURNING subscribers");
        let count: Option<(i64,)> = tx.fetch_one(update).await?;
        changed.subscribers = count.map_or(0, |(count,)| u64::try_from(count).unwrap_or(0));
        tx.commit().await?;
        Ok(Some(changed))
    }

    /// The ids of those among them who are known, none of whom is removed before the transaction ends.
    async fn lock_recipients(
        &self,
        tx: &mut Tx<'_>,
        changes: &SubscriptionChanges,
    ) -> Result<HashMap<String, Uuid>, StoreError> {
        let keys: Vec<&str> = changes.keys().map(RecipientKey::as_str).collect();
        let lock = match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR KEY SHARE",
        };
        let mut ids = HashMap::with_capacity(keys.len());
        for run in tx.dialect().runs(keys) {
            let select = sql("SELECT key, id FROM recipients").and(" WHERE tenant_id = ", self.tenant);
            let select = select.then(" AND key").any(run).then(" ORDER BY key").then(lock);
            ids.extend(tx.fetch::<(String, Uuid)>(select).await?);
        }
        Ok(ids)
    }

    /// Who subscribes to a topic, those who have been known for the shortest time first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn subscribers(
        &self,
        topic: &Topic,
        page: &Page<Recipient>,
    ) -> Result<Listed<Subscriber, Recipient>, StoreError> {
        let select =
            sql("SELECT r.id, r.key FROM topic_subscriptions AS s JOIN recipients AS r ON r.id = s.recipient_id")
                .and(" WHERE s.topic_id = ", topic.id);
        let rows: Vec<(Uuid, String)> = self.store.pool.fetch(page.finish(select, "s.recipient_id")).await?;
        let read = |(id, key): (Uuid, String)| {
            let key = key.parse().map_err(|error| StoreError::unreadable("recipient's key", error))?;
            Ok(Subscriber { id: Id::from_uuid(id), key })
        };
        let rows = rows.into_iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page.cut(rows, |row| row.id))
    }

    /// What somebody subscribes to, the newest topic first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn topics_of(
        &self,
        recipient: &Recipient,
        page: &Page<Topic>,
    ) -> Result<Listed<Topic, Topic>, StoreError> {
        let select = sql("SELECT ")
            .then(topics::COLUMNS)
            .then(" FROM topics JOIN (SELECT topic_id FROM topic_subscriptions")
            .and(" WHERE recipient_id = ", recipient.id)
            .then(") AS s ON s.topic_id = topics.id WHERE 1 = 1");
        let rows: Vec<topics::Row> = self.store.pool.fetch(page.finish(select, "s.topic_id")).await?;
        let topics = rows.into_iter().map(topics::Row::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(topics, |topic: &Topic| topic.id))
    }
}

/// Ends the first of somebody's subscriptions, whose row is locked; whether they may have more.
pub(super) async fn leave_some(tx: &mut Tx<'_>, recipient: Id<Recipient>) -> Result<bool, StoreError> {
    let all = sql("SELECT topic_id FROM topic_subscriptions").and(" WHERE recipient_id = ", recipient);
    let first: Vec<(Uuid,)> = tx.fetch(all.clone().and(" ORDER BY topic_id LIMIT ", LEFT_AT_ONCE)).await?;
    let Some((last,)) = first.last() else { return Ok(false) };
    // Of a topic that goes at this moment too they may be no more once it is locked.
    let of_these = sql(" WHERE id IN (").append(all).and(" AND topic_id <= ", *last).then(")");
    let lock = tx.for_update();
    let select = sql("SELECT id FROM topics").append(of_these.clone()).then(" ORDER BY id").then(lock);
    tx.fetch::<(Uuid,)>(select).await?;
    tx.execute(sql("UPDATE topics SET subscribers = subscribers - 1").append(of_these)).await?;
    let delete = sql("DELETE FROM topic_subscriptions").and(" WHERE recipient_id = ", recipient);
    tx.execute(delete.and(" AND topic_id <= ", *last)).await?;
    Ok(first.len() == LEFT_AT_ONCE as usize)
}
