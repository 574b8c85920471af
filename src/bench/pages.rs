//! `postrider bench pages`: how soon each page of the dashboard begins and how much it weighs, over a past that `postrider
//! seed` made up.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use postrider_core::config::Settings;
use reqwest::{Client, StatusCode, header, redirect::Policy};
use serde::Serialize;

use super::target::Target;
use crate::logs;

/// The tenant that has most.
const START: &str = "/t/default";
const USER: &str = "bench";
/// Pages that links are followed to at most.
const PAGES_MAX: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct PagesArgs {
    /// Jobs of the past.
    #[arg(long, default_value_t = 1_000_000)]
    jobs: u32,
    /// How many of them are dead.
    #[arg(long, default_value_t = 200_000)]
    dead: u32,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    times: u16,
    /// Print the figures as one JSON list.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Figures {
    page: String,
    first_byte_p50_ms: f64,
    first_byte_max_ms: f64,
    gzip_bytes: usize,
}

pub(super) async fn run(settings: &Settings, args: PagesArgs) -> anyhow::Result<()> {
    let target = Target::start(settings).await?;
    let measured = measure(&target, &args).await;
    target.end().await?;
    let figures = measured?;
    if args.json {
        return logs::say(&serde_json::to_string(&figures)?);
    }
    let mut lines = vec![format!("{:<44} {:>9} {:>9} {:>9}", "PAGE", "P50 ms", "MAX ms", "BYTES")];
    for one in figures {
        let Figures { page, first_byte_p50_ms: p50, first_byte_max_ms: max, gzip_bytes } = one;
        lines.push(format!("{page:<44} {p50:>9.1} {max:>9.1} {gzip_bytes:>9}"));
    }
    logs::say(&lines.join("\n"))
}

async fn measure(target: &Target, args: &PagesArgs) -> anyhow::Result<Vec<Figures>> {
    let (jobs, dead) = (args.jobs.to_string(), args.dead.to_string());
    target.command(&["seed", "--jobs", &jobs, "--dead", &dead])?;
    let password = target.command(&["user", "create", USER, "--role", "admin"])?;
    let reader = Reader::sign_in(target, password.trim()).await?;
    let mut pages = vec![START.to_owned()];
    let mut figures: Vec<Figures> = Vec::new();
    let mut next = 0;
    while let Some(page) = pages.get(next).cloned() {
        next += 1;
        let Some((_, first)) = reader.open(&page, false).await? else { continue };
        let (mut times_ms, mut bytes) = (Vec::new(), 0);
        for _ in 0..args.times {
            let Some((first_byte, answer)) = reader.open(&page, true).await? else { continue };
            times_ms.push(first_byte.as_secs_f64() * 1_000.0);
            bytes = answer.len();
        }
        times_ms.sort_by(f64::total_cmp);
        figures.push(Figures {
            page: kind_of(&page),
            first_byte_p50_ms: times_ms.get(times_ms.len() / 2).copied().unwrap_or_default(),
            first_byte_max_ms: times_ms.last().copied().unwrap_or_default(),
            gzip_bytes: bytes,
        });
        for link in links(&String::from_utf8_lossy(&first)) {
            if pages.len() < PAGES_MAX && !pages.iter().any(|known| kind_of(known) == kind_of(&link)) {
                pages.push(link);
            }
        }
    }
    Ok(figures)
}

/// Somebody who is signed in.
struct Reader {
    http: Client,
    base: String,
    cookie: String,
}

impl Reader {
    async fn sign_in(target: &Target, password: &str) -> anyhow::Result<Self> {
        let http = Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT).build()?;
        let base = format!("http://{}", target.address);
        let form = format!("name={USER}&password={password}");
        let request = http.post(format!("{base}/sign-in")).header("sec-fetch-site", "same-origin");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await?;
        let cookie = answer.headers().get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).context("the sign-in was refused")?;
        Ok(Self { cookie: cookie.to_owned(), http, base })
    }

    /// A page, and how long its first byte took; `None` where a link led to what is gone by now.
    async fn open(&self, path: &str, compressed: bool) -> anyhow::Result<Option<(Duration, Vec<u8>)>> {
        let mut request = self.http.get(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookie);
        if compressed {
            request = request.header(header::ACCEPT_ENCODING, "gzip");
        }
        let began = Instant::now();
        let mut answer = request.send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            bail!("{path} is answered with {}", answer.status());
        }
        let mut body = Vec::new();
        let mut first_byte = None;
        while let Some(part) = answer.chunk().await? {
            first_byte.get_or_insert_with(|| began.elapsed());
            body.extend_from_slice(&part);
        }
        let first_byte = first_byte.with_context(|| format!("{path} is answered with nothing"))?;
        Ok(Some((first_byte, body)))
    }
}

/// Where a page's links lead to within the tenant; with their filters, but without what is downloaded.
fn links(text: &str) -> Vec<String> {
    let hrefs = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let hrefs = hrefs.filter(|href| href.starts_with(START) && !href.contains("export"));
    hrefs.map(|href| href.replace("&#38;", "&").replace("&amp;", "&")).collect()
}

/// A path without its ids, with the names of its filters.
fn kind_of(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id = |part: &str| {
        let hex = part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex || part.split_once('_').is_some_and(|(_, rest)| rest.len() == 26)
    };
    let path: Vec<&str> = path.split('/').map(|part| if is_id(part) { "*" } else { part }).collect();
    let names: Vec<&str> =
        query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty()).collect();
    let query = if names.is_empty() { String::new() } else { format!("?{}", names.join("&")) };
    format!("{}{query}", path.join("/"))
}
