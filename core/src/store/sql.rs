//! One way to say a statement for both databases: text with `$1` binds, and values. Knows no table.

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, FromRow, Postgres, Sqlite, Transaction, Type,
    postgres::{PgArguments, PgPool, PgRow},
    sqlite::{SqliteArguments, SqlitePool, SqliteRow},
};
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Id, UnixMs};

/// Rows of one statement, so that it stays under SQLite's 32,766 binds and a prepared text is used again.
const ROWS_MAX: usize = 128;

/// A value to bind. Types are exact, because PostgreSQL prepares statements by them.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
}

macro_rules! value_from {
    ($($from:ty => $variant:ident, $convert:expr;)+) => {
        $(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    Self::$variant(Some(($convert)(value)))
                }
            }
            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Self {
                    Self::$variant(value.map($convert))
                }
            }
        )+
    };
}
value_from! {
    i64 => Int, std::convert::identity;
    u32 => Int, i64::from;
    u16 => Int, i64::from;
    u8 => Int, i64::from;
    UnixMs => Int, |time: UnixMs| time.0;
    String => Text, std::convert::identity;
    &str => Text, str::to_owned;
    Vec<u8> => Bytes, std::convert::identity;
    &[u8] => Bytes, <[u8]>::to_vec;
    Uuid => Uuid, std::convert::identity;
}

impl<T> From<Id<T>> for Value {
    fn from(id: Id<T>) -> Self {
        Self::Uuid(Some(id.uuid()))
    }
}

impl<T> From<Option<Id<T>>> for Value {
    fn from(id: Option<Id<T>>) -> Self {
        Self::Uuid(id.map(Id::uuid))
    }
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

pub(super) fn sql(text: &str) -> Sql {
    Sql { text: text.to_owned(), values: Vec::new() }
}

impl Sql {
    /// Binds the next of the `$1`, `$2`, … that stand in the text.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds text, and a bind after it.
    pub(super) fn and(mut self, text: &str, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.text.push_str(text);
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Adds text without a bind.
    pub(super) fn then(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds `($1, $2), ($3, $4), …` for as many rows.
    pub(super) fn rows(mut self, rows: Vec<Vec<Value>>) -> Self {
        for (place, row) in rows.into_iter().enumerate() {
            self.text.push_str(if place == 0 { "(" } else { ", (" });
            self = self.list(row);
            self.text.push(')');
        }
        self
    }

    /// Adds `$1, $2, …` for as many values.
    pub(super) fn list(mut self, values: Vec<Value>) -> Self {
        for (place, value) in values.into_iter().enumerate() {
            self = self.and(if place == 0 { "" } else { ", " }, value);
        }
        self
    }

    fn sqlite(self) -> Result<(AssertSqlSafe<String>, SqliteArguments), StoreError> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            match value {
                Value::Int(value) => add_sqlite(&mut arguments, value),
                Value::Text(value) => add_sqlite(&mut arguments, value),
                Value::Bytes(value) => add_sqlite(&mut arguments, value),
                Value::Uuid(value) => add_sqlite(&mut arguments, value),
            }?;
        }
        Ok((AssertSqlSafe(unnumbered(&self.text)), arguments))
    }

    fn postgres(self) -> Result<(AssertSqlSafe<String>, PgArguments), StoreError> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            match value {
                Value::Int(value) => add_postgres(&mut arguments, value),
                Value::Text(value) => add_postgres(&mut arguments, value),
                Value::Bytes(value) => add_postgres(&mut arguments, value),
                Value::Uuid(value) => add_postgres(&mut arguments, value),
            }?;
        }
        Ok((AssertSqlSafe(self.text), arguments))
    }
}

/// The text with `?` in place of `$1`, `$2`, …, which stand in their order. SQLite keeps the names of binds in a list that
/// is walked for each bind, so that a statement of a thousand named ones takes milliseconds.
fn unnumbered(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('$');
    plain.extend(parts.next());
    for part in parts {
        plain.push('?');
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    plain
}

fn add_sqlite<'v, T: Encode<'v, Sqlite> + Type<Sqlite> + 'v>(
    arguments: &mut SqliteArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(|error| StoreError::from(sqlx::Error::Encode(error)))
}

fn add_postgres<'v, T: Encode<'v, Postgres> + Type<Postgres> + 'v>(
    arguments: &mut PgArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(|error| StoreError::from(sqlx::Error::Encode(error)))
}

/// Splits rows into runs whose lengths are powers of two, so that few texts are prepared and each is used again.
pub(super) fn runs<T>(mut rows: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let fits = rows.len().min(ROWS_MAX);
        let run = 1 << (usize::BITS - 1 - fits.leading_zeros());
        let rest = rows.split_off(run);
        Some(std::mem::replace(&mut rows, rest))
    })
}

/// A row's shape, readable from both databases.
pub(super) trait Shape: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Shape for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// The database behind the store.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    /// One writer, since SQLite has one write lock, and readers beside it.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Pool {
    /// Reads without a transaction.
    pub(super) async fn fetch<T: Shape>(&self, sql: Sql) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_as_with(text, arguments).fetch_all(readers).await?
            }
            Self::Postgres(pool) => {
                let (text, arguments) = sql.postgres()?;
                sqlx::query_as_with(text, arguments).fetch_all(pool).await?
            }
        })
    }

    pub(super) async fn fetch_one<T: Shape>(&self, sql: Sql) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql).await?.into_iter().next())
    }

    /// Writes one statement in its own transaction. Returns how many rows it touched.
    pub(super) async fn execute(&self, sql: Sql) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let touched = tx.execute(sql).await?;
        tx.commit().await?;
        Ok(touched)
    }

    /// Waits for the connections to close.
    pub(super) async fn close(self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// A transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }
}

/// A transaction; dropped without `commit` it is rolled back.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(super) async fn fetch<T: Shape>(&mut self, sql: Sql) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_as_with(text, arguments).fetch_all(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                let (text, arguments) = sql.postgres()?;
                sqlx::query_as_with(text, arguments).fetch_all(&mut **tx).await?
            }
        })
    }

    pub(super) async fn fetch_one<T: Shape>(&mut self, sql: Sql) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql).await?.into_iter().next())
    }

    pub(super) async fn execute(&mut self, sql: Sql) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_with(text, arguments).execute(&mut **tx).await?.rows_affected()
            }
            Self::Postgres(tx) => {
                let (text, arguments) = sql.postgres()?;
                sqlx::query_with(text, arguments).execute(&mut **tx).await?.rows_affected()
            }
        })
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// `FOR UPDATE` where rows are locked one by one; SQLite's writer is alone anyway.
    pub(super) const fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_into_powers_of_two() {
        let lengths = |rows: usize| runs((0..rows).collect()).map(|run| run.len()).collect::<Vec<_>>();
        assert_eq!(lengths(300), [128, 128, 32, 8, 4]);
        assert_eq!(lengths(0), [0usize; 0]);
        assert_eq!(runs((0..77).collect()).flatten().collect::<Vec<_>>(), (0..77).collect::<Vec<_>>());
    }

    #[test]
    fn binds_lose_their_numbers_for_sqlite() {
        let text =
            sql("SELECT a").and(" WHERE b = ", 1i64).then(" OR c IN (").list(vec![2i64.into(); 11]).then(")").text;
        assert!(text.ends_with(", $11, $12)"), "{text}");
        assert_eq!(unnumbered(&text), format!("SELECT a WHERE b = ? OR c IN (?{})", ", ?".repeat(10)));
        assert_eq!(unnumbered("SELECT 1"), "SELECT 1");
    }

    #[test]
    fn binds_are_numbered_on() {
        let text = sql("A ($1)")
            .bind(1i64)
            .then(" B ")
            .rows(vec![vec![1i64.into(), "x".into()], vec![2i64.into(), "y".into()]]);
        assert_eq!(text.text, "A ($1) B ($2, $3), ($4, $5)");
    }
}
