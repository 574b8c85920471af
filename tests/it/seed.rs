//! A made-up past: as much as was asked for, in agreement with itself, and nothing of it is ever delivered.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::harness::{App, Browser, LONG, Stack, bad, eventually, good, notifying::receipt};

on_both_stacks!(
    a_seeded_past_agrees_with_itself_and_its_pages_open,
    a_database_with_jobs_is_seeded_only_where_that_is_meant,
    a_seeded_news_platform_is_public_in_all_its_languages,
    a_seeded_social_platform_tells_its_people
);

const PAST: [&str; 8] = ["seed", "--jobs", "1500", "--dead", "300", "--tenants", "5", "--days"];

async fn a_seeded_past_agrees_with_itself_and_its_pages_open(stack: Stack) {
    let app = App::start(stack).await;
    let said = good(app.shell(&[&PAST[..], &["9"]].concat()));
    assert!(said.starts_with("1500 jobs, 300 of them dead, of 5 tenants over 9 days"), "{said}");
    let password = good(app.shell(&["user", "create", "ada"]));
    for (count, is) in [
        ("jobs", 1_500),
        ("jobs WHERE state = 'dead'", 300),
        ("dead_letters l JOIN jobs j ON j.id = l.job_id WHERE j.state = 'dead' AND j.finished_at = l.created_at", 300),
        ("tenants", 5),
        // What could be delivered by itself.
        (
            "jobs j LEFT JOIN endpoints e ON e.id = j.endpoint_id WHERE j.state = 'pending' \
            AND COALESCE(e.state, '') <> 'paused' AND j.run_at < j.created_at + 3600000",
            0,
        ),
        ("endpoints WHERE settings NOT LIKE '%.example/%'", 0),
        ("jobs j JOIN endpoints e ON e.id = j.endpoint_id WHERE e.tenant_id <> j.tenant_id", 0),
        ("attempts a LEFT JOIN jobs j ON j.id = a.job_id WHERE j.id IS NULL", 0),
        (
            "dead_letters l LEFT JOIN jobs j ON j.id = l.replayed_as AND j.replay_of = l.id WHERE l.state = 'replayed' AND j.id IS NULL",
            0,
        ),
    ] {
        assert_eq!(number(&app, &format!("SELECT COUNT(*) FROM {count}")).await, is, "{count}");
    }
    for (counted, rows) in [
        ("metric = 'accepted'", "FROM jobs"),
        ("metric = 'succeeded'", "FROM jobs WHERE state = 'succeeded'"),
        ("metric = 'dead'", "FROM jobs WHERE state = 'dead'"),
        ("metric LIKE 'le_%'", "FROM attempts WHERE class <> 'lost'"),
        (
            "metric = 'failed'",
            "FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE a.error IS NOT NULL AND a.class <> 'lost' \
            AND (j.finished_at IS NULL OR a.started_at + a.duration_ms <> j.finished_at)",
        ),
    ] {
        let select = format!("SELECT CAST(SUM(count) AS BIGINT) FROM job_stats WHERE {counted}");
        assert_eq!(number(&app, &select).await, number(&app, &format!("SELECT COUNT(*) {rows}")).await, "{counted}");
    }
    let failed = number(&app, "SELECT COUNT(*) FROM attempts WHERE error IS NOT NULL AND class <> 'lost'").await;
    assert_eq!(number(&app, "SELECT CAST(SUM(count) AS BIGINT) FROM failure_groups").await, failed);
    let settled = number(&app, "SELECT COUNT(*) FROM dead_letters WHERE state <> 'open'").await;
    assert!(
        settled > 0
            && number(&app, "SELECT COUNT(*) FROM audit_log WHERE action LIKE 'dead_letter.%'").await == settled
    );

    let mut ada = Browser::signed_in(&app, "ada", password.trim()).await;
    for (path, words) in [
        ("?range=7d", "Succeeded"),
        ("/failures", "HTTP 50"),
        ("/dead-letters", ".example/"),
        ("/audit", "dead_letter."),
    ] {
        ada.open(&format!("/t/default{path}")).await.expect(200, words);
    }
    let letter = app.client.all("/v1/dead-letters?state=open").await[0]["id"].as_str().unwrap().to_owned();
    ada.open(&format!("/t/default/dead-letters/{letter}")).await.expect(200, "Attempts");
}

async fn a_database_with_jobs_is_seeded_only_where_that_is_meant(stack: Stack) {
    let app = App::start(stack).await;
    let few = ["seed", "--jobs", "50", "--dead", "5", "--tenants", "2"];
    assert!(bad(app.shell(&["seed", "--jobs", "5", "--dead", "6"])).contains("cannot be dead"));
    good(app.shell(&few));
    assert!(bad(app.shell(&few)).contains("--add"));
    good(app.shell(&[&few[..], &["--add"]].concat()));
    assert_eq!(number(&app, "SELECT COUNT(*) FROM jobs").await, 100);
    assert_eq!(number(&app, "SELECT COUNT(*) FROM tenants").await, 2);
}

async fn a_seeded_news_platform_is_public_in_all_its_languages(stack: Stack) {
    let app = App::start(stack).await;
    let few = ["seed", "--scenario", "news", "--pages", "300"];
    let said = good(app.shell(&few));
    assert!(said.starts_with("300 pages in 17 languages of the site news"), "{said}");
    assert!(bad(app.shell(&few)).contains("--add"));
    let public = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200);
        (site.body["stale"] == 0).then_some(site)
    };
    let site = eventually("all of it is public", LONG, public).await;
    assert_eq!(site.list("/locales").len(), 17);
    let files = app.client.all("/v1/sites/news/files").await;
    let sitemaps = files.iter().filter(|file| file["url"].as_str().unwrap().contains("/sitemap-20"));
    assert_eq!(sitemaps.map(|file| file["urls"].as_u64().unwrap()).sum::<u64>(), 300 * 17);
    assert_eq!(number(&app, "SELECT COUNT(*) FROM site_quarantine").await, 0);
}

async fn a_seeded_social_platform_tells_its_people(stack: Stack) {
    let app = App::start(stack).await;
    let few = ["seed", "--scenario", "social", "--people", "2000"];
    let said = good(app.shell(&few));
    assert!(said.starts_with("2000 people, 125 topics and "), "{said}");
    assert!(bad(app.shell(&few)).contains("--add"));
    let posts = app.client.all("/v1/notifications").await;
    let to = |topic: &str| posts.iter().find(|post| post["topics"] == json!([topic])).unwrap()["id"].as_str().unwrap();
    let told = || async {
        let state = "SELECT COUNT(*) FROM jobs WHERE kind LIKE 'notification.%' AND state <> 'succeeded'";
        let planned = "SELECT COUNT(*) FROM notifications WHERE planned_at IS NULL";
        (number(&app, state).await == 1 && number(&app, planned).await == 1).then_some(())
    };
    eventually("everybody is told but those of tomorrow", LONG, told).await;
    assert_eq!(receipt(&app.client, to("followers-of-m3")).await.body["state"], "scheduled");
    // Half as many follow the second as the first, and neither themselves.
    let followers = async |key: &str| {
        app.client.get(&format!("/v1/topics/{key}")).send().await.expect(200).body["subscribers"].as_u64()
    };
    let [first, second, last] =
        [followers("followers-of-m1").await, followers("followers-of-m2").await, followers("followers-of-m125").await];
    assert!(matches!((first, second), (Some(1_199..=1_200), Some(599..=600))), "{first:?}, {second:?}");
    assert!(last <= Some(10), "{last:?}");
    let big = receipt(&app.client, to("followers-of-m1")).await;
    let on = |channel: &str, of: &str| big.body.pointer(&format!("/receipt/{channel}/{of}")).and_then(Value::as_u64);
    assert_eq!((on("inbox", "planned"), on("push", "planned")), (first, first));
    assert!(on("inbox", "suppressed/preference") > Some(0) && on("inbox", "delivered") > Some(1_000), "{:?}", big.body);
    assert!(on("push", "suppressed/no_subscription") > Some(0), "{:?}", big.body);
    let rows = "SELECT COUNT(*) FROM topics t WHERE subscribers <> (SELECT COUNT(*) FROM topic_subscriptions s WHERE s.topic_id = t.id)";
    assert_eq!(number(&app, rows).await, 0, "each topic's count is that of its rows");
    let suppressed = "SELECT COUNT(*) FROM email_suppressions s JOIN recipients r ON r.email = s.address";
    assert!(number(&app, suppressed).await > 0);
    assert_eq!(number(&app, "SELECT COUNT(*) FROM recipients").await, 2_000);
    // The same again makes nobody new, and takes nothing back.
    let counts = || async {
        let of = async |table: &str| number(&app, &format!("SELECT COUNT(*) FROM {table}")).await;
        (
            of("recipients").await,
            of("topic_subscriptions").await,
            of("email_suppressions").await,
            of("notification_type_versions").await,
        )
    };
    let before = counts().await;
    good(app.shell(&[&few[..], &["--add"]].concat()));
    assert_eq!(counts().await, before);
}

async fn number(app: &App, select: &str) -> i64 {
    let (url, select) = (app.database().url(), sqlx::AssertSqlSafe(select.to_owned()));
    if url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        return sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap()
}
