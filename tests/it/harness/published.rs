//! Public files of sites, as anybody reads them.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::{Method, RequestBuilder, header::HeaderMap};

use super::App;

/// A public file.
pub(crate) struct Published {
    /// Unpacked, where it is packed.
    pub(crate) text: String,
    headers: HeaderMap,
}

impl Published {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }
}

impl App {
    /// A request for a path of one of the sites' hosts.
    pub(crate) fn ask_public(&self, method: Method, host: &str, path: &str) -> RequestBuilder {
        reqwest::Client::new().request(method, format!("{}{path}", self.url())).header("host", host)
    }

    /// What is public at a path of a host; `None` where nothing is.
    pub(crate) async fn published(&self, host: &str, path: &str) -> Option<Published> {
        let answer = self.ask_public(Method::GET, host, path).send().await.unwrap();
        if answer.status() == 404 {
            return None;
        }
        assert_eq!(answer.status(), 200, "{host}{path}");
        let headers = answer.headers().clone();
        Some(Published { text: unpacked(path, &answer.bytes().await.unwrap()), headers })
    }
}

/// What is in a file, which is packed where its name ends so.
pub(crate) fn unpacked(name: &str, bytes: &[u8]) -> String {
    if !name.ends_with(".gz") {
        return String::from_utf8(bytes.to_vec()).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}
