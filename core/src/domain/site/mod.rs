//! Sites whose sitemaps and feeds are made here: their languages and their addresses.

pub mod language;
pub mod permalink;
pub mod preflight;
pub mod redirects;
