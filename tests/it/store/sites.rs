//! Files of sites, between being published and being removed.

use std::time::Duration;

use postrider_core::{
    domain::site::{
        change::Target,
        permalink::BaseUrl,
        settings::{Locale, SiteSettings},
    },
    store::{PublicFile, SitePart},
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(a_file_that_is_about_to_be_made_again_is_not_removed);

async fn a_file_that_is_about_to_be_made_again_is_not_removed(stack: Stack) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    let locale = Locale {
        tag: "de".parse().unwrap(),
        base: BaseUrl::parse("https://de.news.example").unwrap(),
        publication_name: "Die Zeitung".to_owned(),
        x_default: false,
        time_zone: Default::default(),
    };
    let settings = SiteSettings::new(vec![locale]);
    let site = scope.create_site(&"news".parse().unwrap(), &settings, at.now).await.unwrap();
    scope.regenerate_site(&site, false, at.now).await.unwrap();
    let (_, run) = at.store.begin_site_run(site.id, at.now).await.unwrap().unwrap();
    let gone = PublicFile {
        locale: "de".parse().unwrap(),
        name: "sitemap-news.xml".to_owned(),
        target: Target::News,
        hash: vec![1],
        bytes: 1,
        urls: 1,
        changed_at: at.now,
        gone: true,
    };
    let part = SitePart { changed: vec![gone.clone()], cleared: run.stale.clone(), held: Vec::new() };
    at.store.commit_site_part(&run, &part).await.unwrap().unwrap();
    let later = at.now + Duration::from_secs(1);
    assert_eq!(at.store.gone_site_files(later).await.unwrap(), [(site.id, gone)]);
    // A regeneration may have put it into its place again, and not said so yet.
    scope.regenerate_site(&site, false, later).await.unwrap();
    assert_eq!(at.store.gone_site_files(later).await.unwrap(), []);
}
