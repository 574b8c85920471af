//! A PostgreSQL database made for a measurement and removed after it.

use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use url::Url;

use super::StoreError;

/// A database of its own beside the one that a URL names, on the same server.
#[derive(Debug)]
pub struct Scratch {
    name: String,
    url: String,
    server: PgConnectOptions,
}

impl Scratch {
    /// Makes it. Whoever the URL names needs the right to (`CREATEDB`).
    ///
    /// # Errors
    /// When the server does not answer, or does not allow it.
    pub async fn create(url: &str) -> Result<Self, StoreError> {
        let server: PgConnectOptions = url.parse()?;
        let mut own = Url::parse(url).map_err(|error| StoreError::Configuration(error.to_string()))?;
        let name = format!("postrider_bench_{}", uuid::Uuid::now_v7().simple());
        own.set_path(&name);
        let scratch = Self { url: own.into(), server, name };
        scratch.tell(&format!("CREATE DATABASE {}", scratch.name)).await?;
        Ok(scratch)
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Removes it, whoever is connected to it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn remove(self) -> Result<(), StoreError> {
        self.tell(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await
    }

    async fn tell(&self, statement: &str) -> Result<(), StoreError> {
        let mut connection = self.server.connect().await?;
        // The name is ours: letters, digits and underscores.
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}
