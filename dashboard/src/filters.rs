//! How figures and codes are written on pages. Templates find these filters by the name of this file.
#![expect(unreachable_pub, reason = "askama makes public functions of filters")]

use std::fmt::{Display, Write};

use askama::filters::{Html, Safe, escape};
use postrider_core::domain::attempt::AttemptClass;

/// A whole number with a comma between its thousands, as in "1,234,567". For how many there are, never for a name or a code.
pub(crate) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The same for templates: `{{ seen|count }}`.
#[askama::filter_fn]
pub(crate) fn count(number: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(grouped(number))
}

/// A time to the minute, of one as RFC 3339 has it in UTC.
#[askama::filter_fn]
pub(crate) fn minute(at: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(to_the_minute(&at.to_string()))
}

fn to_the_minute(at: &str) -> String {
    at.get(..16).map_or_else(|| at.to_owned(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

/// What came of an attempt in words, for the code that the API and the metrics have of it.
pub(crate) fn in_words(outcome: &str) -> &str {
    outcome.parse::<AttemptClass>().map_or(outcome, |class| class.in_words())
}

/// The same for templates: `{{ row.outcome|words }}`.
#[askama::filter_fn]
pub(crate) fn words(outcome: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(in_words(&outcome.to_string()).to_owned())
}

/// A text of ours in which code stands between backticks. It is escaped as any other.
#[askama::filter_fn]
pub(crate) fn marked(text: impl Display, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
    Ok(Safe(mark(&text.to_string())?))
}

fn mark(text: &str) -> askama::Result<String> {
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = escape(part, Html)?;
        match place % 2 {
            0 => write!(html, "{part}")?,
            _ => write!(html, "<code>{part}</code>")?,
        }
    }
    Ok(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted_by_commas() {
        let numbers = [0_u64, 7, 999, 1_000, 12_345, 999_999, 1_000_000, 1_234_567_890];
        assert_eq!(numbers.map(grouped), ["0", "7", "999", "1,000", "12,345", "999,999", "1,000,000", "1,234,567,890"]);
    }

    #[test]
    fn a_time_is_told_to_the_minute() {
        assert_eq!(to_the_minute("2026-11-23T14:40:21.073Z"), "2026-11-23 14:40 UTC");
    }

    #[test]
    fn code_is_marked_and_nothing_stays_unescaped() {
        assert_eq!(mark("Set `a<b` & go").unwrap(), "Set <code>a&#60;b</code> &#38; go");
        assert_eq!(mark("none").unwrap(), "none");
    }

    #[test]
    fn an_outcome_is_told_in_words_and_an_unknown_one_as_it_is() {
        assert_eq!(["http_status", "tls", "other"].map(in_words), ["HTTP status", "TLS handshake failed", "other"]);
    }
}
