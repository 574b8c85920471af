//! Puts the roles together into one process, and ends it so that nothing is lost.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use postrider_api::{ApiMetrics, ApiParts, ApiSettings, ApiState, CallArguments, HealthState, PublicFiles};
use postrider_core::{
    config::{InForce, Settings},
    dispatch::Dispatcher,
    domain::{redaction::Redaction, tenant::Tenant},
    live::Live,
    notified::Notified,
    queue::{Queue, QueueGauges},
    site::{Does, Storage, Versions},
    store::{RetentionAges, Store},
    trace::Tracer,
};
use postrider_dashboard::{DashboardParts, DashboardSettings, origin_of};
use postrider_worker::{Alerts, Mailer, WorkerMetrics, WorkerParts, WorkerSettings};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    calls::Calls,
    connections,
    demo::{Demo, Stage},
    first_start,
    http::{self, Ending},
    logs, open_files, traces,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// How long the last offers may take at the end.
const OFFER_GRACE: Duration = Duration::from_secs(3);
/// How long a start waits for the store of sites' files.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);
/// The address that was bound is written here, for scripts that let the system choose the port.
pub(crate) const ADDRESS_FILE: &str = "listen.addr";

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    api: bool,
    worker: bool,
    dashboard: bool,
}

impl Roles {
    pub(crate) const ALL: Self = Self { api: true, worker: true, dashboard: true };
    pub(crate) const API: Self = Self { api: true, worker: false, dashboard: false };
    pub(crate) const WORKER: Self = Self { api: false, worker: true, dashboard: false };
    pub(crate) const DASHBOARD: Self = Self { api: false, worker: false, dashboard: true };
}

/// Serves until SIGTERM or SIGINT; a second one hurries.
pub(crate) async fn run(settings: Settings, file: Option<PathBuf>, roles: Roles) -> anyhow::Result<()> {
    let in_force = Settings::in_force(file.as_deref());
    run_with(settings, in_force, roles, None).await
}

/// As [`run`] with all roles, and with something to look at.
pub(crate) async fn run_demo(settings: Settings, demo: Demo) -> anyhow::Result<()> {
    let in_force = Settings::in_force(None);
    run_with(settings, in_force, Roles::ALL, Some(demo)).await
}

async fn run_with(settings: Settings, in_force: Vec<InForce>, roles: Roles, demo: Option<Demo>) -> anyhow::Result<()> {
    logs::start(&settings.log)?;
    for name in Settings::unknown_variables() {
        tracing::warn!(name, "this variable means nothing to Postrider; `postrider config` lists those that do");
    }
    if roles != Roles::ALL && settings.redis_url.is_none() {
        anyhow::bail!(
            "one role alone needs a queue that processes share: set redis_url and a PostgreSQL database_url, or run `postrider serve`"
        );
    }
    let callers_max = open_files::raise_limit(&settings);
    let storage = connections::storage(&settings)?;
    let store = first_start::open_store(&settings, first_start::START_PATIENCE).await?;
    let (tenant, new_token) = first_start::administrator(&settings, &store).await?;
    if let Some(demo) = &demo {
        demo.admit(&store).await?;
    }
    let queue = open_queue(&settings)?;
    if let Err(error) = queue.ready().await {
        tracing::warn!(%error, "starting without the queue: events are accepted, and deliveries wait for it");
    }
    check_storage(&storage, roles).await;
    let (dispatcher, offering) = Dispatcher::start(store.clone(), queue.clone());
    let (live, notified) = (Live::new(queue.clone()), Notified::new(store.clone()));
    let mailer = connections::mailer(&settings)?;
    let parts = Parts {
        settings,
        in_force,
        callers_max,
        store,
        queue,
        storage,
        dispatcher,
        live,
        notified,
        mailer,
        offering,
        tenant,
        demo,
    };
    // Before anybody is told that it runs: who reads that may send a signal at once.
    let signals = Signals::catch()?;
    let listener = TcpListener::bind(parts.settings.listen).await.with_context(|| {
        format!("the address {} cannot be listened on; set listen to a free one", parts.settings.listen)
    })?;
    let address = listener.local_addr()?;
    if let Err(error) = write_address(&parts.settings.data_dir, address) {
        // A full disk keeps nobody from being served what is there, nor this from going on once there is room.
        tracing::warn!(%error, "the file listen.addr is not written, so scripts do not find this process by it");
    }
    let first_user = match roles.dashboard && !parts.store.has_users().await? {
        true => Some(postrider_dashboard::welcome_path(&parts.store).await?),
        false => None,
    };
    welcome(&parts.settings, roles, address, &News { new_token, first_user, demo: parts.demo.as_ref() })?;
    serve(parts, roles, listener, signals).await
}

struct Parts {
    settings: Settings,
    in_force: Vec<InForce>,
    callers_max: usize,
    store: Store,
    queue: Queue,
    storage: Storage,
    dispatcher: Dispatcher,
    live: Live,
    notified: Notified,
    /// `None`: nobody has set a mail server.
    mailer: Option<Mailer>,
    /// Ends once nothing is left that could hand over jobs.
    offering: JoinHandle<()>,
    tenant: Tenant,
    demo: Option<Demo>,
}

async fn serve(mut parts: Parts, roles: Roles, listener: TcpListener, signals: Signals) -> anyhow::Result<()> {
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let signals = tokio::spawn(signals.watch(stop.clone(), hurry.clone()));
    let directory_stop = CancellationToken::new();
    let directory = tokio::spawn({
        let (directory, stop) = (parts.store.directory().clone(), directory_stop.clone());
        async move { directory.run(stop).await }
    });
    let mut registry = Registry::default();
    parts.store.register_metrics(&mut registry);
    parts.queue.register_metrics(&mut registry);
    let (tracer, exporting) = traces::start(&parts.settings, &mut registry)?;
    let worker = match roles.worker {
        true => Some(worker(&parts, WorkerMetrics::register(&mut registry), tracer.clone())?),
        false => None,
    };
    let router = router(&parts, roles, Shown { registry, tracer, stop: &stop })?;
    let ending = Ending { stop: stop.clone(), hurry: hurry.clone(), grace: parts.settings.shutdown_grace() };
    let (callers_max, address) = (parts.callers_max, listener.local_addr()?);
    tasks.spawn(async move {
        http::serve(listener, callers_max, router, ending).await;
        Ok(())
    });
    if roles.api {
        let (live, stop) = (parts.live.clone(), stop.clone());
        tasks.spawn(async move {
            live.run(stop).await;
            Ok(())
        });
    }
    if let Some(demo) = parts.demo.take() {
        tasks.spawn(demo.run(stage(&parts, address), stop.clone()));
    }
    if let Some(worker) = worker {
        let (stop, hurry) = (stop.clone(), hurry.clone());
        tasks.spawn(async move { postrider_worker::run(worker, stop, hurry).await.context("the worker ended") });
    }
    let alerts = alerts(&parts)?.run(stop.clone());
    tasks.spawn(async move {
        alerts.await;
        Ok(())
    });
    let mut ended = Ok(());
    while let Some(task) = tasks.join_next().await {
        let outcome = task.context("a role panicked").and_then(|outcome| outcome);
        if !stop.is_cancelled() || outcome.is_err() {
            ended = ended.and(outcome);
            stop.cancel();
        }
    }
    directory_stop.cancel();
    directory.await.context("the directory panicked")?;
    signals.abort();
    let Parts { store, queue, dispatcher, live, notified, mut offering, .. } = parts;
    drop((queue, dispatcher, live, notified));
    if tokio::time::timeout(OFFER_GRACE, &mut offering).await.is_err() {
        tracing::warn!("the queue does not answer; what was stored last is offered at the next start");
        offering.abort();
        drop(offering.await);
    }
    store.close().await;
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    tracing::info!("everything that was accepted is stored; goodbye");
    ended
}

fn stage(parts: &Parts, address: SocketAddr) -> Stage {
    let policy = parts.settings.egress_policy();
    Stage { store: parts.store.clone(), tenant: parts.tenant.clone(), address, policy }
}

/// What the routes show or are told beside the parts.
struct Shown<'s> {
    registry: Registry,
    tracer: Tracer,
    stop: &'s CancellationToken,
}

fn router(parts: &Parts, roles: Roles, shown: Shown<'_>) -> anyhow::Result<Router> {
    let Shown { mut registry, tracer, stop } = shown;
    let metrics = ApiMetrics::register(&mut registry);
    let health = HealthState {
        store: parts.store.clone(),
        queue: parts.queue.clone(),
        gauges: QueueGauges::register(&mut registry),
        registry: Arc::new(registry),
    };
    let mut router = postrider_api::health_router(health);
    if roles.api {
        router = router.merge(postrider_api::router(api(parts, metrics.clone(), tracer, stop)?));
    }
    if roles.dashboard {
        router = router.merge(postrider_dashboard::router(dashboard(parts, stop)?)?);
    }
    let public = PublicFiles::new(parts.store.clone(), parts.storage.clone());
    let router = postrider_api::surrounded(router, public, metrics);
    Ok(if roles.dashboard { postrider_dashboard::surrounded(router) } else { router })
}

fn api(parts: &Parts, metrics: ApiMetrics, tracer: Tracer, stop: &CancellationToken) -> anyhow::Result<ApiState> {
    Ok(ApiState::new(ApiParts {
        store: parts.store.clone(),
        queue: parts.queue.clone(),
        dispatcher: parts.dispatcher.clone(),
        versions: Versions::new(parts.storage.clone()),
        metrics,
        tracer,
        live: parts.live.clone(),
        notified: parts.notified.clone(),
        stop: stop.clone(),
        settings: api_settings(parts)?,
    }))
}

fn api_settings(parts: &Parts) -> anyhow::Result<ApiSettings> {
    let settings = &parts.settings;
    Ok(ApiSettings {
        egress: settings.egress_policy(),
        payload_bytes_max: settings.payload_bytes_max,
        idempotency_ttl: HOUR * settings.idempotency_hours,
        own_id_ttl: DAY * settings.retention_job_days,
        token_rate_per_second: settings.token_rate_per_second,
        admin_token: settings.admin_token.clone(),
        retry_schedule: settings.retry_schedule()?,
        administrator_tenant: parts.tenant.id,
        public_url: settings.public_url.clone(),
        sends_mail: settings.smtp_url.is_some(),
    })
}

fn dashboard(parts: &Parts, stop: &CancellationToken) -> anyhow::Result<DashboardParts> {
    let settings = &parts.settings;
    Ok(DashboardParts {
        store: parts.store.clone(),
        queue: parts.queue.clone(),
        dispatcher: parts.dispatcher.clone(),
        versions: Versions::new(parts.storage.clone()),
        settings: DashboardSettings {
            tls: settings.public_url.as_ref().is_some_and(|url| url.starts_with("https://")),
            public_origin: settings.public_url.as_deref().and_then(origin_of),
            trusted_proxies: settings.trusted_proxies.clone(),
            proxy_user_header: settings.proxy_user_header.clone(),
            redaction: Redaction::new(settings.redacted_fields.clone()),
            payload_bytes_max: settings.payload_bytes_max,
            egress: settings.egress_policy(),
            retry_schedule: settings.retry_schedule()?,
            calls: Arc::new(Calls(CallArguments::new(api_settings(parts)?))),
            in_force: parts.in_force.clone(),
        },
        stop: stop.clone(),
    })
}

fn worker(parts: &Parts, metrics: WorkerMetrics, tracer: Tracer) -> anyhow::Result<WorkerParts> {
    let settings = &parts.settings;
    Ok(WorkerParts {
        store: parts.store.clone(),
        queue: parts.queue.clone(),
        dispatcher: parts.dispatcher.clone(),
        egress: connections::way_out(settings)?,
        storage: parts.storage.clone(),
        metrics,
        tracer,
        live: parts.live.clone(),
        notified: parts.notified.clone(),
        mailer: parts.mailer.clone(),
        settings: WorkerSettings {
            concurrency: settings.worker_concurrency,
            grace: settings.shutdown_grace(),
            host: first_start::host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            failing_disables_after: HOUR * settings.failing_disables_after_hours,
            public_url: settings.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned()),
            retention: RetentionAges {
                payloads: DAY * settings.retention_payload_days,
                jobs: DAY * settings.retention_job_days,
                resolved_dead_letters: DAY * settings.retention_dead_letter_days,
                stats: DAY * settings.retention_stats_days,
                notifications: DAY * settings.retention_notification_days,
            },
        },
    })
}

/// Every process tells what is wrong, since that no worker runs is one thing that may be.
fn alerts(parts: &Parts) -> anyhow::Result<Alerts> {
    let settings = &parts.settings;
    Ok(Alerts {
        store: parts.store.clone(),
        dispatcher: parts.dispatcher.clone(),
        egress: connections::way_out(settings)?,
        mailer: parts.mailer.clone(),
    })
}

/// A store that refuses is told at once. All else goes on without it, since deliveries have nothing to do with it.
async fn check_storage(storage: &Storage, roles: Roles) {
    let does = if roles.worker { Does::Write } else { Does::Read };
    match tokio::time::timeout(STORAGE_PATIENCE, storage.check(does)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "starting without the store of sites' files: what changes waits for it");
        }
        Err(_) => {
            let seconds = STORAGE_PATIENCE.as_secs();
            tracing::error!(
                seconds,
                "starting without the store of sites' files, which does not answer; `postrider doctor` says more"
            );
        }
    }
}

fn open_queue(settings: &Settings) -> anyhow::Result<Queue> {
    connections::redis_queue(settings)?.map_or_else(|| connections::embedded_queue(settings), Ok)
}

/// The signals that end the process, caught from when this is made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let caught = |kind| signal(kind).context("signals cannot be caught, so the process could end only by SIGKILL");
        Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    async fn watch(mut self, stop: CancellationToken, hurry: CancellationToken) {
        for (token, words) in [
            (stop, "stopping: what runs may end; a second signal hurries"),
            (hurry, "hurrying: what runs is given back"),
        ] {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            tracing::info!("{words}");
            token.cancel();
        }
    }
}

fn write_address(folder: &Path, address: SocketAddr) -> io::Result<()> {
    let (file, new) = (folder.join(ADDRESS_FILE), folder.join(format!("{ADDRESS_FILE}.new")));
    fs::write(&new, address.to_string()).and_then(|()| fs::rename(&new, &file))
}

/// What is shown at a first start.
struct News<'d> {
    new_token: Option<String>,
    /// The path of the page that makes the first user, while there is none.
    first_user: Option<String>,
    demo: Option<&'d Demo>,
}

fn welcome(settings: &Settings, roles: Roles, address: SocketAddr, news: &News<'_>) -> anyhow::Result<()> {
    let mut lines = vec![format!("Postrider {} is running.", env!("CARGO_PKG_VERSION"))];
    if roles.api {
        lines.push(format!("  API        http://{address}/v1   (how to call it: http://{address}/docs)"));
    }
    if roles.dashboard {
        let base = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        lines.push(format!("  Dashboard  {base}/"));
        if let Some(path) = &news.first_user {
            lines.push(format!("             nobody can sign in yet; make the first user: {base}{path}"));
        }
    }
    lines.push(format!("  Health     http://{address}/readyz"));
    lines.push(format!("  Database   {}", first_start::hide_password(&settings.database_url())));
    lines.push(format!("  Queue      {}", connections::queue_place(settings)));
    if let Some(url) = &settings.sites_url {
        lines.push(format!("  Sites      {url}"));
    }
    if let Some(token) = &news.new_token {
        lines.push(String::new());
        lines.push("The administrator's token, shown this once and kept only as a hash:".to_owned());
        lines.push(format!("  {token}"));
    }
    lines.extend(news.demo.map(Demo::words).unwrap_or_default());
    logs::say(&lines.join("\n"))
}
