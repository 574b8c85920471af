//! Regenerations under which worker after worker vanishes.

use serde_json::{Value, json};

use crate::{
    harness::{App, Bucket, LONG, Mood, Stack, eventually},
    site_bucket::{await_served, key, make, put, start},
};

on_both_stacks!(a_regeneration_that_ends_its_workers_is_asked_for_again_and_is_a_dead_letter_until_one_does_its_work);

/// As many as end a job.
const KILLS: usize = 3;
const SITEMAP: &str = "sitemap-2026-11-1.xml.gz";

async fn open(app: &App) -> Vec<Value> {
    app.client.all("/v1/dead-letters?state=open").await
}

async fn a_regeneration_that_ends_its_workers_is_asked_for_again_and_is_a_dead_letter_until_one_does_its_work(
    stack: Stack,
) {
    let bucket = Bucket::start().await;
    let mut app = start(stack, &bucket).await;
    make(&app.client).await;
    put(&app.client, "/before").await;
    await_served(&app, "sitemap.xml", SITEMAP, LONG).await;
    let index = key(&bucket, "/de/sitemap.xml");
    let begin = format!("PUT {}", index.strip_suffix("/de/sitemap.xml").unwrap());
    let written = || bucket.asked().iter().filter(|asked| asked.starts_with(&begin)).count();
    let is_at_it = |before| async move { (written() > before).then_some(()) };
    let mut before = written();
    bucket.is(Mood::Hangs);
    put(&app.client, "/after").await;
    for _ in 0..KILLS {
        eventually("the site is being made again", LONG, || is_at_it(before)).await;
        app.kill();
        before = written();
        app.restart().await;
    }
    let dead = || async { open(&app).await.pop() };
    let dead = eventually("the regeneration is dead", LONG, dead).await;
    assert_eq!((&dead["kind"], &dead["cause"]), (&json!("site.regenerate"), &json!("workers_lost")));
    // Nobody has to ask for another one. For as long as none has done its work, the letter says that something is wrong.
    eventually("another regeneration is at it", LONG, || is_at_it(before)).await;
    assert_eq!(open(&app).await, std::slice::from_ref(&dead));
    bucket.is(Mood::Well);
    await_served(&app, SITEMAP, "/after", LONG).await;
    let closed = || async { open(&app).await.is_empty().then_some(()) };
    eventually("the letter asks for nobody any more", LONG, closed).await;
    let path = format!("/v1/dead-letters/{}", dead["id"].as_str().unwrap());
    let dead = app.client.get(&path).send().await.expect(200);
    assert_eq!(dead.string("/state"), "discarded");
    assert!(dead.text.contains("a later regeneration of the site did what this one was to do"), "{}", dead.text);
}
