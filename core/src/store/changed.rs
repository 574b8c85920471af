//! What comes of a change that holds only for what its maker has seen, judged in the transaction that makes it.

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Changed<T> {
    /// As it is now.
    Done(T),
    NotFound,
    /// The caller did not want to change what is there now.
    Refused,
}
