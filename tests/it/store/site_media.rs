//! Images and enclosures of sites, as the store keeps and forgets them.

use std::{collections::BTreeMap, time::Duration};

use postrider_core::{
    domain::site::{
        draft::{Draft, judge},
        media::MediaUse,
        page::Enclosure,
        permalink::BaseUrl,
        settings::{Locale, Site, SiteSettings},
    },
    store::{PutPage, UnnamedMedia},
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(a_file_that_no_page_names_any_more_is_forgotten_after_a_week,);

const DAY: Duration = Duration::from_secs(24 * 3600);

fn image(name: &str) -> String {
    format!("https://images.example/{name}.jpg")
}

/// A page with an image, and with an enclosure where there is one.
fn page(site: &Site, key: &str, image_name: &str, enclosure: Option<String>) -> PutPage {
    let draft = Draft {
        url: format!("/{key}"),
        title: "T".to_owned(),
        published_at: "2026-11-01T10:00:00Z".to_owned(),
        image: Some(image(image_name)),
        enclosure: enclosure.map(|url| Enclosure { url, media_type: None, length: None }),
        indexable: true,
        ..Draft::default()
    };
    let drafts = BTreeMap::from([("de".to_owned(), draft)]);
    let (page, quarantined) = judge(&site.settings, key.parse().unwrap(), drafts, site.created_at);
    assert!(quarantined.is_empty(), "{quarantined:?}");
    PutPage { page, quarantined }
}

async fn known(fixture: &Fixture, site: &Site, urls: &[String]) -> Vec<String> {
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut known: Vec<String> = fixture.store.site_media(site.id, &urls).await.unwrap().into_keys().collect();
    known.sort();
    known
}

async fn a_file_that_no_page_names_any_more_is_forgotten_after_a_week(stack: Stack) {
    let fixture = Fixture::make(stack).await;
    let (store, now) = (&fixture.store, fixture.now);
    let scope = store.tenant(fixture.tenant.id);
    let locale = Locale {
        tag: "de".parse().unwrap(),
        base: BaseUrl::parse("https://de.news.example").unwrap(),
        publication_name: "N".to_owned(),
        time_zone: Default::default(),
        x_default: false,
    };
    let site = scope.create_site(&"news".parse().unwrap(), &SiteSettings::new(vec![locale]), now).await.unwrap();
    // More pages than are read in one step, and the one that still names a file is the last of them.
    let mut pages: Vec<PutPage> = (0..450).map(|n| page(&site, &format!("p{n}"), &format!("i{n}"), None)).collect();
    pages.push(page(&site, "a-last", "named", Some("https://audio.example/named.mp3".to_owned())));
    scope.put_pages(&site, &pages, now).await.unwrap();
    let urls = [image("named"), "https://audio.example/named.mp3".to_owned(), image("unnamed"), image("asked")];
    let one = |url: &String| MediaUse {
        url: url.clone(),
        is_image: url.ends_with(".jpg"),
        said: Default::default(),
        marks: Vec::new(),
    };
    store.ask_for_site_media(&site, &urls.iter().map(one).collect::<Vec<_>>(), now).await.unwrap();
    let mut search = UnnamedMedia::default();
    let mut steps = async |at, steps| {
        let mut forgotten = 0;
        for _ in 0..steps {
            forgotten += search.step(store, at).await.unwrap();
        }
        forgotten
    };
    assert_eq!(steps(now + 6 * DAY, 6).await, 0);
    assert_eq!(known(&fixture, &site, &urls).await.len(), 4);
    let later = now + 8 * DAY;
    assert_eq!(steps(later, 3).await, 0, "not all pages are read yet");
    // Somebody asks for one while pages are read.
    store.ask_for_site_media(&site, &[one(&urls[3])], later).await.unwrap();
    assert_eq!(steps(later, 6).await, 1);
    let left = [urls[1].clone(), urls[3].clone(), urls[0].clone()];
    assert_eq!(known(&fixture, &site, &urls).await, left);
    scope.delete_page(&site, &"a-last".parse().unwrap(), later).await.unwrap();
    assert_eq!(steps(later + DAY, 8).await, 2, "what only a page named that is gone");
    assert_eq!(known(&fixture, &site, &urls).await, [urls[3].clone()]);
}
