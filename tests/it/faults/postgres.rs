//! PostgreSQL in trouble, under load: while nothing can be stored events are refused with 503 and `/readyz` says so; when
//! it can be again, all goes on by itself, and everything that was accepted comes.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use super::{readiness::Outage, store::Scene};
use crate::harness::{App, PrivatePostgres, Proxy, SOON, Stack, Stop, eventually, rounds};

/// How long PostgreSQL stands still.
const STILL: Duration = Duration::from_secs(10);
/// Has each write of a table call `raise()`, at once and at the commit. One table at a time, since all together would
/// wait for transactions that wait for them.
const CALL: &str = "DO $$ DECLARE one text; BEGIN
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'raise' AND tgrelid = one::regclass) THEN
            EXECUTE format('CREATE TRIGGER raise AFTER INSERT OR UPDATE ON %I
                FOR EACH STATEMENT EXECUTE FUNCTION raise()', one);
            EXECUTE format('CREATE CONSTRAINT TRIGGER raise_late AFTER INSERT OR UPDATE ON %I
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raise()', one);
        END IF;
        COMMIT;
    END LOOP;
END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_restarted() {
    let mut postgres = PrivatePostgres::start().await;
    let mut scene = on(&postgres.url()).await;
    for round in 0..rounds(2, 10) {
        let how = if round % 2 == 0 { Stop::Immediate } else { Stop::Fast };
        scene.any_moment().await;
        let mut outage = Outage::now();
        postgres.stop(how).await;
        scene.refuses().await;
        outage.ends();
        postgres.begin().await;
        scene.goes_on(&format!("restarted, {how:?}"), outage).await;
    }
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_that_stands_still() {
    let mut postgres = PrivatePostgres::start().await;
    let mut scene = on(&postgres.url()).await;
    for _ in 0..rounds(1, 5) {
        scene.any_moment().await;
        let mut outage = Outage::now();
        postgres.pause().await;
        scene.refuses().await;
        let still = || async { (outage.down.elapsed() > STILL).then_some(()) };
        eventually("it has stood still", SOON, still).await;
        outage.ends();
        postgres.resume();
        scene.goes_on("stood still for 10 s", outage).await;
    }
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_whose_connections_are_forgotten_on_the_way() {
    let postgres = PrivatePostgres::start().await;
    let proxy = Proxy::start(&postgres.address()).await;
    let url = postgres.url().replace(&postgres.address(), &proxy.address());
    // So few that those which were forgotten may not be counted among them for long.
    let app = App::builder(Stack::Postgres).env("POSTRIDER_DATABASE_CONNECTIONS_MAX", "5").database(&url).start().await;
    let mut scene = Scene::of(app).await;
    for _ in 0..rounds(1, 5) {
        scene.any_moment().await;
        let outage = Outage::now();
        proxy.forget();
        scene.goes_on("its connections were forgotten", outage).await;
    }
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_whose_connections_are_ended_one_by_one() {
    let postgres = PrivatePostgres::start().await;
    let scene = on(&postgres.url()).await;
    let mut operator = PgConnection::connect(&postgres.url()).await.unwrap();
    let end_one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postrider' \
        ORDER BY random() LIMIT 1";
    for _ in 0..rounds(50, 500) {
        scene.publishing.wait_for_more(rand::random_range(1..8)).await;
        sqlx::query(end_one).execute(&mut operator).await.unwrap();
    }
    scene.comes("its connections were ended one by one").await;
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_at_its_limit_of_connections() {
    let settings = ["max_connections=20", "superuser_reserved_connections=0", "max_wal_senders=0"];
    let postgres = PrivatePostgres::start_with(&settings).await;
    let mut scene = on(&postgres.url()).await;
    for _ in 0..rounds(1, 5) {
        scene.any_moment().await;
        let began = Instant::now();
        let others = tokio::time::timeout(SOON, take_all_connections(&postgres)).await.expect("others have them all");
        let mut outage = Outage { began, ..Outage::now() };
        scene.refuses().await;
        outage.ends();
        drop(others);
        scene.goes_on("at its limit of connections", outage).await;
    }
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_that_has_transactions_run_again() {
    let postgres = PrivatePostgres::start().await;
    let mut scene = on(&postgres.url()).await;
    for (state, name) in [("40001", "serialization failures"), ("40P01", "deadlocks")] {
        scene.any_moment().await;
        raise(&postgres, state, 0.05).await;
        scene.publishing.wait_for_more(rounds(200, 2_000)).await;
        raise_no_more(&postgres).await;
        scene.comes(name).await;
    }
    scene.balances().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_without_room_on_its_disk() {
    let postgres = PrivatePostgres::start().await;
    let mut scene = on(&postgres.url()).await;
    for _ in 0..rounds(1, 5) {
        scene.any_moment().await;
        raise(&postgres, "53100", 2.0).await;
        let mut outage = Outage::now();
        scene.refuses().await;
        outage.ends();
        raise_no_more(&postgres).await;
        scene.goes_on("its disk was full", outage).await;
    }
    scene.balances().await;
}

/// Ends the application's connections and makes others in their place, until it has none.
async fn take_all_connections(postgres: &PrivatePostgres) -> Vec<PgConnection> {
    let mut operator = PgConnection::connect(&postgres.url()).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postrider'";
    let mut others = Vec::new();
    loop {
        let ended = sqlx::query(end).fetch_all(&mut operator).await.unwrap().len();
        while let Ok(other) = PgConnection::connect(&postgres.url()).await {
            others.push(other);
        }
        if ended == 0 {
            others.push(operator);
            return others;
        }
    }
}

async fn on(url: &str) -> Scene {
    Scene::of(App::builder(Stack::Postgres).database(url).start().await).await
}

/// From now on writes fail with this SQLSTATE as often as `chance` says, a statement more often than a commit.
async fn raise(postgres: &PrivatePostgres, state: &str, chance: f64) {
    let what = format!(
        "IF random() < {chance} * (CASE TG_NAME WHEN 'raise' THEN 1 ELSE 0.05 END) THEN
            RAISE EXCEPTION 'by the test' USING ERRCODE = '{state}';
        END IF;"
    );
    postgres.run(&raising(&what)).await;
    postgres.run(CALL).await;
}

async fn raise_no_more(postgres: &PrivatePostgres) {
    postgres.run(&raising("")).await;
}

fn raising(what: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what} RETURN NULL; END $$"
    )
}
