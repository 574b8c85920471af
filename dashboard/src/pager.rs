//! Where a list goes on from the page that is shown: to older rows, and back to the newest.

use postrider_core::{
    domain::{UnixMs, id::Identified},
    store::Listed,
};

use crate::{fields::Fields, moment::Moment};

/// The links of one page of a list, as `pager.html` shows them.
#[derive(Default)]
pub(crate) struct Pager {
    pub(crate) older: Option<String>,
    /// Where the page is not the first.
    pub(crate) newest: Option<String>,
    /// Where the page was cut off before it was full: how far was looked.
    pub(crate) looked_to: Option<Moment>,
    pub(crate) found_none: bool,
    /// The list is in the order of keys, in which nothing is older.
    pub(crate) is_by_key: bool,
}

impl Pager {
    /// Of a list whose next part begins before `next`.
    pub(crate) fn before(query: &Fields, next: Option<String>) -> Self {
        let first = || match query.query_without(&["before"]) {
            // An empty reference would lead to this page again.
            rest if rest.is_empty() => "?".to_owned(),
            rest => rest,
        };
        Self {
            older: next.map(|next| query.query_with("before", &next)),
            newest: query.text("before").map(|_| first()),
            looked_to: None,
            found_none: false,
            is_by_key: false,
        }
    }

    /// Of a list in the order of keys, whose next part comes after `next`.
    pub(crate) fn after(query: &Fields, next: Option<String>) -> Self {
        Self { is_by_key: true, ..Self::before(query, next) }
    }

    pub(crate) fn of<R, T: Identified>(query: &Fields, listed: &Listed<R, T>) -> Self {
        Self::before(query, listed.next.map(|next| next.to_string()))
    }

    /// Of a list that looks at a bounded number of rows for the `limit` of a page.
    pub(crate) fn searched<R, T: Identified>(query: &Fields, listed: &Listed<R, T>, limit: u32, now: UnixMs) -> Self {
        let looked_to = listed.next.filter(|_| listed.rows.len() < limit as usize);
        Self {
            looked_to: looked_to.map(|last| Moment::of(last.made_at(), now)),
            found_none: listed.rows.is_empty(),
            ..Self::of(query, listed)
        }
    }

    pub(crate) const fn leads_on(&self) -> bool {
        self.older.is_some() || self.newest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_the_first_leads_back_to_it() {
        let of = |query: &str| Pager::before(&Fields::parse(query.as_bytes()).unwrap(), Some("b".to_owned()));
        let links = |query| (of(query).newest, of(query).older);
        assert_eq!(links("q=x"), (None, Some("?q=x&before=b".to_owned())));
        assert_eq!(links("before=a"), (Some("?".to_owned()), Some("?before=b".to_owned())));
        assert_eq!(links("before=a&q=x"), (Some("?q=x".to_owned()), Some("?q=x&before=b".to_owned())));
        assert!(!Pager::before(&Fields::default(), None).leads_on());
    }
}
