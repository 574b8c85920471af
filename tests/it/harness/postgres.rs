//! A PostgreSQL for one test that stops, kills or freezes it. Never the one that tests share.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::{SOON, app::signal, database::Database, eventually, redis::free_port};

/// What is small for a server of a test and does not change what it does.
const SETTINGS: [&str; 3] = ["listen_addresses=127.0.0.1", "shared_buffers=16MB", "fsync=on"];

/// A postgres process with the processes that serve its connections.
pub(crate) struct PrivatePostgres {
    port: u16,
    process: Child,
    programs: PathBuf,
    settings: Vec<String>,
    user: Option<User>,
    /// What stands still beside the first process.
    paused: Vec<i32>,
    data: TempDir,
}

/// PostgreSQL refuses to run as root.
#[derive(Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

/// How PostgreSQL is told to end (its documentation, "Shutting Down the Server").
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// Connections are told, their transactions are undone.
    Fast,
    /// Everything ends as it is; the next start recovers.
    Immediate,
}

impl PrivatePostgres {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with settings as `name=value`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let (programs, user) = (Database::programs().await, User::for_a_server());
        let data = tempfile::Builder::new().prefix("postrider-postgres-").tempdir().expect("a folder for PostgreSQL");
        if let Some(user) = user {
            std::os::unix::fs::chown(data.path(), Some(user.id), Some(user.group)).expect("a folder of its user's own");
        }
        let mut initdb = program(&programs, "initdb", user, data.path());
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"]).arg(data.path().join("data"));
        let made = initdb.env("LC_ALL", "C").output().expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings: Vec<String> = SETTINGS.iter().chain(settings).map(|&setting| setting.to_owned()).collect();
        let port = free_port();
        let process = spawn(&programs, user, port, &settings, data.path());
        let mut postgres = Self { port, process, programs, settings, user, paused: Vec::new(), data };
        postgres.await_ready().await;
        postgres
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Where it listens, as `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs statements as its superuser.
    pub(crate) async fn run(&self, statements: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("a PostgreSQL that answers");
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))).await.expect("good statements");
        connection.close().await.expect("a good end");
    }

    pub(crate) async fn stop(&mut self, how: Stop) {
        let name = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        signal(name, self.process.id());
        let process = std::cell::RefCell::new(&mut self.process);
        let ended = || {
            let status = process.borrow_mut().try_wait().expect("our child");
            async move { status }
        };
        eventually(&format!("PostgreSQL ends: {how:?}"), SOON, ended).await;
    }

    /// Starts it after [`Self::stop`].
    pub(crate) async fn begin(&mut self) {
        self.process = spawn(&self.programs, self.user, self.port, &self.settings, self.data.path());
        self.await_ready().await;
    }

    /// Freezes all of it: connections stand and are taken in, nothing answers.
    pub(crate) async fn pause(&mut self) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("a PostgreSQL that answers");
        // The first process before those that it starts, so that none is missed.
        signal("STOP", self.process.id());
        let select = sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
        self.paused = select.fetch_all(&mut connection).await.expect("its processes");
        signal_those_left("STOP", &self.paused);
        drop(connection);
    }

    pub(crate) fn resume(&mut self) {
        signal_those_left("CONT", &std::mem::take(&mut self.paused));
        signal("CONT", self.process.id());
    }

    async fn await_ready(&mut self) {
        let url = self.url();
        let (process, url) = (std::cell::RefCell::new(&mut self.process), &url);
        let ready = || {
            let ended = process.borrow_mut().try_wait().expect("our child");
            assert!(ended.is_none(), "postgres ended while it started: {ended:?}");
            async move { PgConnection::connect(url).await.ok()?.close().await.ok() }
        };
        eventually("the private PostgreSQL answers", SOON, ready).await;
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // Not by SIGKILL, after which its shared memory would stay. It may have ended, and then this reaches nothing.
        let (first, others) = (self.process.id(), &self.paused);
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal("QUIT", first);
            signal("CONT", first);
            signal_those_left("CONT", others);
        }
        drop(self.process.wait());
        if std::thread::panicking() {
            eprintln!("---- PostgreSQL's log\n{}", fs::read_to_string(log(self.data.path())).unwrap_or_default());
        }
    }
}

impl User {
    /// `None` where the tests do not run as root, and so may run a server as they are.
    fn for_a_server() -> Option<Self> {
        if id_of(&["-u"]) != Some(0) {
            return None;
        }
        let known = |name: &str| Some(Self { id: id_of(&["-u", name])?, group: id_of(&["-g", name])? });
        Some(known("postgres").or_else(|| known("nobody")).expect("the user postgres or nobody"))
    }
}

fn id_of(args: &[&str]) -> Option<u32> {
    let said = Command::new("id").args(args).output().expect("id, which every system has");
    String::from_utf8(said.stdout).ok()?.trim().parse().ok()
}

/// In a folder that the user may enter.
fn program(programs: &Path, name: &str, user: Option<User>, folder: &Path) -> Command {
    let mut command = Command::new(programs.join(name));
    if let Some(User { id, group }) = user {
        command.uid(id).gid(group);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn spawn(programs: &Path, user: Option<User>, port: u16, settings: &[String], folder: &Path) -> Child {
    let out = File::options().create(true).append(true).open(log(folder)).expect("PostgreSQL's log opens");
    let mut postgres = program(programs, "postgres", user, folder);
    postgres.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string(), "-c"]);
    postgres.arg(format!("unix_socket_directories={}", folder.display()));
    for setting in settings {
        postgres.args(["-c", setting]);
    }
    postgres.stdout(out.try_clone().expect("a second handle of the log")).stderr(out).spawn().expect("postgres starts")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("postgres.log")
}

/// Some may have ended meanwhile.
fn signal_those_left(name: &str, pids: &[i32]) {
    let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
    drop(Command::new("sh").args(["-c", &format!("kill -{name} {}", pids.join(" "))]).stderr(Stdio::null()).status());
}
