//! What a page's address or a form says, as names and texts.

use std::str::FromStr;

use postrider_core::domain::UnixMs;
use url::form_urlencoded;

use crate::{
    faults::{Fault, Named},
    page::Refusal,
};

/// Fields of a query or a form at most; the rest is left out.
const FIELDS_MAX: usize = 1_100;

/// Names and values as they came. Of several values of one name the first counts, unless all are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a query, or of a form's body (`application/x-www-form-urlencoded`).
    pub(crate) fn parse(text: &[u8]) -> Self {
        // PostgreSQL keeps no NUL in a text, and nothing that somebody means has one.
        let clean = |text: std::borrow::Cow<'_, str>| match text.contains('\0') {
            true => text.replace('\0', ""),
            false => text.into_owned(),
        };
        let pairs = form_urlencoded::parse(text).take(FIELDS_MAX);
        Self(pairs.map(|(name, value)| (clean(name), clean(value))).collect())
    }

    /// A value without the blanks around it; `None` where it is absent or empty, as a form's field is that nobody filled in.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A value as it came.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// When the field is filled in and is no `what`, which reads on after "is no".
    pub(crate) fn parsed<T: FromStr>(&self, named: Named, what: &str) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(named.0) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Fault::of(named, format!("{text:?} is no {what}")))
    }

    /// A time as people write it, in UTC where it has no offset.
    ///
    /// # Errors
    /// When the field is filled in and is no time.
    pub(crate) fn time(&self, named: Named) -> Result<Option<UnixMs>, Fault> {
        let Some(text) = self.text(named.0) else { return Ok(None) };
        let refused = |_| {
            Fault::of(named, format!("{text:?} is no time like 2026-01-31, 2026-01-31 12:00 or 2026-01-31T12:00:00Z"))
        };
        UnixMs::parse_typed(text).map(Some).map_err(refused)
    }

    /// Where a further page of a list begins.
    ///
    /// # Errors
    /// When the link to it was changed.
    pub(crate) fn before<T: FromStr>(&self) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text("before") else { return Ok(None) };
        let cut_off =
            || Refusal::Bad("The link to this page of the list is cut off. Begin with its first page.".to_owned());
        text.parse().map(Some).map_err(|_| cut_off())
    }

    /// All names and values, in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a name that is filled in.
    pub(crate) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The same fields as a query, without those of these names; begins with `?` where there are any.
    pub(crate) fn query_without(&self, names: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, value)| !names.contains(&name.as_str()) && !value.is_empty());
        query(kept.map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The same fields as a query with another value of one.
    pub(crate) fn query_with(&self, name: &str, value: &str) -> String {
        let rest = self.query_without(&[name]);
        let one = query([(name, value)].into_iter());
        match rest.is_empty() {
            true => one,
            false => format!("{rest}&{}", one.trim_start_matches('?')),
        }
    }
}

fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if text.is_empty() { text } else { format!("?{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_field_is_none_and_a_query_is_written_again_without_it() {
        let fields = Fields::parse(b"q=a%26b+c&kind=&status=503&before=dl_1");
        assert_eq!((fields.text("q"), fields.text("kind"), fields.raw("kind")), (Some("a&b c"), None, Some("")));
        assert_eq!(fields.query_without(&["before"]), "?q=a%26b+c&status=503");
        assert_eq!(fields.query_with("status", "500"), "?q=a%26b+c&before=dl_1&status=500");
        assert_eq!(Fields::default().query_without(&[]), "");
    }
}
