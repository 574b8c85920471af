//! The server under test: a process of its own on the configured stack, with a database and a Redis prefix made for it
//! and removed after it; or one that runs already.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use http_body_util::Full;
use hyper::{Request, body::Bytes};
use postrider_core::{config::Settings, domain::signature::SigningSecret, store::Scratch};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};

use super::{
    Common, process,
    receiver::{HANGING, Receiver},
};
use crate::{
    client::{Server, ServerArgs, text_of},
    connections,
    serve::ADDRESS_FILE,
};

/// How long the server may take to its first answer, and to its end.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// The server's own words, shown where it does not start.
const LOG_FILE: &str = "server.log";
const OTHER_TENANT: &str = "other";

pub(super) struct Target {
    pub(super) address: SocketAddr,
    token: String,
    pub(super) api: Server,
    http: reqwest::Client,
    pub(super) stack: String,
    own: Option<Own>,
}

/// What is to be removed after the run.
struct Own {
    child: Child,
    folder: PathBuf,
    settings: Settings,
    database: Option<Scratch>,
}

impl Target {
    /// The server that was named, or one started for the run.
    pub(super) async fn of(settings: &Settings, common: &Common) -> anyhow::Result<Self> {
        let (Some(url), Some(token)) = (&common.url, &common.token) else { return Self::start(settings).await };
        let host = url.host_str().with_context(|| format!("{url} names no host"))?;
        let port = url.port_or_known_default().with_context(|| format!("{url} names no port"))?;
        if url.scheme() != "http" {
            bail!(
                "{url} is not measured: the client speaks plain HTTP only, so that the raw limit is that of the same client"
            );
        }
        let mut addresses =
            tokio::net::lookup_host((host, port)).await.with_context(|| format!("{host} has no address"))?;
        let address = addresses.next().with_context(|| format!("{host} has no address"))?;
        let stack = format!("the server at {host}:{port}");
        Self::at(address, token.clone(), stack, None)
    }

    fn at(address: SocketAddr, token: String, stack: String, own: Option<Own>) -> anyhow::Result<Self> {
        let api = Server::new(ServerArgs::of(format!("http://{address}"), token.clone()))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { address, token, api, http, stack, own })
    }

    /// A server of the run's own.
    pub(super) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let name = format!("bench-{}", Alphanumeric.sample_string(&mut rand::rng(), 10).to_lowercase());
        let folder = settings.data_dir.join(&name);
        // On the disk that a server of these settings would write to: its speed is part of what is measured.
        fs::create_dir_all(&folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let folder = fs::canonicalize(&folder)?;
        let mut settings = Settings { data_dir: folder.clone(), ..settings.clone() };
        let on_server = !settings.database_url().starts_with("sqlite:");
        let database = if on_server { Some(Scratch::create(&settings.database_url()).await?) } else { None };
        settings.database_url = database.as_ref().map(|database| database.url().to_owned());
        settings.redis_prefix = format!("{}-{name}", settings.redis_prefix);
        let stack = stack(&settings);
        let token = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let log = fs::File::create(folder.join(LOG_FILE))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .envs(variables(&settings, &token))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the server cannot be started")?;
        let own = Own { child, folder, settings, database };
        match own.ready(&token).await {
            Ok(address) => Self::at(address, token, stack, Some(own)),
            Err(error) => {
                own.remove().await?;
                Err(error)
            }
        }
    }

    /// Runs this program with other arguments on what the server of its own works on, and gives what it prints.
    pub(super) fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        let own = self.own.as_ref().context("the server is not one of the run's own")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).envs(variables(&own.settings, &self.token)).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().context("the program cannot be started")?;
        if !output.status.success() {
            bail!("postrider {} ended with {}", args.join(" "), output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Makes an endpoint for each of these types of events, at the receiver's places in this order.
    pub(super) async fn subscribe(&self, receiver: &Receiver, types: &[&str]) -> anyhow::Result<()> {
        let mut secrets = Vec::with_capacity(types.len());
        for (place, kind) in types.iter().enumerate() {
            let made = self.endpoint(&receiver.url(place), kind).await?;
            secrets.push(SigningSecret::parse(text_of(&made, "secret"))?);
        }
        receiver.trust(secrets);
        Ok(())
    }

    /// Makes an endpoint that never answers.
    pub(super) async fn subscribe_hanging(&self, receiver: &Receiver, kind: &str) -> anyhow::Result<()> {
        self.endpoint(&format!("http://{}{HANGING}", receiver.address), kind).await.map(drop)
    }

    /// Makes another tenant, and what calls the server for it.
    pub(super) async fn other_tenant(&self) -> anyhow::Result<Server> {
        self.api.post("/v1/tenants", json!({ "slug": OTHER_TENANT, "name": "Other" }).to_string(), None).await?;
        let args = ServerArgs::of(format!("http://{}", self.address), self.token.clone());
        Server::new(args.for_tenant(OTHER_TENANT.to_owned()))
    }

    pub(super) async fn endpoint(&self, url: &str, kind: &str) -> anyhow::Result<Value> {
        let body = json!({ "url": url, "event_types": [kind], "description": "made by postrider bench" });
        self.api.post("/v1/endpoints", body.to_string(), None).await.context("an endpoint cannot be made")
    }

    /// What makes the client's requests to the server.
    pub(super) fn caller(&self) -> Caller {
        Caller { host: self.address.to_string(), authorization: format!("Bearer {}", self.token) }
    }

    /// What the server counts, in Prometheus' text form.
    pub(super) async fn metrics(&self) -> anyhow::Result<String> {
        let answer = self.http.get(format!("http://{}/metrics", self.address)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Seconds of CPU that the server has used so far.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        process::cpu_seconds(self.own.as_ref()?.child.id())
    }

    /// Has the peak be what it is now.
    pub(super) fn forget_peak(&self) {
        if let Some(own) = &self.own {
            process::forget_peak(own.child.id());
        }
    }

    pub(super) fn peak_memory_mb(&self) -> Option<f64> {
        process::peak_memory_mb(self.own.as_ref()?.child.id())
    }

    /// Ends the server where it was started for the run, and removes all it had.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        match self.own {
            Some(own) => own.remove().await,
            None => Ok(()),
        }
    }
}

/// Makes requests with the server's name and token.
pub(super) struct Caller {
    host: String,
    authorization: String,
}

impl Caller {
    pub(super) fn post(&self, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        Request::post(path)
            .header("host", &self.host)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap_or_default()
    }

    /// A request as it is written (RFC 9112, section 3), for what reads its answer without an end.
    pub(super) fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\r\n", self.host, self.authorization)
    }
}

impl Own {
    async fn ready(&self, token: &str) -> anyhow::Result<SocketAddr> {
        let began = Instant::now();
        loop {
            let written = fs::read_to_string(self.folder.join(ADDRESS_FILE)).ok();
            if let Some(address) = written.and_then(|text| text.parse::<SocketAddr>().ok()) {
                let server = Server::new(ServerArgs::of(format!("http://{address}"), token.to_owned()))?;
                if server.get("/v1/endpoints").await.is_ok() {
                    return Ok(address);
                }
            }
            if began.elapsed() > START_MAX {
                let log = fs::read_to_string(self.folder.join(LOG_FILE)).unwrap_or_default();
                bail!("the server did not start within {} s; it said:\n{log}", START_MAX.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn remove(mut self) -> anyhow::Result<()> {
        if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(self.child.id())?) {
            // It may have ended by itself, which the wait sees.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP_MAX {
                self.child.kill()?;
                self.child.wait()?;
            }
            tokio::time::sleep(LOOK).await;
        }
        if let Some(queue) = connections::redis_queue(&self.settings)? {
            queue.erase().await.context("the bench's keys could not be removed from Redis")?;
        }
        if let Some(database) = self.database {
            database.remove().await.context("the bench's database could not be removed")?;
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("the folder {} could not be removed", self.folder.display()))
    }
}

fn stack(settings: &Settings) -> String {
    let database = if settings.database_url().starts_with("sqlite:") { "SQLite" } else { "PostgreSQL" };
    let queue = if settings.redis_url.is_some() { "Redis" } else { "embedded queue" };
    format!("{database} + {queue}")
}

/// What differs for the server from the settings that the bench was called with, which it reads too.
fn variables(settings: &Settings, token: &str) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("POSTRIDER_DATA_DIR", settings.data_dir.display().to_string()),
        ("POSTRIDER_DATABASE_URL", settings.database_url()),
        ("POSTRIDER_REDIS_PREFIX", settings.redis_prefix.clone()),
        ("POSTRIDER_LISTEN", "127.0.0.1:0".to_owned()),
        ("POSTRIDER_ADMIN_TOKEN", token.to_owned()),
        ("POSTRIDER_EGRESS_ALLOW", "127.0.0.0/8,::1/128".to_owned()),
        ("POSTRIDER_TOKEN_RATE_PER_SECOND", "1000000".to_owned()),
        ("POSTRIDER_CONNECTIONS_MAX", settings.connections_max.to_string()),
        ("POSTRIDER_LOG", "warn".to_owned()),
    ];
    variables.extend(settings.smtp_url.clone().map(|url| ("POSTRIDER_SMTP_URL", url)));
    variables.extend(settings.smtp_from.clone().map(|from| ("POSTRIDER_SMTP_FROM", from)));
    variables
}
