//! `postrider seed`: a past that never was, as large as it is asked for, to see how the dashboard and the database bear it.
//! Or a site with as many pages, or a social platform with as many people. Owns what can be asked for and how it is written; the other files make it up.

mod failures;
pub(crate) mod news;
mod pages;
pub(crate) mod payloads;
mod rows;
mod social;
mod story;
mod timeline;
mod world;

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use postrider_core::{
    config::Settings,
    domain::UnixMs,
    store::{Past, Store},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;

use self::{
    story::{Story, Wanted},
    world::World,
};
use crate::{first_start, logs};

/// Jobs that are written in one transaction.
const BATCH_JOBS: usize = 2_000;
/// Batches that are made up ahead of the database.
const BATCHES_AHEAD: usize = 2;
/// How often it is said how far it is, where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Fill the database with a past that never was: tenants, endpoints, events, jobs, attempts, dead letters, failure groups,
/// counts by minute and audit entries that agree with each other.
///
/// For trying out a large installation: do not use it on a database whose contents matter. Addresses end in .example, which
/// no name server knows (RFC 2606), so nothing can be delivered to them. What is pending is due in days, or waits at paused
/// endpoints.
///
/// With `--scenario news` it is a site of a news platform instead, with pages of five years in 17 languages, each on a host of
/// its own; a server that runs on the same database makes its sitemaps and feeds.
///
/// With `--scenario social` it is a social platform's people and whom they follow, with notifications that a server that runs on the
/// same database tells them in their inboxes. Nothing is sent by e-mail, and nobody has a browser that takes pushes.
#[derive(Args)]
pub(crate) struct SeedArgs {
    /// What is made up.
    #[arg(long, value_enum, default_value_t = Scenario::Past)]
    scenario: Scenario,
    /// Jobs in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    #[arg(required_unless_present = "scenario")]
    jobs: Option<u32>,
    /// How many of the jobs are dead and have a dead letter.
    #[arg(long, value_name = "N", required_unless_present = "scenario")]
    dead: Option<u32>,
    /// Pages of the scenario news, each in 17 languages.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pages: u32,
    /// The site's slug in the scenario news.
    #[arg(long, value_name = "SLUG", default_value = "news")]
    site: String,
    /// People of the scenario social.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    people: u32,
    /// Tenants, the tenant `default` included, which gets about a third of all.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    tenants: u16,
    /// Days that it is spread over, up to now.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
    /// What the dice begin with: the same number makes the same past, but for its times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Add to a database that has jobs already, to a site that is there, or to people, who are told once more.
    #[arg(long)]
    add: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Jobs that ran, failed and died.
    Past,
    /// A news platform's pages.
    News,
    /// A social platform's people, topics and notifications.
    Social,
}

pub(crate) async fn run(settings: Settings, args: SeedArgs) -> anyhow::Result<()> {
    let (jobs, dead) = (args.jobs.unwrap_or_default(), args.dead.unwrap_or_default());
    if dead > jobs {
        bail!("{dead} of {jobs} jobs cannot be dead; --dead counts among --jobs");
    }
    if args.scenario == Scenario::Past && jobs == 0 {
        bail!("say how many with --jobs and --dead");
    }
    logs::start(&settings.log)?;
    let store = first_start::open_store(&settings, Duration::ZERO).await?;
    let seeded = match args.scenario {
        Scenario::Past => seed(&store, &settings, &args).await,
        Scenario::News => pages::run(&store, &settings, &args).await,
        Scenario::Social => social::run(&store, &settings, &args).await,
    };
    store.close().await;
    seeded
}

fn told(settings: &Settings, args: &SeedArgs, jobs: u32, dead: u32, took: Duration) -> anyhow::Result<()> {
    logs::say(&format!(
        "{} jobs, {} of them dead, of {} tenants over {} days stand in {}; it took {:.1} s.",
        jobs,
        dead,
        args.tenants,
        args.days,
        first_start::hide_password(&settings.database_url()),
        took.as_secs_f64()
    ))
}

async fn seed(store: &Store, settings: &Settings, args: &SeedArgs) -> anyhow::Result<()> {
    if !args.add && store.has_jobs().await? {
        bail!(
            "the database {} has jobs already; name an empty one with database_url, or give --add",
            first_start::hide_password(&settings.database_url())
        );
    }
    let began = Instant::now();
    let mut dice = StdRng::seed_from_u64(args.seed);
    let now = UnixMs::now();
    let span = Duration::from_secs(24 * 3600) * u32::from(args.days);
    let world = World::make(store, args.tenants, now - span..now, &mut dice).await?;
    let (jobs, dead) = (args.jobs.unwrap_or_default(), args.dead.unwrap_or_default());
    let wanted = Wanted { jobs, dead, from: now - span, now };
    let (batches, mut made) = mpsc::channel(BATCHES_AHEAD);
    let making = tokio::task::spawn_blocking(move || tell(&world, wanted, dice, &batches));
    let mut progress = Progress::start(jobs.into(), "jobs")?;
    while let Some(past) = made.recv().await {
        store.seed(&past).await.context("the database does not take it")?;
        progress.add(past.jobs.len() as u64);
    }
    making.await.context("what makes it up panicked")?;
    progress.end();
    store.settle_down().await?;
    told(settings, args, jobs, dead, began.elapsed())
}

/// Makes it up in order of time, until all is told or nobody takes it any more.
fn tell(world: &World, wanted: Wanted, dice: StdRng, batches: &mpsc::Sender<Past>) {
    let mut story = Story::new(world, wanted, dice);
    let mut batch = Past::default();
    while story.goes_on() {
        story.tell_event(&mut batch);
        if batch.jobs.len() >= BATCH_JOBS && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return;
        }
    }
    if !batch.jobs.is_empty() {
        // Nobody takes it where writing failed, which is said there.
        drop(batches.blocking_send(batch));
    }
}

/// How far it is: a bar on a terminal, lines of the log elsewhere.
struct Progress {
    bar: ProgressBar,
    said: Instant,
}

impl Progress {
    /// Of so many jobs, pages or people.
    fn start(count: u64, of: &str) -> anyhow::Result<Self> {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(count) } else { ProgressBar::hidden() };
        bar.set_length(count);
        let template = format!("{{bar:40}} {{human_pos}}/{{human_len}} {of}  {{per_sec}}  {{eta}}");
        bar.set_style(ProgressStyle::with_template(&template)?);
        Ok(Self { bar, said: Instant::now() })
    }

    fn add(&mut self, count: u64) {
        self.bar.inc(count);
        if self.bar.is_hidden() && self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            tracing::info!(done = self.bar.position(), of = self.bar.length(), "seeding");
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
