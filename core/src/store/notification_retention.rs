//! Removing notifications by age: their items leave the inboxes, chunk after chunk, and the notification goes with the last one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Store, StoreError, collapse, sql::sql};
use crate::domain::{Id, UnixMs, notification::Notification, recipient::Recipient};

/// Chunks of one round.
const CHUNKS_MAX: u32 = 8;

#[derive(sqlx::FromRow)]
struct Gone {
    recipient_id: Uuid,
    unread: i64,
    unseen: i64,
}

impl Store {
    /// Removes some chunks of the oldest notification from before `before`, or the notification itself where it has none left. How
    /// much it did: nothing where there is no such notification.
    pub(super) async fn remove_old_notifications(&self, before: UnixMs) -> Result<u64, StoreError> {
        let select = sql("SELECT n.id FROM notifications AS n")
            .and(" WHERE n.id < ", Id::<Notification>::first_of(before))
            .and(" AND n.deliver_at < ", before)
            // Whoever is not told yet is told first, and what died waits for a person.
            .then(
                " AND NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.id = n.plan_job_id AND j.state IN ('pending', 'dead')) \
                AND NOT EXISTS (SELECT 1 FROM notification_chunks AS c JOIN jobs AS j ON j.id = c.job_id \
                WHERE c.notification_id = n.id AND c.done_at IS NULL AND j.state IN ('pending', 'dead')) \
                AND NOT EXISTS (SELECT 1 FROM notification_batches AS b JOIN jobs AS j ON j.id = b.job_id \
                WHERE b.notification_id = n.id AND b.done_at IS NULL AND j.state IN ('pending', 'dead')) \
                AND NOT EXISTS (SELECT 1 FROM notification_messages AS m JOIN jobs AS j ON j.id = m.job_id \
                WHERE m.notification_id = n.id AND j.state IN ('pending', 'dead')) \
                AND NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.event_id = n.event_id AND j.state = 'pending') \
                ORDER BY n.id LIMIT 1",
            );
        let Some((id,)): Option<(Uuid,)> = self.pool.fetch_one(select).await? else { return Ok(0) };
        let mut removed = 0;
        for _ in 0..CHUNKS_MAX {
            removed += 1;
            if !self.remove_chunk(Id::from_uuid(id)).await? {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes the last chunk, or the notification; whether there was a chunk.
    async fn remove_chunk(&self, of: Id<Notification>) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let select = sql("SELECT n, recipients FROM notification_chunks").and(" WHERE notification_id = ", of);
        let lock = tx.for_update();
        let chunk: Option<(i64, Vec<u8>)> = tx.fetch_one(select.then(" ORDER BY n DESC LIMIT 1").then(lock)).await?;
        let Some((n, recipients)) = chunk else {
            for table in ["DELETE FROM notification_messages", "DELETE FROM notification_deliveries"] {
                tx.execute(sql(table).and(" WHERE notification_id = ", of)).await?;
            }
            tx.execute(sql("DELETE FROM notifications").and(" WHERE id = ", of)).await?;
            tx.commit().await?;
            return Ok(false);
        };
        let recipients = crate::domain::notification::unpack(&recipients);
        collapse::forget_newest(&mut tx, of, &recipients).await?;
        for run in tx.dialect().runs(recipients) {
            let lock = tx.for_update();
            let counts = sql("SELECT recipient_id FROM inbox_counts WHERE recipient_id").any(run.iter().copied());
            tx.fetch::<(Uuid,)>(counts.then(" ORDER BY recipient_id").then(lock)).await?;
            let delete = sql("DELETE FROM inbox_items").and(" WHERE notification_id = ", of).then(" AND recipient_id");
            let delete = delete.any(run.iter().copied()).then(
                " RETURNING recipient_id, CAST(CASE WHEN read_at IS NULL THEN 1 ELSE 0 END AS BIGINT) AS unread, \
                CAST(CASE WHEN seen_at IS NULL THEN 1 ELSE 0 END AS BIGINT) AS unseen",
            );
            let gone: Vec<Gone> = tx.fetch(delete).await?;
            let replaced = sql("DELETE FROM inbox_replaced").and(" WHERE notification_id = ", of);
            tx.execute(replaced.then(" AND recipient_id").any(run)).await?;
            let mut alike: BTreeMap<(i64, i64), Vec<Id<Recipient>>> = BTreeMap::new();
            for Gone { recipient_id, unread, unseen } in gone {
                alike.entry((unread, unseen)).or_default().push(Id::from_uuid(recipient_id));
            }
            for ((unread, unseen), recipients) in alike {
                let update = sql("UPDATE inbox_counts SET changes = changes + 1,")
                    .and(" unread = unread - ", unread)
                    .and(", unseen = unseen - ", unseen)
                    .then(" WHERE recipient_id");
                tx.execute(update.any(recipients)).await?;
            }
        }
        for table in ["DELETE FROM notification_batches", "DELETE FROM notification_chunks"] {
            tx.execute(sql(table).and(" WHERE notification_id = ", of).and(" AND n = ", n)).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
