//! A database for one test: a file in its data folder, or one made on the tests' PostgreSQL and dropped at the end.

use std::path::{Path, PathBuf};

use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{Stack, from_test_run};

pub(crate) enum Database {
    Sqlite {
        url: String,
    },
    Postgres {
        name: String,
        url: String,
    },
    /// On a server of the test's own, which ends with it.
    Private {
        url: String,
    },
}

impl Database {
    pub(crate) async fn make(stack: Stack, data: &Path) -> Self {
        if stack == Stack::Sqlite {
            return Self::Sqlite { url: format!("sqlite://{}", data.join("postrider.db").display()) };
        }
        let name = format!("it_{}", Uuid::now_v7().simple());
        on_server(format!("CREATE DATABASE {name}")).await.expect("the tests' PostgreSQL makes a database");
        let (server, _) = server_url().rsplit_once('/').map(|(server, db)| (server.to_owned(), db.to_owned())).unwrap();
        Self::Postgres { url: format!("{server}/{name}"), name }
    }

    /// Where its server listens, as `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        let url = self.url();
        let place = url.rsplit_once('@').map_or(url, |(_, place)| place);
        place.split('/').next().expect("a URL with a host").to_owned()
    }

    /// Ends every connection to it from its server's side, as a restart or a failover does; gives how many.
    pub(crate) async fn drop_connections(&self) -> usize {
        let Self::Postgres { name, .. } = self else { panic!("SQLite has no connections to drop") };
        let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        let mut connection = PgConnection::connect(&server_url()).await.expect("the tests' PostgreSQL");
        let ended = sqlx::query(statement).bind(name).fetch_all(&mut connection).await.expect("a superuser");
        ended.len()
    }

    /// Lets it take writes or not, from the next connection on, as after a failover to a standby.
    pub(crate) async fn set_writable(&self, writable: bool) {
        let Self::Postgres { name, .. } = self else { panic!("SQLite has no standby") };
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {}", !writable);
        on_server(set).await.expect("a superuser");
        self.drop_connections().await;
    }

    /// How many there are on the tests' PostgreSQL with names like `pattern`.
    pub(crate) async fn count(pattern: &str) -> i64 {
        let mut connection = PgConnection::connect(&server_url()).await.expect("the tests' PostgreSQL");
        let select = sqlx::query_scalar("SELECT COUNT(*) FROM pg_database WHERE datname LIKE $1");
        select.bind(pattern).fetch_one(&mut connection).await.expect("a count")
    }

    /// Where the programs of the tests' PostgreSQL are, to start another.
    pub(super) async fn programs() -> PathBuf {
        let mut connection = PgConnection::connect(&server_url()).await.expect("the tests' PostgreSQL");
        let select = sqlx::query_scalar::<_, String>("SELECT setting FROM pg_config WHERE name = 'BINDIR'");
        select.fetch_one(&mut connection).await.expect("a superuser").into()
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite { url } | Self::Postgres { url, .. } | Self::Private { url } => url,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Self::Postgres { name, .. } = self else { return };
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        // A thread with a runtime of its own, since a drop cannot wait on the test's.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(on_server(statement))
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("the test's database stays: {error}");
        }
    }
}

fn server_url() -> String {
    from_test_run("POSTRIDER_TEST_POSTGRES_URL")
}

async fn on_server(statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(&server_url()).await?;
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await?;
    connection.close().await
}
