//! A Redis for one test that kills, empties or freezes it. Never the one that tests share.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{SOON, app::signal, eventually};

/// Where ports are looked for: below those that systems give to whoever asks for any, and so that the port of a
/// cluster's bus, 10,000 above, is there too.
const PORTS: std::ops::Range<u16> = 12_000..22_000;
const BUS_ABOVE: u16 = 10_000;

/// The keys are listed in the queue's `shard.lua`.
const LEASES: &str = "local leases = 0
for _, held in ipairs(redis.call('KEYS', '*}:w:*')) do leases = leases + redis.call('SCARD', held) end
return leases";

/// A redis-server process with its append-only file on.
pub(crate) struct PrivateRedis {
    port: u16,
    process: Child,
    /// What it is started with before what all are.
    args: Vec<String>,
    data: TempDir,
}

impl PrivateRedis {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| Vec::new()).await
    }

    /// Starts it with what `args` says; it is told the server's folder.
    pub(crate) async fn start_with(args: impl Fn(&Path) -> Vec<String>) -> Self {
        let data = data_folder();
        let (port, args) = (free_port(), args(data.path()));
        let mut redis = Self { port, process: spawn(port, &args, &data), args, data };
        redis.await_ready().await;
        redis
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends it a command and gives the answer.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        ask(&self.url(), &[command]).await
    }

    /// Sends it commands on one connection and gives the last one's answer.
    pub(crate) async fn ask_all<T: redis::FromRedisValue>(&self, commands: &[&[&str]]) -> redis::RedisResult<T> {
        ask(&self.url(), commands).await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a Redis to kill");
        self.process.wait().expect("the killed Redis ends");
    }

    /// What its file holds now.
    pub(crate) fn backup(&self) -> TempDir {
        let kept = data_folder();
        copy(self.data.path(), kept.path());
        kept
    }

    /// Starts it again, after [`Self::kill`], with what a backup holds.
    pub(crate) async fn restart_from(&mut self, backup: TempDir) {
        self.data = backup;
        self.restart().await;
    }

    /// Starts it again on the same port with what its file holds.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.port, &self.args, &self.data);
        self.await_ready().await;
    }

    /// Empties it, scripts included, as a replaced server is empty.
    pub(crate) async fn flush(&self) {
        for command in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"]] {
            self.ask::<()>(command).await.expect("an emptied Redis");
        }
    }

    /// Whether it holds a key like `pattern`; the keys are listed in the queue's `shard.lua`.
    pub(crate) async fn holds(&self, pattern: &str) -> bool {
        !self.ask::<Vec<Vec<u8>>>(&["KEYS", pattern]).await.expect("Redis' keys").is_empty()
    }

    /// Waits until workers hold exactly so many leases in it.
    pub(crate) async fn await_leases(&self, count: usize) {
        let held = || async { (self.ask::<usize>(&["EVAL", LEASES, "0"]).await.ok()? == count).then_some(()) };
        eventually(&format!("workers hold {count} leases"), SOON, held).await;
    }

    /// Freezes it: connections stand, nothing answers.
    pub(crate) fn pause(&self) {
        signal("STOP", self.process.id());
    }

    pub(crate) fn resume(&self) {
        signal("CONT", self.process.id());
    }

    /// Waits until it has every write of its master.
    pub(super) async fn await_in_step_with(&self, master: &Self) {
        let in_step = || async {
            let linked = self.about_replication("master_link_status").await? == "up";
            let offsets = (
                master.about_replication("master_repl_offset").await?,
                self.about_replication("master_repl_offset").await?,
            );
            (linked && offsets.0 == offsets.1).then_some(())
        };
        eventually("the replica is in step", SOON, in_step).await;
    }

    /// Replicates nothing more: a password is sent to a master that has none, and that ends each connection.
    pub(super) async fn cut_off_its_master(&self) {
        for command in [&["CONFIG", "SET", "masterauth", "none"][..], &["CLIENT", "KILL", "TYPE", "master"]] {
            self.ask::<()>(command).await.expect("a replica that does as it is told");
        }
        let down = || async { (self.about_replication("master_link_status").await? == "down").then_some(()) };
        eventually("the replica has lost its master", SOON, down).await;
    }

    async fn about_replication(&self, what: &str) -> Option<String> {
        let about: String = self.ask(&["INFO", "replication"]).await.ok()?;
        let value = |line: &str| line.strip_prefix(what)?.strip_prefix(':').map(str::to_owned);
        about.lines().find_map(value)
    }

    async fn await_ready(&mut self) {
        let redis = std::cell::RefCell::new(self);
        let ready = || {
            let ended = redis.borrow_mut().process.try_wait().expect("our child");
            assert!(ended.is_none(), "redis-server ended while it started: {ended:?}");
            let url = redis.borrow().url();
            async move {
                let pong = ask::<String>(&url, &[&["PING"]]).await;
                // One that asks for a password answers.
                let answers = pong.as_ref().err().is_none_or(|refused| refused.code() == Some("NOAUTH"));
                answers.then_some(())
            }
        };
        eventually("the private Redis answers", SOON, ready).await;
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        // Both fail where the test has ended it itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn ask<T: redis::FromRedisValue>(url: &str, commands: &[&[&str]]) -> redis::RedisResult<T> {
    let client = redis::Client::open(url).expect("a Redis URL");
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut answer = redis::Value::Nil;
    for command in commands {
        answer = redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await?;
    }
    redis::from_redis_value(answer).map_err(Into::into)
}

fn data_folder() -> TempDir {
    tempfile::Builder::new().prefix("postrider-redis-").tempdir().expect("a folder for Redis")
}

/// The append-only file is a folder of files.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("Redis' folder").map(|entry| entry.expect("what is in it")) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).expect("a folder");
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Freed as it is chosen; that another takes it before Redis does shows as a server that does not start.
pub(crate) fn free_port() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut tries = (0..1_000).map(|_| rand::random_range(PORTS));
    tries.find(|&port| free(port) && free(port + BUS_ABOVE)).expect("a free port")
}

fn spawn(port: u16, args: &[String], data: &TempDir) -> Child {
    // A configuration file has to come first.
    Command::new("redis-server")
        .args(args)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes", "--dir"])
        .arg(data.path())
        // By default a master lets its first replica wait 5 s for others.
        .args(["--repl-diskless-sync-delay", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is on PATH")
}
