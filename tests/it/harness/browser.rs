//! Somebody at the dashboard, whose browser runs no script: keeps the cookie, sends forms as pages have them.

use reqwest::{Client, StatusCode, header, redirect};

use super::{App, install_tls_provider};

pub(crate) struct Browser {
    http: Client,
    base: String,
    cookie: Option<String>,
    /// What a proxy in front of it adds to each request.
    added: Vec<(&'static str, String)>,
}

/// What a browser shows after an answer and the redirects behind it.
pub(crate) struct Page {
    pub(crate) status: u16,
    /// The path that it ended at.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn new(app: &App) -> Self {
        Self::at(&app.url())
    }

    /// At a server that is no [`App`].
    pub(crate) fn at(url: &str) -> Self {
        install_tls_provider();
        let http = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().expect("an HTTP client");
        Self { http, base: url.to_owned(), cookie: None, added: Vec::new() }
    }

    /// The same behind a proxy that adds this header.
    pub(crate) fn telling(mut self, name: &'static str, value: &str) -> Self {
        self.added.push((name, value.to_owned()));
        self
    }

    /// An answer that does not end.
    pub(crate) async fn stream(&self, path: &str) -> reqwest::Response {
        let cookie = self.cookie.clone().unwrap_or_default();
        let request = self.http.get(format!("{}{path}", self.base)).header(header::COOKIE, cookie);
        let request = self.added.iter().fold(request, |request, (name, value)| request.header(*name, value));
        request.send().await.expect("an answer")
    }

    /// Somebody who is signed in with this password.
    pub(crate) async fn signed_in(app: &App, name: &str, password: &str) -> Self {
        let mut browser = Self::new(app);
        let page = browser.send("/sign-in", &[("name", name), ("password", password)]).await;
        assert_eq!(page.status, 200, "{name} signs in: {}", page.text);
        browser
    }

    pub(crate) async fn open(&mut self, path: &str) -> Page {
        self.ask(path, None, &[]).await
    }

    /// As [`Self::open`], by a link on another site's page.
    pub(crate) async fn open_from_elsewhere(&mut self, path: &str) -> Page {
        self.ask(path, None, &[("sec-fetch-site", "cross-site")]).await
    }

    /// What is said of a page without the page.
    pub(crate) async fn head(&self, path: &str) -> reqwest::Response {
        let cookie = self.cookie.clone().unwrap_or_default();
        let request = self.http.head(format!("{}{path}", self.base)).header(header::COOKIE, cookie);
        request.send().await.expect("an answer")
    }

    /// Sends a form whose fields are these.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.ask(path, Some(fields), &[("sec-fetch-site", "same-origin")]).await
    }

    /// As [`Self::send`], from another site's page.
    pub(crate) async fn send_from_elsewhere(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.ask(path, Some(fields), &[("sec-fetch-site", "cross-site")]).await
    }

    /// As [`Self::send`], from a browser that says the page's origin and no more, as over plain HTTP.
    pub(crate) async fn send_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        self.ask(path, Some(fields), &[("origin", origin)]).await
    }

    async fn ask(&mut self, path: &str, form: Option<&[(&str, &str)]>, headers: &[(&str, &str)]) -> Page {
        let (mut path, mut form) = (path.to_owned(), form);
        loop {
            let url = format!("{}{path}", self.base);
            let mut request = match form {
                Some(fields) => self
                    .http
                    .post(&url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()),
                None => self.http.get(&url),
            };
            request = self.added.iter().fold(request, |request, (name, value)| request.header(*name, value));
            request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            if let Some(cookie) = &self.cookie {
                request = request.header(header::COOKIE, cookie);
            }
            let answer = request.send().await.expect("an answer");
            if let Some(cookie) = answer.headers().get(header::SET_COOKIE) {
                let cookie = cookie.to_str().unwrap();
                assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
                self.cookie = cookie.split(';').next().map(str::to_owned).filter(|cookie| !cookie.ends_with('='));
            }
            if answer.status() == StatusCode::SEE_OTHER {
                path = answer.headers()[header::LOCATION].to_str().unwrap().to_owned();
                form = None;
                continue;
            }
            let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY);
            let policy = policy.map(|policy| policy.to_str().unwrap().to_owned()).unwrap_or_default();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{path}: {policy}"
            );
            return Page { status, path, text };
        }
    }
}

impl Page {
    /// The value of the first hidden field of this name.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let from = self.text.find(&begin).unwrap_or_else(|| panic!("no field {name} in {}", self.text)) + begin.len();
        self.text[from..].split('"').next().unwrap().to_owned()
    }

    /// The id of what a form of this page makes, by the kind that it begins with.
    #[track_caller]
    pub(crate) fn once(&self, kind: &str) -> String {
        let begin = format!("name=\"once\" value=\"{kind}_");
        let rest = self.text.split(&begin).nth(1).unwrap_or_else(|| panic!("no form makes a {kind}: {}", self.text));
        format!("{kind}_{}", rest.split('"').next().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16, words: &str) -> Self {
        assert!(self.status == status && self.text.contains(words), "{} {}: {}", self.status, self.path, self.text);
        self
    }
}
