//! What statements bind: single values, and columns of many rows for PostgreSQL's arrays. Knows no statement.

use sqlx::{Arguments as _, Encode, Postgres, Sqlite, Type, postgres::PgArguments, sqlite::SqliteArguments};
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Id, UnixMs};

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

impl Value {
    pub(super) fn add_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), StoreError> {
        match self {
            Self::Int(value) => add_sqlite(arguments, value),
            Self::Text(value) => add_sqlite(arguments, value),
            Self::Bytes(value) => add_sqlite(arguments, value),
            Self::Uuid(value) => add_sqlite(arguments, value),
        }
    }

    pub(super) fn add_postgres(self, arguments: &mut PgArguments) -> Result<(), StoreError> {
        match self {
            Self::Int(value) => add_postgres(arguments, value),
            Self::Text(value) => add_postgres(arguments, value),
            Self::Bytes(value) => add_postgres(arguments, value),
            Self::Uuid(value) => add_postgres(arguments, value),
        }
    }
}

/// The values of one column of many rows.
pub(super) enum Column {
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

    /// The columns of rows whose values are of the first one's types.
    pub(super) fn all_of(rows: Vec<Vec<Value>>) -> Vec<Self> {
        let count = rows.len();
        let first = rows.first().map(Vec::as_slice).unwrap_or_default();
        let mut columns: Vec<Self> = first.iter().map(|value| Self::empty_like(value, count)).collect();
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        columns
    }

    /// No values are no ids, which is what is asked for most.
    pub(super) fn of(values: Vec<Value>) -> Self {
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

    pub(super) const fn postgres_type(&self) -> &'static str {
        match self {
            Self::Ints(_) => "::bigint[]",
            Self::Texts(_) => "::text[]",
            Self::Bytes(_) => "::bytea[]",
            Self::Uuids(_) => "::uuid[]",
        }
    }

    pub(super) fn add_postgres(self, arguments: &mut PgArguments) -> Result<(), StoreError> {
        match self {
            Self::Ints(column) => add_postgres(arguments, column),
            Self::Texts(column) => add_postgres(arguments, column),
            Self::Bytes(column) => add_postgres(arguments, column),
            Self::Uuids(column) => add_postgres(arguments, column),
        }
    }
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
