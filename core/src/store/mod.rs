//! SQL, the truth. Owns the pools, the migrations and one file for each noun; knows neither queue nor HTTP.

mod attempt_log;
mod attempts;
mod audit;
mod audit_list;
mod changed;
mod cipher;
mod collapse;
mod committer;
mod connect;
mod dead_letter_filter;
mod dead_letters;
mod deaths;
mod digests;
mod directory;
mod drain;
mod due;
mod endpoint_changes;
mod endpoint_list;
mod endpoints;
mod error;
mod events;
mod failure_hours;
mod failures;
mod former_wal;
mod fresh;
mod gates;
mod inbox;
mod inbox_tokens;
mod inspect;
mod job_list;
mod jobs;
mod lanes;
mod metrics;
mod notification_batches;
mod notification_chunks;
mod notification_events;
mod notification_retention;
mod notification_types;
mod notifications;
mod open_file;
mod operation_work;
mod operations;
mod outcomes;
mod page;
mod pool;
mod portal;
mod publish;
mod push_subscriptions;
mod reach;
mod receipts;
mod recipients;
mod recover;
mod replays;
mod retention;
mod room;
mod scratch;
mod secrets;
mod seed;
mod sessions;
mod site_addresses;
mod site_alerts;
mod site_build;
mod site_deaths;
mod site_files;
mod site_gone;
mod site_holds;
mod site_lost;
mod site_marks;
mod site_media;
mod site_media_unnamed;
mod site_pages;
mod site_publications;
mod site_quarantine;
mod site_timers;
mod sites;
mod sql;
mod stats;
mod suppressions;
mod tenants;
mod tokens;
mod topic_subscriptions;
mod topics;
mod unsubscribe;
mod users;
mod value;
mod vapid;
mod work;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::migrate::{MigrateError, Migrator};
use tokio::{sync::Mutex, task::JoinHandle};

pub use self::{
    attempt_log::LoggedAttempt,
    audit::AuditEntry,
    audit_list::AuditFilter,
    changed::Changed,
    cipher::{Cipher, KeyError},
    collapse::Replaced,
    dead_letter_filter::DeadLetterFilter,
    dead_letters::{OpenCount, Resolved},
    digests::{DigestArgs, DigestContents, StoredDigest},
    directory::{Directory, LiveEndpoint, TenantEndpoints},
    drain::{Deleted, ENDPOINT_DELETED},
    due::DueJob,
    endpoint_list::EndpointFilter,
    endpoints::EndpointChange,
    error::StoreError,
    events::{Delivery, DeliveryCounts, DeliveryLetter, EventFilter, EventSummary},
    failures::{FailureGroup, FailureVerdict, Judgement, RetryingJob},
    gates::Gate,
    inbox::{Gone, InboxCounts, InboxFilter, InboxItem, InboxState, Mark, Told},
    inbox_tokens::{INBOX_TOKEN_PREFIX, NoInbox},
    inspect::{Inspection, Tables},
    job_list::JobFilter,
    jobs::{JobDetail, NewJob},
    lanes::LaneSet,
    notification_batches::{Apart, Batch, BatchArgs, BatchProgress, Message, MessageArgs, Settled, Tried},
    notification_chunks::{Chunk, ChunkArgs, Planned, ToldChunk, chunk_schedule},
    notification_events::event_payload,
    notification_types::{ListedType, PutType},
    notifications::{NewNotification, NotificationContents, NotificationJob, StoredNotification},
    operation_work::Step,
    operations::{Left, Operation, OperationKind, OperationState, Replay},
    outcomes::{Finished, Recorded},
    page::{KeyPage, Listed, Page},
    portal::NoPortal,
    publish::{Compose, Item, ItemResult, NewEvent, Publication, Published},
    receipts::{NotificationState, OnChannel, OneReceipt, Receipt},
    recipients::PutRecipient,
    replays::NoReplay,
    retention::{Removed, RetentionAges},
    scratch::Scratch,
    secrets::{Rotated, Rotation},
    seed::{Past, PastJob},
    sessions::SESSION_AGE_MAX,
    site_alerts::{AlertMessage, Channel as AlertChannel, SiteAlert, Way as AlertWay},
    site_build::{KeptPage, Overtaken, PagePlace, PublicFile, SitePart, SiteRun},
    site_files::{FilePage, FileState, PUBLICATIONS_LOOKED_AT, SiteFile},
    site_gone::GoneFile,
    site_holds::{ConfirmedSite, Hold},
    site_lost::LocalePlace,
    site_marks::Stale,
    site_media::{Looked, MediaFilter, MediaPage, Probe, probe_schedule},
    site_media_unnamed::UnnamedMedia,
    site_pages::{PagesChanged, PutPage},
    site_publications::{Clock, PublishedFile, SitePublication, Waited, announcement_retries},
    site_quarantine::{Quarantine, QuarantinePage},
    sites::Regeneration,
    stats::{DURATION_BOUNDS_MS, Tally, WAIT_BOUNDS_MS},
    topic_subscriptions::{Subscriber, SubscriptionChanges, SubscriptionsChanged},
    work::Work,
};
use self::{
    committer::Committer,
    fresh::Fresh,
    metrics::StoreMetrics,
    pool::{Kept, Pool},
    sql::Dialect,
};
use crate::domain::{Id, tenant::Tenant, user::Actor};

/// How long a write proves that the database takes writes.
const PROVED: Duration = Duration::from_secs(1);
static SQLITE_TABLES: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_TABLES: Migrator = sqlx::migrate!("../migrations/postgres");

/// Where the truth is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: String,
    pub cipher: Cipher,
    /// This process among those that write statistics; unique for each start.
    pub node: String,
    /// Connections to PostgreSQL at most.
    pub connections_max: u32,
}

/// The database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    cipher: Cipher,
    node: Arc<str>,
    directory: Directory,
    committer: Committer,
    /// What workers load comes through one connection: theirs are the most reads by far.
    work: Arc<Mutex<Kept>>,
    /// Where no other process works on the database.
    fresh: Option<Fresh>,
    committers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// When it last took a write for [`Self::ready`].
    proved_at: Arc<Mutex<Option<Instant>>>,
    /// The file that proves that SQLite's own has room to grow.
    room: Option<Arc<Path>>,
    metrics: StoreMetrics,
    vapids: vapid::Known,
}

/// The store of one tenant: every read and write through it carries the tenant.
#[derive(Clone, Debug)]
pub struct Scope<'s> {
    store: &'s Store,
    tenant: Id<Tenant>,
    /// Who acts, where it is a person.
    actor: Option<&'s Actor>,
}

impl Store {
    /// Connects, brings the tables up to date and starts the committers.
    ///
    /// # Errors
    /// When the URL is not understood, the database does not answer, or a migration fails.
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let pool = connect::connect(options).await?;
        migrate(&pool).await?;
        let metrics = StoreMetrics::default();
        let (committer, committers) = Committer::start(&pool, &metrics);
        Ok(Self {
            directory: Directory::new(pool.clone(), options.cipher.clone()),
            work: Arc::new(Mutex::new(Kept::of(pool.clone()))),
            fresh: (pool.dialect() == Dialect::Sqlite).then(Fresh::default),
            pool,
            cipher: options.cipher.clone(),
            node: options.node.as_str().into(),
            committer,
            committers: Arc::new(Mutex::new(committers)),
            proved_at: Arc::default(),
            room: room::beside(&options.url)?.map(Arc::from),
            metrics,
            vapids: vapid::known(),
        })
    }

    /// The rows of one tenant.
    #[must_use]
    pub const fn tenant(&self, tenant: Id<Tenant>) -> Scope<'_> {
        Scope { store: self, tenant, actor: None }
    }

    /// Endpoints as every process must see them within two seconds.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether it can store now. A full or read-only database still answers reads, so a row is written as it is too,
    /// and beside a SQLite file as much as a request may bring; once a second at most, by however many this is asked. Whether
    /// that file is still there is looked at each time, as with all that is read.
    ///
    /// # Errors
    /// When the database does not answer, or takes no writes.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.pool.fetch_one::<(i64,)>(sql::sql("SELECT epoch FROM settings_clock WHERE id = 1")).await?;
        let mut proved_at = self.proved_at.lock().await;
        if proved_at.is_some_and(|at| at.elapsed() < PROVED) {
            return Ok(());
        }
        *proved_at = None;
        self.pool.execute(sql::sql("UPDATE settings_clock SET epoch = epoch WHERE id = 1")).await?;
        if let Some(file) = &self.room {
            room::prove(file).await?;
        }
        *proved_at = Some(Instant::now());
        Ok(())
    }

    /// Waits until all that was handed in is committed, then closes the connections. For the end of a process.
    pub async fn close(self) {
        let committers = Arc::clone(&self.committers);
        let pool = self.pool.clone();
        drop(self);
        for committer in committers.lock().await.drain(..) {
            if let Err(error) = committer.await {
                tracing::error!(%error, "a committer ended badly");
            }
        }
        pool.close().await;
    }
}

/// The library locks PostgreSQL for this, and of SQLite nothing: of two processes that begin at once the second finds done what
/// it was about to do, and goes on behind it when it looks again. Each step is a transaction.
async fn migrate_sqlite(writers: &sqlx::SqlitePool) -> Result<(), StoreError> {
    let overtaken = |error: &_| matches!(error, MigrateError::Execute(_) | MigrateError::ExecuteMigration(..));
    Ok(connect::beside_others(overtaken, || SQLITE_TABLES.run(writers)).await?)
}

async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    match pool {
        Pool::Sqlite { writers, .. } => migrate_sqlite(writers).await?,
        Pool::Postgres(pool) => POSTGRES_TABLES.run(pool).await?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A store on a SQLite file `db` in a folder of its own.
    pub(super) async fn a_store() -> (Store, PathBuf) {
        let folder = std::env::temp_dir().join(format!("postrider-store-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        (the_store(&folder).await, folder)
    }

    /// That on the file `db` of `folder`.
    pub(super) async fn the_store(folder: &Path) -> Store {
        try_the_store(folder).await.unwrap()
    }

    pub(super) async fn try_the_store(folder: &Path) -> Result<Store, StoreError> {
        let url = format!("sqlite://{}", folder.join("db").display());
        let cipher = Cipher::parse(&Cipher::key_text([7; 32])).unwrap();
        let options = StoreOptions { url, cipher, node: "test".to_owned(), connections_max: 1 };
        Store::open(&options).await
    }

    pub(super) async fn remove(store: Store, folder: PathBuf) {
        store.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// The steps that SQLite takes for a statement.
    pub(super) async fn sqlite_plan(statement: sql::Sql) -> String {
        let (store, folder) = a_store().await;
        let steps: Vec<(i64, i64, i64, String)> =
            store.pool.fetch(statement.after("EXPLAIN QUERY PLAN ")).await.unwrap();
        remove(store, folder).await;
        steps.into_iter().map(|(_, _, _, step)| step + "\n").collect()
    }
}
