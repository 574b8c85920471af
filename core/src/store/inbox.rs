//! What people have in their inboxes, and how much of it is new to them. Whoever changes it locks their counts first.

use uuid::Uuid;

use super::{
    Listed, Page, Scope, StoreError,
    notifications::{Row as NotificationRow, StoredNotification},
    pool::Tx,
    sql::sql,
};
use crate::domain::{Id, UnixMs, notification::Notification, recipient::Recipient};

/// Items of one person that one statement marks; of more, it is done again.
const MARKED_MAX: u32 = 1_000;

/// How much is new to somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxCounts {
    pub unread: u64,
    pub unseen: u64,
}

/// What somebody's inbox has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub recipient: Id<Recipient>,
    /// Its newest item's place in the order in which they were told.
    pub seq: u64,
    /// How often it was changed: of two, the later one has more.
    pub changes: u64,
    pub counts: InboxCounts,
    /// What the newest item took the place of.
    pub gone: Gone,
}

/// What left an inbox when an item with the same collapse key came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gone {
    #[default]
    Nothing,
    One(Id<Notification>),
    /// As where somebody marked older ones as unread again.
    Several,
}

#[derive(sqlx::FromRow)]
pub(super) struct CountsRow {
    pub(super) recipient_id: Uuid,
    pub(super) last_seq: i64,
    changes: i64,
    unread: i64,
    unseen: i64,
}

impl CountsRow {
    pub(super) fn read(self) -> Told {
        let [seq, changes, unread, unseen] =
            [self.last_seq, self.changes, self.unread, self.unseen].map(|count| u64::try_from(count).unwrap_or(0));
        let (recipient, counts) = (Id::from_uuid(self.recipient_id), InboxCounts { unread, unseen });
        Told { recipient, seq, changes, counts, gone: Gone::Nothing }
    }
}

/// A notification in somebody's inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxItem {
    pub of: StoredNotification,
    pub state: InboxState,
}

/// What somebody has done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxState {
    /// Its place in the order in which they were told.
    pub seq: u64,
    pub delivered_at: UnixMs,
    pub seen_at: Option<UnixMs>,
    pub read_at: Option<UnixMs>,
    pub archived_at: Option<UnixMs>,
}

/// Which items of an inbox are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxFilter {
    /// Those that are not put away.
    Current,
    Unread,
    Archived,
}

/// What somebody does with an item. What is read was seen, and what is put away was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub seen: bool,
    /// Or that it is as if it was not; `None`: as it is.
    pub read: Option<bool>,
    /// Or that it is taken out again; `None`: as it is.
    pub archived: Option<bool>,
}

impl InboxState {
    /// What it is once this is done with it.
    #[must_use]
    pub fn after(self, mark: Mark, now: UnixMs) -> Self {
        let archived = mark.archived == Some(true);
        let set = |at: Option<UnixMs>, is: Option<bool>| match is {
            Some(true) => at.or(Some(now)),
            Some(false) => None,
            None => at,
        };
        let is_read = mark.read.or(archived.then_some(true));
        let is_seen = mark.seen || is_read == Some(true) || archived;
        Self {
            seen_at: set(self.seen_at, is_seen.then_some(true)),
            read_at: set(self.read_at, is_read),
            archived_at: set(self.archived_at, mark.archived),
            ..self
        }
    }
}

#[derive(sqlx::FromRow)]
struct StateRow {
    seq: i64,
    delivered_at: i64,
    seen_at: Option<i64>,
    read_at: Option<i64>,
    archived_at: Option<i64>,
}

impl StateRow {
    fn read(&self) -> InboxState {
        InboxState {
            seq: u64::try_from(self.seq).unwrap_or(0),
            delivered_at: UnixMs(self.delivered_at),
            seen_at: self.seen_at.map(UnixMs),
            read_at: self.read_at.map(UnixMs),
            archived_at: self.archived_at.map(UnixMs),
        }
    }
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    #[sqlx(flatten)]
    state: StateRow,
    #[sqlx(flatten)]
    of: NotificationRow,
}

impl ItemRow {
    fn read(self) -> Result<InboxItem, StoreError> {
        Ok(InboxItem { state: self.state.read(), of: self.of.read()? })
    }
}

const COUNTS: &str = "SELECT recipient_id, last_seq, changes, unread, unseen FROM inbox_counts";
const ITEMS: &str = "SELECT i.seq, i.delivered_at, i.seen_at, i.read_at, i.archived_at, n.* \
    FROM inbox_items AS i JOIN notifications AS n ON n.id = i.notification_id";
const STATE: &str = "SELECT seq, delivered_at, seen_at, read_at, archived_at FROM inbox_items";

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn inbox_state(&self, of: Id<Recipient>) -> Result<Told, StoreError> {
        let row: Option<CountsRow> = self.store.pool.fetch_one(sql(COUNTS).and(" WHERE recipient_id = ", of)).await?;
        Ok(row.map_or_else(|| nothing(of), CountsRow::read))
    }

    /// What somebody was told after `seq`, in this order, and whether there is more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn inbox_after(
        &self,
        of: Id<Recipient>,
        seq: u64,
        limit: usize,
    ) -> Result<(Vec<InboxItem>, bool), StoreError> {
        let after = i64::try_from(seq).unwrap_or(i64::MAX);
        let select = sql(ITEMS)
            .and(" WHERE i.recipient_id = ", of)
            .and(" AND i.seq > ", after)
            .and(" ORDER BY i.seq LIMIT ", i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        let rows: Vec<ItemRow> = self.store.pool.fetch(select).await?;
        let is_more = rows.len() > limit;
        let items = rows.into_iter().take(limit).map(ItemRow::read).collect::<Result<_, _>>()?;
        Ok((items, is_more))
    }

    /// A page of somebody's inbox, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn inbox(
        &self,
        of: Id<Recipient>,
        filter: InboxFilter,
        page: &Page<Notification>,
    ) -> Result<Listed<InboxItem, Notification>, StoreError> {
        let select = sql(ITEMS).and(" WHERE i.recipient_id = ", of).then(match filter {
            InboxFilter::Current => " AND i.archived_at IS NULL",
            InboxFilter::Unread => " AND i.read_at IS NULL",
            InboxFilter::Archived => " AND i.archived_at IS NOT NULL",
        });
        let rows: Vec<ItemRow> = self.store.pool.fetch(page.finish(select, "i.notification_id")).await?;
        let rows = rows.into_iter().map(ItemRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |row| row.of.id))
    }

    /// One item of somebody's inbox.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn inbox_item(
        &self,
        of: Id<Recipient>,
        notification: Id<Notification>,
    ) -> Result<Option<InboxState>, StoreError> {
        let select = sql(STATE).and(" WHERE recipient_id = ", of).and(" AND notification_id = ", notification);
        let row: Option<StateRow> = self.store.pool.fetch_one(select).await?;
        Ok(row.map(|row| row.read()))
    }

    /// Marks one item; `None` where there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn mark_inbox_item(
        &self,
        of: Id<Recipient>,
        notification: Id<Notification>,
        mark: Mark,
        now: UnixMs,
    ) -> Result<Option<(InboxState, Told)>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let Some(told) = lock_counts(&mut tx, of).await? else { return Ok(None) };
        let select = sql(STATE).and(" WHERE recipient_id = ", of).and(" AND notification_id = ", notification);
        let row: Option<StateRow> = tx.fetch_one(select).await?;
        let Some(before) = row.map(|row| row.read()) else { return Ok(None) };
        let after = before.after(mark, now);
        if after == before {
            return Ok(Some((before, told)));
        }
        let update = sql("UPDATE inbox_items SET")
            .and(" seen_at = ", after.seen_at)
            .and(", read_at = ", after.read_at)
            .and(", archived_at = ", after.archived_at)
            .and(" WHERE recipient_id = ", of)
            .and(" AND notification_id = ", notification);
        tx.execute(update).await?;
        let less =
            |before: Option<UnixMs>, after: Option<UnixMs>| i64::from(before.is_none()) - i64::from(after.is_none());
        let unread = less(before.read_at, after.read_at);
        let told = count_down(&mut tx, of, unread, less(before.seen_at, after.seen_at)).await?;
        tx.commit().await?;
        Ok(Some((after, told)))
    }

    /// Marks all that somebody had by `upto` as seen, or as read too. What comes meanwhile stays new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn mark_inbox(
        &self,
        of: Id<Recipient>,
        are_read: bool,
        upto: Option<u64>,
        now: UnixMs,
    ) -> Result<Told, StoreError> {
        let upto = upto.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX);
        loop {
            let mut tx = self.store.pool.begin().await?;
            let Some(told) = lock_counts(&mut tx, of).await? else { return Ok(nothing(of)) };
            let column = if are_read { "read_at" } else { "seen_at" };
            let these = sql("SELECT notification_id, seen_at FROM inbox_items")
                .and(" WHERE recipient_id = ", of)
                .and(" AND seq <= ", upto)
                .then(format!(" AND {column} IS NULL"))
                .and(" LIMIT ", MARKED_MAX);
            let these: Vec<(Uuid, Option<i64>)> = tx.fetch(these).await?;
            if these.is_empty() {
                return Ok(told);
            }
            let is_last = these.len() < MARKED_MAX as usize;
            let unseen = these.iter().filter(|(_, seen_at)| seen_at.is_none()).count();
            let unread = if are_read { these.len() } else { 0 };
            for run in tx.dialect().runs(these) {
                let update = sql("UPDATE inbox_items SET seen_at = COALESCE(seen_at, ").and("", now).then(")");
                let update = if are_read { update.and(", read_at = ", now) } else { update };
                let update = update.and(" WHERE recipient_id = ", of).then(" AND notification_id");
                tx.execute(update.any(run.into_iter().map(|(id, _)| id))).await?;
            }
            let [unread, unseen] = [unread, unseen].map(|count| i64::try_from(count).unwrap_or(0));
            let told = count_down(&mut tx, of, unread, unseen).await?;
            tx.commit().await?;
            if is_last {
                return Ok(told);
            }
        }
    }
}

/// What somebody has who was never told anything.
fn nothing(of: Id<Recipient>) -> Told {
    Told { recipient: of, seq: 0, changes: 0, counts: InboxCounts::default(), gone: Gone::Nothing }
}

/// Nobody else changes their inbox before the transaction ends. `None` where they never had anything in it.
async fn lock_counts(tx: &mut Tx<'_>, of: Id<Recipient>) -> Result<Option<Told>, StoreError> {
    let lock = tx.for_update();
    let row: Option<CountsRow> = tx.fetch_one(sql(COUNTS).and(" WHERE recipient_id = ", of).then(lock)).await?;
    Ok(row.map(CountsRow::read))
}

async fn count_down(tx: &mut Tx<'_>, of: Id<Recipient>, unread: i64, unseen: i64) -> Result<Told, StoreError> {
    let update = sql("UPDATE inbox_counts SET changes = changes + 1,")
        .and(" unread = unread - ", unread)
        .and(", unseen = unseen - ", unseen)
        .and(" WHERE recipient_id = ", of)
        .then(" RETURNING recipient_id, last_seq, changes, unread, unseen");
    let row: Option<CountsRow> = tx.fetch_one(update).await?;
    Ok(row.map_or_else(|| nothing(of), CountsRow::read))
}

/// Removes what somebody who is removed has in their inbox.
pub(super) async fn clear(tx: &mut Tx<'_>, of: Id<Recipient>) -> Result<(), StoreError> {
    for table in [
        "DELETE FROM notification_newest",
        "DELETE FROM inbox_counts",
        "DELETE FROM inbox_items",
        "DELETE FROM inbox_replaced",
    ] {
        tx.execute(sql(table).and(" WHERE recipient_id = ", of)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_was_seen_and_what_is_put_away_was_read() {
        let new = InboxState { seq: 1, delivered_at: UnixMs(1), seen_at: None, read_at: None, archived_at: None };
        let [two, three] = [UnixMs(2), UnixMs(3)];
        let [seen, read, unread, put_away, taken_out] = [
            Mark { seen: true, ..Mark::default() },
            Mark { read: Some(true), ..Mark::default() },
            Mark { read: Some(false), ..Mark::default() },
            Mark { archived: Some(true), ..Mark::default() },
            Mark { archived: Some(false), ..Mark::default() },
        ];
        assert_eq!(new.after(seen, two), InboxState { seen_at: Some(two), ..new });
        let was_read = InboxState { seen_at: Some(two), read_at: Some(two), ..new };
        assert_eq!(new.after(read, two), was_read);
        assert_eq!(was_read.after(read, three), was_read);
        assert_eq!(was_read.after(unread, three), InboxState { read_at: None, ..was_read });
        assert_eq!(was_read.after(put_away, three), InboxState { archived_at: Some(three), ..was_read });
        assert_eq!(new.after(put_away, three).read_at, Some(three));
        assert_eq!(was_read.after(put_away, three).after(taken_out, three), was_read);
        assert_eq!(new.after(Mark::default(), two), new);
    }
}
