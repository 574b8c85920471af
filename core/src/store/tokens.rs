//! API tokens, kept as hashes.

use serde_json::json;

use super::{Listed, Page, Scope, Store, StoreError, connect::soon, sql::sql};
use crate::domain::{
    Id, UnixMs,
    tenant::{Tenant, Token},
};

#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    tenant_id: uuid::Uuid,
    name: String,
    role: Option<String>,
    expires_at: Option<i64>,
    created_at: i64,
}

const COLUMNS: &str = "SELECT id, tenant_id, name, role, expires_at, created_at FROM tokens";

impl Row {
    fn read(self) -> Result<Token, StoreError> {
        let role = self.role.map(|role| role.parse()).transpose();
        Ok(Token {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            name: self.name,
            role: role.map_err(|error: String| StoreError::unreadable("token's role", error))?,
            expires_at: self.expires_at.map(UnixMs),
            created_at: UnixMs(self.created_at),
        })
    }
}

impl Store {
    /// The token with this SHA-256, whether it has expired or not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn token_by_hash(&self, hash: &[u8]) -> Result<Option<Token>, StoreError> {
        let row: Option<Row> = soon(self.pool.fetch_one(sql(COLUMNS).and(" WHERE hash = ", hash))).await?;
        row.map(Row::read).transpose()
    }

    /// Whether an administrator's token was made before.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_administrator(&self) -> Result<bool, StoreError> {
        let row: Option<Row> = self.pool.fetch_one(sql(COLUMNS).then(" WHERE role IS NULL LIMIT 1")).await?;
        Ok(row.is_some())
    }
}

impl Scope<'_> {
    /// Keeps a token whose text hashes to `hash`.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the same text is a token already.
    pub async fn create_token(&self, token: &Token, hash: &[u8]) -> Result<(), StoreError> {
        let insert = sql("INSERT INTO tokens (id, tenant_id, name, role, hash, expires_at, created_at) VALUES (")
            .list(vec![
                token.id.into(),
                self.tenant.into(),
                token.name.as_str().into(),
                token.role.map(|role| role.as_str()).into(),
                hash.into(),
                token.expires_at.into(),
                token.created_at.into(),
            ])
            .then(")");
        let mut tx = self.store.pool.begin().await?;
        tx.execute(insert).await.map_err(|error| error.or_exists("this token"))?;
        let role = token.role.map(|role| role.as_str());
        let after = json!({ "name": token.name, "role": role, "expires_at": token.expires_at });
        self.note(&mut tx, "token.create", token.id.to_string(), Some(after)).await?;
        tx.commit().await
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn tokens(&self, page: &Page<Token>) -> Result<Listed<Token, Token>, StoreError> {
        let select = sql(COLUMNS).and(" WHERE role IS NOT NULL AND tenant_id = ", self.tenant);
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let tokens = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(tokens, |token: &Token| token.id))
    }

    /// Takes a token out of use. False when the tenant has none with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revoke_token(&self, id: Id<Token>) -> Result<bool, StoreError> {
        let delete = sql("DELETE FROM tokens WHERE role IS NOT NULL")
            .and(" AND tenant_id = ", self.tenant)
            .and(" AND id = ", id);
        let mut tx = self.store.pool.begin().await?;
        let revoked = tx.execute(delete).await? > 0;
        if revoked {
            self.note(&mut tx, "token.revoke", id.to_string(), None).await?;
        }
        tx.commit().await?;
        Ok(revoked)
    }

    /// The tenant of this scope.
    #[must_use]
    pub const fn tenant_id(&self) -> Id<Tenant> {
        self.tenant
    }
}
