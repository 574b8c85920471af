//! Types of notifications, and what each was at its versions.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    Scope, Store, StoreError,
    page::KeyPage,
    pool::Tx,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    notification_type::{Definition, NotificationType, TYPES_PER_TENANT_MAX, TypeKey},
    preferences::Channel,
};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    key: String,
    version: i64,
    definition: String,
    created_at: i64,
    updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    id: Uuid,
    key: String,
    version: i64,
    name: String,
    category: String,
    urgency: String,
    created_at: i64,
    updated_at: i64,
}

const COLUMNS: &str = "SELECT id, key, version, definition, created_at, updated_at FROM notification_types";
const LISTED: &str = "SELECT id, key, version, name, category, urgency, created_at, updated_at FROM notification_types";

/// A type as lists show it: without its templates, which may be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedType {
    pub id: Id<NotificationType>,
    pub key: TypeKey,
    pub version: u32,
    pub name: String,
    pub category: String,
    pub urgency: String,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

/// What came of putting a type.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum PutType {
    Made(NotificationType),
    /// As it is now; of the same version as before where nothing of it is new.
    Kept(NotificationType),
    /// The tenant has as many as it may.
    TooMany,
}

impl Row {
    fn read(self) -> Result<NotificationType, StoreError> {
        Ok(NotificationType {
            id: Id::from_uuid(self.id),
            key: read_key(&self.key)?,
            version: read_version(self.version),
            definition: read_definition(&self.definition)?,
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

impl ListedRow {
    fn read(self) -> Result<ListedType, StoreError> {
        Ok(ListedType {
            id: Id::from_uuid(self.id),
            key: read_key(&self.key)?,
            version: read_version(self.version),
            name: self.name,
            category: self.category,
            urgency: self.urgency,
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

impl Scope<'_> {
    /// Makes a type, or a further version of it where something of it is new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_notification_type(
        &self,
        key: &TypeKey,
        definition: &Definition,
        now: UnixMs,
    ) -> Result<PutType, StoreError> {
        loop {
            // `None`: it was there, and was removed before it could be locked.
            if let Some(put) = self.try_put_type(key, definition, now).await? {
                return Ok(put);
            }
        }
    }

    async fn try_put_type(
        &self,
        key: &TypeKey,
        definition: &Definition,
        now: UnixMs,
    ) -> Result<Option<PutType>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let (id, text) = (Id::<NotificationType>::new(), write(definition)?);
        let row = vec![
            id.into(),
            self.tenant.into(),
            key.as_str().into(),
            1i64.into(),
            definition.name.as_str().into(),
            definition.category.to_string().into(),
            definition.urgency.as_str().into(),
            text.as_str().into(),
            now.into(),
            now.into(),
        ];
        let insert = sql("INSERT INTO notification_types (id, tenant_id, key, version, name, category, urgency, \
            definition, created_at, updated_at) VALUES (")
        .list(row)
        .then(") ON CONFLICT (tenant_id, key) WHERE deleted_at IS NULL DO NOTHING");
        if tx.execute(insert).await? > 0 {
            if self.count_types(&mut tx).await? > i64::from(TYPES_PER_TENANT_MAX) {
                return Ok(Some(PutType::TooMany));
            }
            let made = NotificationType {
                id,
                key: key.clone(),
                version: 1,
                definition: definition.clone(),
                created_at: now,
                updated_at: now,
            };
            keep_version(&mut tx, &made, text).await?;
            self.note(&mut tx, "notification_type.create", key.to_string(), Some(noted(&made))).await?;
            tx.commit().await?;
            return Ok(Some(PutType::Made(made)));
        }
        let lock = tx.for_update();
        let Some(row) = tx.fetch_one::<Row>(self.one_type(key).then(lock)).await? else { return Ok(None) };
        let before = row.read()?;
        if before.definition == *definition {
            return Ok(Some(PutType::Kept(before)));
        }
        let version = before.version.saturating_add(1);
        let after = NotificationType { version, definition: definition.clone(), updated_at: now, ..before.clone() };
        let update = sql("UPDATE notification_types SET")
            .and(" version = ", i64::from(version))
            .and(", name = ", definition.name.as_str())
            .and(", category = ", definition.category.to_string())
            .and(", urgency = ", definition.urgency.as_str())
            .and(", definition = ", text.as_str())
            .and(", updated_at = ", now)
            .and(" WHERE id = ", before.id);
        tx.execute(update).await?;
        keep_version(&mut tx, &after, text).await?;
        let change = (Some(noted(&before)), Some(noted(&after)));
        self.note(&mut tx, "notification_type.update", key.to_string(), change).await?;
        tx.commit().await?;
        Ok(Some(PutType::Kept(after)))
    }

    async fn count_types(&self, tx: &mut Tx<'_>) -> Result<i64, StoreError> {
        let count = sql("SELECT COUNT(*) FROM notification_types WHERE deleted_at IS NULL");
        let count: Option<(i64,)> = tx.fetch_one(count.and(" AND tenant_id = ", self.tenant)).await?;
        Ok(count.map_or(0, |(count,)| count))
    }

    fn one_type(&self, key: &TypeKey) -> Sql {
        let select = sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND key = ", key.as_str());
        select.then(" AND deleted_at IS NULL")
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn notification_type(&self, key: &TypeKey) -> Result<Option<NotificationType>, StoreError> {
        let row: Option<Row> = self.store.pool.fetch_one(self.one_type(key)).await?;
        row.map(Row::read).transpose()
    }

    /// A page of types, and the key after which the next one begins.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notification_types(&self, page: &KeyPage) -> Result<(Vec<ListedType>, Option<TypeKey>), StoreError> {
        let select = sql(LISTED).and(" WHERE tenant_id = ", self.tenant).then(" AND deleted_at IS NULL");
        let rows: Vec<ListedRow> = self.store.pool.fetch(page.finish(select)).await?;
        let types = rows.into_iter().map(ListedRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(types, |one| one.key.clone()))
    }

    /// Removes a type; whether there was one. Its versions stay, and its key is free.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_notification_type(&self, key: &TypeKey, now: UnixMs) -> Result<bool, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        let Some(row) = tx.fetch_one::<Row>(self.one_type(key).then(lock)).await? else { return Ok(false) };
        let gone = row.read()?;
        let update = sql("UPDATE notification_types SET").and(" deleted_at = ", now).and(" WHERE id = ", gone.id);
        tx.execute(update).await?;
        let change = (Some(noted(&gone)), None);
        self.note(&mut tx, "notification_type.delete", key.to_string(), change).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl Store {
    /// What a type was at a version, also where it was removed since.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notification_type_version(
        &self,
        id: Id<NotificationType>,
        version: u32,
    ) -> Result<Option<Definition>, StoreError> {
        let select = sql("SELECT definition FROM notification_type_versions").and(" WHERE type_id = ", id);
        let row: Option<(String,)> = self.pool.fetch_one(select.and(" AND version = ", i64::from(version))).await?;
        row.map(|(definition,)| read_definition(&definition)).transpose()
    }
}

async fn keep_version(tx: &mut Tx<'_>, of: &NotificationType, definition: String) -> Result<(), StoreError> {
    let row = vec![of.id.into(), i64::from(of.version).into(), definition.into(), of.updated_at.into()];
    let insert = sql("INSERT INTO notification_type_versions (type_id, version, definition, created_at) VALUES (");
    tx.execute(insert.list(row).then(")")).await.map(drop)
}

/// What the audit log has of a type: its versions have the rest.
fn noted(of: &NotificationType) -> Json {
    let Definition { name, category, urgency, default_locale, channels, .. } = &of.definition;
    let channels: Vec<&str> = channels.all().into_iter().map(Channel::as_str).collect();
    json!({ "version": of.version, "name": name, "category": category, "urgency": urgency,
        "default_locale": default_locale, "channels": channels })
}

fn write(definition: &Definition) -> Result<String, StoreError> {
    serde_json::to_string(definition).map_err(|error| StoreError::unreadable("type's definition", error))
}

fn read_definition(text: &str) -> Result<Definition, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::unreadable("type's definition", error))
}

fn read_key(text: &str) -> Result<TypeKey, StoreError> {
    text.parse().map_err(|error| StoreError::unreadable("type's key", error))
}

fn read_version(version: i64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}
