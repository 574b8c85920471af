//! `postrider bench`, small: what it prints, and that nothing of it stays. What it measures is for people to read.

use serde_json::Value;

use crate::harness::{App, Database, PrivateRedis, Stack, bad, good};

on_both_stacks!(each_case_prints_its_figures_and_leaves_nothing);

async fn each_case_prints_its_figures_and_leaves_nothing(stack: Stack) {
    let redis = PrivateRedis::start().await;
    let app = match stack {
        Stack::Sqlite => App::start(stack).await,
        Stack::Postgres => App::builder(stack).env("POSTRIDER_REDIS_URL", redis.url()).start().await,
    };
    let figures = |args: &[&str]| -> Value {
        let said = good(app.shell(&[&["bench"], args, &["--json"]].concat()));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let webhooks = figures(&["webhooks", "--events", "200", "--endpoints", "3", "--batch", "20"]);
    assert_eq!(
        (&webhooks["delivered"], &webhooks["lost"], &webhooks["wrongly_signed"]),
        (&600.into(), &0.into(), &0.into())
    );
    let name = if stack == Stack::Sqlite { "SQLite + embedded queue" } else { "PostgreSQL + Redis" };
    assert_eq!(webhooks["stack"], name);
    for figure in ["raw_limit_per_second", "accepted_per_second", "delivered_per_second", "delivered_to_raw_limit"] {
        assert!(webhooks[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} in {webhooks}");
    }
    let jobs = figures(&["jobs", "--jobs", "300"]);
    assert!(jobs["drained_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{jobs}");
    let isolation = figures(&["isolation", "--rate", "20", "--seconds", "1"]);
    assert_eq!(isolation["lost"], 0, "{isolation}");
    let lanes = figures(&["lanes", "--lanes", "5", "--backlog", "3", "--tries", "2"]);
    assert_eq!((&lanes["lost"], &lanes["tries"]), (&0.into(), &2.into()), "{lanes}");
    let pages = figures(&["pages", "--jobs", "200", "--dead", "40", "--times", "2"]);
    let pages: Vec<_> = pages.as_array().unwrap().iter().map(|page| page["page"].as_str().unwrap()).collect();
    for page in ["/t/default", "/t/default/dead-letters", "/t/default/dead-letters/*", "/t/default/failures"] {
        assert!(pages.contains(&page), "{page} in {pages:?}");
    }
    let readers = figures(&["readers", "--readers", "40", "--rounds", "2"]);
    assert!(readers["item_ms"]["max"].as_f64().is_some_and(|ms| ms > 0.0), "{readers}");
    let running = figures(&["webhooks", "--events", "10", "--url", &app.url()]);
    assert_eq!((&running["delivered"], &running["server_peak_memory_mb"]), (&10.into(), &Value::Null));
    let refused = bad(app.shell(&["bench", "webhooks", "--url", "https://example.com", "--events", "1"]));
    assert!(refused.contains("https://example.com") && refused.contains("plain HTTP"), "{refused}");

    let left = std::fs::read_dir(app.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("bench")).collect();
    assert!(left.is_empty(), "{left:?}");
    if stack == Stack::Postgres {
        assert!(!redis.holds("*-bench-*").await, "keys are left in Redis");
        assert_eq!(Database::count("postrider_bench_%").await, 0, "a database is left");
    }
}
