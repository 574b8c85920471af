//! The connection to Redis, whatever its layout: made when it is needed, dropped when it fails, and made again
//! no faster than a server bears. Knows no queue.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, RedisResult, TlsCertificates, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::SentinelClient,
};
use tokio::{sync::Mutex, time::Instant};

use super::{
    super::{QueueError, metrics::RoundTrips},
    scripts::Script,
    url::RedisUrl,
};

/// Between two attempts to connect, doubled with each that fails.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// Short, so that a worker says soon what it runs to a server that came back.
const RECONNECT_MAX: Duration = Duration::from_millis(500);

/// Clients that can be asked for a connection.
pub(super) enum Target {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

pub(super) struct Server {
    target: Target,
    at: String,
    answer_max: Duration,
    line: Mutex<Line>,
    round_trips: RoundTrips,
}

/// The connection there is, or why there is none and when the next attempt is allowed.
struct Line {
    link: Option<Link>,
    /// Tells a connection from the one that came after it.
    number: u64,
    failed: Option<(RedisError, Instant)>,
    pause: Duration,
}

#[derive(Clone)]
enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Server {
    /// `answer_max`: a server that is silent for longer is given up, so that no caller hangs.
    pub(super) fn new(
        url: &RedisUrl,
        authorities: Option<TlsCertificates>,
        answer_max: Duration,
    ) -> Result<Self, QueueError> {
        let at = url.to_string();
        let target = url
            .target(authorities, answer_max)
            .map_err(|error| QueueError::Url { url: at.clone(), reason: error.to_string() })?;
        let line = Line { link: None, number: 0, failed: None, pause: RECONNECT_MIN };
        Ok(Self { target, at, answer_max, line: Mutex::new(line), round_trips: RoundTrips::default() })
    }

    pub(super) const fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// Runs a script on the shard whose keys begin with `base`.
    pub(super) async fn run(&self, script: &Script, base: &str, args: &[Vec<u8>]) -> Result<Value, QueueError> {
        let began = Instant::now();
        let mut answer = self.run_script(script, base, args).await;
        // That a server was restarted shows with the first command on a connection from before; a new one may find it well.
        if script.reads() && matches!(answer, Err(QueueError::Unavailable { .. })) {
            answer = self.run_script(script, base, args).await;
        }
        self.round_trips.ended(script.name, began.elapsed(), answer.as_ref().err());
        answer
    }

    async fn run_script(&self, script: &Script, base: &str, args: &[Vec<u8>]) -> Result<Value, QueueError> {
        let command = |name: &str, text: &str| {
            let mut command = redis::cmd(name);
            command.arg(text).arg(1).arg(base);
            for arg in args {
                command.arg(arg.as_slice());
            }
            command
        };
        let answer = match self.send(&command("EVALSHA", &script.digest)).await? {
            Err(error) if error.kind() == ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                // A new or restarted server, or a new master: EVAL also keeps the script there.
                self.send(&command("EVAL", script.text)).await?
            }
            answer => answer,
        };
        answer.map_err(|error| self.refused(&error))
    }

    /// Runs one command.
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value, QueueError> {
        self.send(command).await?.map_err(|error| self.refused(&error))
    }

    pub(super) fn unexpected(&self, what: impl Into<String>) -> QueueError {
        QueueError::Answer { at: self.at.clone(), what: what.into() }
    }

    /// The server's own answer, or why there is no way to the server.
    async fn send(&self, command: &Cmd) -> Result<RedisResult<Value>, QueueError> {
        let (mut link, number) = self.link().await.map_err(|error| self.unavailable(&error))?;
        let sent = match tokio::time::timeout(self.answer_max, link.send(command)).await {
            Ok(sent) => sent.and_then(Value::extract_error),
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        if let Err(error) = &sent
            && is_broken(error)
        {
            self.drop_link(number).await;
        }
        Ok(sent)
    }

    async fn link(&self) -> RedisResult<(Link, u64)> {
        let mut line = self.line.lock().await;
        if let Some(link) = &line.link {
            return Ok((link.clone(), line.number));
        }
        if let Some((error, retry_at)) = &line.failed
            && *retry_at > Instant::now()
        {
            return Err(error.clone());
        }
        let connected = match tokio::time::timeout(self.answer_max, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        match connected {
            Ok(link) => {
                line.link = Some(link.clone());
                line.number += 1;
                line.failed = None;
                line.pause = RECONNECT_MIN;
                Ok((link, line.number))
            }
            Err(error) => {
                line.failed = Some((error.clone(), Instant::now() + line.pause));
                line.pause = (line.pause * 2).min(RECONNECT_MAX);
                Err(error)
            }
        }
    }

    async fn connect(&self) -> RedisResult<Link> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.answer_max))
            .set_response_timeout(Some(self.answer_max));
        let mut link = match &self.target {
            Target::Single(client) => Link::One(client.get_multiplexed_async_connection_with_config(&config).await?),
            Target::Sentinel(client) => Link::One(client.lock().await.get_async_connection_with_config(&config).await?),
            Target::Cluster(client) => Link::Cluster(client.get_async_connection().await?),
        };
        // A server that asks for a password cuts a connection off at a longer command, without a word.
        link.send(&redis::cmd("PING")).await?.extract_error()?;
        Ok(link)
    }

    async fn drop_link(&self, number: u64) {
        let mut line = self.line.lock().await;
        if line.number == number {
            line.link = None;
        }
    }

    fn refused(&self, error: &RedisError) -> QueueError {
        let full = error.to_string().contains("OOM");
        match error.code() {
            Some("ERR" | "WRONGTYPE" | "CROSSSLOT") if !full => {
                QueueError::Answer { at: self.at.clone(), what: error.to_string() }
            }
            // What lua/offer.lua says.
            Some("EMPTIED") => QueueError::Emptied { at: self.at.clone() },
            _ => self.unavailable(error),
        }
    }

    fn unavailable(&self, error: &RedisError) -> QueueError {
        let (at, text) = (self.at.clone(), error.to_string());
        if error.is_timeout() {
            return QueueError::Silent { at, after: self.answer_max };
        }
        // The cause is inside the crate's error, where only its text can be got at.
        if text.contains("invalid peer certificate") {
            return QueueError::Certificate { at, reason: text };
        }
        let (reason, remedy) = explain(error, &text);
        QueueError::Unavailable { at, reason, remedy }
    }
}

/// What is wrong, and what an operator does about it, as far as the error tells.
fn explain(error: &RedisError, text: &str) -> (String, &'static str) {
    let login = "Give the right user and password in the setting redis_url, as in redis://USER:PASSWORD@HOST.";
    let remedy = match (error.kind(), error.code()) {
        (_, Some("NOAUTH")) => return ("it asks for a password".to_owned(), login),
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => {
            return ("it refuses the login".to_owned(), login);
        }
        (_, Some("NOPERM")) => {
            "Allow its user all commands on the keys {PREFIX:*, where PREFIX is the setting redis_prefix."
        }
        (_, Some("MOVED" | "ASK")) => "It is a node of a cluster, which redis_url names as redis+cluster://HOST.",
        (_, Some("READONLY")) => "It is a replica, and redis_url has to name the master, or the Sentinels.",
        (ErrorKind::MasterNameNotFoundBySentinel, _) => {
            "Name the master as the Sentinels do, as the path of redis_url."
        }
        _ if text.contains("point to a sentinel") => "It is no Sentinel, so write redis_url as redis://HOST.",
        _ if text.contains("cluster support disabled") => "It is no cluster, so write redis_url as redis://HOST.",
        _ if text.contains("OOM") => "It is full, so raise its maxmemory.",
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => "Its own log may say more.",
        _ => "Is Redis running there, and are host, port and redis:// (rediss:// for TLS) right in redis_url?",
    };
    let kind = format!(" - {:?}", error.kind());
    let reason = text.trim_end_matches(&kind).trim_end_matches('.');
    (reason.to_owned(), remedy)
}

/// Whether the connection is of no more use: gone, silent, or to a server that is master no longer.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
}

impl Link {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(link) => link.req_packed_command(command).await,
            Self::Cluster(link) => link.req_packed_command(command).await,
        }
    }
}
