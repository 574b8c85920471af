//! Pages of one shard that claim one address in one locale: the one that was published first keeps it, and of two that were
//! published at once the one whose key comes first. A sitemap with an address twice would be refused as a whole.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use crate::domain::site::{language::LanguageTag, page::Link};

/// A translation whose address is another page's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Double {
    pub key: String,
    pub locale: LanguageTag,
    /// The page that has the address.
    pub holder: String,
}

impl Double {
    /// Why it is not published, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("the page {:?} has the same address; give one of them another, or remove it", self.holder)
    }
}

/// Where pages of one shard are, by hash: most shards have no address twice, and need nothing of [`take_doubles`].
#[derive(Debug, Default)]
pub struct Addresses {
    keys: RandomState,
    hashes: HashSet<u64>,
}

impl Addresses {
    /// Whether its address is there for the first time, for certain.
    pub fn insert(&mut self, link: &Link) -> bool {
        self.hashes.insert(self.keys.hash_one((&link.locale, &link.path)))
    }
}

/// Takes the links out of `pages` whose addresses are other pages'. `keys` are the pages'.
pub fn take_doubles(keys: &[String], pages: &mut [Vec<Link>]) -> Vec<Double> {
    let mut holders: HashMap<(LanguageTag, String), usize> = HashMap::new();
    for (at, links) in pages.iter().enumerate() {
        for link in links {
            let holder = holders.entry((link.locale.clone(), link.path.clone())).or_insert(at);
            if rank(keys, pages, at, link) < rank(keys, pages, *holder, link) {
                *holder = at;
            }
        }
    }
    let mut doubles = Vec::new();
    for (at, links) in pages.iter_mut().enumerate() {
        links.retain(|link| {
            let holder = holders.get(&(link.locale.clone(), link.path.clone())).copied().unwrap_or(at);
            if holder != at {
                let holder = keys[holder].clone();
                doubles.push(Double { key: keys[at].clone(), locale: link.locale.clone(), holder });
            }
            holder == at
        });
    }
    doubles
}

fn rank<'a>(keys: &'a [String], pages: &[Vec<Link>], at: usize, of: &Link) -> (i64, &'a str) {
    let own = pages[at].iter().find(|link| link.locale == of.locale);
    (own.map_or(i64::MAX, |link| link.published_at.0), &keys[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMs;

    fn link(tag: &str, path: &str, published_at: i64) -> Link {
        Link {
            locale: tag.parse().unwrap(),
            path: path.to_owned(),
            published_at: UnixMs(published_at),
            updated_at: UnixMs(published_at),
            image: None,
            section: None,
            indexable: true,
            news: false,
        }
    }

    #[test]
    fn an_address_is_that_of_the_page_which_was_published_first() {
        let keys = ["a", "b", "c", "d"].map(str::to_owned);
        let mut pages = [
            vec![link("de", "/x", 5), link("fr", "/x", 5)],
            vec![link("de", "/x", 3), link("fr", "/y", 3)],
            vec![link("de", "/z", 3)],
            vec![link("fr", "/y", 3)],
        ];
        let doubles = take_doubles(&keys, &mut pages);
        let told: Vec<_> =
            doubles.iter().map(|one| (one.key.as_str(), one.locale.as_str(), one.holder.as_str())).collect();
        assert_eq!(told, [("a", "de", "b"), ("d", "fr", "b")]);
        let left: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(left, [1, 2, 1, 0]);
        assert_eq!(take_doubles(&keys, &mut pages), []);
    }
}
