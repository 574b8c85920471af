//! Sites whose sitemaps and feeds are made here: their languages and their addresses.

pub mod alert;
pub mod change;
pub mod draft;
pub mod indexnow;
pub mod language;
pub mod media;
pub mod media_type;
mod origin;
pub mod page;
pub mod permalink;
pub mod place;
pub mod preflight;
pub mod redirects;
pub mod scan;
pub mod settings;
mod spelling;
pub mod text;
pub mod websub;
pub mod zone;
