//! A real Chromium, driven over WebDriver: one chromedriver with one window for each test. Knows nothing of the pages but
//! how somebody signs in.
//!
//! WebDriver is a handful of JSON calls (W3C WebDriver, section 8), so that the HTTP client that is here anyway makes them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{App, SOON, eventually, from_test_run, install_tls_provider};

/// The key of an element's reference (section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How often a chromedriver is started that finds no port.
const DRIVERS_MAX: usize = 5;
/// What keeps Chromium from doing anything by itself.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

pub(crate) struct Chromium {
    http: reqwest::Client,
    driver: Child,
    port: u16,
    session: String,
    base: String,
    axe: String,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// In CSS pixels.
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

impl View {
    pub(crate) const ALL: [Self; 4] = [
        Self { width: 1440, dark: false },
        Self { width: 1440, dark: true },
        Self { width: 360, dark: false },
        Self { width: 360, dark: true },
    ];
}

impl Chromium {
    pub(crate) async fn start(app: &App) -> Self {
        Self::start_with(&app.url(), &json!({})).await
    }

    /// At a page that is not the application's.
    pub(crate) async fn at(url: &str) -> Self {
        Self::start_with(url, &json!({})).await
    }

    /// With JavaScript switched off, as people do.
    pub(crate) async fn without_scripts(app: &App) -> Self {
        let blocked = json!({ "profile.managed_default_content_settings.javascript": 2 });
        let chromium = Self::start_with(&app.url(), &blocked).await;
        let page = "data:text/html,<title>off</title><script>document.title='on'</script>";
        chromium.call("url", json!({ "url": page })).await;
        assert_eq!(chromium.script("return document.title").await, "off");
        chromium
    }

    async fn start_with(base: &str, prefs: &Value) -> Self {
        install_tls_provider();
        let axe = std::fs::read_to_string(from_test_run("POSTRIDER_TEST_AXE")).expect("axe-core's file");
        let (driver, port) = driver();
        let profile = tempfile::Builder::new().prefix("postrider-chromium-").tempdir().expect("a profile's folder");
        let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client");
        let session = String::new();
        let mut chromium = Self { http, driver, port, session, base: base.to_owned(), axe, _profile: profile };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags, "prefs": prefs },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 60_000 },
        } } });
        let made = chromium.send("session", wanted).await.expect("Chromium starts");
        chromium.session = format!("session/{}", made["sessionId"].as_str().expect("a session"));
        chromium
    }

    /// Signs in, and gives what is shown then.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) {
        self.open("/sign-in").await;
        self.fill("#name", name).await;
        self.fill("#password", password).await;
        self.click("main button").await;
        self.await_text("Sign out").await;
    }

    pub(crate) async fn open(&self, path: &str) {
        self.call("url", json!({ "url": format!("{}{path}", self.base) })).await;
    }

    /// Opens another tab, in which all goes on; its handle.
    pub(crate) async fn new_tab(&self) -> String {
        let made = self.call("window/new", json!({ "type": "tab" })).await;
        let tab = made["handle"].as_str().expect("a tab's handle").to_owned();
        self.switch_to(&tab).await;
        tab
    }

    /// Goes on in this tab.
    pub(crate) async fn switch_to(&self, tab: &str) {
        self.call("window", json!({ "handle": tab })).await;
    }

    /// Clicks the first element that a selector finds.
    pub(crate) async fn click(&self, selector: &str) {
        let click = async || {
            let element = self.find(selector).await;
            match self.send(&format!("{}/element/{element}/click", self.session), json!({})).await {
                Ok(_) => Some(()),
                // A live page has put another in its place meanwhile.
                Err(error) if error.starts_with("stale element reference") => None,
                Err(error) => panic!("{selector}: {error}"),
            }
        };
        eventually(&format!("a click at {selector}"), SOON, click).await;
    }

    /// Puts a text in the place of what a field holds.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.call(&format!("element/{element}/clear"), json!({})).await;
        self.call(&format!("element/{element}/value"), json!({ "text": text })).await;
    }

    /// What a script's `return` gives.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.call("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The paths that links of this host lead to, with what stands behind them.
    pub(crate) async fn links(&self, selector: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll('{selector}')].filter(a => a.href).map(a => new URL(a.href))
                .filter(url => url.host === location.host).map(url => url.pathname + url.search)"
        );
        texts(&self.script(&script).await)
    }

    /// The text of the page that can be seen.
    pub(crate) async fn text(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : ''").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until these words are on the page.
    pub(crate) async fn await_text(&self, words: &str) {
        let there = async || self.text().await.contains(words).then_some(());
        eventually(&format!("{words:?} on the page"), SOON, there).await;
    }

    /// Looks at this and all later pages in this way.
    pub(crate) async fn look(&self, view: View) {
        let size = json!({ "width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({ "name": "prefers-color-scheme", "value": if view.dark { "dark" } else { "light" } });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await;
    }

    /// What axe-core objects to on this page, a line each.
    pub(crate) async fn violations(&self) -> Vec<String> {
        self.script(&self.axe).await;
        let run = "const done = arguments[arguments.length - 1]; axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } })\
            .then(found => done(found.violations.flatMap(one => one.nodes.map(node => `${one.id}: ${one.help}: ${node.html.slice(0, 200)}: ${node.failureSummary}`))))\
            .catch(error => done([String(error)]))";
        let found = self.call("execute/async", json!({ "script": run, "args": [] })).await;
        texts(&found)
    }

    /// What stands out of the page to the right, where it is wider than what is seen of it: the innermost elements. On a
    /// narrow screen nothing is to be pushed aside either.
    pub(crate) async fn overflow(&self) -> Vec<String> {
        let script = "const width = window.innerWidth, all = what => [...document.querySelectorAll(what)];
            const pushed = all('.wide').filter(one => width < 640 && one.scrollWidth > one.clientWidth);
            const faults = pushed.map(one => `has to be pushed aside: ${one.outerHTML.slice(0, 200)}`);
            if (document.documentElement.scrollWidth <= width) return faults;
            const out = all('body *').filter(one => one.getBoundingClientRect().right > width && !one.closest('.wide, .body'));
            const inner = out.filter(one => !out.some(other => other !== one && one.contains(other)));
            return faults.concat(inner.map(one => `too wide for the page: ${one.outerHTML.slice(0, 200)}`), out.length ? [] : ['the page is too wide'])";
        texts(&self.script(script).await)
    }

    /// What those hear who do not see the page: the role of each thing in it.
    pub(crate) async fn roles(&self) -> Vec<String> {
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
        let heard = tree["nodes"].as_array().into_iter().flatten().filter(|node| node["ignored"] != true);
        heard.map(|node| node["role"]["value"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What the browser complained of since it was asked last.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.call("se/log", json!({ "type": "browser" })).await;
        let severe = |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        entries.as_array().into_iter().flatten().filter(severe).map(|entry| entry["message"].to_string()).collect()
    }

    /// The whole page as a PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let shot =
            self.devtools("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true })).await;
        BASE64_STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64")
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.call("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    async fn find(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let path = format!("{}/element", self.session);
        let found = async || self.send(&path, wanted.clone()).await.ok();
        let found = eventually(&format!("{selector} on the page"), SOON, found).await;
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    async fn call(&self, path: &str, body: Value) -> Value {
        let answer = self.send(&format!("{}/{path}", self.session), body).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn send(&self, path: &str, body: Value) -> Result<Value, String> {
        let request = self.http.post(self.url(path)).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("chromedriver answers");
        value_of(&answer.text().await.expect("chromedriver's whole answer"))
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Ends the session, and with it Chromium.
    fn end(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(connection, "DELETE /{} HTTP/1.0\r\nhost: localhost\r\n\r\n", self.session)?;
        connection.read(&mut [0; 1]).map(drop)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // What does not end by itself ends with the machine's; nothing can be done about it here.
        drop(self.end());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// A chromedriver and the port that it chose. It wants the same one of IPv4 and of IPv6, and ends where the other is somebody's.
fn driver() -> (Child, u16) {
    for _ in 0..DRIVERS_MAX {
        let mut command = Command::new("chromedriver");
        let spawned = command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = spawned.expect("chromedriver, which tests/run installs");
        if let Some(port) = port_of(&mut driver) {
            return (driver, port);
        }
        drop(driver.wait());
    }
    panic!("chromedriver started {DRIVERS_MAX} times and never said its port");
}

/// What it says before anything else.
fn port_of(driver: &mut Child) -> Option<u16> {
    let out = BufReader::new(driver.stdout.take().expect("a pipe"));
    let mut lines = out.lines().map_while(Result::ok);
    lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
}

fn value_of(answer: &str) -> Result<Value, String> {
    let answer: Value = serde_json::from_str(answer).map_err(|error| format!("{error}: {answer}"))?;
    match answer["value"]["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
        None => Ok(answer["value"].clone()),
    }
}
