//! What the doctor and a start say where something is wrong: what, with which server or file, and what to do.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{App, PrivateRedis, SOON, Stack, bad, eventually, good, postrider};

on_both_stacks!(
    doctor_is_content_with_a_good_installation,
    without_the_key_that_secrets_are_sealed_with_it_does_not_start,
);

/// How long anything may take that waits for nobody, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(15);
const OTHER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn doctor_is_content_with_a_good_installation(stack: Stack) {
    let app = App::start(stack).await;
    make_private(&app);
    let said = app.command(&["doctor"]).env_remove("POSTRIDER_URL").output().unwrap();
    let said = good(said);
    assert!(said.lines().all(|line| line.starts_with("ok ")), "{said}");
    for what in ["database", "queue", "clock", "data folder"] {
        assert!(said.contains(what), "{what} in {said}");
    }
}

async fn without_the_key_that_secrets_are_sealed_with_it_does_not_start(stack: Stack) {
    let mut app = App::start(stack).await;
    app.client.create_endpoint("https://example.com/hook", json!({})).await;
    app.terminate().await;
    make_private(&app);
    let with_other =
        |command: &str| app.command(&[command]).env("POSTRIDER_ENCRYPTION_KEY", OTHER_KEY).output().unwrap();
    for said in [bad(with_other("serve")), wrong(&with_other("doctor"), "key")] {
        assert!(said.contains("the setting encryption_key") && said.contains("comma"), "{said}");
        assert!(!said.contains(OTHER_KEY) && !said.contains("database_url"), "{said}");
    }
    let file = app.folder().join("encryption.key");
    let key = fs::read_to_string(&file).unwrap();
    fs::write(&file, OTHER_KEY).unwrap();
    let said = wrong(&app.command(&["doctor"]).output().unwrap(), "key");
    assert!(said.contains(&file.display().to_string()) && said.contains("backup"), "{said}");
    app.restart_with("POSTRIDER_ENCRYPTION_KEY", &format!("{OTHER_KEY},{}", key.trim())).await;
}

#[test]
fn doctor_fails_where_something_is_wrong_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("open")).unwrap();
    fs::set_permissions(folder.path().join("open"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut doctor = postrider(folder.path());
    let said = doctor.args(["doctor"]).env("POSTRIDER_DATA_DIR", "open").env("POSTRIDER_LISTNE", "x").output().unwrap();
    let text = String::from_utf8(said.stdout.clone()).unwrap();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("POSTRIDER_LISTNE") && text.contains("chmod 700"), "{text}");
}

#[test]
fn doctor_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let listed = || {
        let out = Command::new("find").arg(folder.path()).args(["-printf", "%p %m %s\\n"]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    // A folder's size may stay what a probe made it.
    let files = || listed().into_iter().filter(|line| line.contains("postrider-data/")).collect::<Vec<_>>();
    let doctor = || good(postrider(folder.path()).arg("doctor").output().unwrap());
    let said = doctor();
    assert!(said.contains("will be made") && said.contains("no tables yet"), "{said}");
    assert_eq!(listed().len(), 1, "a doctor's visit has left something");
    good(postrider(folder.path()).arg("migrate").output().unwrap());
    let before = files();
    assert!(doctor().contains("up to date"));
    assert_eq!(files(), before);
    fs::remove_file(folder.path().join("postrider-data/postrider.db")).unwrap();
    fs::create_dir(folder.path().join("postrider-data/postrider.db")).unwrap();
    let said = postrider(folder.path()).arg("doctor").output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8(said.stdout).unwrap().contains("is a folder"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_wal_is_gone_is_told_from_one_without_tables() {
    let mut app = App::start(Stack::Sqlite).await;
    make_private(&app);
    fs::remove_file(app.folder().join("postrider.db-wal")).unwrap();
    let said = wrong(&app.command(&["doctor"]).output().unwrap(), "database");
    for words in ["postrider.db-wal is gone", "SIGTERM", "postrider.db-shm"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!app.folder().join("postrider.db-wal").exists(), "a doctor's visit has left something");
    app.terminate().await;
    assert!(good(app.command(&["doctor"]).output().unwrap()).contains("tables are up to date"));
}

#[test]
fn a_sqlite_file_that_cannot_be_opened_ends_the_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let words = fs::File::create(folder.path().join("words.db")).unwrap();
    std::io::Write::write_all(&mut &words, "no database ".repeat(1000).as_bytes()).unwrap();
    for (path, words) in [("none/x/y.db", "does not exist"), ("", "is a folder"), ("words.db", "SQLite file")] {
        let path = folder.path().join(path);
        let url = format!("sqlite://{}", path.display());
        let began = Instant::now();
        let said = bad(postrider(folder.path()).arg("serve").env("POSTRIDER_DATABASE_URL", url).output().unwrap());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10) && !said.contains("asking again"), "{took:?}: {said}");
        for word in ["database_url", words, &path.display().to_string()] {
            assert!(said.contains(word), "{word} in {said}");
        }
    }
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = nobody();
    let url = format!("postgres://me:hidden-password@{nobody}/app");
    let mut command = postrider(folder.path());
    command.env("POSTRIDER_DATABASE_URL", url).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the binary starts");
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).expect("readable output");
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(line.contains("asking again") && line.contains(&format!("{nobody}/app")), "{line}");
    assert!(!line.contains("hidden-password"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_postgresql_is_said_with_what_to_do() {
    let app = App::start(Stack::Postgres).await;
    make_private(&app);
    let (server, name) = app.database().url().rsplit_once('/').unwrap();
    let host = app.database().address();
    let nobody = nobody().to_string();
    let as_user = |user: &str| format!("postgres://{user}:hidden-password@{host}/{name}");
    for (url, waits, words) in [
        (format!("postgres://me:hidden-password@{nobody}/{name}"), true, ["cannot be reached", &nobody, "running"]),
        (as_user("no_such_role"), false, ["refuses the login", &host, "user and password"]),
        (format!("{server}/no_such_database"), false, ["CREATE DATABASE no_such_database", &host, "another"]),
    ] {
        let doctor = app.command(&["doctor"]).env("POSTRIDER_DATABASE_URL", &url).output().unwrap();
        let mut all = vec![wrong(&doctor, "database")];
        let began = Instant::now();
        // The command that somebody waits for never waits itself.
        for command in [&["token", "list"][..], &["serve"]].iter().take(if waits { 1 } else { 2 }) {
            all.push(bad(app.command(command).env("POSTRIDER_DATABASE_URL", &url).output().unwrap()));
        }
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        for said in all {
            assert!(words.iter().chain(&["database_url"]).all(|word| said.contains(word)), "{words:?} in {said}");
            assert!(!said.contains("hidden-password") && !said.contains("statement"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_redis_is_said_with_what_to_do() {
    let app = App::start(Stack::Postgres).await;
    make_private(&app);
    let redis = PrivateRedis::start_with(|_| vec!["--requirepass".to_owned(), "right".to_owned()]).await;
    let (at, nobody) = (format!("127.0.0.1:{}", redis.port()), nobody().to_string());
    for (url, words) in [
        (format!("redis://:hidden-password@{nobody}"), ["not available", &nobody, "running"]),
        (format!("redis://:hidden-password@{at}"), ["refuses the login", &at, "right user and password"]),
        (format!("redis://{at}"), ["asks for a password", &at, "redis://USER:PASSWORD@HOST"]),
        (format!("redis+cluster://:right@{at}"), ["no cluster", &at, "redis://HOST"]),
        (format!("http://:hidden-password@{at}"), ["its scheme is http", &at, "redis://host"]),
    ] {
        let doctor = app.command(&["doctor"]).env("POSTRIDER_REDIS_URL", &url).output().unwrap();
        let said = wrong(&doctor, "queue");
        assert!(words.iter().chain(&["redis_url"]).all(|word| said.contains(word)), "{words:?} in {said}");
        assert!(!said.contains("hidden-password") && !said.contains("database_url"), "{said}");
    }
    let without = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", format!("redis://{at}")).start().await;
    for words in ["starting without the queue", "nothing can be claimed"] {
        let said = || async { without.log().lines().find(|line| line.contains(words)).map(str::to_owned) };
        let line = eventually(words, SOON, said).await;
        assert!(line.contains("asks for a password") && line.contains(&at), "{line}");
    }
}

/// As a start makes its folder where there is none.
fn make_private(app: &App) {
    fs::set_permissions(app.folder(), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Where nothing listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The doctor's one line about what is wrong, which has to be `what`.
#[track_caller]
fn wrong(doctor: &std::process::Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&doctor.stdout);
    let mut wrong = said.lines().filter(|line| line.starts_with("WRONG"));
    let line = wrong.next().unwrap_or_default();
    assert!(line.starts_with(&format!("WRONG {what} ")) && wrong.next().is_none(), "{said}");
    line.to_owned()
}
