//! Browsers that are signed in. Owns when a session ends; knows no cookie.

use std::time::Duration;

use super::{Store, StoreError, connect::soon, sql::sql, users};
use crate::domain::{
    Id, UnixMs,
    user::{Actor, User},
};

/// A session ends so long after the sign-in, and so long after it was used last.
pub const SESSION_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
/// That it is used is written no more often.
const SEEN_EVERY: Duration = Duration::from_secs(300);

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    user: users::Row,
    seen_at: i64,
}

impl Store {
    /// Begins a session whose text hashes to `hash`, and removes those that have ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_session(
        &self,
        hash: &[u8],
        user: Id<User>,
        actor: &Actor,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let insert = sql("INSERT INTO sessions (hash, user_id, address, created_at, seen_at) VALUES (")
            .list(vec![hash.into(), user.into(), actor.address.to_string().into(), now.into(), now.into()])
            .then(")");
        self.pool.execute(insert).await?;
        let ended = sql("DELETE FROM sessions").and(" WHERE seen_at < ", now - IDLE_MAX);
        self.pool.execute(ended).await.map(drop)
    }

    /// Who is signed in with the text that hashes to `hash`, and uses the session so that it lasts.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session(&self, hash: &[u8], now: UnixMs) -> Result<Option<User>, StoreError> {
        let Some(row) = self.session_row(hash, now).await? else { return Ok(None) };
        if now.since(UnixMs(row.seen_at)) > SEEN_EVERY {
            let seen = sql("UPDATE sessions SET seen_at = ").and("", now).and(" WHERE hash = ", hash);
            self.pool.execute(seen).await?;
        }
        self.user_of(row).await.map(Some)
    }

    /// Who is signed in with the text that hashes to `hash`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session_user(&self, hash: &[u8], now: UnixMs) -> Result<Option<User>, StoreError> {
        match self.session_row(hash, now).await? {
            Some(row) => self.user_of(row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn session_row(&self, hash: &[u8], now: UnixMs) -> Result<Option<Row>, StoreError> {
        let select = sql("SELECT sessions.seen_at, ")
            .then(users::COLUMNS)
            .then(" FROM sessions JOIN users ON users.id = sessions.user_id")
            .and(" WHERE sessions.hash = ", hash)
            .and(" AND sessions.created_at > ", now - SESSION_AGE_MAX)
            .and(" AND sessions.seen_at > ", now - IDLE_MAX);
        soon(self.pool.fetch_one(select)).await
    }

    async fn user_of(&self, row: Row) -> Result<User, StoreError> {
        let tenants = match row.user.has_every_tenant() {
            true => Vec::new(),
            false => self.tenants_of(vec![row.user.id()]).await?.remove(&row.user.id()).unwrap_or_default(),
        };
        row.user.read(tenants)
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn end_session(&self, hash: &[u8]) -> Result<(), StoreError> {
        self.pool.execute(sql("DELETE FROM sessions").and(" WHERE hash = ", hash)).await.map(drop)
    }
}
