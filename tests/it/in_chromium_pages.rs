//! Every page in a real browser, wide and narrow, light and dark: it breaks no rule of accessibility, nothing stands out of
//! it or has to be pushed aside, and the browser does not complain. The same tours take pictures where they are asked for.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, with_user},
    dashboard_notifications,
    dashboard_portal::link,
    dashboard_sites,
    harness::{App, Browser, Chromium, Receiver, Stack, View, good, notifying},
    in_chromium_acts::die_together,
};

const START: &str = "/t/default";
/// Pages that a walk finds at most.
const PAGES_MAX: usize = 80;

/// Who looks at pages: a judge, or a photographer where POSTRIDER_TEST_SCREENSHOTS names a folder (see `tests/screenshots`).
struct Eye {
    chromium: Chromium,
    folder: Option<PathBuf>,
    /// What is wrong, with the first page and view that has it.
    faults: BTreeMap<String, String>,
}

impl Eye {
    async fn at(app: &App) -> Self {
        let folder = std::env::var_os("POSTRIDER_TEST_SCREENSHOTS").map(PathBuf::from);
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).unwrap();
        }
        Self { chromium: Chromium::start(app).await, folder, faults: BTreeMap::new() }
    }

    /// Looks at a page that has an address.
    async fn open(&mut self, path: &str) {
        self.chromium.open(path).await;
        let name =
            kind_of(path).replace(START, "overview").replace("overview/", "").replace('*', "one").replace('/', "-");
        self.see(name.trim_matches('-')).await;
    }

    /// Looks at what is shown now.
    async fn see(&mut self, name: &str) {
        for view in View::ALL {
            self.chromium.look(view).await;
            if let Some(folder) = &self.folder {
                let scheme = if view.dark { "dark" } else { "light" };
                let file = folder.join(format!("{name}-{}-{scheme}.png", view.width));
                std::fs::write(file, self.chromium.picture().await).unwrap();
                continue;
            }
            let mut wrong = self.chromium.violations().await;
            wrong.extend(self.chromium.overflow().await);
            // Chromium tells of the status of the page itself where it is that of a refusal.
            let told = self.chromium.complaints().await.into_iter();
            wrong.extend(told.filter(|words| !words.contains("the server responded with a status of 4")));
            for fault in wrong {
                self.faults.entry(fault).or_insert_with(|| format!("{name} {view:?}"));
            }
        }
        self.chromium.look(View::ALL[0]).await;
    }

    /// Clicks, waits for these words, and looks.
    async fn click(&mut self, selector: &str, words: &str, name: &str) {
        self.chromium.click(selector).await;
        self.chromium.await_text(words).await;
        self.see(name).await;
    }

    #[track_caller]
    fn found_nothing(&self) {
        let faults: Vec<_> = self.faults.iter().map(|(fault, place)| format!("{place}: {fault}")).collect();
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_that_links_lead_to_breaks_rules_of_accessibility_or_overflows() {
    let app = App::start(Stack::Sqlite).await;
    good(app.shell(&["seed", "--jobs", "600", "--dead", "150", "--tenants", "2", "--days", "3"]));
    app.client.post("/v1/dead-letters/replay").json(&json!({ "filter": { "status": 410 } })).send().await.expect(202);
    dashboard_sites::make(&app).await;
    dashboard_sites::put(&app, "a", "/a").await;
    dashboard_sites::put(&app, "b", "/caf%25C3%25A9").await;
    create_user(&app, "ada", "admin");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    dashboard_sites::all_public(&app, &mut ada).await;
    // So that files have two versions.
    dashboard_sites::put(&app, "c", "/c").await;
    dashboard_sites::all_public(&app, &mut ada).await;
    let notification = tell(&app).await;
    let mut eye = Eye::at(&app).await;
    eye.chromium.sign_in("ada", PASSWORD).await;
    for (path, name) in [
        ("notification-types/welcome?channel=email&recipient=bea", "type-mail"),
        ("notification-types/welcome?channel=push&locale=a+b", "type-fault"),
        (&format!("notifications/{notification}/recipient?key=u2"), "told-one"),
        (&format!("notifications/{notification}/recipient?key=nobody"), "told-nobody"),
        ("recipients/bea", "recipient-suppressed"),
        ("suppressions?q=b", "suppressions-found"),
    ] {
        eye.chromium.open(&format!("{START}/{path}")).await;
        eye.see(name).await;
    }
    let pages = walk(&eye.chromium).await;
    assert!(pages.len() >= 20, "{pages:?}");
    for page in pages {
        eye.open(&page).await;
    }
    eye.found_nothing();
}

/// Tells people of all kinds something; the notification's id.
async fn tell(app: &App) -> String {
    let client = &app.client;
    notifying::a_type(client).await;
    dashboard_notifications::a_welcome(client).await;
    let bea = json!({ "email": "bea@example.com", "email_state": "suppressed", "email_reason": "550 5.1.1 no such user",
        "locale": "de-AT", "time_zone": "Europe/Vienna", "quiet_hours": { "from": "22:00", "to": "07:00" },
        "preferences": { "posts": { "push": false, "inbox": true } }, "attributes": { "name": "Bea", "plan": "gold" } });
    dashboard_notifications::put(client, "/v1/recipients/bea", &bea).await;
    notifying::followers(client, "fans", 0..4).await;
    dashboard_notifications::put(
        client,
        "/v1/recipients/u1",
        &json!({ "preferences": { "posts": { "inbox": false } } }),
    )
    .await;
    let welcome = json!({ "type": "welcome", "recipients": ["bea"], "channels": ["inbox", "push"], "data": { "who": "A" }, "deliver_at": dashboard_notifications::tomorrow() });
    notifying::notified(client, welcome).await;
    let post = json!({ "type": "post", "recipients": ["bea"], "topics": ["fans"], "actor": "u2", "data": { "who": "Anna", "n": 2 } });
    let id = notifying::notified(client, post).await;
    notifying::planned(client, &id).await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_an_empty_installation_breaks_rules_of_accessibility_or_overflows() {
    let app = App::start(Stack::Sqlite).await;
    let mut eye = Eye::at(&app).await;
    let log = app.log();
    let welcome = log.split("/welcome?key=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    eye.chromium.open("/sign-in").await;
    eye.see("empty-sign-in").await;
    eye.open(&format!("/welcome?key={welcome}")).await;
    create_user(&app, "ada", "admin");
    eye.open("/sign-in?next=/t/default").await;
    eye.chromium.fill("#name", "ada").await;
    eye.chromium.fill("#password", "wrong horse battery").await;
    eye.click("main button", "do not belong together", "sign-in-fault").await;
    eye.chromium.sign_in("ada", PASSWORD).await;
    for page in eye.chromium.links("header nav a").await {
        eye.chromium.open(&page).await;
        let name = page.rsplit('/').next().unwrap_or_default();
        eye.see(&format!("empty-{}", name.replace("default", "overview"))).await;
    }
    for (path, name) in [
        ("/t/default/dead-letters/none", "refusal-not-found"),
        ("/t/default/jobs?since=yesterday", "refusal-filter"),
        ("/portal", "refusal-portal"),
    ] {
        eye.chromium.open(path).await;
        eye.see(name).await;
    }
    eye.found_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_that_an_act_leads_to_breaks_rules_of_accessibility_or_overflows() {
    let (app, receiver) = (with_user(Stack::Sqlite, "admin").await, Receiver::start().await);
    die_together(&app, &receiver, 60).await;
    let mut eye = Eye::at(&app).await;
    eye.chromium.sign_in("ada", PASSWORD).await;
    replay_many(&mut eye).await;
    edit(&mut eye).await;
    change_endpoints(&mut eye).await;
    let_others_in(&mut eye).await;
    eye.found_nothing();
}

async fn replay_many(eye: &mut Eye) {
    eye.open("/t/default/dead-letters/bulk?act=discard").await;
    eye.chromium.open("/t/default/dead-letters/bulk?act=replay&event_type=a.b").await;
    eye.see("bulk-replay").await;
    eye.chromium.fill("#rate", "1").await;
    eye.click("main form button.main", "It goes on by itself", "operation-runs").await;
    eye.click("form[action$='/cancel'] button", "cancelled", "operation-ended").await;
}

async fn edit(eye: &mut Eye) {
    eye.chromium.open("/t/default/dead-letters?event_type=a.few").await;
    eye.chromium.click("main td a[href*='/dead-letters/dl_']").await;
    eye.chromium.click("main a[href$='/edit']").await;
    eye.chromium.fill("textarea[name=payload]", "{ \"a\": ").await;
    eye.click("form[action$='/edit'] button.main", "JSON", "edit-fault").await;
    eye.chromium.fill("textarea[name=payload]", r#"{ "a": 1 }"#).await;
    eye.click("form[action$='/edit'] button.main", "Replay with this change?", "edit-change").await;
}

async fn change_endpoints(eye: &mut Eye) {
    eye.chromium.open("/t/default/endpoints").await;
    eye.chromium.click("main td a").await;
    eye.click("form[action$='/test'] button", "The test failed", "endpoint-test").await;
    eye.chromium.click("main p.do a").await;
    eye.click("main a[href$='/delete']", "Delete this endpoint?", "endpoint-delete").await;
    eye.chromium.click("main p.do a").await;
    eye.click("form[action$='/pause'] button", "paused", "endpoint-paused").await;
    eye.chromium.open("/t/default/endpoints/new").await;
    eye.chromium.fill("#url", "nowhere").await;
    eye.chromium.fill("#timeout_ms", "soon").await;
    eye.click("main form button.main", "Nothing was saved", "endpoint-faults").await;
    eye.chromium.fill("#url", "https://example.com/hook").await;
    eye.chromium.fill("#timeout_ms", "5000").await;
    eye.click("main form button.main", "whsec_", "endpoint-made").await;
}

async fn let_others_in(eye: &mut Eye) {
    eye.chromium.open("/t/default/users").await;
    eye.chromium.fill("#name", "bob").await;
    eye.chromium.click("input[name=tenant], input[name=every]").await;
    eye.click("form[action$='/users'] button.main", "Done", "user-made").await;
    eye.chromium.open("/t/default/tokens").await;
    eye.chromium.fill("#name", "shop").await;
    eye.click("form[action$='/tokens'] button.main", "Done", "token-made").await;
    eye.chromium.open("/t/default/users").await;
    eye.see("users-two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_the_portal_breaks_rules_of_accessibility_or_overflows() {
    let (app, receiver) = (App::start(Stack::Sqlite).await, Receiver::start().await);
    die_together(&app, &receiver, 3).await;
    let mut eye = Eye::at(&app).await;
    eye.chromium.open(&link(&app.client, json!({})).await).await;
    eye.see("portal").await;
    eye.click("main td a", "What did not arrive", "portal-endpoint").await;
    eye.click("main a[href*='/attempts/']", "What you answered", "portal-attempt").await;
    eye.chromium.click("h1 a").await;
    eye.click("form[action$='/test'] button", "The test failed", "portal-test").await;
    eye.chromium.click("main p.do a").await;
    eye.chromium.click("details summary").await;
    eye.click("form[action$='/rotate-secret'] button", "whsec_", "portal-secret").await;
    eye.chromium.open("/portal/endpoints/none").await;
    eye.see("portal-refusal").await;
    eye.found_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_on_a_narrow_screen_is_a_table_for_those_who_hear_it() {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    die_together(&app, &receiver, 3).await;
    let chromium = Chromium::start(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.look(View::ALL[2]).await;
    chromium.open("/t/default/dead-letters").await;
    assert_eq!(chromium.script("return getComputedStyle(document.querySelector('main tr')).display").await, "flex");
    let heard = chromium.roles().await;
    let count = |role: &str| heard.iter().filter(|known| *known == role).count();
    assert_eq!((count("table"), count("row"), count("columnheader"), count("cell")), (1, 4, 8, 24), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_is_folded_on_a_narrow_screen_and_open_on_a_wide_one_without_scripts() {
    let (app, receiver) = (with_user(Stack::Sqlite, "operator").await, Receiver::start().await);
    die_together(&app, &receiver, 1).await;
    let chromium = Chromium::without_scripts(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    let field_is_seen = async || chromium.script("return document.querySelector('#q').checkVisibility()").await;
    let summary_is_seen =
        async || chromium.script("return document.querySelector('.finder summary').checkVisibility()").await;
    chromium.look(View::ALL[2]).await;
    chromium.open("/t/default/dead-letters?q=HTTP&status=500").await;
    assert_eq!((field_is_seen().await, summary_is_seen().await), (json!(false), json!(true)));
    chromium.await_text("Text in the error: HTTP, State: open, Last status: 500").await;
    chromium.click(".finder summary").await;
    assert_eq!(field_is_seen().await, true);
    chromium.fill("#q", "nothing like that").await;
    chromium.click(".finder button.main").await;
    chromium.await_text("No dead letter is like that").await;
    chromium.look(View::ALL[0]).await;
    assert_eq!((field_is_seen().await, summary_is_seen().await), (json!(true), json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_are_a_menu_on_a_narrow_screen_without_scripts() {
    let app = with_user(Stack::Sqlite, "operator").await;
    let chromium = Chromium::without_scripts(&app).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.look(View::ALL[2]).await;
    let is_seen = async || chromium.script("return document.querySelector('nav a').checkVisibility()").await;
    assert_eq!(is_seen().await, false);
    chromium.click("button.pages").await;
    assert_eq!(is_seen().await, true);
    chromium.click("nav a[href$='/endpoints']").await;
    chromium.await_text("New endpoint").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_no_longer_live_says_so_across_the_screen() {
    let mut app = with_user(Stack::Sqlite, "viewer").await;
    let chromium = Chromium::start(&app).await;
    chromium.look(View::ALL[2]).await;
    chromium.sign_in("ada", PASSWORD).await;
    chromium.await_text("Live").await;
    app.kill();
    chromium.await_text("Not live: this is how it was at").await;
    let bar = "const box = document.getElementById('live-status').getBoundingClientRect();
        return [box.left, box.width - innerWidth, box.bottom - innerHeight]";
    assert_eq!(chromium.script(bar).await, json!([0, 0, 0]));
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
    let is_file = |part: &str| [".gz", ".xml", ".json"].iter().any(|end| part.ends_with(end));
    path.split('/')
        .map(|part| if is_id(part) || is_fingerprint(part) || is_file(part) { "*" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}
