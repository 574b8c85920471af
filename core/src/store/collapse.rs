//! Notifications with a collapse key: each takes the place of those before it which somebody has not read, or was not sent yet. Which of
//! two is newer say their ids and not when they are told: what is told late takes nobody's place.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::{
    Scope, Store, StoreError,
    inbox::{CountsRow, Gone, Told},
    notification_chunks::{count_up, insert_items},
    notifications::StoredNotification,
    pool::Tx,
    receipts::OnChannel,
    sql::sql,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    collapse::CollapseKey,
    notification::{Fate, Notification, Suppression},
    preferences::Channel,
    recipient::Recipient,
};

/// What came of putting a notification into inboxes.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) told: Vec<Told>,
    /// Those who have a newer one already, and this one not.
    pub(super) late: HashSet<Id<Recipient>>,
}

/// What took a notification's place for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub by: Id<Notification>,
    /// When it left their inbox; `None`: they were never told of it.
    pub at: Option<UnixMs>,
    /// When they had seen it there.
    pub seen_at: Option<UnixMs>,
}

/// An item with the same key.
#[derive(sqlx::FromRow)]
struct Standing {
    recipient_id: Uuid,
    notification_id: Uuid,
    seq: i64,
    seen_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct ReplacedRow {
    replaced_by: Uuid,
    replaced_at: i64,
    seen_at: Option<i64>,
}

/// Puts what they are told into the inboxes of people, whose ids are in order, in place of what is older and unread there. Whoever
/// counts them first holds their inbox, so what stands in it is looked at after that.
pub(super) async fn put_into_inboxes(
    tx: &mut Tx<'_>,
    of: Id<Notification>,
    key: &CollapseKey,
    recipients: Vec<Id<Recipient>>,
    now: UnixMs,
) -> Result<Placed, StoreError> {
    let mut placed = Placed::default();
    for run in tx.dialect().runs(recipients) {
        let mut counted: Vec<CountsRow> = tx.fetch(count_up(&run)).await?;
        let select = sql("SELECT recipient_id, notification_id, seq, seen_at FROM inbox_items")
            .and(" WHERE collapse_key = ", key.as_str())
            .and(" AND (read_at IS NULL OR notification_id > ", of)
            .then(") AND recipient_id");
        let standing: Vec<Standing> = tx.fetch(select.any(run)).await?;
        let (newer, older): (Vec<Standing>, Vec<Standing>) =
            standing.into_iter().partition(|item| item.notification_id > of.uuid());
        let late: HashSet<Uuid> = newer.iter().map(|item| item.recipient_id).collect();
        if !late.is_empty() {
            counted.retain(|row| !late.contains(&row.recipient_id));
            let undo = sql("UPDATE inbox_counts SET last_seq = last_seq - 1, changes = changes - 1, \
                unread = unread - 1, unseen = unseen - 1 WHERE recipient_id");
            tx.execute(undo.any(late.iter().copied())).await?;
        }
        if !counted.is_empty() {
            tx.execute(insert_items(of, Some(key), &counted, now)).await?;
        }
        let mut told: Vec<Told> = counted.into_iter().map(CountsRow::read).collect();
        let older = older.into_iter().filter(|item| !late.contains(&item.recipient_id)).collect();
        replace(tx, of, key, older, &mut told, now).await?;
        placed.told.extend(told);
        placed.late.extend(late.into_iter().map(Id::<Recipient>::from_uuid));
    }
    Ok(placed)
}

/// Takes what is older out of the inboxes of those who were told, and out of their counts.
async fn replace(
    tx: &mut Tx<'_>,
    of: Id<Notification>,
    key: &CollapseKey,
    older: Vec<Standing>,
    told: &mut [Told],
    now: UnixMs,
) -> Result<(), StoreError> {
    if older.is_empty() {
        return Ok(());
    }
    let mut told: HashMap<Uuid, &mut Told> = told.iter_mut().map(|told| (told.recipient.uuid(), told)).collect();
    let mut less: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    let mut rows: Vec<Vec<Value>> = Vec::with_capacity(older.len());
    for Standing { recipient_id, notification_id, seq, seen_at } in older {
        let Some(told) = told.get_mut(&recipient_id) else { continue };
        let (unread, unseen) = less.entry(recipient_id).or_default();
        *unread += 1;
        *unseen += i64::from(seen_at.is_none());
        told.counts.unread = told.counts.unread.saturating_sub(1);
        told.counts.unseen = told.counts.unseen.saturating_sub(u64::from(seen_at.is_none()));
        told.gone = match told.gone {
            Gone::Nothing => Gone::One(Id::from_uuid(notification_id)),
            Gone::One(_) | Gone::Several => Gone::Several,
        };
        let by_seq = i64::try_from(told.seq).unwrap_or(i64::MAX);
        let (by, seen_at) = (of.into(), seen_at.into());
        rows.push(vec![
            recipient_id.into(),
            notification_id.into(),
            seq.into(),
            seen_at,
            by,
            by_seq.into(),
            now.into(),
        ]);
    }
    let delete = sql("DELETE FROM inbox_items WHERE read_at IS NULL")
        .and(" AND collapse_key = ", key.as_str())
        .and(" AND notification_id < ", of)
        .then(" AND recipient_id");
    tx.execute(delete.any(less.keys().copied())).await?;
    let insert = "INSERT INTO inbox_replaced (recipient_id, notification_id, seq, seen_at, replaced_by, replaced_seq, replaced_at) ";
    for run in tx.dialect().runs(rows) {
        tx.execute(sql(insert).rows(run)).await?;
    }
    let mut alike: BTreeMap<(i64, i64), Vec<Uuid>> = BTreeMap::new();
    less.into_iter().for_each(|(id, less)| alike.entry(less).or_default().push(id));
    for ((unread, unseen), recipients) in alike {
        let update = sql("UPDATE inbox_counts SET")
            .and(" unread = unread - ", unread)
            .and(", unseen = unseen - ", unseen)
            .then(" WHERE recipient_id");
        tx.execute(update.any(recipients)).await?;
    }
    Ok(())
}

/// Makes a notification the newest of its key by a channel, for those who are to be reached by it. Whoever is told of a newer one is not
/// reached, and what waits for the others by itself gives way. `recipients` are in order: so two that do this at once wait for each other
/// and not in a ring.
pub(super) async fn take_place(
    tx: &mut Tx<'_>,
    of: &StoredNotification,
    key: &CollapseKey,
    channel: Channel,
    recipients: &[Id<Recipient>],
    fates: &mut [Fate],
    now: UnixMs,
) -> Result<(), StoreError> {
    let reached = recipients.iter().zip(fates.iter()).filter(|(_, fate)| **fate == Fate::Pending);
    let reached: Vec<Id<Recipient>> = reached.map(|(id, _)| *id).collect();
    let mut newest: HashSet<Uuid> = HashSet::with_capacity(reached.len());
    for run in tx.dialect().runs(reached) {
        let row = |id: &Id<Recipient>| -> Vec<Value> {
            vec![(*id).into(), channel.as_str().into(), key.as_str().into(), of.id.into()]
        };
        let upsert = sql("INSERT INTO notification_newest (recipient_id, channel, collapse_key, notification_id) ")
            .rows(run.iter().map(row).collect())
            .then(
                " ON CONFLICT (recipient_id, channel, collapse_key) DO UPDATE SET \
                former_id = notification_newest.notification_id, notification_id = excluded.notification_id \
                WHERE notification_newest.notification_id < excluded.notification_id RETURNING recipient_id, former_id",
            );
        let taken: Vec<(Uuid, Option<Uuid>)> = tx.fetch(upsert).await?;
        let former = |(recipient, former): &(Uuid, Option<Uuid>)| Some(vec![(*former)?.into(), (*recipient).into()]);
        give_way(tx, channel, taken.iter().filter_map(former).collect(), now).await?;
        newest.extend(taken.into_iter().map(|(recipient, _)| recipient));
    }
    for (id, fate) in recipients.iter().zip(fates) {
        if *fate == Fate::Pending && !newest.contains(&id.uuid()) {
            *fate = Fate::Suppressed(Suppression::Collapsed);
        }
    }
    Ok(())
}

/// Settles what waits to be sent by itself, each a notification and a recipient. A digest leaves out what is collapsed when it is sent.
async fn give_way(tx: &mut Tx<'_>, channel: Channel, waiting: Vec<Vec<Value>>, now: UnixMs) -> Result<(), StoreError> {
    if waiting.is_empty() {
        return Ok(());
    }
    let update = sql("UPDATE notification_messages SET")
        .and(" fate = ", i64::from(Fate::Suppressed(Suppression::Collapsed).code()))
        .and(", settled_at = ", now)
        .then(" FROM (")
        .rows(waiting)
        .and(
            ") AS v WHERE notification_messages.notification_id = v.column1 AND notification_messages.recipient_id = v.column2 \
            AND notification_messages.fate IS NULL AND notification_messages.digest_id IS NULL \
            AND notification_messages.channel = ",
            channel.as_str(),
        );
    tx.execute(update).await.map(drop)
}

/// Those in a digest of which a newer one is told by its channel since, or took their place in the inbox.
pub(super) async fn leave_digest(tx: &mut Tx<'_>, digest: Uuid, now: UnixMs) -> Result<(), StoreError> {
    let update = sql("UPDATE notification_messages SET")
        .and(" fate = ", i64::from(Fate::Suppressed(Suppression::Collapsed).code()))
        .and(", settled_at = ", now)
        .and(" WHERE digest_id = ", digest)
        .then(
            " AND fate IS NULL AND (EXISTS (SELECT 1 FROM notifications AS n JOIN notification_newest AS w \
            ON w.collapse_key = n.collapse_key AND w.notification_id > n.id WHERE n.id = notification_messages.notification_id \
            AND w.recipient_id = notification_messages.recipient_id AND w.channel = notification_messages.channel) \
            OR EXISTS (SELECT 1 FROM inbox_replaced AS r WHERE r.recipient_id = notification_messages.recipient_id \
            AND r.notification_id = notification_messages.notification_id))",
        );
    tx.execute(update).await.map(drop)
}

/// Forgets that a notification is the newest of its key for these people, before it is removed. Chunks write this before counts.
pub(super) async fn forget_newest(
    tx: &mut Tx<'_>,
    of: Id<Notification>,
    recipients: &[Id<Recipient>],
) -> Result<(), StoreError> {
    let select = sql("SELECT collapse_key FROM notifications WHERE collapse_key IS NOT NULL").and(" AND id = ", of);
    let Some((key,)): Option<(String,)> = tx.fetch_one(select).await? else { return Ok(()) };
    let lock = tx.for_update();
    for channel in [Channel::Push, Channel::Email] {
        for run in tx.dialect().runs(recipients.to_vec()) {
            let these = |text: &'static str| {
                sql(text)
                    .and(" WHERE notification_id = ", of)
                    .and(" AND channel = ", channel.as_str())
                    .and(" AND collapse_key = ", key.as_str())
                    .then(" AND recipient_id")
                    .any(run.iter().copied())
            };
            let select =
                these("SELECT recipient_id FROM notification_newest").then(" ORDER BY recipient_id").then(lock);
            if !tx.fetch::<(Uuid,)>(select).await?.is_empty() {
                tx.execute(these("DELETE FROM notification_newest")).await?;
            }
        }
    }
    Ok(())
}

impl Store {
    /// Those of them who are told of a newer one with its key by this channel, or in whose inbox a newer one took its place, where it was
    /// `for_the_unseeing`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn collapsed_for(
        &self,
        of: &StoredNotification,
        channel: Channel,
        for_the_unseeing: bool,
        recipients: &[Id<Recipient>],
    ) -> Result<HashSet<Id<Recipient>>, StoreError> {
        let mut found = HashSet::new();
        let Some(key) = &of.of.collapse_key else { return Ok(found) };
        for run in self.pool.dialect().runs(recipients.to_vec()) {
            let newer = sql("SELECT recipient_id FROM notification_newest")
                .and(" WHERE channel = ", channel.as_str())
                .and(" AND collapse_key = ", key.as_str())
                .and(" AND notification_id > ", of.id)
                .then(" AND recipient_id")
                .any(run.iter().copied());
            let left = sql("SELECT recipient_id FROM inbox_replaced").and(" WHERE notification_id = ", of.id);
            let left = left.then(" AND recipient_id").any(run);
            for select in [Some(newer), for_the_unseeing.then_some(left)].into_iter().flatten() {
                let rows: Vec<(Uuid,)> = self.pool.fetch(select).await?;
                found.extend(rows.into_iter().map(|(id,)| Id::<Recipient>::from_uuid(id)));
            }
        }
        Ok(found)
    }
}

impl Scope<'_> {
    /// What left somebody's inbox after the item at `seq` came, of what was there by then, and whether there is more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn inbox_gone_after(
        &self,
        of: Id<Recipient>,
        seq: u64,
        limit: usize,
    ) -> Result<(Vec<Id<Notification>>, bool), StoreError> {
        let after = i64::try_from(seq).unwrap_or(i64::MAX);
        let select = sql("SELECT notification_id FROM inbox_replaced")
            .and(" WHERE recipient_id = ", of)
            .and(" AND replaced_seq > ", after)
            .and(" AND seq <= ", after)
            .and(" ORDER BY replaced_seq LIMIT ", i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        let rows: Vec<(Uuid,)> = self.store.pool.fetch(select).await?;
        let is_more = rows.len() > limit;
        Ok((rows.into_iter().take(limit).map(|(id,)| Id::from_uuid(id)).collect(), is_more))
    }

    /// By which notifications one was replaced for somebody, of whom it came to this.
    pub(super) async fn replaced(
        &self,
        of: &StoredNotification,
        recipient: Id<Recipient>,
        channels: &[OnChannel],
    ) -> Result<BTreeMap<Channel, Replaced>, StoreError> {
        let Some(key) = &of.of.collapse_key else { return Ok(BTreeMap::new()) };
        let left = sql("SELECT replaced_by, replaced_at, seen_at FROM inbox_replaced")
            .and(" WHERE recipient_id = ", recipient)
            .and(" AND notification_id = ", of.id);
        let left: Option<ReplacedRow> = self.store.pool.fetch_one(left).await?;
        let newer = sql("SELECT channel, notification_id FROM notification_newest")
            .and(" WHERE recipient_id = ", recipient)
            .and(" AND collapse_key = ", key.as_str())
            .and(" AND notification_id > ", of.id)
            .and(" UNION ALL SELECT 'inbox', notification_id FROM inbox_items WHERE recipient_id = ", recipient)
            .and(" AND collapse_key = ", key.as_str())
            .and(" AND notification_id > ", of.id);
        let mut newest: BTreeMap<String, Uuid> = BTreeMap::new();
        for (channel, id) in self.store.pool.fetch::<(String, Uuid)>(newer).await? {
            newest.entry(channel).and_modify(|last| *last = id.max(*last)).or_insert(id);
        }
        let mut found = BTreeMap::new();
        for on in channels {
            let is_collapsed = on.fate == Fate::Suppressed(Suppression::Collapsed);
            let known = newest.get(on.channel.as_str()).or(newest.get(Channel::Inbox.as_str())).copied();
            let by = known.or(left.as_ref().map(|row| row.replaced_by));
            let replaced = match (&left, by) {
                (Some(row), _) if on.channel == Channel::Inbox => Some(Replaced {
                    by: Id::from_uuid(row.replaced_by),
                    at: Some(UnixMs(row.replaced_at)),
                    seen_at: row.seen_at.map(UnixMs),
                }),
                (_, Some(by)) if is_collapsed => Some(Replaced { by: Id::from_uuid(by), at: None, seen_at: None }),
                _ => None,
            };
            found.extend(replaced.map(|replaced| (on.channel, replaced)));
        }
        Ok(found)
    }
}
