//! A Redis master with its replica and a Sentinel that watches both.

use std::fs;

use super::{PrivateRedis, SOON, eventually};

const MASTER: &str = "tickets";
/// Without an answer for so long, the master is down.
const DOWN_AFTER_MS: &str = "500";

pub(crate) struct RedisBehindSentinel {
    master: PrivateRedis,
    replica: PrivateRedis,
    sentinel: PrivateRedis,
}

impl RedisBehindSentinel {
    pub(crate) async fn start() -> Self {
        let master = PrivateRedis::start().await;
        let port = master.port().to_string();
        let replica = PrivateRedis::start_with(|_| vec!["--replicaof".to_owned(), format!("127.0.0.1 {port}")]).await;
        let sentinel = PrivateRedis::start_with(|folder| {
            let file = folder.join("sentinel.conf");
            fs::write(&file, "").expect("Sentinel's own file");
            vec![file.display().to_string(), "--sentinel".to_owned()]
        })
        .await;
        let servers = Self { master, replica, sentinel };
        servers.watch(&port).await;
        servers
    }

    /// Begins with a Sentinel that is not there, as one of several may be.
    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/{MASTER}", self.sentinel.port())
    }

    /// Waits until the replica has what the master has, and kills the master.
    pub(crate) async fn kill_the_master_in_step(&mut self) {
        self.replica.await_in_step_with(&self.master).await;
        self.master.kill();
    }

    /// Kills the master, whatever the replica has of it.
    pub(crate) fn kill_the_master(&mut self) {
        self.master.kill();
    }

    /// Lets the replica have nothing more of its master, which it does not take for dead.
    pub(crate) async fn cut_the_replica_off(&self) {
        self.replica.cut_off_its_master().await;
    }

    /// Has the Sentinel make the replica the master, and the master its replica, as it would itself ten seconds later.
    pub(crate) async fn hand_over(&self) {
        self.replica.await_in_step_with(&self.master).await;
        self.sentinel.ask::<()>(&["SENTINEL", "FAILOVER", MASTER]).await.expect("a Sentinel that does as it is told");
        let promoted = || async {
            let about: String = self.replica.ask(&["INFO", "replication"]).await.ok()?;
            about.contains("role:master").then_some(())
        };
        eventually("the replica is the master", SOON, promoted).await;
        let port = self.replica.port().to_string();
        self.master.ask::<()>(&["REPLICAOF", "127.0.0.1", &port]).await.expect("a master that steps back");
    }

    /// What was the replica.
    pub(crate) const fn promoted(&self) -> &PrivateRedis {
        &self.replica
    }

    async fn watch(&self, port: &str) {
        let commands: [&[&str]; 3] = [
            &["SENTINEL", "MONITOR", MASTER, "127.0.0.1", port, "1"],
            &["SENTINEL", "SET", MASTER, "down-after-milliseconds", DOWN_AFTER_MS],
            &["SENTINEL", "SET", MASTER, "failover-timeout", "5000"],
        ];
        for command in commands {
            self.sentinel.ask::<()>(command).await.expect("a Sentinel that does as it is told");
        }
        let knows_it = || async {
            let replicas: Vec<std::collections::HashMap<String, String>> =
                self.sentinel.ask(&["SENTINEL", "REPLICAS", MASTER]).await.ok()?;
            let well = replicas.first().is_some_and(|replica| {
                replica["flags"] == "slave" && replica.get("master-link-status").is_some_and(|status| status == "ok")
            });
            well.then_some(())
        };
        eventually("the Sentinel knows the replica", SOON, knows_it).await;
    }
}
