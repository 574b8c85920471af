//! A Redis Cluster: one for a test that kills a node of it, and one that all tests share that do not.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
};

use tokio::sync::OnceCell;

use super::{PrivateRedis, SOON, eventually};

/// Without an answer for so long, a node is down; then its replica is elected.
const NODE_TIMEOUT_MS: &str = "1000";

/// Three masters that share the slots, and replicas of the first ones.
pub(crate) struct RedisCluster {
    nodes: Vec<PrivateRedis>,
}

impl RedisCluster {
    pub(crate) async fn start() -> Self {
        let start = || PrivateRedis::start_with(|_| node_args());
        let nodes = vec![start().await, start().await, start().await];
        let cluster = Self { nodes };
        let addresses: Vec<String> = cluster.nodes.iter().map(address).collect();
        redis_cli(
            &[&["create"][..], &addresses.iter().map(String::as_str).collect::<Vec<_>>(), &["--cluster-yes"]].concat(),
        );
        cluster.await_well().await;
        cluster
    }

    /// One whose first master has a replica.
    pub(crate) async fn start_with_a_replica() -> Self {
        let mut cluster = Self::start().await;
        let replica = PrivateRedis::start_with(|_| node_args()).await;
        redis_cli(&["add-node", &address(&replica), &address(&cluster.nodes[0]), "--cluster-slave"]);
        replica.await_in_step_with(&cluster.nodes[0]).await;
        cluster.nodes.push(replica);
        cluster.await_well().await;
        cluster
    }

    /// Its first two nodes: the rest is found out from them.
    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://{},{}", address(&self.nodes[0]), address(&self.nodes[1]))
    }

    /// Lets the first master's replica have nothing more of it.
    pub(crate) async fn cut_the_replica_off(&self) {
        self.nodes[3].cut_off_its_master().await;
    }

    pub(crate) fn kill_the_first_master(&mut self) {
        self.nodes[0].kill();
    }

    /// Waits until its replica has what the first master has, and kills it.
    pub(crate) async fn kill_the_first_master_in_step(&mut self) {
        self.nodes[3].await_in_step_with(&self.nodes[0]).await;
        self.nodes[0].kill();
    }

    /// Whether a node other than the first holds a key like `pattern`.
    pub(crate) async fn holds(&self, pattern: &str) -> bool {
        for node in &self.nodes[1..] {
            if node.holds(pattern).await {
                return true;
            }
        }
        false
    }

    async fn await_well(&self) {
        for node in &self.nodes {
            let well = || async {
                let about: String = node.ask(&["CLUSTER", "INFO"]).await.ok()?;
                let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
                (about.contains("cluster_state:ok") && about.contains(&known)).then_some(())
            };
            eventually("a node of the cluster knows the others", SOON, well).await;
        }
    }
}

/// The cluster that tests share which do no harm to it, started by the first of them. Each has keys of its own.
pub(crate) async fn shared_cluster() -> String {
    static SHARED: OnceCell<(RedisCluster, Child)> = OnceCell::const_new();
    let start = || async {
        let cluster = RedisCluster::start().await;
        let undertaker = undertaker(&cluster.nodes);
        (cluster, undertaker)
    };
    SHARED.get_or_init(start).await.0.url()
}

/// What is static is never dropped, so a shell that sees its input end with this process ends the nodes, too.
fn undertaker(nodes: &[PrivateRedis]) -> Child {
    let pids: Vec<String> = nodes.iter().map(|node| node.pid().to_string()).collect();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"read -r pids; cat; kill -9 $pids; rm -rf "$@""#, "sh"]);
    shell
        .args(nodes.iter().map(PrivateRedis::folder))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut shell = shell.spawn().expect("a shell");
    writeln!(shell.stdin.as_mut().expect("its input"), "{}", pids.join(" ")).expect("a shell that reads");
    shell
}

fn node_args() -> Vec<String> {
    ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT_MS].map(str::to_owned).into()
}

fn address(node: &PrivateRedis) -> String {
    format!("127.0.0.1:{}", node.port())
}

/// Redis' own tool, which comes with the server.
fn redis_cli(args: &[&str]) {
    let ran = Command::new("redis-cli").arg("--cluster").args(args).output().expect("redis-cli is on PATH");
    assert!(ran.status.success(), "redis-cli --cluster {args:?}: {}", String::from_utf8_lossy(&ran.stdout));
}
