//! What is said of a public file to whoever fetches it, from Postrider or from a bucket.

/// How long others may keep a file without asking.
pub const CACHE_CONTROL: &str = "public, max-age=30";

/// The media type of a public file of this name.
#[must_use]
pub fn media_type(name: &str) -> &'static str {
    match name {
        name if name.ends_with(".gz") => "application/gzip",
        name if name.ends_with(".txt") => "text/plain; charset=utf-8",
        name if name.ends_with(".json") => "application/feed+json; charset=utf-8",
        name if name.starts_with("feed") => "application/rss+xml; charset=utf-8",
        name if name.starts_with("atom") => "application/atom+xml; charset=utf-8",
        _ => "application/xml; charset=utf-8",
    }
}
