//! What pages load: one stylesheet, one script and an icon, inside the program, at addresses that change with their content.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use ring::digest;

const STYLE: &str = include_str!("../assets/postrider.css");
const SCRIPT: &str = include_str!("../assets/postrider.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// The stylesheet's address.
pub(crate) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/{}.css", hash(STYLE)));
/// The script's address.
pub(crate) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/{}.js", hash(SCRIPT)));

static ICON_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/{}.svg", hash(ICON)));

/// The address of the icon that browsers show beside the title.
pub(crate) fn icon_path() -> &'static str {
    &ICON_PATH
}

pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(&STYLE_PATH, get(async || asset("text/css; charset=utf-8", STYLE)))
        .route(&SCRIPT_PATH, get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route(&ICON_PATH, get(async || asset("image/svg+xml", ICON)))
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, text)
}

fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_stay_small() {
        assert!(SCRIPT.len() < 6 * 1024, "{} bytes of script", SCRIPT.len());
        assert!(STYLE.len() < 25 * 1024, "{} bytes of style", STYLE.len());
    }
}
