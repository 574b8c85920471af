//! Removing by age, in small batches. A dead letter stays until a person has dealt with it.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError, notification_events::keep_deliveries, sql::sql};
use crate::domain::{Id, UnixMs, event::Event};

/// Rows removed in one transaction.
const BATCH_ROWS: u32 = 500;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// How long things are kept after they have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionAges {
    /// Payloads of events that have no pending job.
    pub payloads: Duration,
    /// Finished jobs with their attempts, and events.
    pub jobs: Duration,
    /// Dead letters that were replayed or discarded.
    pub resolved_dead_letters: Duration,
    /// Counts by minute and failure groups that have been quiet.
    pub stats: Duration,
    /// Notifications, with what inboxes have of them.
    pub notifications: Duration,
}

/// What one round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub payloads: u64,
    pub jobs: u64,
    pub attempts: u64,
    pub events: u64,
    pub dead_letters: u64,
    /// Their chunks, and themselves.
    pub notifications: u64,
    pub others: u64,
}

impl Removed {
    /// Whether there may be more to remove at once.
    #[must_use]
    pub const fn more(&self) -> bool {
        let full = BATCH_ROWS as u64;
        self.notifications > 0
            || self.payloads >= full
            || self.jobs >= full
            || self.events >= full
            || self.dead_letters >= full
    }
}

impl Store {
    /// Removes one batch of each kind of row that is too old.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn remove_old(&self, ages: &RetentionAges, now: UnixMs) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        (removed.jobs, removed.attempts) = self.remove_jobs(now - ages.jobs).await?;
        let no_jobs_left = "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.event_id = events.id)";
        let none_pending = "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.event_id = events.id AND jobs.state = 'pending')";
        let payloads =
            sql("UPDATE events SET payload = NULL WHERE id IN (SELECT id FROM events WHERE payload IS NOT NULL")
                .and(" AND id < ", Id::<Event>::first_of(now - ages.payloads))
                .and(" AND deliver_at < ", now - ages.payloads)
                .then(" AND ")
                .then(none_pending)
                .and(" ORDER BY id LIMIT ", BATCH_ROWS)
                .then(")");
        removed.payloads = self.pool.execute(payloads).await?;
        let events = sql("DELETE FROM events WHERE id IN (SELECT id FROM events")
            .and(" WHERE id < ", Id::<Event>::first_of(now - ages.jobs))
            .and(" AND deliver_at < ", now - ages.jobs)
            .then(" AND ")
            .then(no_jobs_left)
            .and(" ORDER BY id LIMIT ", BATCH_ROWS)
            .then(")");
        removed.events = self.pool.execute(events).await?;
        let letters = sql("DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE state <> 'open'")
            .and(" AND resolved_at < ", now - ages.resolved_dead_letters)
            .and(" ORDER BY id LIMIT ", BATCH_ROWS)
            .then(")");
        removed.dead_letters = self.pool.execute(letters).await?;
        removed.notifications = self.remove_old_notifications(now - ages.notifications).await?;
        removed.others += self.remove_old_digests(now - ages.notifications).await?;
        removed.others += self.remove_others(ages, now).await?;
        Ok(removed)
    }

    async fn remove_jobs(&self, before: UnixMs) -> Result<(u64, u64), StoreError> {
        let select = sql("SELECT id FROM jobs WHERE state <> 'pending'")
            .and(" AND id < ", Id::<Event>::first_of(before))
            .and(" AND finished_at < ", before)
            .and(" ORDER BY id LIMIT ", BATCH_ROWS);
        let ids: Vec<(Uuid,)> = self.pool.fetch(select).await?;
        if ids.is_empty() {
            return Ok((0, 0));
        }
        let these = || ids.iter().map(|(id,)| *id);
        let mut tx = self.pool.begin().await?;
        tx.execute(keep_deliveries(these())).await?;
        let attempts = tx.execute(sql("DELETE FROM attempts WHERE job_id").any(these())).await?;
        let jobs = tx.execute(sql("DELETE FROM jobs WHERE id").any(these())).await?;
        tx.commit().await?;
        Ok((jobs, attempts))
    }

    async fn remove_others(&self, ages: &RetentionAges, now: UnixMs) -> Result<u64, StoreError> {
        let before = now - ages.stats;
        let mut removed =
            self.pool.execute(sql("DELETE FROM job_stats").and(" WHERE minute < ", before.0 / MINUTE_MS)).await?;
        removed += self.pool.execute(sql("DELETE FROM failure_groups").and(" WHERE last_seen_at < ", before)).await?;
        removed +=
            self.pool.execute(sql("DELETE FROM failure_hours").and(" WHERE hour < ", before.0 / HOUR_MS)).await?;
        removed += self.pool.execute(sql("DELETE FROM notification_throttles").and(" WHERE ends_at < ", now)).await?;
        removed += self.pool.execute(sql("DELETE FROM idempotency_keys").and(" WHERE expires_at < ", now)).await?;
        let operations =
            sql("DELETE FROM operations WHERE state <> 'running'").and(" AND finished_at < ", now - ages.jobs);
        removed += self.pool.execute(operations).await?;
        Ok(removed)
    }
}
