//! SQLite whose file cannot grow, as on a full disk: what cannot be stored is refused, `/readyz` says so, and with room
//! again all goes on by itself. That a file which SQLite itself calls full is written to again is proved in
//! `core/src/store/connect.rs`, since its `max_page_count` holds for one connection only.

use super::{
    readiness::Outage,
    store::{PER_SECOND, Scene},
};
use crate::harness::{App, Stack, rounds};

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
