//! Files of sites, between being published and being removed.

use std::time::Duration;

use postrider_core::{
    domain::{
        UnixMs, dead_letter,
        job::{JobKind, Outcome},
        site::{
            alert::Cause,
            change::{Shard, Target},
            permalink::BaseUrl,
            settings::{Locale, Site, SiteSettings},
        },
    },
    store::{AlertWay, DueJob, Finished, PublicFile, Recorded, Regeneration, SitePart},
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    a_file_that_is_about_to_be_made_again_is_not_removed,
    files_that_went_first_are_removed_first,
    several_sitemaps_of_one_month_make_their_index_stale,
    of_a_lost_folder_its_own_locale_is_made_again_alone,
    a_site_whose_job_was_cancelled_is_made_again_when_somebody_asks,
    a_site_that_ends_whatever_makes_it_is_left_alone_for_longer_and_longer,
    a_message_that_was_taken_is_nobody_elses_for_a_minute_however_long_it_was_due,
);

async fn site(at: &Fixture) -> Site {
    site_of(at, "news").await
}

async fn site_of(at: &Fixture, slug: &str) -> Site {
    site_in(at, slug, &["de"]).await
}

async fn site_in(at: &Fixture, slug: &str, tags: &[&str]) -> Site {
    let locale = |tag: &&str| Locale {
        tag: tag.parse().unwrap(),
        base: BaseUrl::parse(&format!("https://{tag}.{slug}.example")).unwrap(),
        publication_name: "Die Zeitung".to_owned(),
        x_default: false,
        time_zone: Default::default(),
    };
    let settings = SiteSettings::new(tags.iter().map(locale).collect());
    at.store.tenant(at.tenant.id).create_site(&slug.parse().unwrap(), &settings, at.now).await.unwrap()
}

fn gone(name: &str, target: Target, changed_at: UnixMs) -> PublicFile {
    PublicFile {
        locale: "de".parse().unwrap(),
        name: name.to_owned(),
        target,
        hash: vec![1],
        bytes: 1,
        urls: 1,
        changed_at,
        gone: true,
    }
}

async fn a_file_that_is_about_to_be_made_again_is_not_removed(stack: Stack) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    let site = site(&at).await;
    scope.regenerate_site(&site, false, at.now).await.unwrap();
    let (_, run, stale) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    let gone = gone("sitemap-news.xml", Target::News, at.now);
    let part = SitePart { changed: vec![gone.clone()], cleared: stale, held: Vec::new() };
    at.store.commit_site_part(&run, &part).await.unwrap().unwrap();
    let later = at.now + Duration::from_secs(1);
    assert_eq!(at.store.gone_site_files(later, None).await.unwrap(), [(site.id, gone)]);
    // A regeneration may have put it into its place again, and not said so yet.
    scope.regenerate_site(&site, false, later).await.unwrap();
    assert_eq!(at.store.gone_site_files(later, None).await.unwrap(), []);
}

async fn files_that_went_first_are_removed_first(stack: Stack) {
    let at = Fixture::make(stack).await;
    let site = site(&at).await;
    at.store.tenant(at.tenant.id).regenerate_site(&site, false, at.now).await.unwrap();
    let (_, run, stale) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    // More of them than are removed at once.
    let went =
        |n: u64| gone(&format!("feed-{:03}.xml", 600 - n), Target::Feed, at.now + Duration::from_millis(600 - n));
    let part = SitePart { changed: (0..600).map(went).collect(), cleared: stale, held: Vec::new() };
    at.store.commit_site_part(&run, &part).await.unwrap().unwrap();
    let later = at.now + Duration::from_secs(1);
    let mut names: Vec<String> = Vec::new();
    let mut last = None;
    // Those that are still there, since they cannot be removed, are passed over.
    for some in [500, 100, 0] {
        let found = at.store.gone_site_files(later, last.as_ref()).await.unwrap();
        assert_eq!(found.len(), some);
        names.extend(found.iter().map(|(_, file)| file.name.clone()));
        last = found.last().cloned();
    }
    assert_eq!(names, (1..=600).map(|n| format!("feed-{n:03}.xml")).collect::<Vec<_>>());
}

async fn several_sitemaps_of_one_month_make_their_index_stale(stack: Stack) {
    let at = Fixture::make(stack).await;
    let site = site(&at).await;
    at.store.tenant(at.tenant.id).regenerate_site(&site, false, at.now).await.unwrap();
    let (_, run, stale) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    let shard = Target::Shard(Shard::first_of(at.now));
    let made = |name: &str| PublicFile { gone: false, ..gone(name, shard.clone(), at.now) };
    let changed = vec![made("sitemap-2026-11-1.xml.gz"), made("sitemap-2026-11-1-2.xml.gz")];
    let part = SitePart { changed, cleared: stale, held: Vec::new() };
    at.store.commit_site_part(&run, &part).await.unwrap().unwrap();
    assert_eq!(at.store.site_stale_count(site.id).await.unwrap(), 1, "the index alone");
}

async fn of_a_lost_folder_its_own_locale_is_made_again_alone(stack: Stack) {
    let at = Fixture::make(stack).await;
    let site = site_in(&at, "news", &["de", "fr"]).await;
    at.store.tenant(at.tenant.id).regenerate_site(&site, false, at.now).await.unwrap();
    let (_, run, stale) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    let of = |tag: &str, name: &str, target| PublicFile {
        locale: tag.parse().unwrap(),
        gone: false,
        ..gone(name, target, at.now)
    };
    let changed = ["de", "fr"].map(|tag| of(tag, "feed.xml", Target::Feed)).to_vec();
    let part = SitePart { changed, cleared: stale, held: Vec::new() };
    at.store.commit_site_part(&run, &part).await.unwrap().unwrap();
    assert_eq!(at.store.site_stale_count(site.id).await.unwrap(), 0);
    let rewrite = async || at.store.rewrite_locale(&site, &"de".parse().unwrap(), at.now).await.unwrap();
    let (files, job) = rewrite().await;
    assert_eq!((files, job.is_some()), (1, true));
    assert_eq!(rewrite().await, (0, None), "it is asked for once");
    let (_, _, stale) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    let mut marks: Vec<String> = stale.iter().map(|one| format!("{} {}", one.mark.0, one.mark.1)).collect();
    marks.sort();
    assert_eq!(marks, ["de feed", "de index", "de news"]);
}

async fn a_site_whose_job_was_cancelled_is_made_again_when_somebody_asks(stack: Stack) {
    let at = Fixture::make(stack).await;
    let site = site(&at).await;
    let scope = at.store.tenant(at.tenant.id);
    let ask = async || scope.regenerate_site(&site, false, at.now).await.unwrap();
    let Regeneration::Made(first) = ask().await else { panic!("none waited") };
    assert_eq!(ask().await, Regeneration::Waits);
    assert!(scope.cancel_job(first.id, at.now).await.unwrap());
    let Regeneration::Made(second) = ask().await else { panic!("none waits any more") };
    assert_ne!(first.id, second.id);
    assert_eq!(ask().await, Regeneration::Waits);
}

async fn a_site_that_ends_whatever_makes_it_is_left_alone_for_longer_and_longer(stack: Stack) {
    let at = Fixture::make(stack).await;
    let (site, other) = (site(&at).await, site_of(&at, "other").await);
    let endpoint = at.endpoint().await;
    // The job of the last regeneration has begun, so that the next change makes one.
    let again = async |site: &Site| {
        at.store.begin_site_run(site.id, at.now).await.unwrap();
        at.store.tenant(at.tenant.id).update_site(site, &site.settings, at.now).await.unwrap().unwrap()
    };
    let wait_s = |job: &DueJob| (job.run_at.0 - at.now.0) / 1000;
    let mut waits = Vec::new();
    for _ in 0..7 {
        let job = again(&site).await;
        waits.push(wait_s(&job));
        let dead = Outcome::Dead { cause: dead_letter::Cause::WorkersLost };
        let dead = at.finished(job.id, &endpoint, 0, dead);
        let dead = Finished { kind: JobKind::SiteRegenerate, endpoint: None, message_id: None, ..dead };
        assert_eq!(at.store.record(dead).await.unwrap(), Recorded::Applied);
    }
    assert_eq!(waits, [2, 2, 60, 120, 240, 480, 600]);
    let failing = async || at.store.site_condition(&site, at.now).await.unwrap().failures;
    let words = failing().await.pop().unwrap();
    assert!(
        words.starts_with("7 regenerations ended all processes that made them; the site is left alone until"),
        "{words}"
    );
    assert_eq!(wait_s(&again(&other).await), 2);

    // Whoever asks for it does not wait, be there a job that does or none.
    let resting = again(&site).await;
    let ask = async || at.store.tenant(at.tenant.id).regenerate_site(&site, false, at.now).await.unwrap();
    let soon = |job: DueJob| DueJob { run_at: at.now + Duration::from_secs(2), ..job };
    assert_eq!((wait_s(&resting), ask().await), (600, Regeneration::Hastened(soon(resting))));
    assert_eq!(ask().await, Regeneration::Waits);
    at.store.begin_site_run(site.id, at.now).await.unwrap();
    let Regeneration::Made(made) = ask().await else { panic!("none waited") };
    assert_eq!(wait_s(&made), 2);
    let stored = at.store.lane_jobs(&made.lane, 10).await.unwrap();
    assert_eq!(stored.iter().map(wait_s).collect::<Vec<_>>(), [2, 2]);

    let (_, run, stale) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    let part = SitePart { cleared: stale, ..SitePart::default() };
    at.store.commit_site_part(&run, &part).await.unwrap().unwrap();
    assert_eq!(at.store.close_dead_regenerations(at.now).await.unwrap(), 7);
    assert_eq!(failing().await, Vec::<String>::new());
    assert_eq!(wait_s(&again(&site).await), 2);
}

async fn a_message_that_was_taken_is_nobody_elses_for_a_minute_however_long_it_was_due(stack: Stack) {
    let at = Fixture::make(stack).await;
    let site = site(&at).await;
    at.store.judge_site(&site, &[(Cause::Held, "Three.".to_owned())].into(), at.now).await.unwrap();
    let later = at.now + Duration::from_secs(400);
    let take = async |way, due_by, now| at.store.take_alert_messages(way, due_by, now).await.unwrap().len();
    assert_eq!(take(AlertWay::Email, later, later).await, 0);
    assert_eq!(take(AlertWay::Event, at.now + Duration::from_secs(100), later).await, 1);
    assert_eq!(take(AlertWay::Event, later, later).await, 0);
    let again = later + Duration::from_secs(60);
    assert_eq!(take(AlertWay::Event, again, again).await, 1);
}
