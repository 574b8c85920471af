//! The dashboard in a real browser: what people do there, with and without scripts, and what every page has to be.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, die, with_user},
    harness::{App, Chromium, Receiver, SOON, Script, Stack, View, eventually, good},
};

const START: &str = "/t/default";
/// Pages that a walk finds at most.
const PAGES_MAX: usize = 80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_edited_replayed_and_delivered() {
    mend_a_dead_letter(async |app| Chromium::start(app).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_edited_replayed_and_delivered_with_scripts_switched_off() {
    mend_a_dead_letter(async |app| Chromium::without_scripts(app).await).await;
}

async fn mend_a_dead_letter(start: impl AsyncFnOnce(&App) -> Chromium) {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    let [_] = die(&app, &receiver, [r#"{"n": 1}"#]).await;
    receiver.always("/hook", Script::status(200));
    let calls = receiver.requests("/hook").len();
    let chromium = start(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.click("nav a[href$='/dead-letters']").await;
    chromium.click("main td a[href*='/dead-letters/dl_']").await;
    chromium.await_text("HTTP 500").await;
    chromium.click("main a[href$='/edit']").await;
    chromium.fill("textarea[name=payload]", r#"{"n": 100}"#).await;
    chromium.click("form[action$='/edit'] button.main").await;
    chromium.await_text("Replay with this change?").await;
    chromium.click("form[action$='/replay'] button").await;
    let mended = || async { receiver.requests("/hook").get(calls).map(|call| call.body.clone()) };
    assert_eq!(eventually("it is delivered", SOON, mended).await, br#"{"n": 100}"#);
    let delivered = || async { app.client.all("/v1/jobs?state=succeeded").await.first().map(drop) };
    eventually("the replay's job has succeeded", SOON, delivered).await;
    chromium.open("/t/default/dead-letters?state=replayed").await;
    chromium.await_text("HTTP 500").await;
    assert_eq!(chromium.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_breaks_rules_of_accessibility_or_overflows() {
    let app = App::start(Stack::Sqlite).await;
    let chromium = Chromium::start(&app).await;
    let mut faults = BTreeMap::new();
    let log = app.log();
    let welcome = log.split("/welcome?key=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    judge(&chromium, &mut faults, ["/sign-in".to_owned(), format!("/welcome?key={welcome}")]).await;
    let password = fill(&app).await;
    judge(&chromium, &mut faults, ["/sign-in?next=/t/default".to_owned()]).await;
    chromium.sign_in("ada", &password).await;
    let pages = walk(&chromium).await;
    assert!(pages.len() >= 6, "{pages:?}");
    judge(&chromium, &mut faults, pages).await;
    let refusal = "/t/default/dead-letters/none";
    judge(&chromium, &mut faults, [refusal.to_owned()]).await;
    // Chromium tells of the status of the page itself.
    faults.retain(|fault, place: &mut String| !(place.starts_with(refusal) && fault.contains("404")));
    let faults: Vec<_> = faults.into_iter().map(|(fault, place)| format!("{place}: {fault}")).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
}

/// Fills the server with something of everything, makes the user `ada`, and gives the password.
async fn fill(app: &App) -> String {
    good(app.shell(&["seed", "--jobs", "600", "--dead", "150", "--tenants", "2", "--days", "3"]));
    app.client.post("/v1/dead-letters/replay").json(&json!({ "filter": { "status": 410 } })).send().await.expect(202);
    good(app.shell(&["user", "create", "ada", "--role", "admin"])).trim().to_owned()
}

/// One page of each kind that links lead to, from the overview on, within the sections that the navigation has.
pub(crate) async fn walk(chromium: &Chromium) -> Vec<String> {
    let mut found = vec![START.to_owned()];
    chromium.open(START).await;
    let sections = chromium.links("header nav a").await;
    let is_within = |link: &String| sections.iter().any(|section| section_of(section) == section_of(link));
    let mut next = 0;
    while let Some(page) = found.get(next).cloned() {
        next += 1;
        chromium.open(&page).await;
        for link in chromium.links("a:not([download])").await {
            let fits = link.starts_with(START) && is_within(&link) && !link.contains("export");
            if fits && !found.iter().any(|known| kind_of(known) == kind_of(&link)) {
                found.push(link);
            }
        }
        assert!(found.len() <= PAGES_MAX, "{found:?}");
    }
    found
}

/// What stands behind the tenant in a path.
fn section_of(path: &str) -> &str {
    path.strip_prefix(START).and_then(|rest| rest.split(['/', '?']).nth(1)).unwrap_or_default()
}

/// A path with its ids left out, and what stands behind it.
fn kind_of(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let is_id = |part: &str| part.split_once('_').is_some_and(|(_, rest)| rest.len() == 26);
    let is_fingerprint = |part: &str| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.split('/')
        .map(|part| if is_id(part) || is_fingerprint(part) { "*" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

/// Adds what is wrong with each of these pages, in all views, to `faults`, with the first page and view that has it.
async fn judge(chromium: &Chromium, faults: &mut BTreeMap<String, String>, pages: impl IntoIterator<Item = String>) {
    for page in pages {
        for view in View::ALL {
            chromium.look(view).await;
            chromium.open(&page).await;
            let mut wrong = chromium.violations().await;
            wrong.extend(chromium.overflow().await);
            wrong.extend(chromium.complaints().await);
            for fault in wrong {
                faults.entry(fault).or_insert_with(|| format!("{page} {view:?}"));
            }
        }
    }
}

/// Pictures of all pages in the folder that POSTRIDER_TEST_SCREENSHOTS names; `tests/screenshots` asks for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_taken_where_they_are_asked_for() {
    let Some(folder) = std::env::var_os("POSTRIDER_TEST_SCREENSHOTS").map(std::path::PathBuf::from) else { return };
    let app = App::start(Stack::Sqlite).await;
    let password = fill(&app).await;
    let chromium = Chromium::start(&app).await;
    chromium.look(View::ALL[0]).await;
    take(&chromium, &folder, vec!["/sign-in".to_owned()]).await;
    chromium.sign_in("ada", &password).await;
    let mut pages = walk(&chromium).await;
    pages.push("/t/default/dead-letters/none".to_owned());
    take(&chromium, &folder, pages).await;
}

async fn take(chromium: &Chromium, folder: &std::path::Path, pages: Vec<String>) {
    std::fs::create_dir_all(folder).unwrap();
    for page in pages {
        for view in View::ALL {
            chromium.look(view).await;
            chromium.open(&page).await;
            let name = kind_of(&page)
                .replace("/t/default", "overview")
                .replace("overview/", "")
                .replace('*', "one")
                .replace('/', "-");
            let scheme = if view.dark { "dark" } else { "light" };
            let file = folder.join(format!("{}-{}-{scheme}.png", name.trim_matches('-'), view.width));
            std::fs::write(file, chromium.picture().await).unwrap();
        }
    }
}
