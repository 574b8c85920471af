//! One way to say a statement for both databases: text with `$1` binds, and values. Knows no table.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, postgres::PgArguments, sqlite::SqliteArguments};

use super::{
    StoreError,
    value::{Column, Value},
};

/// Which database a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Splits rows into those of one statement each.
    pub(super) fn runs<T>(self, mut rows: Vec<T>) -> impl Iterator<Item = Vec<T>> + use<T> {
        std::iter::from_fn(move || {
            if rows.is_empty() {
                return None;
            }
            let rest = rows.split_off(self.run(rows.len()));
            Some(std::mem::replace(&mut rows, rest))
        })
    }

    /// How many of so many rows one statement takes.
    fn run(self, rows: usize) -> usize {
        match self {
            Self::Postgres => rows.min(POSTGRES_ROWS_MAX),
            Self::Sqlite if rows >= SQLITE_ROWS_MAX => SQLITE_ROWS_MAX,
            Self::Sqlite if rows > SQLITE_ROWS_STEP => rows - rows % SQLITE_ROWS_STEP,
            Self::Sqlite => rows,
        }
    }
}

/// One of several statements that are written together.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) sql: Sql,
    /// How many rows it touches, if all is as expected.
    pub(super) touches: Option<u64>,
}

impl From<Sql> for Part {
    fn from(sql: Sql) -> Self {
        Self { sql, touches: None }
    }
}

impl Part {
    /// It must touch so many rows, or nothing is written.
    pub(super) const fn touching(rows: u64, sql: Sql) -> Self {
        Self { sql, touches: Some(rows) }
    }
}

/// Rows of one statement of SQLite, so that it stays under 32,766 binds.
const SQLITE_ROWS_MAX: usize = 128;
/// Rows of one statement are a multiple of this or fewer, so that few texts are prepared and each is used again.
const SQLITE_ROWS_STEP: usize = 8;
/// Rows of one statement of PostgreSQL, whose text is the same for any number of them.
const POSTGRES_ROWS_MAX: usize = 8_192;

/// A statement with its values, which each database gets in its own words.
#[derive(Clone, Debug)]
pub(super) struct Sql(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Cow<'static, str>),
    Value(Value),
    Rows(Vec<Vec<Value>>),
    Any(Vec<Value>),
    Holds(&'static str, Value),
}

pub(super) fn sql(text: &'static str) -> Sql {
    Sql(vec![Piece::Text(text.into())])
}

impl Sql {
    /// Adds text, and a bind after it.
    pub(super) fn and(mut self, text: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.0.extend([Piece::Text(text.into()), Piece::Value(value.into())]);
        self
    }

    /// Adds text without a bind.
    pub(super) fn then(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.push(Piece::Text(text.into()));
        self
    }

    /// Puts text before it all.
    #[cfg(test)]
    pub(super) fn after(mut self, text: &'static str) -> Self {
        self.0.insert(0, Piece::Text(text.into()));
        self
    }

    /// Adds rows to be inserted, or selected as `column1`, `column2`, …: `VALUES (…), (…)` for SQLite. PostgreSQL gets each
    /// column as one array, so that it plans once for any number of rows.
    pub(super) fn rows(mut self, rows: Vec<Vec<Value>>) -> Self {
        self.0.push(Piece::Rows(rows));
        self
    }

    /// Adds another statement.
    pub(super) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Statements for PostgreSQL as one, which writes all of them or nothing: fewer round trips, and each statement of its own
    /// takes it 0.1 ms or more. It divides by zero where one does not touch as many rows as it must.
    pub(super) fn together(parts: Vec<Part>) -> Self {
        let (mut all, mut checks) = (sql("WITH "), sql("SELECT 1"));
        for (place, Part { sql, touches }) in parts.into_iter().enumerate() {
            let begin = if place == 0 { "" } else { ", " };
            all = all.then(format!("{begin}part{place} AS (")).append(sql);
            if let Some(rows) = touches {
                all = all.then(" RETURNING 1");
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                checks = checks
                    .and(format!(" / CASE (SELECT COUNT(*) FROM part{place}) WHEN "), rows)
                    .then(" THEN 1 ELSE 0 END");
            }
            all = all.then(")");
        }
        all.then(" ").append(checks)
    }

    /// Adds the condition that what stands before it is one of these.
    pub(super) fn any<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.0.push(Piece::Any(values.into_iter().map(Into::into).collect()));
        self
    }

    /// Adds the condition that a column of bytes has these in it.
    pub(super) fn holds(mut self, column: &'static str, bytes: &[u8]) -> Self {
        self.0.push(Piece::Holds(column, bytes.into()));
        self
    }

    /// Adds as many binds, with commas between them.
    pub(super) fn list(mut self, values: Vec<Value>) -> Self {
        for (place, value) in values.into_iter().enumerate() {
            self = self.and(if place == 0 { "" } else { ", " }, value);
        }
        self
    }

    pub(super) fn sqlite(self) -> Result<(AssertSqlSafe<String>, SqliteArguments), StoreError> {
        let (mut text, mut arguments) = (String::new(), SqliteArguments::default());
        for part in self.0 {
            match part {
                Piece::Text(part) => text.push_str(&part),
                Piece::Value(value) => {
                    text.push('?');
                    value.add_sqlite(&mut arguments)?;
                }
                Piece::Any(values) => {
                    text.push_str(" IN ");
                    push_row(&mut text, values.len());
                    values.into_iter().try_for_each(|value| value.add_sqlite(&mut arguments))?;
                }
                Piece::Holds(column, value) => {
                    text.push_str(&format!("INSTR({column}, ?) > 0"));
                    value.add_sqlite(&mut arguments)?;
                }
                Piece::Rows(rows) => {
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

    pub(super) fn postgres(self) -> Result<(AssertSqlSafe<String>, PgArguments), StoreError> {
        let (mut text, mut arguments) = (String::new(), PgArguments::default());
        let mut bound = 0;
        let mut bind = |text: &mut String| {
            bound += 1;
            text.push('$');
            text.push_str(&bound.to_string());
        };
        for part in self.0 {
            match part {
                Piece::Text(part) => text.push_str(&part),
                Piece::Value(value) => {
                    bind(&mut text);
                    value.add_postgres(&mut arguments)?;
                }
                Piece::Any(values) => {
                    text.push_str(" = ANY(");
                    bind(&mut text);
                    text.push(')');
                    Column::of(values).add_postgres(&mut arguments)?;
                }
                Piece::Holds(column, value) => {
                    text.push_str("POSITION(");
                    bind(&mut text);
                    text.push_str(&format!(" IN {column}) > 0"));
                    value.add_postgres(&mut arguments)?;
                }
                Piece::Rows(rows) => {
                    let columns = Column::all_of(rows);
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn rows_of_sqlite_are_split_so_that_few_texts_are_prepared() {
        let runs = |rows: usize| Dialect::Sqlite.runs((0..rows).collect::<Vec<_>>());
        let lengths = |rows: usize| runs(rows).map(|run| run.len()).collect::<Vec<_>>();
        assert_eq!(lengths(300), [128, 128, 40, 4]);
        assert_eq!((lengths(8), lengths(7), lengths(0)), (vec![8], vec![7], vec![]));
        let back: Vec<_> = runs(77).flatten().collect();
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

    #[test]
    fn statements_for_postgresql_are_written_as_one() {
        let parts = vec![Part::from(sql("A").and(" B ", 1i64)), Part::touching(3, sql("C").and(" D ", 2i64))];
        let AssertSqlSafe(text) = Sql::together(parts).postgres().unwrap().0;
        let check = "SELECT 1 / CASE (SELECT COUNT(*) FROM part1) WHEN $3 THEN 1 ELSE 0 END";
        assert_eq!(text, format!("WITH part0 AS (A B $1), part1 AS (C D $2 RETURNING 1) {check}"));
    }
}
