//! What sites publish, by host and path: sitemaps and feeds as anybody may read them, with conditional requests (RFC 9110,
//! section 13) and gzip.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use moka::future::Cache;
use postrider_core::{
    domain::{
        Id, UnixMs,
        site::{indexnow::IndexNowKey, language::LanguageTag, permalink::place, settings::Site},
    },
    site::{CACHE_CONTROL, Label, Storage, StorageError, media_type, unpacked},
    store::{Store, StoreError},
};

use crate::problem::{Code, Problem};

/// How long it is believed which site is at an address.
const BELIEVED: std::time::Duration = std::time::Duration::from_secs(1);
/// When it is worth asking a bucket again that has not answered.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);
const PLACES_MAX: u64 = 10_000;

/// Public files of all sites. Clones share what they remember.
#[derive(Clone, Debug)]
pub struct PublicFiles {
    store: Store,
    storage: Storage,
    /// By host and folder.
    places: Cache<String, Option<(Id<Site>, LanguageTag)>>,
}

/// Answers what asks for a public file; all else goes on.
pub(crate) async fn serve(State(files): State<PublicFiles>, request: Request, next: Next) -> Response {
    let Some((folder, name)) = public_name(&request) else { return next.run(request).await };
    let asked = request.headers().clone();
    match files.find(&asked, &folder, &name).await {
        Ok(Some(answer)) => answer,
        Ok(None) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The folder and the name that a request asks for, where it may be a public file.
fn public_name(request: &Request) -> Option<(String, String)> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let (folder, name) = request.uri().path().rsplit_once('/')?;
    let known = ["sitemap", "news", "feed", "atom"].iter().any(|begin| name.starts_with(begin));
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    let typed = [".xml", ".json", ".gz"].iter().any(|end| name.ends_with(end));
    let is_key = name.strip_suffix(".txt").is_some_and(|key| key.parse::<IndexNowKey>().is_ok());
    (known && plain && typed || is_key).then(|| (folder.to_owned(), name.to_owned()))
}

impl PublicFiles {
    #[must_use]
    pub fn new(store: Store, storage: Storage) -> Self {
        let places = Cache::builder().max_capacity(PLACES_MAX).time_to_live(BELIEVED).build();
        Self { store, storage, places }
    }

    async fn find(&self, asked: &HeaderMap, folder: &str, name: &str) -> Result<Option<Response>, Problem> {
        let host = asked.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let place = place(host, folder);
        let found = self.places.try_get_with(place.clone(), self.look_up(&place)).await;
        let Some((site, locale)) = found.map_err(|error| Problem::from(error.as_ref()))? else { return Ok(None) };
        let shelf = self.storage.shelf(site, &locale);
        let form = Form::of(asked, name);
        if [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE].iter().any(|condition| asked.contains_key(condition)) {
            // Most of what asks has the file already, and all of it need not be read for that.
            let label = self.storage.label(&shelf, name).await.map_err(|error| unread(&error))?;
            if let Some(label) = label.filter(|label| is_unchanged(asked, &form.tag(label), label.changed_at)) {
                return Ok(Some(form.head(StatusCode::NOT_MODIFIED.into_response(), name, &label)));
            }
        }
        let Some(gzip) = self.storage.read(&shelf, name).await.map_err(|error| unread(&error))? else {
            return Ok(None);
        };
        form.answer(name, gzip).map(Some)
    }

    async fn look_up(&self, place: &str) -> Result<Option<(Id<Site>, LanguageTag)>, StoreError> {
        Ok(self.store.site_at(place).await?.map(|(site, locale)| (site.id, locale)))
    }
}

/// How a file is answered.
#[derive(Clone, Copy)]
enum Form {
    /// One whose name says that it is compressed.
    Packed,
    /// As it is kept, with a content coding.
    Coded,
    Plain,
}

impl Form {
    fn of(asked: &HeaderMap, name: &str) -> Self {
        match name.ends_with(".gz") {
            true => Self::Packed,
            false if takes_gzip(asked) => Self::Coded,
            false => Self::Plain,
        }
    }

    fn tag(self, label: &Label) -> String {
        let form = if matches!(self, Self::Plain) { "" } else { "-gz" };
        format!("\"{}{form}\"", hex(&label.hash[..16]))
    }

    fn answer(self, name: &str, gzip: Bytes) -> Result<Response, Problem> {
        let broken = |what: &str| internal(&format!("{name}: {what}"));
        let label = Label::of(&gzip).ok_or_else(|| broken("it is no file of Postrider's"))?;
        let body = match self {
            Self::Packed | Self::Coded => Body::from(gzip),
            Self::Plain => Body::from(unpacked(&gzip).map_err(|error| broken(&error.to_string()))?),
        };
        Ok(self.head(body.into_response(), name, &label))
    }

    fn head(self, mut answer: Response, name: &str, label: &Label) -> Response {
        let headers = answer.headers_mut();
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::ETAG, &self.tag(label));
        set(header::LAST_MODIFIED, &http_date(label.changed_at));
        set(header::CACHE_CONTROL, CACHE_CONTROL);
        set(header::CONTENT_TYPE, media_type(name));
        if !matches!(self, Self::Packed) {
            set(header::VARY, "accept-encoding");
        }
        if matches!(self, Self::Coded) {
            set(header::CONTENT_ENCODING, "gzip");
        }
        answer
    }
}

fn internal(cause: &impl std::fmt::Display) -> Problem {
    let detail = "the file cannot be read here; the log has the reason";
    let mut problem = Problem::new(Code::Internal, detail);
    problem.cause = Some(cause.to_string());
    problem
}

fn unread(error: &StorageError) -> Problem {
    if let StorageError::Folder(error) = error {
        return internal(error);
    }
    let mut problem =
        Problem::new(Code::Unavailable, "the store of public files does not give the file now; ask again");
    problem.retry_after = Some(ASK_AGAIN);
    problem.cause = Some(error.to_string());
    problem
}

/// Whether gzip is among the codings that are taken, with a weight above 0 (RFC 9110, section 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let (mut named, mut any) = (None, None);
    for coding in lists.flat_map(|list| list.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()).unwrap_or(1.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named = Some(weight > 0.0),
            "*" => any = Some(weight > 0.0),
            _ => {}
        }
    }
    // What is named is not meant by `*`.
    named.or(any).unwrap_or(false)
}

/// `If-None-Match` is looked at first, and alone where it is there (RFC 9110, section 13.2.2).
fn is_unchanged(asked: &HeaderMap, tag: &str, changed_at: UnixMs) -> bool {
    let mut known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok()).peekable();
    if known.peek().is_some() {
        let same = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
        return known.flat_map(|tags| tags.split(',')).any(|one| same(one.trim()));
    }
    let since = asked.get(header::IF_MODIFIED_SINCE).and_then(|since| since.to_str().ok());
    since
        .and_then(|since| jiff::fmt::rfc2822::parse(since).ok())
        .is_some_and(|since| changed_at.0 <= since.timestamp().as_millisecond())
}

/// An HTTP date (RFC 9110, section 5.6.7).
fn http_date(time: UnixMs) -> String {
    let time = jiff::Timestamp::from_millisecond(time.0).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
