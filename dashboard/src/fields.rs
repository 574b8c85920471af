//! What a page's address or a form says, as names and texts.

use url::form_urlencoded;

/// Names and values as they came. Of several values of one name the first counts, unless all are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a query, or of a form's body (`application/x-www-form-urlencoded`).
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A value without the blanks around it; `None` where it is absent or empty, as a form's field is that nobody filled in.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A value as it came.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
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
