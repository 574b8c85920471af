//! What can go wrong between the store and its callers. Constraint violations are mapped where the SQL runs.

use std::{borrow::Cow, fmt, sync::Arc};

use super::connect::{ACQUIRE, ANSWER_MAX};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full, or gave up; the same call may succeed later.
    #[error("the database did not answer: {}", reason(.0))]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// There is no way to the database now, in words that name it; there may be one later.
    #[error("{0}")]
    Unreachable(String),
    /// The transaction lost against another and may be run again at once.
    #[error("the transaction has to be run again: {0}")]
    Again(#[source] sqlx::Error),
    /// Something else already has this unique value.
    #[error("{0} already exists")]
    Exists(Cow<'static, str>),
    /// The database refused the statement, which is a fault of Postrider's own.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
    /// A stored value does not read back; the row was written by another version or by hand.
    #[error("the stored {what} cannot be read: {detail}")]
    Unreadable { what: &'static str, detail: String },
    /// The migrations did not run.
    #[error("the database's tables could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The settings name a database that cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// PostgreSQL's SQLSTATEs for serialization_failure and deadlock_detected (Appendix A).
const AGAIN: [&str; 2] = ["40001", "40P01"];
/// PostgreSQL's classes of states that pass: connection, insufficient resources, operator intervention, system error.
const PASSING_CLASSES: [&str; 4] = ["08", "53", "57", "58"];
/// PostgreSQL's states of a standby or of a server under maintenance: read_only_sql_transaction, and
/// object_not_in_prerequisite_state, which a database answers that takes no connections; and of a process that stood
/// still in the middle of a transaction: idle_in_transaction_session_timeout.
const PASSING: [&str; 3] = ["25006", "55000", "25P03"];
/// SQLite's primary codes that pass: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
const PASSING_SQLITE: [i64; 6] = [5, 6, 8, 10, 13, 14];
/// Of these, another process holds the file: BUSY, LOCKED.
const LOCKED_SQLITE: [i64; 2] = [5, 6];

impl StoreError {
    /// One that several wait for, for each of them.
    #[must_use]
    pub fn told_to_all(error: &Arc<Self>) -> Self {
        match error.is_unavailable() {
            true => Self::Unreachable(error.to_string()),
            false => Self::unreadable("notification", error),
        }
    }

    /// Whether the caller did nothing wrong and may come back later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unreachable(_) | Self::Again(_) | Self::Closed)
    }

    /// Whether nobody answered in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::Unavailable(error) if matches!(error.as_ref(), sqlx::Error::PoolTimedOut))
    }

    /// Whether another process holds SQLite's file at the moment.
    pub(super) fn is_locked(&self) -> bool {
        match self {
            Self::Unavailable(error) => match error.as_ref() {
                sqlx::Error::Database(error) => {
                    let code = error.code().unwrap_or_default();
                    code.parse::<i64>().is_ok_and(|code| LOCKED_SQLITE.contains(&(code & 0xff)))
                }
                sqlx::Error::PoolTimedOut => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// The same news for another caller of a group, where it is news that a group shares.
    pub(super) fn shared(&self) -> Option<Self> {
        match self {
            Self::Unavailable(error) => Some(Self::Unavailable(Arc::clone(error))),
            Self::Unreachable(why) => Some(Self::Unreachable(why.clone())),
            Self::Closed => Some(Self::Closed),
            _ => None,
        }
    }

    pub(super) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Refused(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// A unique violation as what it means to the caller.
    pub(super) fn or_exists(self, what: &'static str) -> Self {
        if self.is_unique_violation() { Self::Exists(what.into()) } else { self }
    }

    /// For values that were parsed when they were stored.
    pub(crate) fn unreadable(what: &'static str, detail: impl fmt::Display) -> Self {
        Self::Unreadable { what, detail: format!("{detail}") }
    }
}

/// The pool keeps to itself why it could not connect.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => {
            let (connection, answer) = (ACQUIRE.as_secs(), ANSWER_MAX.as_secs());
            format!("no connection could be had within {connection} s, or a statement had no answer within {answer} s")
        }
        error => error.to_string(),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_) => Self::Unavailable(Arc::new(error)),
                _ => Self::Refused(error),
            };
        };
        let code = database.code().unwrap_or_default();
        let sqlite_code = || code.parse::<i64>().is_ok_and(|code| PASSING_SQLITE.contains(&(code & 0xff)));
        if AGAIN.contains(&code.as_ref()) {
            Self::Again(error)
        } else if PASSING.contains(&code.as_ref())
            || (code.len() == 5 && PASSING_CLASSES.iter().any(|class| code.starts_with(class)))
            || (code.len() < 5 && sqlite_code())
        {
            Self::Unavailable(Arc::new(error))
        } else {
            Self::Refused(error)
        }
    }
}
