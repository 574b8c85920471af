//! Sites: the addresses of their pages, and what redirect rules do to them.

pub mod permalink;
pub mod preflight;
pub mod redirects;
