//! Lists by id, newest first, or in the order of their keys. Never by offset.

use uuid::Uuid;

use super::{StoreError, pool::Pool, sql::Sql, value::Value};
use crate::domain::Id;

/// Which part of a list is wanted.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Rows older than this one.
    pub before: Option<Id<T>>,
    /// Rows at most.
    pub limit: u32,
}

/// Which part of a list in the order of keys is wanted.
#[derive(Clone, Debug)]
pub struct KeyPage {
    /// Rows that come after this key.
    pub after: Option<String>,
    /// Rows at most.
    pub limit: u32,
}

/// Part of a list.
#[derive(Clone, Debug)]
pub struct Listed<R, T> {
    pub rows: Vec<R>,
    /// What `before` is for the next part; `None` at the end.
    pub next: Option<Id<T>>,
}

impl<T> Page<T> {
    /// Adds the conditions, order and limit of this page to a statement that ends in a `WHERE` condition.
    pub(super) fn finish(&self, sql: Sql, column: &str) -> Sql {
        let sql = match self.before {
            Some(before) => sql.and(format!(" AND {column} < "), before),
            None => sql,
        };
        sql.then(format!(" ORDER BY {column} DESC")).and(" LIMIT ", one_more(self.limit))
    }

    /// The same with another limit, for rows that are searched.
    pub(super) fn within(&self, sql: Sql, column: &str, rows: u32) -> Sql {
        Self { before: self.before, limit: rows.saturating_sub(1) }.finish(sql, column)
    }

    /// The last of so many rows that a search looks at, where there are as many. `ids` selects them all.
    pub(super) async fn last_within(
        &self,
        pool: &Pool,
        ids: Sql,
        column: &str,
        rows: u32,
    ) -> Result<Option<Id<T>>, StoreError> {
        let last = Self { before: self.before, limit: 0 }.finish(ids, column).and(" OFFSET ", rows.saturating_sub(1));
        let found: Option<(Uuid,)> = pool.fetch_one(last).await?;
        Ok(found.map(|(id,)| Id::from_uuid(id)))
    }

    /// Cuts the one row too many that tells whether there is more.
    pub(super) fn cut<R>(&self, rows: Vec<R>, id: impl Fn(&R) -> Id<T>) -> Listed<R, T> {
        let (rows, next) = cut(rows, self.limit, id);
        Listed { rows, next }
    }
}

impl KeyPage {
    /// Adds the conditions, order and limit of this page to a statement that ends in a `WHERE` condition.
    pub(super) fn finish(&self, sql: Sql) -> Sql {
        let sql = match &self.after {
            Some(after) => sql.and(" AND key > ", after.as_str()),
            None => sql,
        };
        sql.then(" ORDER BY key").and(" LIMIT ", one_more(self.limit))
    }

    /// Cuts what is too many; gives the rest, and after which key the next part begins.
    pub(super) fn cut<R, K>(&self, rows: Vec<R>, key: impl Fn(&R) -> K) -> (Vec<R>, Option<K>) {
        cut(rows, self.limit, key)
    }
}

fn one_more(limit: u32) -> Value {
    Value::from(i64::from(limit) + 1)
}

/// So many rows of these at most, and the last one's mark where there are more.
fn cut<R, M>(mut rows: Vec<R>, limit: u32, mark: impl Fn(&R) -> M) -> (Vec<R>, Option<M>) {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = if more { rows.last().map(mark) } else { None };
    (rows, next)
}
