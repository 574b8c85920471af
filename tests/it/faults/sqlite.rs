//! SQLite whose file cannot grow, as on a full disk, or is gone: what cannot be stored is refused, `/readyz` says so, and with
//! room, or the file, again all goes on by itself. That a file which SQLite itself calls full is written to again is proved in
//! `core/src/store/connect.rs`, since its `max_page_count` holds for one connection only.

use std::{fs, path::PathBuf};

use serde_json::json;

use super::{
    readiness::Outage,
    store::{PER_SECOND, Scene},
};
use crate::harness::{App, Receiver, SOON, Stack, rounds};

/// Less than the files have by then, and than the room that readiness asks for.
const FILE_BYTES_MAX: u64 = 256 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_whose_file_cannot_grow() {
    let mut scene = Scene::of(App::builder(Stack::Sqlite).with_bounded_files().start().await).await;
    for _ in 0..rounds(2, 10) {
        scene.any_moment().await;
        scene.app.bound_files(Some(FILE_BYTES_MAX));
        let mut outage = Outage::now();
        scene.refuses().await;
        outage.ends();
        scene.app.bound_files(None);
        scene.goes_on("its file could not grow", outage).await;
        scene.publishing.wait_for_more(PER_SECOND).await;
    }
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_whose_file_is_gone_for_a_while() {
    let mut scene = Scene::of(App::start(Stack::Sqlite).await).await;
    let (file, away) = (scene.app.folder().join("postrider.db"), scene.app.folder().join("away.db"));
    for _ in 0..rounds(2, 10) {
        scene.any_moment().await;
        fs::rename(&file, &away).unwrap();
        let mut outage = Outage::now();
        scene.refuses().await;
        assert!(!file.exists(), "another file was made in its place");
        outage.ends();
        fs::rename(&away, &file).unwrap();
        scene.goes_on("its file was gone", outage).await;
    }
    scene.balances().await;
}

/// As an operator does whom `/readyz` told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_in_a_file_that_was_deleted_is_saved_from_the_process_that_has_it() {
    let (mut app, receiver) = (App::start(Stack::Sqlite).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let event = app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    let beside = |suffix: &str| app.folder().join(format!("postrider.db{suffix}"));
    fs::remove_file(beside("")).unwrap();
    let refused = app.client.post("/v1/events").json(&json!({ "type": "a.b", "payload": 2 })).send().await.expect(503);
    assert_eq!(refused.string("/code"), "unavailable");
    let ready = app.client.get("/readyz").send().await.expect(503).string("/checks/database");
    assert!(ready.contains("was deleted or moved away") && ready.contains("remove the -wal and the -shm"), "{ready}");
    let open = ready.split([' ', ',']).find(|word| word.starts_with("/proc/")).unwrap().to_owned();
    let saved = app.folder().join("saved");
    fs::create_dir(&saved).unwrap();
    for name in ["postrider.db", "postrider.db-wal"] {
        let has = |open: &PathBuf| {
            let file = fs::read_link(open).unwrap_or_default();
            file.to_string_lossy().trim_end_matches(" (deleted)").ends_with(&format!("/{name}"))
        };
        let open = fs::read_dir(&open).unwrap().map(|open| open.unwrap().path()).find(has).unwrap();
        fs::copy(open, saved.join(name)).unwrap();
    }
    let left = ["-wal", "-shm"].map(beside);
    app.terminate().await;
    for left in left {
        fs::remove_file(left).unwrap();
    }
    for name in ["postrider.db", "postrider.db-wal"] {
        fs::rename(saved.join(name), app.folder().join(name)).unwrap();
    }
    app.restart().await;
    app.client.get("/readyz").send().await.expect(200);
    app.client.get(&format!("/v1/events/{event}")).send().await.expect(200);
}

/// As a new connection of SQLite's does too, an empty one is made in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_accepted_is_lost_with_the_wal_and_nothing_is_accepted_without_it() {
    let mut app = App::start(Stack::Sqlite).await;
    let event = app.client.publish("a.b", "1").await;
    let wal = app.folder().join("postrider.db-wal");
    for and_then_made in [false, true] {
        fs::remove_file(&wal).unwrap();
        if and_then_made {
            fs::write(&wal, "").unwrap();
        }
        for _ in 0..3 {
            let body = json!({ "type": "a.b", "payload": 2 });
            app.client.post("/v1/events").json(&body).send().await.expect(503);
            let ready = app.client.get("/readyz").send().await.expect(503).string("/checks/database");
            assert!(ready.contains("end this process with SIGTERM"), "{ready}");
            app.client.get(&format!("/v1/events/{event}")).send().await.expect(503);
        }
        app.terminate().await;
        app.restart().await;
        app.client.get(&format!("/v1/events/{event}")).send().await.expect(200);
        assert_eq!(app.client.all("/v1/events").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_put_in_place_of_the_open_file_is_not_spoilt_by_what_is_left_of_that() {
    let mut app = App::start(Stack::Sqlite).await;
    let saved = app.client.create_endpoint("https://example.com/saved", json!({})).await;
    app.terminate().await;
    let (file, backup) = (app.folder().join("postrider.db"), app.folder().join("backup.db"));
    fs::copy(&file, &backup).unwrap();
    app.restart().await;
    app.client.create_endpoint("https://example.com/lost", json!({})).await;
    fs::rename(&backup, &file).unwrap();
    let ready = app.client.get("/readyz").send().await.expect(503).string("/checks/database");
    assert!(ready.contains("was replaced by another"), "{ready}");
    app.kill();
    for command in ["doctor", "serve"] {
        let said = app.shell(&[command]);
        assert!(!said.status.success());
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("if it is a backup, remove") && said.contains("database_url"), "{said}");
    }
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(app.folder().join(format!("postrider.db{suffix}"))).unwrap();
    }
    app.restart().await;
    let listed = app.client.all("/v1/endpoints").await;
    assert_eq!((listed.len(), listed[0]["id"].as_str().unwrap()), (1, saved.id.as_str()));
}
