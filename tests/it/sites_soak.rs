//! The promise of sites under load and SIGKILL: of 10,000 changes in a minute none is lost, each sitemap is made again once for
//! each window of changes, and whoever reads all the while never meets a file that does not parse or an address of the index
//! at which nothing is.

mod model;
mod public;
mod reader;
mod windows;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use self::{
    model::{LOCALES, Page, X_DEFAULT},
    public::Public,
    writer::{Book, Writer},
};
use crate::harness::{App, Client, LONG, SOON, Stack, eventually, free_port};

on_both_stacks!(ten_thousand_changes_in_a_minute_under_sigkill);

const PAGES: usize = 4_000;
const CHANGES: usize = 10_000;
/// Within which the writers are to make them; on a machine that is too slow for that they take longer.
const WITHIN: Duration = Duration::from_secs(60);
const WRITERS: usize = 4;
const KILLS: u32 = 8;
/// The last kill is before this part of [`WITHIN`].
const KILLED_UNTIL: f64 = 0.95;

/// After all that: how often changes come while others are being published, and how many of each writer.
const LATE_ROUNDS: usize = 3;
const LATE_CHANGES: usize = 20;

/// Postrider as it is set up: in one process, or API and worker in processes of their own.
struct Processes {
    api: App,
    worker: Option<App>,
    /// Where its public files are.
    sites: PathBuf,
}

impl Processes {
    async fn start(stack: Stack) -> Self {
        // The address stays through restarts, as in the world: public addresses lead to it.
        let builder = App::builder(stack).env("POSTRIDER_LISTEN", format!("127.0.0.1:{}", free_port()));
        let role = if stack == Stack::Postgres { "api" } else { "serve" };
        let api = builder.role(role).start().await;
        let sites = api.folder().join("sites");
        if stack == Stack::Sqlite {
            return Self { api, worker: None, sites };
        }
        fs::create_dir_all(&sites).unwrap();
        let worker = api.beside_with("worker", &[("POSTRIDER_LISTEN", "127.0.0.1:0".to_owned())]).await;
        // One folder of public files, as a volume that both have.
        std::os::unix::fs::symlink(&sites, worker.folder().join("sites")).unwrap();
        Self { api, worker: Some(worker), sites }
    }

    /// Kills what publishes, or sometimes what is asked, and starts it again at once.
    async fn kill(&mut self, rng: &mut StdRng) {
        let killed = match &mut self.worker {
            Some(worker) if rng.random_bool(0.75) => worker,
            _ => &mut self.api,
        };
        killed.kill();
        killed.restart().await;
    }
}

async fn ten_thousand_changes_in_a_minute_under_sigkill(stack: Stack) {
    let seed = Seed(rand::random());
    let mut processes = Processes::start(stack).await;
    let client = processes.api.client.clone();
    let bases = make(&processes.api).await;
    let mut rng = StdRng::seed_from_u64(seed.0);
    let books = load(&client, &mut rng).await;
    settled(&client).await;
    let public = Public::new(bases);
    let folder = only_folder(&processes.sites);
    let readers = [reader::by_http(&public), reader::on_disk(&public, folder.clone())];

    let started = Instant::now();
    let start = |(n, book)| tokio::spawn(Writer::new(client.clone(), book, n, rng.random()).write(CHANGES / WRITERS));
    let writers: Vec<_> = books.into_iter().enumerate().map(start).collect();
    kill_at_random(&mut processes, &folder, started, &mut rng).await;
    let mut books = Vec::new();
    for writer in writers {
        books.push(writer.await.unwrap());
    }
    let wrote = started.elapsed();
    let lost = windows::all_calls(&books).iter().filter(|call| !call.is_sure).count();
    let held = settled(&client).await;
    let took = started.elapsed() - wrote;
    let mut read = Vec::new();
    for reader in readers {
        read.push(reader.end().await);
    }

    public.says_exactly(&what_is_kept(&client, &public, &books).await).await;
    for _ in 0..LATE_ROUNDS {
        books = change_while_it_publishes(&client, &folder, books, &mut rng).await;
        settled(&client).await;
        public.says_exactly(&what_is_kept(&client, &public, &books).await).await;
    }
    let calls = windows::all_calls(&books);
    let killed = dead_by_kills(&client).await;
    let (windows, rebuilds) = (windows::count(&calls), rebuilds(&client).await);
    let most = rebuilds.values().copied().max().unwrap();
    eprintln!(
        "{stack:?}, seed {}: {CHANGES} changes in {wrote:?} by {} calls ({lost} without an answer), {KILLS} kills ({killed} jobs \
         dead by them), public {took:?} later ({held} held); {windows} windows, a sitemap was made at most {most} times; \
         read: {read:?}",
        seed.0,
        calls.len()
    );
    // Once before all that, and as often as somebody has confirmed something. A kill ends a window before its time: what has
    // waited for long is published as soon as somebody is there again.
    let at_most = 1 + windows + KILLS as usize + held;
    let too_often: Vec<_> = rebuilds.iter().filter(|(_, times)| **times > at_most).collect();
    assert!(too_often.is_empty(), "made more than {at_most} times: {too_often:?}");
}

/// Says which seed it was when the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

/// Makes the site at addresses that lead to it, and gives their bases by locale.
async fn make(api: &App) -> BTreeMap<&'static str, String> {
    let bases: BTreeMap<_, _> = LOCALES.into_iter().map(|tag| (tag, format!("{}/{tag}", api.url()))).collect();
    let locale = |(tag, base): (&&str, &String)| json!({ "tag": tag, "base_url": base, "publication_name": "The News", "x_default": *tag == X_DEFAULT });
    let site = json!({ "slug": "news", "locales": bases.iter().map(locale).collect::<Vec<_>>() });
    api.client.post("/v1/sites").json(&site).send().await.expect(201);
    bases
}

/// What the site has before the changes, a share for each writer.
async fn load(client: &Client, rng: &mut StdRng) -> Vec<Book> {
    let mut books: Vec<Book> = (0..WRITERS).map(|_| Book::default()).collect();
    for first in (0..PAGES).step_by(1_000) {
        let mut batch = Vec::new();
        for n in first..first + 1_000 {
            let (key, page) = (format!("page-{n}"), model::page(rng, n));
            batch.push(model::in_batch(&key, &page));
            books[n % WRITERS].keep(key, page);
        }
        let batch = json!({ "pages": batch });
        let taken = client.post("/v1/sites/news/pages/batch").json(&batch).send().await.expect(202);
        assert_eq!(taken.body["changed"], 1_000, "{}", taken.text);
    }
    books
}

/// Half of the kills are at any moment, and half right after a file has changed.
async fn kill_at_random(processes: &mut Processes, folder: &Path, started: Instant, rng: &mut StdRng) {
    let until = WITHIN.mul_f64(KILLED_UNTIL);
    for n in 0..KILLS {
        let slot = until / KILLS;
        let at = slot * n + slot.mul_f64(rng.random_range(0.3..1.0));
        tokio::time::sleep(at.saturating_sub(started.elapsed())).await;
        if n % 2 == 1 {
            let (before, by) = (changed_at(folder), Instant::now() + slot);
            while changed_at(folder) == before && Instant::now() < by {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        }
        processes.kill(rng).await;
    }
}

/// Changes that come while what was changed before is being published, and after which none comes.
async fn change_while_it_publishes(client: &Client, folder: &Path, books: Vec<Book>, rng: &mut StdRng) -> Vec<Book> {
    let before = changed_at(folder);
    let books = change_at_once(client, books, rng).await;
    eventually("it publishes", SOON, || async { (changed_at(folder) != before).then_some(()) }).await;
    change_at_once(client, books, rng).await
}

async fn change_at_once(client: &Client, books: Vec<Book>, rng: &mut StdRng) -> Vec<Book> {
    let start =
        |(n, book)| tokio::spawn(Writer::new(client.clone(), book, n, rng.random()).write_at_once(LATE_CHANGES));
    let writers: Vec<_> = books.into_iter().enumerate().map(start).collect();
    let mut books = Vec::new();
    for writer in writers {
        books.push(writer.await.unwrap());
    }
    books
}

/// When a file came into the folder of a locale last.
fn changed_at(folder: &Path) -> Option<SystemTime> {
    let of = |tag: &&str| fs::metadata(folder.join(tag)).and_then(|folder| folder.modified()).ok();
    LOCALES.iter().filter_map(of).max()
}

fn only_folder(sites: &Path) -> PathBuf {
    let folders: Vec<PathBuf> = fs::read_dir(sites).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

/// Waits until all is public. What lost many addresses at once waits for a person, who says that it is right; answers with how
/// much that was.
async fn settled(client: &Client) -> usize {
    let confirmed = std::cell::Cell::new(0);
    let done = || async {
        let site = client.get("/v1/sites/news").send().await.expect(200);
        let held = site.list("/held").len();
        if held > 0 {
            confirmed.set(confirmed.get() + held);
            client.post("/v1/sites/news/confirm").send().await.expect(202);
        }
        let waits = site.list("/clocks").iter().any(|clock| !clock["waiting_since"].is_null());
        (site.body["stale"] == 0 && held == 0 && !waits).then_some(())
    };
    eventually("all that was accepted is public, and was read back", LONG, done).await;
    let undone = || async {
        let states = ["scheduled", "queued", "running", "retrying"];
        for state in states {
            let jobs = client.get(&format!("/v1/jobs?state={state}")).send().await.expect(200);
            if !jobs.list("/data").is_empty() {
                return None;
            }
        }
        Some(())
    };
    eventually("no job is left", SOON, undone).await;
    confirmed.get()
}

/// The pages as they have to be: as they were accepted last. Where an answer was lost, what is kept tells which of both it is.
async fn what_is_kept(client: &Client, public: &Public, books: &[Book]) -> BTreeMap<String, Page> {
    let mut pages = BTreeMap::new();
    for (key, states) in books.iter().flat_map(|book| &book.pages) {
        let mut states: Vec<Page> = states.iter().cloned().collect();
        if states.len() > 1 {
            let kept = client.get(&format!("/v1/sites/news/pages/{key}")).send().await;
            let found = states.iter().position(|page| public.is_kept_as(page, &kept));
            let found = found.unwrap_or_else(|| panic!("{key} is {} and not one of {states:?}", kept.text));
            states = vec![states.swap_remove(found)];
        }
        pages.insert(key.clone(), states.remove(0));
    }
    pages
}

/// A job under which so many workers vanish is taken for what ends them; another one goes on with what it left. Answers with how
/// many did: no job dies of anything else.
async fn dead_by_kills(client: &Client) -> usize {
    let dead = client.all("/v1/dead-letters").await;
    let by_kills = |one: &&Value| one["cause"] == "workers_lost" && one["kind"] == "site.regenerate";
    assert_eq!(dead.iter().filter(by_kills).count(), dead.len(), "{dead:?}");
    let none = || async { client.all("/v1/dead-letters?state=open").await.is_empty().then_some(()) };
    eventually("none of them needs anybody", SOON, none).await;
    dead.len()
}

/// How often each sitemap of each locale was published.
async fn rebuilds(client: &Client) -> BTreeMap<(String, String), usize> {
    let mut times = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for publication in client.all("/v1/sites/news/publications").await {
        let (id, locale) = (publication["id"].as_str().unwrap(), publication["locale"].as_str().unwrap());
        assert!(seen.insert(id.to_owned()), "{id} is listed twice");
        let shown = client.get(&format!("/v1/sites/news/publications/{id}")).send().await.expect(200);
        for file in shown.list("/changed") {
            let name = file["name"].as_str().unwrap().to_owned();
            if name.ends_with(".xml.gz") {
                *times.entry((locale.to_owned(), name)).or_insert(0) += 1;
            }
        }
    }
    times
}
