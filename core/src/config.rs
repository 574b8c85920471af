//! Every setting: its name, default, bounds and meaning. Each stands in `postrider.toml` and in an environment
//! variable; the variable wins. `postrider config` prints this file's documentation as a template.

mod in_force;
mod judge;
mod lists;
mod refusal;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use confique::{Config as _, toml::FormatOptions};
use ipnet::IpNet;

pub use self::{
    in_force::{From, InForce},
    refusal::SettingsError,
};
use crate::domain::{
    egress::EgressPolicy,
    redaction::Pointer,
    retry::RetrySchedule,
    site::place::{BadPlace, SitesPlace},
};

/// The file that is read when no other is named.
pub const FILE: &str = "postrider.toml";
const PREFIX: &str = "POSTRIDER_";
/// Variables that this file does not own: tests and the shell commands read them.
const OTHER_VARIABLES: [&str; 5] =
    ["POSTRIDER_CONFIG", "POSTRIDER_URL", "POSTRIDER_TOKEN", "POSTRIDER_SECRET", "POSTRIDER_TENANT"];

/// All settings of Postrider, with their defaults. Save this as postrider.toml and take the # from what you change.
#[derive(Clone, Debug, confique::Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct Settings {
    /// Address and port of the API, the dashboard and the health checks. Behind a proxy keep it on 127.0.0.1.
    #[config(env = "POSTRIDER_LISTEN", default = "127.0.0.1:7077")]
    pub listen: SocketAddr,

    /// The address that browsers reach the dashboard at, as in `https://postrider.example.com`. With https its cookies go
    /// over TLS only. Links in mails lead there, by which people unsubscribe. Unset: by http at `listen`, and mails have no
    /// such link.
    #[config(env = "POSTRIDER_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Proxies that are believed where a request comes from (`X-Forwarded-For`), as CIDRs or single addresses: else all
    /// people behind one are slowed down when one of them mistypes a password. In this file a list; in the variable
    /// separated by commas.
    #[config(
        env = "POSTRIDER_TRUSTED_PROXIES",
        parse_env = lists::networks,
        deserialize_with = lists::read_networks,
        default = []
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// A header in which a proxy says who is signed in there, as in `x-forwarded-user`, with the name of a user of the
    /// dashboard. It is believed from `trusted_proxies` only, and they have to remove it from what browsers send. Unset:
    /// users sign in with their passwords.
    #[config(env = "POSTRIDER_PROXY_USER_HEADER")]
    pub proxy_user_header: Option<String>,

    /// Fields of payloads that users with the role viewer do not see on the dashboard, as JSON pointers (RFC 6901) in which
    /// `*` is every member or item: in this file a list, `["/customer/email", "/items/*/card"]`; in the variable separated
    /// by commas.
    #[config(
        env = "POSTRIDER_REDACTED_FIELDS",
        parse_env = lists::pointers,
        deserialize_with = lists::read_pointers,
        default = []
    )]
    pub redacted_fields: Vec<Pointer>,

    /// Connections that callers may have open at the same time, 16 to 100,000. Beyond them the one that has waited longest
    /// for a request is closed. There are fewer where the limit of open files leaves less beside `worker_concurrency`.
    #[config(env = "POSTRIDER_CONNECTIONS_MAX", default = 4_096)]
    pub connections_max: usize,

    /// Where the truth is kept: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`, with
    /// `?sslmode=verify-full&sslrootcert=CA.pem` for a certificate that has to be right, of an authority of your own.
    /// Unset: the file `postrider.db` in the data folder.
    #[config(env = "POSTRIDER_DATABASE_URL")]
    pub database_url: Option<String>,

    /// Connections to PostgreSQL at most, 4 to 1000.
    #[config(env = "POSTRIDER_DATABASE_CONNECTIONS_MAX", default = 16)]
    pub database_connections_max: u32,

    /// Where the queue is: `redis://HOST:6379/0`, `rediss://…` with TLS, `redis+sentinel://HOST1,HOST2/MASTER`
    /// or `redis+cluster://HOST1,HOST2`. Unset: the queue is inside the process, which needs one process only.
    #[config(env = "POSTRIDER_REDIS_URL")]
    pub redis_url: Option<String>,

    /// A PEM file with the certificate authorities that Redis, its Sentinels or its cluster's nodes are believed by, in
    /// place of Mozilla's; `rediss://…` only. With a private authority name its file, or the system's bundle with it.
    #[config(env = "POSTRIDER_REDIS_CA_FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// What the queue's keys in Redis begin with, so that several installations can share one server.
    #[config(env = "POSTRIDER_REDIS_PREFIX", default = "postrider")]
    pub redis_prefix: String,

    /// Parts that the queue is spread over in Redis, 1 to 64. Use 16 with Redis Cluster. Every process has to
    /// have the same number.
    #[config(env = "POSTRIDER_REDIS_SHARDS", default = 1)]
    pub redis_shards: u16,

    /// The folder for the SQLite file, the encryption key and the queue's journal. Made at the first start.
    #[config(env = "POSTRIDER_DATA_DIR", default = "./postrider-data")]
    pub data_dir: PathBuf,

    /// Where sites' public files are kept: `s3://BUCKET/PREFIX`, a bucket of any store that speaks as S3 does, or
    /// `file:///FOLDER`. A bucket's keys, endpoint and region stand in the usual variables: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, `AWS_REGION`. Processes on several machines need a bucket or a folder
    /// that they share. Unset: the folder `sites` in the data folder.
    #[config(env = "POSTRIDER_SITES_URL")]
    pub sites_url: Option<String>,

    /// The administrator's token, at least 16 characters. Unset: one is made at the first start and shown once.
    #[config(env = "POSTRIDER_ADMIN_TOKEN")]
    pub admin_token: Option<String>,

    /// Encrypts secrets at rest: 32 bytes in base64, or several keys in one text, separated by commas, the current one
    /// first.
    /// Unset: the file `encryption.key` in the data folder, made at the first start with mode 0600.
    #[config(env = "POSTRIDER_ENCRYPTION_KEY")]
    pub encryption_key: Option<String>,

    /// Networks that deliveries may reach although they are not public, as CIDRs or single addresses. In this file a
    /// list, `["10.20.0.0/16", "127.0.0.1"]`; in the variable separated by commas, `10.20.0.0/16,127.0.0.1`.
    #[config(
        env = "POSTRIDER_EGRESS_ALLOW",
        parse_env = lists::networks,
        deserialize_with = lists::read_networks,
        default = []
    )]
    pub egress_allow: Vec<IpNet>,

    /// Ports that deliveries may reach beside 80, 443 and those from 1024 up, or although they are on the list of
    /// databases' and administrators' ports. In this file a list, `[25, 9200]`; in the variable separated by commas,
    /// `25,9200`.
    #[config(env = "POSTRIDER_EGRESS_PORTS", parse_env = lists::ports, default = [])]
    pub egress_ports: Vec<u16>,

    /// A PEM file with certificates that deliveries trust beside the system's, for receivers of your own.
    #[config(env = "POSTRIDER_EGRESS_CA_FILE")]
    pub egress_ca_file: Option<PathBuf>,

    /// Bytes of an event's payload at most, 1 to 1,048,576. A request's whole body, a batch's too, may have 1,048,576
    /// bytes, or 65,536 more than this where that is more.
    #[config(env = "POSTRIDER_PAYLOAD_BYTES_MAX", default = 262_144)]
    pub payload_bytes_max: usize,

    /// Requests a second that one token may make, 1 to 1,000,000; 429 beyond it.
    #[config(env = "POSTRIDER_TOKEN_RATE_PER_SECOND", default = 20_000)]
    pub token_rate_per_second: u32,

    /// Hours for which an idempotency key is remembered, 24 to 720.
    #[config(env = "POSTRIDER_IDEMPOTENCY_HOURS", default = 24)]
    pub idempotency_hours: u32,

    /// Jobs that one worker process runs at the same time, 1 to 10,000. Each may be an open socket, and what waits for
    /// a receiver that hangs costs memory only: more jobs are more room for such receivers.
    #[config(env = "POSTRIDER_WORKER_CONCURRENCY", default = 1_024)]
    pub worker_concurrency: usize,

    /// Seconds that what runs may take to end after SIGTERM, 1 to 600.
    #[config(env = "POSTRIDER_SHUTDOWN_GRACE_SECONDS", default = 30)]
    pub shutdown_grace_seconds: u64,

    /// Delays in seconds between the attempts of a job that names no schedule of its own, at most 49, each up to a
    /// week. In this file a list, `[5, 300, 1800]`; in the variable separated by commas, `5,300,1800`.
    #[config(
        env = "POSTRIDER_RETRY_SCHEDULE_SECONDS",
        parse_env = lists::delays,
        default = [5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0]
    )]
    pub retry_schedule_seconds: Vec<f64>,

    /// Hours after which an endpoint whose every attempt has failed is disabled, 1 to 8,760.
    #[config(env = "POSTRIDER_FAILING_DISABLES_AFTER_HOURS", default = 120)]
    pub failing_disables_after_hours: u32,

    /// Days for which payloads of delivered events are kept, 1 to 3,650 as the others below.
    #[config(env = "POSTRIDER_RETENTION_PAYLOAD_DAYS", default = 30)]
    pub retention_payload_days: u32,

    /// Days for which finished jobs, their attempts and their events are kept.
    #[config(env = "POSTRIDER_RETENTION_JOB_DAYS", default = 30)]
    pub retention_job_days: u32,

    /// Days for which dead letters are kept after they were replayed or discarded. Open ones are kept for ever.
    #[config(env = "POSTRIDER_RETENTION_DEAD_LETTER_DAYS", default = 90)]
    pub retention_dead_letter_days: u32,

    /// Days for which counts by minute and quiet failure groups are kept.
    #[config(env = "POSTRIDER_RETENTION_STATS_DAYS", default = 90)]
    pub retention_stats_days: u32,

    /// Days for which notifications and what inboxes have of them are kept.
    #[config(env = "POSTRIDER_RETENTION_NOTIFICATION_DAYS", default = 90)]
    pub retention_notification_days: u32,

    /// A mail server that notifications and alerts are sent by: `smtps://USER:PASSWORD@HOST:465`, or
    /// `smtp://HOST:587?tls=required` for STARTTLS. Unset: nobody is told anything by e-mail.
    #[config(env = "POSTRIDER_SMTP_URL")]
    pub smtp_url: Option<String>,

    /// Whom e-mail is from, as in `postrider@example.com`. Goes with `smtp_url`.
    #[config(env = "POSTRIDER_SMTP_FROM")]
    pub smtp_from: Option<String>,

    /// A PEM file with the private key that e-mail is signed with (DKIM): RSA of 2048 to 4096 bits, or Ed25519, as
    /// `openssl genrsa -out dkim.pem 2048` makes one. `postrider doctor` says what has to stand in DNS. Goes with
    /// `dkim_selector`. Unset: mail is not signed here.
    #[config(env = "POSTRIDER_DKIM_KEY_FILE")]
    pub dkim_key_file: Option<PathBuf>,

    /// Under which name the key's public half stands in DNS: `postrider` is `postrider._domainkey.example.com`.
    #[config(env = "POSTRIDER_DKIM_SELECTOR")]
    pub dkim_selector: Option<String>,

    /// The domain that e-mail is signed for. Unset: that of `smtp_from`.
    #[config(env = "POSTRIDER_DKIM_DOMAIN")]
    pub dkim_domain: Option<String>,

    /// Where traces are sent: an OpenTelemetry collector that takes OTLP over HTTP, as in `http://127.0.0.1:4318`;
    /// `/v1/traces` is added where the URL has no path. Unset: no traces are recorded.
    #[config(env = "POSTRIDER_OTLP_URL")]
    pub otlp_url: Option<String>,

    /// Of the traces that begin here, the part that is recorded, 0 to 1. One that a publisher has begun is recorded
    /// where the publisher says so.
    #[config(env = "POSTRIDER_TRACE_RATIO", default = 1.0)]
    pub trace_ratio: f64,

    /// What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`, or by module as in
    /// `info,postrider_worker=debug`. Other crates than Postrider's say no more than `info`, since they would print
    /// headers and payloads.
    #[config(env = "POSTRIDER_LOG", default = "info")]
    pub log: String,
}

impl Settings {
    /// Reads the environment, then `file` (or `postrider.toml` in the working folder where there is one), then
    /// the defaults.
    ///
    /// # Errors
    /// When a value is not understood or out of its bounds, a key is unknown, or the named file is missing.
    pub fn load(file: Option<PathBuf>) -> Result<Self, SettingsError> {
        if let Some(missing) = file.as_ref().filter(|file| !file.exists()) {
            return Err(SettingsError::NoFile(missing.clone()));
        }
        let settings = Self::builder()
            .env()
            .file(file.unwrap_or_else(|| PathBuf::from(FILE)))
            .load()
            .map_err(|error| refusal::explain(&error))?;
        settings.judge()?;
        Ok(settings)
    }

    /// The commented template of every setting, as TOML.
    #[must_use]
    pub fn template() -> String {
        confique::toml::template::<Self>(FormatOptions::default())
    }

    /// Variables that begin with `POSTRIDER_` and mean nothing, so that a misspelt one is noticed.
    #[must_use]
    pub fn unknown_variables() -> Vec<String> {
        let template = Self::template();
        let known: BTreeSet<&str> = template
            .split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .filter(|word| word.starts_with(PREFIX))
            .chain(OTHER_VARIABLES)
            .collect();
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| {
                name.starts_with(PREFIX) && !name.starts_with("POSTRIDER_TEST_") && !known.contains(name.as_str())
            })
            .collect()
    }

    /// The data folder where none is named.
    #[must_use]
    pub fn usual_data_dir() -> PathBuf {
        PathBuf::from("./postrider-data")
    }

    /// The database's URL, with its default.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database_url
            .clone()
            .unwrap_or_else(|| format!("sqlite://{}", self.data_dir.join("postrider.db").display()))
    }

    /// Where sites' public files are kept, with its default.
    ///
    /// # Errors
    /// When the setting names no place.
    pub fn sites_place(&self) -> Result<SitesPlace, SettingsError> {
        let Some(url) = &self.sites_url else { return Ok(SitesPlace::Folder(self.data_dir.join("sites"))) };
        // A key may have been written into it.
        let value = if url.contains('@') { "\"(hidden)\"".to_owned() } else { format!("{url:?}") };
        url.parse().map_err(|error: BadPlace| SettingsError::Refused {
            key: "sites_url".to_owned(),
            value,
            allowed: error.to_string(),
        })
    }

    #[must_use]
    pub fn egress_policy(&self) -> EgressPolicy {
        EgressPolicy { allow: self.egress_allow.clone(), ports_allowed: self.egress_ports.clone() }
    }

    #[must_use]
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }

    /// The schedule of jobs that name none of their own.
    ///
    /// # Errors
    /// When it has too many delays, or one is out of its bounds.
    pub fn retry_schedule(&self) -> Result<RetrySchedule, SettingsError> {
        RetrySchedule::from_seconds(&self.retry_schedule_seconds).map_err(|error| SettingsError::Refused {
            key: "retry_schedule_seconds".to_owned(),
            value: format!("{:?}", self.retry_schedule_seconds),
            allowed: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds_and_stand_in_the_template() {
        let settings = Settings::builder().load().unwrap();
        settings.judge().unwrap();
        assert_eq!(settings.retry_schedule().unwrap(), RetrySchedule::default());
        let template = Settings::template();
        for key in ["#listen = \"127.0.0.1:7077\"", "POSTRIDER_REDIS_URL", "#redis_shards = 1"] {
            assert!(template.contains(key), "{key} in {template}");
        }
    }
}
