//! `postrider seed --scenario news`: a site of a news platform with all its pages, straight in the database. The server that
//! runs on it makes them public.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use postrider_core::{
    config::Settings,
    domain::{
        UnixMs,
        site::{
            draft::{Draft, judge},
            permalink::BaseUrl,
            settings::{Locale, Section, Site, SiteSettings, SiteSlug},
        },
    },
    store::{PutPage, Scope, Store},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;

use super::{
    Progress, SeedArgs,
    news::{LANGUAGES_MAX, Platform},
};
use crate::{client::text_of, first_start, logs};

/// Pages of one commit.
const GROUP: u32 = 250;

pub(super) async fn run(store: &Store, settings: &Settings, args: &SeedArgs) -> anyhow::Result<()> {
    let (began, now) = (Instant::now(), UnixMs::now());
    let platform = Platform::new(LANGUAGES_MAX, now);
    let tenant = store.default_tenant(now).await?;
    let scope = store.tenant(tenant.id);
    let site = site(&scope, &platform, args).await?;
    let mut progress = Progress::start(args.pages.into(), "pages")?;
    for first in (0..args.pages).step_by(GROUP as usize) {
        let last = args.pages.min(first.saturating_add(GROUP));
        let group = group(&site, &platform, first..last, args);
        scope.put_pages(&site, &group?, UnixMs::now()).await.context("the database does not take it")?;
        progress.add(u64::from(last - first));
    }
    progress.end();
    told(settings, args, &site, began.elapsed())
}

fn told(settings: &Settings, args: &SeedArgs, site: &Site, took: Duration) -> anyhow::Result<()> {
    logs::say(&format!(
        "{} pages in {LANGUAGES_MAX} languages of the site {} stand in {}; it took {:.1} s. A running server makes them public \
        by itself, tens of thousands in a minute or so: GET /v1/sites/{} says \"stale\": 0 when nothing waits any more.",
        args.pages,
        site.slug,
        first_start::hide_password(&settings.database_url()),
        took.as_secs_f64(),
        site.slug
    ))
}

/// The site, made where it is not there.
async fn site(scope: &Scope<'_>, platform: &Platform, args: &SeedArgs) -> anyhow::Result<Site> {
    let slug: SiteSlug = args.site.parse().with_context(|| format!("--site {:?}", args.site))?;
    match scope.site(&slug).await? {
        Some(_) if !args.add => bail!("there is a site {slug} already; name another with --site, or give --add"),
        Some(site) => return Ok(site),
        None => {}
    }
    let text = platform.settings(0);
    let list = |name: &str| text.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut locales = Vec::new();
    for locale in list("locales") {
        locales.push(Locale {
            tag: text_of(&locale, "tag").parse()?,
            base: BaseUrl::parse(text_of(&locale, "base_url"))?,
            publication_name: text_of(&locale, "publication_name").to_owned(),
            time_zone: text_of(&locale, "time_zone").parse()?,
            x_default: locale.get("x_default").and_then(Value::as_bool).unwrap_or_default(),
        });
    }
    let section = |section: &Value| Ok(Section { key: text_of(section, "key").parse()?, names: Default::default() });
    let sections = list("sections").iter().map(section).collect::<anyhow::Result<_>>()?;
    // Nobody is at hosts that end in .example, so nothing can be read back from there.
    let settings = SiteSettings { sections, read_back: false, ..SiteSettings::new(locales) };
    Ok(scope.create_site(&slug, &settings, UnixMs::now()).await?)
}

fn group(
    site: &Site,
    platform: &Platform,
    numbers: std::ops::Range<u32>,
    args: &SeedArgs,
) -> anyhow::Result<Vec<PutPage>> {
    let put = |number| {
        // Each page by dice of its own, so that the first thousand of many are those of a thousand.
        let mut dice = StdRng::seed_from_u64(args.seed ^ u64::from(number) << 32);
        let page = platform.page(number, args.pages, &mut dice);
        let translations = page.get("translations").and_then(Value::as_object).context("a page has translations")?;
        let drafts = translations.iter().map(|(tag, one)| (tag.clone(), draft(one))).collect();
        let (page, quarantined) = judge(&site.settings, text_of(&page, "key").parse()?, drafts, UnixMs::now());
        Ok(PutPage { page, quarantined })
    };
    numbers.map(put).collect()
}

fn draft(translation: &Value) -> Draft {
    let text = |name: &str| translation.get(name).and_then(Value::as_str).map(str::to_owned);
    Draft {
        url: text("url").unwrap_or_default(),
        title: text("title").unwrap_or_default(),
        summary: text("summary"),
        author: text("author"),
        published_at: text("published_at").unwrap_or_default(),
        section: text("section"),
        image: text("image"),
        indexable: true,
        news: true,
        ..Draft::default()
    }
}
