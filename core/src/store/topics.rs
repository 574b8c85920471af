//! Topics, each with how many subscribe to it.

use uuid::Uuid;

use super::{
    Scope, StoreError,
    page::KeyPage,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    topic::{Topic, TopicKey},
};

/// Subscriptions that are removed in one transaction where their topic is: nobody else writes meanwhile on SQLite.
const PART_ROWS: u32 = 10_000;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    key: String,
    name: String,
    condition: Option<String>,
    subscribers: i64,
    created_at: i64,
    updated_at: i64,
}

pub(super) const COLUMNS: &str = "id, key, name, condition, subscribers, created_at, updated_at";

impl Row {
    pub(super) fn read(self) -> Result<Topic, StoreError> {
        Ok(Topic {
            id: Id::from_uuid(self.id),
            key: self.key.parse().map_err(|error| StoreError::unreadable("topic's key", error))?,
            name: self.name,
            condition: self.condition,
            subscribers: u64::try_from(self.subscribers).unwrap_or(0),
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

fn select() -> Sql {
    sql("SELECT ").then(COLUMNS).then(" FROM topics")
}

impl Scope<'_> {
    /// Names a topic, or makes it; whether it is new. Without a name it keeps the one it has, which at first is its key; without a word
    /// of its condition it keeps that too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_topic(
        &self,
        key: &TopicKey,
        name: Option<&str>,
        condition: Option<Option<&str>>,
        now: UnixMs,
    ) -> Result<(Topic, bool), StoreError> {
        let id = Id::<Topic>::new();
        let new_name = if name.is_some() { "excluded.name" } else { "topics.name" };
        let new_condition = if condition.is_some() { "excluded.condition" } else { "topics.condition" };
        let upsert = sql("INSERT INTO topics (id, tenant_id, key, name, condition, subscribers, created_at, updated_at) VALUES (")
            .list(vec![
                id.into(),
                self.tenant.into(),
                key.as_str().into(),
                name.unwrap_or(key.as_str()).into(),
                condition.flatten().into(),
                0i64.into(),
                now.into(),
                now.into(),
            ])
            .then(format!(
                ") ON CONFLICT (tenant_id, key) DO UPDATE SET name = {new_name}, condition = {new_condition}, updated_at = CASE \
                WHEN topics.name = {new_name} AND topics.condition IS NOT DISTINCT FROM {new_condition} \
                THEN topics.updated_at ELSE excluded.updated_at END \
                RETURNING {COLUMNS}"
            ));
        let mut tx = self.store.pool.begin().await?;
        let row: Option<Row> = tx.fetch_one(upsert).await?;
        tx.commit().await?;
        let topic = row.ok_or_else(|| StoreError::unreadable("topic", "it was not given back"))?.read()?;
        let created = topic.id == id;
        Ok((topic, created))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn topic(&self, key: &TopicKey) -> Result<Option<Topic>, StoreError> {
        let select = select().and(" WHERE tenant_id = ", self.tenant).and(" AND key = ", key.as_str());
        let row: Option<Row> = self.store.pool.fetch_one(select).await?;
        row.map(Row::read).transpose()
    }

    /// A page of topics, and the key after which the next one begins.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn topics(&self, page: &KeyPage) -> Result<(Vec<Topic>, Option<TopicKey>), StoreError> {
        let select = page.finish(select().and(" WHERE tenant_id = ", self.tenant));
        let rows: Vec<Row> = self.store.pool.fetch(select).await?;
        let topics = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(topics, |topic| topic.key.clone()))
    }

    /// Removes a topic with its subscriptions, a part after the other. One that was begun and not ended is a topic with fewer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_topic(&self, topic: &Topic) -> Result<(), StoreError> {
        loop {
            let mut tx = self.store.pool.begin().await?;
            let lock = tx.for_update();
            tx.fetch::<(Uuid,)>(sql("SELECT id FROM topics").and(" WHERE id = ", topic.id).then(lock)).await?;
            let part = sql("DELETE FROM topic_subscriptions")
                .and(" WHERE topic_id = ", topic.id)
                .and(" AND recipient_id IN (SELECT recipient_id FROM topic_subscriptions WHERE topic_id = ", topic.id)
                .and(" ORDER BY recipient_id LIMIT ", PART_ROWS)
                .then(")");
            let removed = tx.execute(part).await?;
            if removed < u64::from(PART_ROWS) {
                let delete = sql("DELETE FROM topics").and(" WHERE tenant_id = ", self.tenant);
                tx.execute(delete.and(" AND id = ", topic.id)).await?;
                return tx.commit().await;
            }
            let removed = i64::try_from(removed).unwrap_or(i64::MAX);
            let update = sql("UPDATE topics SET").and(" subscribers = subscribers - ", removed);
            tx.execute(update.and(" WHERE id = ", topic.id)).await?;
            tx.commit().await?;
        }
    }
}
