//! The nouns and rules of Postrider. Pure: no I/O, no async, no clock, no randomness that is not an argument.

pub mod attempt;
pub mod dead_letter;
pub mod egress;
pub mod email;
pub mod endpoint;
pub mod endpoint_settings;
pub mod event;
pub mod fingerprint;
pub mod health;
pub mod http_request;
pub mod id;
pub mod job;
pub mod lane;
pub mod limits;
pub mod line;
pub mod nesting;
pub mod portal;
pub mod rate;
pub mod redaction;
pub mod retry;
pub mod sent;
pub mod signature;
pub mod site;
pub mod tag;
pub mod tenant;
pub mod time;
pub mod token_text;
pub mod trace;
pub mod user;

pub use id::Id;
pub use time::UnixMs;
