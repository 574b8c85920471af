//! One way to say a statement for both databases: text with `$1` binds, and values. Knows no table.

use std::{borrow::Cow, sync::Arc, time::Duration};

use sqlx::{
    Arguments as _, AssertSqlSafe, Connection as _, Encode, FromRow, Postgres, Sqlite, Transaction, Type,
    pool::PoolConnection,
    postgres::{PgArguments, PgPool, PgRow},
    sqlite::{SqliteArguments, SqlitePool, SqliteRow},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    StoreError,
    connect::{ACQUIRE, ANSWER_MAX, BELIEVED},
};
use crate::domain::{Id, UnixMs};

/// Rows of one statement of SQLite, so that it stays under 32,766 binds.
const SQLITE_ROWS_MAX: usize = 128;
/// Rows of one statement are a multiple of this or fewer, so that few texts are prepared and each is used again.
const SQLITE_ROWS_STEP: usize = 8;
/// Rows of one statement of PostgreSQL, whose text is the same for any number of them.
const POSTGRES_ROWS_MAX: usize = 8_192;

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

/// A statement with its values, which each database gets in its own words.
#[derive(Clone, Debug)]
pub(super) struct Sql(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(Cow<'static, str>),
    Value(Value),
    Rows(Vec<Vec<Value>>),
    Any(Vec<Value>),
}

pub(super) fn sql(text: &'static str) -> Sql {
    Sql(vec![Part::Text(text.into())])
}

impl Sql {
    /// Adds text, and a bind after it.
    pub(super) fn and(mut self, text: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.0.extend([Part::Text(text.into()), Part::Value(value.into())]);
        self
    }

    /// Adds text without a bind.
    pub(super) fn then(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Puts text before it all.
    #[cfg(test)]
    pub(super) fn after(mut self, text: &'static str) -> Self {
        self.0.insert(0, Part::Text(text.into()));
        self
    }

    /// Adds rows to be inserted, or selected as `column1`, `column2`, …: `VALUES (…), (…)` for SQLite. PostgreSQL gets each
    /// column as one array, so that it plans once for any number of rows.
    pub(super) fn rows(mut self, rows: Vec<Vec<Value>>) -> Self {
        self.0.push(Part::Rows(rows));
        self
    }

    /// Adds the condition that what stands before it is one of these.
    pub(super) fn any<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.0.push(Part::Any(values.into_iter().map(Into::into).collect()));
        self
    }

    /// Adds as many binds, with commas between them.
    pub(super) fn list(mut self, values: Vec<Value>) -> Self {
        for (place, value) in values.into_iter().enumerate() {
            self = self.and(if place == 0 { "" } else { ", " }, value);
        }
        self
    }

    fn sqlite(self) -> Result<(AssertSqlSafe<String>, SqliteArguments), StoreError> {
        let (mut text, mut arguments) = (String::new(), SqliteArguments::default());
        for part in self.0 {
            match part {
                Part::Text(part) => text.push_str(&part),
                Part::Value(value) => {
                    text.push('?');
                    value.add_sqlite(&mut arguments)?;
                }
                Part::Any(values) => {
                    text.push_str(" IN ");
                    push_row(&mut text, values.len());
                    values.into_iter().try_for_each(|value| value.add_sqlite(&mut arguments))?;
                }
                Part::Rows(rows) => {
                    text.push_str("VALUES ");
                    for (place, row) in rows.into_iter().enumerate() {
                        text.push_str(if place == 0 { "" } else { ", " });
                        push_row(&mut text, row.len());
                        row.into_iter().try_for_each(|value| value.add_sqlite(&mut arguments))?;
                    }
                }
            }
        }
        Ok((AssertSqlSafe(text), arguments))
    }

    fn postgres(self) -> Result<(AssertSqlSafe<String>, PgArguments), StoreError> {
        let (mut text, mut arguments) = (String::new(), PgArguments::default());
        let mut bound = 0;
        let mut bind = |text: &mut String| {
            bound += 1;
            text.push('$');
            text.push_str(&bound.to_string());
        };
        for part in self.0 {
            match part {
                Part::Text(part) => text.push_str(&part),
                Part::Value(value) => {
                    bind(&mut text);
                    value.add_postgres(&mut arguments)?;
                }
                Part::Any(values) => {
                    text.push_str(" = ANY(");
                    bind(&mut text);
                    text.push(')');
                    Column::of(values).add_postgres(&mut arguments)?;
                }
                Part::Rows(rows) => {
                    let columns = columns(rows);
                    text.push_str("SELECT * FROM UNNEST(");
                    for (place, column) in columns.iter().enumerate() {
                        text.push_str(if place == 0 { "" } else { ", " });
                        bind(&mut text);
                        text.push_str(column.postgres_type());
                    }
                    text.push_str(") AS rows (");
                    for place in 1..=columns.len() {
                        text.push_str(if place == 1 { "column" } else { ", column" });
                        text.push_str(&place.to_string());
                    }
                    text.push(')');
                    columns.into_iter().try_for_each(|column| column.add_postgres(&mut arguments))?;
                }
            }
        }
        Ok((AssertSqlSafe(text), arguments))
    }
}

/// Adds `(?, ?, …)`.
fn push_row(text: &mut String, values: usize) {
    text.push('(');
    for place in 0..values {
        text.push_str(if place == 0 { "?" } else { ", ?" });
    }
    text.push(')');
}

impl Value {
    fn add_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), StoreError> {
        match self {
            Self::Int(value) => add_sqlite(arguments, value),
            Self::Text(value) => add_sqlite(arguments, value),
            Self::Bytes(value) => add_sqlite(arguments, value),
            Self::Uuid(value) => add_sqlite(arguments, value),
        }
    }

    fn add_postgres(self, arguments: &mut PgArguments) -> Result<(), StoreError> {
        match self {
            Self::Int(value) => add_postgres(arguments, value),
            Self::Text(value) => add_postgres(arguments, value),
            Self::Bytes(value) => add_postgres(arguments, value),
            Self::Uuid(value) => add_postgres(arguments, value),
        }
    }
}

/// The values of one column of many rows.
enum Column {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Uuids(Vec<Option<Uuid>>),
}

impl Column {
    fn empty_like(value: &Value, rows: usize) -> Self {
        match value {
            Value::Int(_) => Self::Ints(Vec::with_capacity(rows)),
            Value::Text(_) => Self::Texts(Vec::with_capacity(rows)),
            Value::Bytes(_) => Self::Bytes(Vec::with_capacity(rows)),
            Value::Uuid(_) => Self::Uuids(Vec::with_capacity(rows)),
        }
    }

    /// No values are no ids, which is what is asked for most.
    fn of(values: Vec<Value>) -> Self {
        let mut column = Self::empty_like(values.first().unwrap_or(&Value::Uuid(None)), values.len());
        values.into_iter().for_each(|value| column.push(value));
        column
    }

    /// A value of another type than its column's is a fault in a statement's code, and is kept as none.
    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Ints(column), Value::Int(value)) => column.push(value),
            (Self::Texts(column), Value::Text(value)) => column.push(value),
            (Self::Bytes(column), Value::Bytes(value)) => column.push(value),
            (Self::Uuids(column), Value::Uuid(value)) => column.push(value),
            (column, _) => column.push_none(),
        }
    }

    fn push_none(&mut self) {
        match self {
            Self::Ints(column) => column.push(None),
            Self::Texts(column) => column.push(None),
            Self::Bytes(column) => column.push(None),
            Self::Uuids(column) => column.push(None),
        }
    }

    const fn postgres_type(&self) -> &'static str {
        match self {
            Self::Ints(_) => "::bigint[]",
            Self::Texts(_) => "::text[]",
            Self::Bytes(_) => "::bytea[]",
            Self::Uuids(_) => "::uuid[]",
        }
    }

    fn add_postgres(self, arguments: &mut PgArguments) -> Result<(), StoreError> {
        match self {
            Self::Ints(column) => add_postgres(arguments, column),
            Self::Texts(column) => add_postgres(arguments, column),
            Self::Bytes(column) => add_postgres(arguments, column),
            Self::Uuids(column) => add_postgres(arguments, column),
        }
    }
}

fn columns(rows: Vec<Vec<Value>>) -> Vec<Column> {
    let count = rows.len();
    let first = rows.first().map(Vec::as_slice).unwrap_or_default();
    let mut columns: Vec<Column> = first.iter().map(|value| Column::empty_like(value, count)).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
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

/// Splits rows into those of one statement each.
fn runs<T>(mut rows: Vec<T>, fits: impl Fn(usize) -> usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let rest = rows.split_off(fits(rows.len()));
        Some(std::mem::replace(&mut rows, rest))
    })
}

/// How many of so many rows one statement takes.
const fn sqlite_run(rows: usize) -> usize {
    if rows >= SQLITE_ROWS_MAX {
        SQLITE_ROWS_MAX
    } else if rows > SQLITE_ROWS_STEP {
        rows - rows % SQLITE_ROWS_STEP
    } else {
        rows
    }
}

const fn postgres_run(rows: usize) -> usize {
    if rows > POSTGRES_ROWS_MAX { POSTGRES_ROWS_MAX } else { rows }
}

/// A row's shape, readable from both databases.
pub(super) trait Shape: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Shape for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// The database behind the store.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    /// Writers take turns, since SQLite has one write lock; readers beside them.
    Sqlite {
        writers: SqlitePool,
        turn: Arc<Mutex<()>>,
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
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(pool)).await?
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

    /// Splits rows into those of one statement each.
    pub(super) fn runs<T>(&self, rows: Vec<T>) -> impl Iterator<Item = Vec<T>> + use<T> {
        runs(rows, if matches!(self, Self::Sqlite { .. }) { sqlite_run } else { postgres_run })
    }

    /// Waits for the connections to close.
    pub(super) async fn close(self) {
        match self {
            Self::Sqlite { writers, readers, .. } => {
                readers.close().await;
                writers.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// A transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx<'static>, StoreError> {
        Ok(match self {
            Self::Sqlite { writers, turn, .. } => {
                let turn = take_turn(turn).await?;
                Tx::Sqlite { tx: writers.begin_with(SQLITE_BEGIN).await?, turn }
            }
            Self::Postgres(pool) => Tx::Postgres(within(ANSWER_MAX, pool.begin()).await?),
        })
    }
}

const SQLITE_BEGIN: &str = "BEGIN IMMEDIATE";

async fn take_turn(turn: &Arc<Mutex<()>>) -> Result<OwnedMutexGuard<()>, StoreError> {
    let taken = timeout(ACQUIRE, Arc::clone(turn).lock_owned()).await;
    taken.map_err(|_| StoreError::from(sqlx::Error::PoolTimedOut))
}

/// A connection for one user, kept from one use to the next. A pool asks each whether it lives when it is given back, and
/// when it is taken: twice as many round trips as a short statement has.
///
/// What is done through it finds rows by their keys, so PostgreSQL plans it once ([`KEPT_POSTGRES`]) and not for each
/// execution, which would take it as long as the execution itself. A plan that was made while a table was small would read
/// all of it once it is large, so plans are made anew each second.
#[derive(Debug)]
pub(super) struct Kept {
    pool: Pool,
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    connection: Connection,
    /// When it was last used, or with PostgreSQL asked to forget its plans: what shows that it lives.
    known_at: Instant,
}

/// How a kept connection to PostgreSQL plans.
const KEPT_POSTGRES: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off";
/// Has PostgreSQL make all plans of a connection anew.
const FORGET_PLANS: &str = "DISCARD PLANS";

#[derive(Debug)]
enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Kept {
    pub(super) const fn of(pool: Pool) -> Self {
        Self { pool, live: None }
    }

    /// Reads without a transaction.
    pub(super) async fn fetch<T: Shape>(&mut self, sql: Sql) -> Result<Vec<T>, StoreError> {
        let fetched = match self.connection(false).await? {
            Connection::Sqlite(connection) => {
                let (text, arguments) = sql.sqlite()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(&mut **connection)).await
            }
            Connection::Postgres(connection) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(&mut **connection)).await
            }
        };
        if fetched.is_err() {
            self.renew();
        }
        fetched
    }

    /// A transaction that writes. Where it fails, [`Self::renew`] is to be called.
    pub(super) async fn begin(&mut self) -> Result<Tx<'_>, StoreError> {
        let turn = match &self.pool {
            Pool::Sqlite { turn, .. } => Some(take_turn(turn).await?),
            Pool::Postgres(_) => None,
        };
        Ok(match (self.connection(true).await?, turn) {
            (Connection::Sqlite(connection), Some(turn)) => {
                Tx::Sqlite { tx: connection.begin_with(SQLITE_BEGIN).await?, turn }
            }
            (Connection::Sqlite(_), None) => return Err(StoreError::Closed),
            (Connection::Postgres(connection), _) => Tx::Postgres(within(ACQUIRE, connection.begin()).await?),
        })
    }

    /// Another connection is taken for the next use. This one goes, since nobody knows what state it is in.
    pub(super) fn renew(&mut self) {
        match self.live.take().map(|live| live.connection) {
            Some(Connection::Sqlite(mut connection)) => connection.close_on_drop(),
            Some(Connection::Postgres(mut connection)) => connection.close_on_drop(),
            None => {}
        }
    }

    async fn connection(&mut self, writes: bool) -> Result<&mut Connection, StoreError> {
        if let Err(error) = self.look().await {
            self.renew();
            // A new one would not be answered either.
            if error.is_timeout() {
                return Err(error);
            }
        }
        let live = match self.live.take() {
            Some(live) => live,
            None => Live { connection: self.open(writes).await?, known_at: Instant::now() },
        };
        Ok(&mut self.live.insert(live).connection)
    }

    /// Asks the connection whether it lives where that was not shown for a moment.
    async fn look(&mut self) -> Result<(), StoreError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let now = Instant::now();
        match &mut live.connection {
            Connection::Sqlite(_) if now - live.known_at < BELIEVED => {}
            Connection::Sqlite(connection) => within(ACQUIRE, connection.ping()).await?,
            Connection::Postgres(_) if now - live.known_at < BELIEVED => return Ok(()),
            Connection::Postgres(connection) => {
                within(ACQUIRE, sqlx::raw_sql(FORGET_PLANS).execute(&mut **connection)).await?;
            }
        }
        live.known_at = now;
        Ok(())
    }

    async fn open(&self, writes: bool) -> Result<Connection, StoreError> {
        Ok(match &self.pool {
            Pool::Sqlite { writers, .. } if writes => Connection::Sqlite(writers.acquire().await?),
            Pool::Sqlite { readers, .. } => Connection::Sqlite(readers.acquire().await?),
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                // How it plans is for its one user, so it never goes back to the pool.
                connection.close_on_drop();
                within(ACQUIRE, sqlx::raw_sql(KEPT_POSTGRES).execute(&mut *connection)).await?;
                Connection::Postgres(connection)
            }
        })
    }
}

/// A server that is silent is not waited for without end.
async fn within<T>(limit: Duration, answer: impl Future<Output = sqlx::Result<T>>) -> Result<T, StoreError> {
    let answered = timeout(limit, answer).await;
    Ok(answered.unwrap_or(Err(sqlx::Error::PoolTimedOut))?)
}

/// A transaction; dropped without `commit` it is rolled back.
pub(super) enum Tx<'c> {
    Sqlite { tx: Transaction<'c, Sqlite>, turn: OwnedMutexGuard<()> },
    Postgres(Transaction<'c, Postgres>),
}

impl Tx<'_> {
    pub(super) async fn fetch<T: Shape>(&mut self, sql: Sql) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite { tx, .. } => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_as_with(text, arguments).fetch_all(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_as_with(text, arguments).fetch_all(&mut **tx)).await?
            }
        })
    }

    pub(super) async fn fetch_one<T: Shape>(&mut self, sql: Sql) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql).await?.into_iter().next())
    }

    pub(super) async fn execute(&mut self, sql: Sql) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { tx, .. } => {
                let (text, arguments) = sql.sqlite()?;
                sqlx::query_with(text, arguments).execute(&mut **tx).await?.rows_affected()
            }
            Self::Postgres(tx) => {
                let (text, arguments) = sql.postgres()?;
                within(ANSWER_MAX, sqlx::query_with(text, arguments).execute(&mut **tx)).await?.rows_affected()
            }
        })
    }

    /// Splits rows into those of one statement each.
    pub(super) fn runs<T>(&self, rows: Vec<T>) -> impl Iterator<Item = Vec<T>> + use<T> {
        runs(rows, if matches!(self, Self::Sqlite { .. }) { sqlite_run } else { postgres_run })
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { tx, turn } => {
                tx.commit().await?;
                drop(turn);
            }
            Self::Postgres(tx) => within(ANSWER_MAX, tx.commit()).await?,
        }
        Ok(())
    }

    /// `FOR UPDATE` where rows are locked one by one; SQLite's writer is alone anyway.
    pub(super) const fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_sqlite_are_split_so_that_few_texts_are_prepared() {
        let lengths = |rows: usize| runs((0..rows).collect(), sqlite_run).map(|run| run.len()).collect::<Vec<_>>();
        assert_eq!(lengths(300), [128, 128, 40, 4]);
        assert_eq!((lengths(8), lengths(7), lengths(0)), (vec![8], vec![7], vec![]));
        let back: Vec<_> = runs((0..77).collect::<Vec<_>>(), sqlite_run).flatten().collect();
        assert_eq!(back, (0..77).collect::<Vec<_>>());
    }

    #[test]
    fn each_database_gets_its_own_words() {
        let rows = vec![vec![1i64.into(), "x".into()], vec![2i64.into(), "y".into()]];
        let statement = sql("A").and(" B ", 1i64).then(" C ").rows(rows).then(" D").any([Uuid::nil(), Uuid::max()]);
        let AssertSqlSafe(sqlite) = statement.clone().sqlite().unwrap().0;
        assert_eq!(sqlite, "A B ? C VALUES (?, ?), (?, ?) D IN (?, ?)");
        let AssertSqlSafe(postgres) = statement.postgres().unwrap().0;
        let unnest = "SELECT * FROM UNNEST($2::bigint[], $3::text[]) AS rows (column1, column2)";
        assert_eq!(postgres, format!("A B $1 C {unnest} D = ANY($4)"));
    }
}
