//! What a page's address or a form says, as names and texts.

use std::str::FromStr;

use postrider_core::domain::UnixMs;
use url::form_urlencoded;

use crate::{
    faults::{Fault, Faults, Named},
    page::Refusal,
};

/// Fields of a query or a form at most: what is ticked on a page, and some more.
const FIELDS_MAX: usize = 1_100;

/// A filter as a whole, for what is wrong with none of its fields.
pub(crate) const FILTER: Named = ("filter", "The filter");

/// Names and values as they came. Of several values of one name the first counts, unless all are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a query, or of a form's body (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// When there are more than are read: half of what somebody asked for is not what they asked for.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        // PostgreSQL keeps no NUL in a text, and nothing that somebody means has one.
        let clean = |text: std::borrow::Cow<'_, str>| match text.contains('\0') {
            true => text.replace('\0', ""),
            false => text.into_owned(),
        };
        if form_urlencoded::parse(text).nth(FIELDS_MAX).is_some() {
            return Err(Refusal::Bad(format!(
                "This address or form has more than {FIELDS_MAX} fields, and no more are read. Nothing of it was looked at. \
                Go back and select fewer at once, or ask for them by a filter."
            )));
        }
        let pairs = form_urlencoded::parse(text);
        Ok(Self(pairs.map(|(name, value)| (clean(name), clean(value))).collect()))
    }

    /// The same without the fields of these names.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
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
        let time = UnixMs::parse_typed(text).ok();
        if is_far(text) || time.is_some_and(|time| time < UnixMs(0)) {
            return Err(Fault::of(named, format!("{text:?} is too far away: times are from 1970 to 9998")));
        }
        let refused = || {
            Fault::of(named, format!("{text:?} is no time like 2026-01-31, 2026-01-31 12:00 or 2026-01-31T12:00:00Z"))
        };
        time.map(Some).ok_or_else(refused)
    }

    /// A range of time, each end of which may be open. One that ends before it begins is a fault of where it begins.
    pub(crate) fn range(&self, since: Named, until: Named, faults: &mut Faults) -> (Option<UnixMs>, Option<UnixMs>) {
        let ends = (faults.read(self.time(since)), faults.read(self.time(until)));
        if let (Some(from), Some(to)) = ends
            && from > to
        {
            faults
                .add(Fault::of(since, format!("{from} is later than {to}, where the range ends; nothing is between")));
        }
        ends
    }

    /// Where a further page of a list begins.
    ///
    /// # Errors
    /// When the link to it was changed.
    pub(crate) fn before<T: FromStr>(&self) -> Result<Option<T>, Refusal> {
        self.before_by(|text| text.parse().ok())
    }

    /// As [`Self::before`], of a list whose places are no ids.
    pub(crate) fn before_by<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text("before") else { return Ok(None) };
        let cut_off =
            || Refusal::Bad("The link to this page of the list is cut off. Begin with its first page.".to_owned());
        read(text).map(Some).ok_or_else(cut_off)
    }

    /// Of a filter: `single` are its fields, each of which is there once at most, and `many` those that may be there again.
    ///
    /// # Errors
    /// When there is another, or one twice: what is asked for would be read as more than is meant.
    pub(crate) fn only(&self, single: &[&str], many: &[&str]) -> Result<(), Fault> {
        let mut seen = Vec::new();
        for (name, _) in self.pairs().filter(|(name, _)| !many.contains(name)) {
            if !single.contains(&name) {
                return Err(Fault::of(FILTER, format!("it has no field {name:?}")));
            }
            if seen.contains(&name) {
                return Err(Fault::of(FILTER, format!("{name:?} is there more than once")));
            }
            seen.push(name);
        }
        Ok(())
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

/// Whether a text is written like a date before the first year, or after those that times are kept of.
fn is_far(text: &str) -> bool {
    let year = text.trim_start_matches(['+', '-']);
    let digits = year.bytes().take_while(u8::is_ascii_digit).count();
    let is_after = digits > 4 || year.starts_with("9999");
    year[digits..].starts_with('-') && (is_after || year.len() < text.len())
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
        let fields = Fields::parse(b"q=a%26b+c&kind=&status=503&before=dl_1").unwrap();
        assert_eq!((fields.text("q"), fields.text("kind"), fields.raw("kind")), (Some("a&b c"), None, Some("")));
        assert_eq!(fields.query_without(&["before"]), "?q=a%26b+c&status=503");
        assert_eq!(fields.query_with("status", "500"), "?q=a%26b+c&before=dl_1&status=500");
        assert_eq!(Fields::default().query_without(&[]), "");
    }

    #[test]
    fn a_field_that_a_filter_lacks_or_has_twice_is_a_fault() {
        let of = |query: &str| {
            let judged = Fields::parse(query.as_bytes()).unwrap().only(&["q", "kind"], &["id"]);
            judged.err().map(|fault| fault.words).unwrap_or_default()
        };
        assert_eq!(of("q=&kind=a&id=1&id=2"), "");
        assert_eq!(of("q=a&cause=gone"), "it has no field \"cause\"");
        assert_eq!(of("q=&q=a"), "\"q\" is there more than once");
    }

    #[test]
    fn more_fields_than_are_read_are_refused() {
        let of = |count: usize| Fields::parse("a=1&".repeat(count).as_bytes());
        assert_eq!(of(FIELDS_MAX).unwrap().all("a").count(), FIELDS_MAX);
        assert!(matches!(of(FIELDS_MAX + 1), Err(Refusal::Bad(words)) if words.contains("1100 fields")));
    }

    #[test]
    fn what_is_wrong_with_a_time_is_said_plainly() {
        let fault = |text: &str| {
            let fields = Fields(vec![("t".to_owned(), text.to_owned())]);
            fields.time(("t", "T")).err().map(|fault| fault.words).unwrap_or_default()
        };
        for far in ["20260-01-01", "+12345-01-01T00:00Z", "-0001-01-01", "1969-12-31", "9999-12-31", "99999-01-01"] {
            assert!(fault(far).contains("from 1970 to 9998"), "{far}: {}", fault(far));
        }
        for none in ["soon", "2026", "1700000000", "2026-13-01", "-", "\u{e9}-1"] {
            assert!(fault(none).contains("is no time like"), "{none}: {}", fault(none));
        }
        for time in ["1970-01-01", "9998-12-31 23:59", "2026-01-31T12:00:00+02:00"] {
            assert_eq!(fault(time), "", "{time}");
        }
    }
}
