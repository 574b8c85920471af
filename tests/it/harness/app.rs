//! The real binary, started for one test with everything of its own. Knows its contract with the outside only:
//! environment variables, the file `listen.addr`, HTTP and signals.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, RwLock},
    time::Duration,
};

use tempfile::TempDir;
use uuid::Uuid;

use super::{Client, Proxy, SOON, Stack, database::Database, eventually, from_test_run};

/// The bootstrap administrator's token of every started application.
pub(crate) const ADMIN_TOKEN: &str = "test-admin-0123456789abcdefghijklmnopqrstuvwxyz";
/// How long a graceful stop may take, over the grace that a test configures.
const STOP: Duration = Duration::from_secs(45);

/// A running Postrider. Its server, database and folder go when it is dropped; a panicking test prints its log.
pub(crate) struct App {
    /// Speaks as the administrator, to the address of the process that runs now.
    pub(crate) client: Client,
    address: Arc<RwLock<String>>,
    command: &'static str,
    bounded: bool,
    env: Vec<(String, String)>,
    process: Child,
    log: PathBuf,
    proxy: Option<Proxy>,
    // In the order in which they may go: the database before the folder it may stand in.
    database: Arc<Database>,
    data: Arc<TempDir>,
}

/// Memory of a process, now and at most since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

/// An application to be started.
pub(crate) struct AppBuilder {
    stack: Stack,
    command: &'static str,
    proxied: bool,
    bounded: bool,
    /// Of a server of the test's own.
    database_url: Option<String>,
    env: Vec<(String, String)>,
}

impl App {
    pub(crate) async fn start(stack: Stack) -> Self {
        Self::builder(stack).start().await
    }

    pub(crate) fn builder(stack: Stack) -> AppBuilder {
        AppBuilder { stack, command: "serve", proxied: false, bounded: false, database_url: None, env: Vec::new() }
    }

    /// Another process over the same database and queue, with its own address, log and folder, as on another machine.
    pub(crate) async fn beside(&self, command: &'static str) -> Self {
        self.beside_with(command, &[]).await
    }

    /// As [`Self::beside`], with an environment of its own.
    pub(crate) async fn beside_with(&self, command: &'static str, its: &[(&str, String)]) -> Self {
        let data = Arc::new(data_folder());
        let key = fs::copy(self.data.path().join("encryption.key"), data.path().join("encryption.key"));
        key.expect("the first process has made its key");
        let mut env = self.env.clone();
        env.extend(its.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        env.push(("POSTRIDER_DATA_DIR".to_owned(), data.path().display().to_string()));
        Self::run(command, self.bounded, env, data, Arc::clone(&self.database), None).await
    }

    /// Freezes it: connections stand, nothing answers.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// No file of it grows beyond this any more, as on a full disk; `None` for as large as they like.
    pub(crate) fn bound_files(&self, bytes_max: Option<u64>) {
        assert!(self.bounded, "started with AppBuilder::with_bounded_files");
        let process = rustix::process::Pid::from_raw(self.process.id().cast_signed());
        let limit = rustix::process::Rlimit { current: bytes_max, maximum: None };
        rustix::process::prlimit(process, rustix::process::Resource::Fsize, limit).expect("a process of our own");
    }

    /// Its data folder, in which `server.log` stands too.
    pub(crate) fn folder(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// What stands between it and PostgreSQL, where the test asked for that.
    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("started with AppBuilder::behind_a_proxy")
    }

    /// What the server has printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the server's log")
    }

    /// What the process has in memory.
    pub(crate) fn memory(&self) -> Memory {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("/proc of a live process");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok()).expect("a line of /proc/PID/status")
        };
        Memory { resident_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:") }
    }

    /// How many files and sockets the process has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("/proc of a live process").count()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address.read().unwrap())
    }

    /// The binary with other arguments, with this application's settings and as its administrator.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = postrider(self.folder());
        command.args(args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("POSTRIDER_URL", self.url()).env("POSTRIDER_TOKEN", ADMIN_TOKEN);
        command
    }

    /// Runs [`Self::command`] to its end.
    pub(crate) fn shell(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary starts")
    }

    /// SIGKILL, as a crash or a power cut is.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a process to kill");
        self.process.wait().expect("the killed process ends");
    }

    /// SIGTERM, as an init system stops a service; gives the exit status.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended(STOP).await
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    /// Waits until the process has ended by itself, and gives its exit status.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let process = std::cell::RefCell::new(&mut self.process);
        let ended = || {
            let status = process.borrow_mut().try_wait().expect("our child");
            async move { status }
        };
        eventually("the process ends", within, ended).await
    }

    /// Part of the id under which it holds leases.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Starts the binary again on the same data, after [`Self::kill`] or [`Self::terminate`]. The address may be
    /// another; clients follow it.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.command, self.bounded, &self.env, &self.log, &self.data);
        self.await_ready().await;
    }

    /// As [`Self::restart`], with one setting changed.
    pub(crate) async fn restart_with(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
        self.restart().await;
    }

    async fn run(
        command: &'static str,
        bounded: bool,
        env: Vec<(String, String)>,
        data: Arc<TempDir>,
        database: Arc<Database>,
        proxy: Option<Proxy>,
    ) -> Self {
        let address = Arc::new(RwLock::new(String::new()));
        let log = data.path().join("server.log");
        let process = spawn(command, bounded, &env, &log, &data);
        let client = Client::new(Arc::clone(&address), ADMIN_TOKEN);
        let mut app = Self { client, address, command, bounded, env, process, log, proxy, database, data };
        app.await_ready().await;
        app
    }

    async fn await_ready(&mut self) {
        let address_file = self.data.path().join("listen.addr");
        let (process, client) = (std::cell::RefCell::new(&mut self.process), &self.client);
        let (shared, address_file) = (&self.address, &address_file);
        let ready = || {
            let ended = process.borrow_mut().try_wait().expect("our child");
            assert!(ended.is_none(), "the server ended while it started: {ended:?}");
            async move {
                let address = fs::read_to_string(address_file).ok().filter(|text| !text.trim().is_empty())?;
                *shared.write().unwrap() = address.trim().to_owned();
                client.get("/readyz").try_send().await.ok().filter(|answer| answer.status == 200).map(|_| ())
            }
        };
        eventually("the server writes listen.addr and answers /readyz with 200", SOON, ready).await;
    }
}

impl AppBuilder {
    /// Sets an environment variable, over the harness' own.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts this command in place of `serve`.
    pub(crate) fn role(mut self, command: &'static str) -> Self {
        self.command = command;
        self
    }

    /// Uses a database on a server of the test's own.
    pub(crate) fn database(mut self, url: &str) -> Self {
        self.database_url = Some(url.to_owned());
        self
    }

    /// So that [`App::bound_files`] has writes fail, where by default it would end the process.
    pub(crate) fn with_bounded_files(mut self) -> Self {
        self.bounded = true;
        self
    }

    /// Puts a [`Proxy`] between the application and PostgreSQL.
    pub(crate) fn behind_a_proxy(mut self) -> Self {
        self.proxied = true;
        self
    }

    pub(crate) async fn start(self) -> App {
        let data = Arc::new(data_folder());
        let database = match self.database_url {
            Some(url) => Arc::new(Database::Private { url }),
            None => Arc::new(Database::make(self.stack, data.path()).await),
        };
        let mut url = database.url().to_owned();
        let proxy = if self.proxied { Some(Proxy::start(&database.address()).await) } else { None };
        if let Some(proxy) = &proxy {
            url = url.replace(&database.address(), &proxy.address());
        }
        let mut env = vec![
            ("POSTRIDER_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("POSTRIDER_DATA_DIR".to_owned(), data.path().display().to_string()),
            ("POSTRIDER_DATABASE_URL".to_owned(), url),
            ("POSTRIDER_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
            ("POSTRIDER_EGRESS_ALLOW".to_owned(), "127.0.0.0/8".to_owned()),
        ];
        if self.stack == Stack::Postgres {
            env.push(("POSTRIDER_REDIS_URL".to_owned(), from_test_run("POSTRIDER_TEST_REDIS_URL")));
            env.push(("POSTRIDER_REDIS_PREFIX".to_owned(), format!("it{}", Uuid::now_v7().simple())));
        }
        env.extend(self.env);
        App::run(self.command, self.bounded, env, data, database, proxy).await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Both fail where the test has ended the process itself.
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("---- the server's output\n{log}---- end of the server's output");
        }
    }
}

/// The binary, to be run in a folder without any setting that the machine may have.
pub(crate) fn postrider(folder: &Path) -> Command {
    let inherited = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("POSTRIDER_"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.env_clear().envs(inherited).current_dir(folder).stdin(Stdio::null());
    command
}

fn data_folder() -> TempDir {
    tempfile::Builder::new().prefix("postrider-it-").tempdir().expect("a data folder")
}

fn spawn(command: &str, bounded: bool, env: &[(String, String)], log: &Path, data: &TempDir) -> Child {
    // A restarted server must not be taken for ready at its predecessor's address.
    drop(fs::remove_file(data.path().join("listen.addr")));
    let out = File::options().create(true).append(true).open(log).expect("the server's log opens");
    let mut process = postrider(data.path());
    if bounded {
        // By default the signal of a write beyond the limit of a file ends a process.
        let ignoring = Command::new("sh");
        let binary = std::mem::replace(&mut process, ignoring);
        process.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(binary.get_program());
        process
            .env_clear()
            .envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(data.path());
    }
    process
        .arg(command)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdout(out.try_clone().expect("a second handle of the log"))
        .stderr(out)
        .spawn()
        .expect("the binary starts")
}

/// Sends a signal by the shell's own `kill`, which every system has.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("a shell");
    assert!(sent.success(), "SIG{name} does not reach process {pid}");
}

/// What a command printed that has to succeed.
#[track_caller]
pub(crate) fn good(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    assert!(!said.contains(ADMIN_TOKEN), "a secret is printed");
    String::from_utf8(output.stdout).expect("output in UTF-8")
}

/// What a command complained that has to fail, and does so with exit code 1.
#[track_caller]
pub(crate) fn bad(output: Output) -> String {
    let said = String::from_utf8(output.stderr).expect("output in UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}
