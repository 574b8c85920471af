//! The gate before publication: reads a produced file with a parser that is not its writer, and says what is wrong with it.

mod address;
mod alternates;
mod atom;
mod elements;
mod index;
mod items;
mod json_feed;
mod news;
mod rss;
mod times;
mod urlset;
#[cfg(test)]
mod wild;
mod window;

pub(crate) use self::{
    alternates::JudgedAlternates, atom::judge_atom, index::judge_index, json_feed::judge_json_feed, news::judge_news,
    rss::judge_rss, urlset::judge_urlset,
};

/// Why a file is not published, with the address at which it was noticed: where one is named, the rest of the file may be
/// good without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", if at.is_empty() { String::new() } else { format!(" (at {at})") })]
pub struct Fault {
    pub what: String,
    pub at: String,
}
