//! The form above a list: its fields, what they hold and what is wrong with them, and short ways to a range of time.

use std::time::Duration;

use postrider_core::domain::UnixMs;

use crate::{
    faults::{Faults, Named},
    fields::{FILTER, Fields},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Ranges that end now, by name and length.
const RANGES: [(&str, Duration); 3] =
    [("last hour", HOUR), ("24 hours", HOUR.saturating_mul(24)), ("7 days", HOUR.saturating_mul(168))];
/// What another range or another filter makes void of a query.
const OF_RANGE: [&str; 3] = ["before", "since", "until"];

/// A filter, as its form shows it.
pub(crate) struct FilterForm {
    pub(crate) fields: Vec<FilterField>,
    /// Something is asked for.
    pub(crate) is_set: bool,
    /// What is asked for cannot be looked for, so that nothing was.
    pub(crate) is_faulty: bool,
    /// What is wrong with it that is wrong with none of its fields.
    pub(crate) fault: Option<String>,
    /// Name and address of each range.
    pub(crate) ranges: Vec<(&'static str, String)>,
}

impl FilterForm {
    /// What it asks for, in one line.
    pub(crate) fn told(&self) -> String {
        let said = self.fields.iter().filter(|field| !field.value.trim().is_empty());
        said.map(|field| format!("{}: {}", field.label, field.value.trim())).collect::<Vec<_>>().join(", ")
    }
}

/// A field of a filter.
pub(crate) struct FilterField {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// As it was typed.
    pub(crate) value: String,
    pub(crate) example: &'static str,
    /// Values, words and whether it is the one; empty for a field to type in.
    pub(crate) choices: Vec<(&'static str, &'static str, bool)>,
    pub(crate) fault: Option<String>,
}

/// Makes a filter's fields of what was asked for.
pub(crate) struct FieldsOf<'f> {
    pub(crate) fields: &'f Fields,
    pub(crate) faults: &'f Faults,
}

impl FieldsOf<'_> {
    /// A field to type in.
    pub(crate) fn text(&self, (name, label): Named, example: &'static str) -> FilterField {
        let value = self.fields.raw(name).unwrap_or_default().to_owned();
        FilterField { name, label, value, example, choices: Vec::new(), fault: self.faults.at(name) }
    }

    /// One of some values; `unset` stands for what is asked for where nobody says.
    pub(crate) fn choice(
        &self,
        (name, label): Named,
        unset: (&'static str, &'static str),
        values: impl Iterator<Item = &'static str>,
    ) -> FilterField {
        let chosen = self.fields.text(name).unwrap_or(unset.0).to_owned();
        let choices =
            std::iter::once(unset).chain(values.filter(|value| *value != unset.0).map(|value| (value, value)));
        let choices = choices.map(|(value, words)| (value, words, value == chosen)).collect();
        FilterField { name, label, value: chosen, example: "", choices, fault: self.faults.at(name) }
    }

    pub(crate) fn form(&self, fields: Vec<FilterField>, now: UnixMs) -> FilterForm {
        let rest = self.fields.without(&OF_RANGE);
        let range = |(name, length): (&'static str, Duration)| {
            let since = UnixMs((now - length).0 / 1000 * 1000);
            (name, rest.query_with("since", &since.in_seconds()))
        };
        FilterForm {
            fields,
            is_set: !self.fields.query_without(&["before"]).is_empty(),
            is_faulty: !self.faults.is_empty(),
            fault: self.faults.at(FILTER.0),
            ranges: RANGES.map(range).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_keeps_the_other_fields_and_no_page() {
        let fields = Fields::parse(b"q=a+b&since=x&until=y&before=job_1").unwrap();
        let form = FieldsOf { fields: &fields, faults: &Faults::default() }.form(Vec::new(), UnixMs(1_700_000_000_999));
        assert_eq!(form.ranges[0], ("last hour", "?q=a+b&since=2023-11-14T21%3A13%3A20Z".to_owned()));
        assert!(form.is_set && !form.is_faulty);
        let none = Fields::default();
        let form = FieldsOf { fields: &none, faults: &Faults::default() }.form(Vec::new(), UnixMs(1_700_000_000_999));
        assert_eq!(form.ranges[2].1, "?since=2023-11-07T22%3A13%3A20Z");
    }

    #[test]
    fn a_choice_holds_what_was_asked_for() {
        let fields = Fields::parse(b"state=dead").unwrap();
        let of = FieldsOf { fields: &fields, faults: &Faults::default() };
        let field = of.choice(("state", "State"), ("open", "open"), ["open", "dead"].into_iter());
        assert_eq!(field.choices, [("open", "open", false), ("dead", "dead", true)]);
        let field = of.choice(("kind", "Kind"), ("", "any"), ["a"].into_iter());
        assert_eq!(field.choices, [("", "any", true), ("a", "a", false)]);
    }

    #[test]
    fn a_filter_is_told_in_one_line() {
        let fields = Fields::parse(b"q=a%26b+&kind=&before=dl_1").unwrap();
        let of = FieldsOf { fields: &fields, faults: &Faults::default() };
        let state = of.choice(("state", "State"), ("open", "open"), ["dead"].into_iter());
        let asked = vec![of.text(("q", "Text"), ""), of.text(("kind", "Kind"), ""), state];
        assert_eq!(of.form(asked, UnixMs(0)).told(), "Text: a&b, State: open");
    }
}
