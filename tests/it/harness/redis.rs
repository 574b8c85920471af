//! A Redis for one test that kills, empties or freezes it. Never the one that tests share.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{SOON, app::signal, eventually};

/// A redis-server process with its append-only file on.
pub(crate) struct PrivateRedis {
    port: u16,
    process: Child,
    data: TempDir,
}

impl PrivateRedis {
    pub(crate) async fn start() -> Self {
        let data = tempfile::Builder::new().prefix("postrider-redis-").tempdir().expect("a folder for Redis");
        // Freed as it is chosen; that another takes it before Redis does shows as a server that does not start.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut redis = Self { port, process: spawn(port, &data), data };
        redis.await_ready().await;
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a Redis to kill");
        self.process.wait().expect("the killed Redis ends");
    }

    /// Starts it again on the same port with what its file holds.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.port, &self.data);
        self.await_ready().await;
    }

    /// Empties it, scripts included, as a replaced server is empty.
    pub(crate) async fn flush(&self) {
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection to Redis");
        for command in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"]] {
            let mut call = redis::cmd(command[0]);
            call.arg(&command[1..]);
            call.exec_async(&mut connection).await.expect("an emptied Redis");
        }
    }

    /// Whether it holds a key like `pattern`; the keys are listed in the queue's `shard.lua`.
    pub(crate) async fn holds(&self, pattern: &str) -> bool {
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection to Redis");
        let mut keys = redis::cmd("KEYS");
        let found: Vec<Vec<u8>> = keys.arg(pattern).query_async(&mut connection).await.expect("Redis' keys");
        !found.is_empty()
    }

    /// Freezes it: connections stand, nothing answers.
    pub(crate) fn pause(&self) {
        signal("STOP", self.process.id());
    }

    pub(crate) fn resume(&self) {
        signal("CONT", self.process.id());
    }

    async fn await_ready(&mut self) {
        let url = self.url();
        let process = std::cell::RefCell::new(&mut self.process);
        let ready = || {
            let ended = process.borrow_mut().try_wait().expect("our child");
            assert!(ended.is_none(), "redis-server ended while it started: {ended:?}");
            let url = url.clone();
            async move {
                let client = redis::Client::open(url).expect("a Redis URL");
                let mut connection = client.get_multiplexed_async_connection().await.ok()?;
                redis::cmd("PING").exec_async(&mut connection).await.ok()
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

fn spawn(port: u16, data: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes", "--dir"])
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is on PATH")
}
