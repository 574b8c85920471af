//! Times in produced files, in the one form of each format.

use jiff::fmt::rfc2822;

use super::elements::What;
use crate::{domain::UnixMs, site::rss::rfc_822};

/// As in `2026-01-31T12:00:00Z`.
pub(super) fn rfc_3339_of(name: &str, text: &str) -> Result<UnixMs, What> {
    let bytes = text.as_bytes();
    let has_form = bytes.len() == 20 && bytes[10] == b'T' && bytes[19] == b'Z';
    match UnixMs::parse(text) {
        Ok(at) if has_form => Ok(at),
        _ => Err(format!("{name}: {text:?} is no time like 2026-01-31T12:00:00Z")),
    }
}

/// As in `Sat, 31 Jan 2026 12:00:00 GMT`: the weekday is the date's, the year has four digits, the zone is no region's.
pub(super) fn rfc_822_of(name: &str, text: &str) -> Result<UnixMs, What> {
    let at = rfc2822::parse(text).ok().map(|time| UnixMs(time.timestamp().as_millisecond()));
    match at {
        Some(at) if rfc_822(at) == text => Ok(at),
        _ => Err(format!("{name}: {text:?} is no time like Sat, 31 Jan 2026 12:00:00 GMT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_another_form_are_refused() {
        let at = UnixMs::parse("2026-01-31T12:00:00Z").unwrap();
        assert_eq!(rfc_822_of("pubDate", "Sat, 31 Jan 2026 12:00:00 GMT"), Ok(at));
        assert_eq!(rfc_3339_of("updated", "2026-01-31T12:00:00Z"), Ok(at));
        for text in [
            "Sat, 31 Jan 26 12:00:00 GMT",
            "Fri, 31 Jan 2026 12:00:00 GMT",
            "Sam, 31 Jan 2026 12:00:00 GMT",
            "Sat, 31 Jan 2026 12:00:00 CEST",
            "Sat, 31 Feb 2026 12:00:00 GMT",
            "Sat, 31 Jan 2026 12:00:00",
            "Sat, 31 Jan 2026 12:00 GMT",
            "2026-01-31T12:00:00Z",
            "",
        ] {
            assert!(rfc_822_of("pubDate", text).unwrap_err().starts_with("pubDate: "), "{text}");
        }
        for text in [
            "2026-01-31",
            "2026-01-31T12:00Z",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-02-31T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31t12:00:00Z",
            "Sat, 31 Jan 2026 12:00:00 GMT",
        ] {
            assert!(rfc_3339_of("updated", text).is_err(), "{text}");
        }
    }
}
