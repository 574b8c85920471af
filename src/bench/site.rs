//! `postrider bench site`: how long a whole site takes to be made again, and one change of it to be public in all languages.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use futures::stream;
use postrider_core::{config::Settings, domain::UnixMs};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{Client, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use super::target::Target;
use crate::{
    client::text_of,
    logs,
    seed::news::{LANGUAGES_MAX, Platform},
};

const SITE: &str = "/v1/sites/bench";
/// Lines of one part of the import's body.
const PART_LINES: u32 = 100;
/// How often it is asked whether all is public, and whether one change is.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_SOON: Duration = Duration::from_millis(5);
/// How long all of the site may take.
const WHOLE_MAX: Duration = Duration::from_secs(1_800);

#[derive(Args)]
pub(super) struct SiteArgs {
    /// Pages, each in all languages.
    #[arg(long, default_value_t = 58_824)]
    pages: u32,
    /// Languages, each on a host of its own.
    #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u8).range(2..=17))]
    languages: u8,
    /// How often one page is renamed.
    #[arg(long, default_value_t = 20)]
    changes: u32,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    stack: String,
    pages: u32,
    urls: u64,
    xml_bytes: u64,
    import_seconds: f64,
    whole_seconds: f64,
    whole_cpu_seconds: f64,
    whole_memory_mb: f64,
    change_p50_ms: f64,
    change_max_ms: f64,
}

pub(super) async fn run(settings: &Settings, args: SiteArgs) -> anyhow::Result<()> {
    let target = Target::start(settings).await?;
    let measured = Measured { target: &target, args: &args, http: Client::builder().no_proxy().build()? }.all().await;
    target.end().await?;
    let figures = measured?;
    if args.json {
        return logs::say(&serde_json::to_string(&figures)?);
    }
    let Figures { stack, pages, urls, xml_bytes, .. } = &figures;
    logs::say(&format!(
        "{stack}\n{pages} pages, {urls} addresses, {:.2} GB of XML\nimport                     {:>8.1} s\n\
        all made again             {:>8.1} s, {:.1} s of CPU, {:.0} MB of memory at most\n\
        one renamed page is public {:>8.0} ms after the quiet time (p50), {:.0} ms (worst of {})",
        *xml_bytes as f64 / 1e9,
        figures.import_seconds,
        figures.whole_seconds,
        figures.whole_cpu_seconds,
        figures.whole_memory_mb,
        figures.change_p50_ms,
        figures.change_max_ms,
        args.changes
    ))
}

/// The page that is renamed, and where it is.
struct RenamedPage {
    page: Value,
    hosts: BTreeSet<String>,
    /// The names of the sitemaps that may name it.
    files: BTreeSet<String>,
}

impl RenamedPage {
    fn new(platform: &Platform, pages: u32) -> Self {
        let page = platform.page(pages / 2, pages, &mut StdRng::seed_from_u64(1));
        Self { page, hosts: platform.hosts().collect(), files: BTreeSet::new() }
    }
}

struct Measured<'a> {
    target: &'a Target,
    args: &'a SiteArgs,
    http: Client,
}

impl Measured<'_> {
    async fn all(&self) -> anyhow::Result<Figures> {
        let languages = usize::from(self.args.languages).min(LANGUAGES_MAX);
        let platform = Platform::new(languages, UnixMs::now());
        let mut figures = Figures { stack: self.target.stack.clone(), pages: self.args.pages, ..Figures::default() };
        self.put(SITE, &platform.settings(0)).await?;
        figures.import_seconds = self.import(languages).await?.as_secs_f64();
        self.published().await?;
        // Another language stands for all others: every file is another one.
        self.target.forget_peak();
        let cpu = self.target.cpu_seconds().unwrap_or_default();
        self.put(SITE, &platform.settings(1)).await?;
        figures.whole_seconds = self.published().await?.as_secs_f64();
        figures.whole_cpu_seconds = self.target.cpu_seconds().unwrap_or_default() - cpu;
        figures.whole_memory_mb = self.target.peak_memory_mb().unwrap_or_default();
        let files = self.target.api.all(&format!("{SITE}/files")).await?;
        for file in &files {
            let number = |name: &str| file.get(name).and_then(Value::as_u64).unwrap_or_default();
            if text_of(file, "url").ends_with(".xml.gz") {
                figures.urls += number("urls");
                figures.xml_bytes += number("bytes");
            }
        }
        // Where the page is, all files of its month are asked for; from then on, what asks takes little from what answers.
        let mut page = RenamedPage::new(&platform, self.args.pages);
        page.files = self.month_of(&page.page).await?;
        self.rename(&mut page, 0).await?;
        let mut times = Vec::new();
        for change in 1..=self.args.changes {
            times.push(self.rename(&mut page, change).await?.as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        figures.change_p50_ms = times.get(times.len() / 2).copied().unwrap_or_default();
        figures.change_max_ms = times.last().copied().unwrap_or_default();
        Ok(figures)
    }

    async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        self.target.api.put(path, body.to_string()).await.map(drop)
    }

    async fn import(&self, languages: usize) -> anyhow::Result<Duration> {
        let (pages, began) = (self.args.pages, Instant::now());
        let parts = (0..pages).step_by(PART_LINES as usize).map(move |first| {
            let platform = Platform::new(languages, UnixMs::now());
            let mut dice = StdRng::seed_from_u64(first.into());
            let lines =
                (first..pages.min(first + PART_LINES)).map(|n| platform.page(n, pages, &mut dice).to_string() + "\n");
            Ok::<_, std::io::Error>(lines.collect::<String>())
        });
        let body = reqwest::Body::wrap_stream(stream::iter(parts));
        let imported = self.target.api.stream(&format!("{SITE}/pages/import"), "application/x-ndjson", body).await?;
        if imported.get("changed").and_then(Value::as_u64) != Some(pages.into()) {
            bail!("the import came to {imported}");
        }
        Ok(began.elapsed())
    }

    /// Waits until nothing is stale any more; answers how long the last regeneration took.
    async fn published(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let stale = self.target.api.get(SITE).await?.get("stale").and_then(Value::as_u64);
            if stale == Some(0) {
                break;
            }
            if began.elapsed() > WHOLE_MAX {
                bail!("{stale:?} files are still stale after {} s", WHOLE_MAX.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        let jobs = self.target.api.get("/v1/jobs?kind=site.regenerate&limit=1").await?;
        let job = jobs.pointer("/data/0/id").and_then(Value::as_str).context("no job made the site")?.to_owned();
        loop {
            let job = self.target.api.get(&format!("/v1/jobs/{job}")).await?;
            if text_of(&job, "state") == "succeeded" {
                let took = job.pointer("/attempts/0/duration_ms").and_then(Value::as_u64).unwrap_or_default();
                return Ok(Duration::from_millis(took));
            }
            if began.elapsed() > WHOLE_MAX {
                bail!("the job that makes the site is {}", text_of(&job, "state"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Renames the page, and waits until all languages' sitemaps name it so; answers how long that took after the quiet time.
    async fn rename(&self, page: &mut RenamedPage, change: u32) -> anyhow::Result<Duration> {
        let slug = format!("/renamed-{change}-{}", self.args.pages / 2);
        let translations = page.page["translations"].as_object_mut().context("a page has translations")?;
        translations.values_mut().for_each(|translation| translation["url"] = slug.clone().into());
        let body = serde_json::json!({ "translations": page.page["translations"] });
        let mut waiting = Vec::new();
        for host in &page.hosts {
            for file in &page.files {
                let tag = self.ask(host, file, None).await?.context("a file is not there")?.0;
                waiting.push((host.clone(), file.clone(), tag));
            }
        }
        self.put(&format!("{SITE}/pages/{}", text_of(&page.page, "key")), &body).await?;
        let accepted = Instant::now();
        let (mut hosts, mut files) = (page.hosts.clone(), BTreeSet::new());
        while !hosts.is_empty() {
            waiting.retain(|(host, ..)| hosts.contains(host));
            for (host, file, known) in &mut waiting {
                let Some((tag, text)) = self.ask(host, file, Some(known)).await? else { continue };
                *known = tag;
                if has(&text, slug.as_bytes()) {
                    hosts.remove(host.as_str());
                    files.insert(file.clone());
                }
            }
            if accepted.elapsed() > WHOLE_MAX {
                bail!("{hosts:?} do not name {slug}");
            }
            tokio::time::sleep(LOOK_SOON).await;
        }
        page.files = files;
        Ok(accepted.elapsed().saturating_sub(postrider_core::domain::site::change::QUIET))
    }

    /// The sitemaps of the month in which a page was published.
    async fn month_of(&self, page: &Value) -> anyhow::Result<BTreeSet<String>> {
        let first = page["translations"].as_object().and_then(|all| all.values().next()).context("a translation")?;
        let month = text_of(first, "published_at").get(..7).context("a time")?.to_owned();
        let files = self.target.api.all(&format!("{SITE}/files")).await?;
        let name = |file: &Value| text_of(file, "url").rsplit('/').next().map(str::to_owned);
        Ok(files.iter().filter_map(name).filter(|name| name.contains(&month)).collect())
    }

    /// A public file with its `ETag`; `None` where it still has the one that is known.
    async fn ask(&self, host: &str, file: &str, known: Option<&str>) -> anyhow::Result<Option<(String, Vec<u8>)>> {
        let mut request = self.http.get(format!("http://{}/{file}", self.target.address)).header(header::HOST, host);
        if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        let answer = request.send().await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Some((tag, postrider_core::site::unpacked(&answer.bytes().await?)?)))
    }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
