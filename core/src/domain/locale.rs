//! The language of a person, in the shape of BCP 47. Laxer than the tags of sites ([`super::site::language`]), which are as search
//! engines take them: a person's comes from a browser or a telephone, so `es-419`, `fil` and `en-u-hc-h23` are right too.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Characters of a tag (RFC 5646, section 4.4.1, which says how many are enough).
const CHARS_MAX: usize = 35;
/// Characters of one part of it (RFC 5646, section 2.1).
const PART_CHARS_MAX: usize = 8;

/// A well-formed tag like `pt-BR` or `zh-Hant-TW`, in its conventional case (RFC 5646, section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no language tag of BCP 47 like en, pt-BR or zh-Hant-TW; its parts are joined by hyphens")]
pub struct LocaleError(String);

impl Locale {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Locale {
    type Err = LocaleError;

    fn from_str(text: &str) -> Result<Self, LocaleError> {
        let refused = || LocaleError(text.chars().take(64).collect());
        let is_part = |part: &str| {
            (1..=PART_CHARS_MAX).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let language = text.split('-').next().unwrap_or_default();
        let is_language = language.len() >= 2 && language.bytes().all(|byte| byte.is_ascii_alphabetic());
        // A single character begins an extension, which is not empty.
        let is_whole = text.rsplit('-').next().is_some_and(|last| last.len() > 1);
        if text.len() > CHARS_MAX || !is_language || !is_whole || !text.split('-').all(is_part) {
            return Err(refused());
        }
        let (mut tag, mut in_extension) = (String::with_capacity(text.len()), false);
        for (place, part) in text.split('-').enumerate() {
            if place > 0 {
                tag.push('-');
            }
            match part.len() {
                2 if place > 0 && !in_extension => tag.push_str(&part.to_ascii_uppercase()),
                4 if place > 0 && !in_extension => {
                    tag.push_str(&part[..1].to_ascii_uppercase());
                    tag.push_str(&part[1..].to_ascii_lowercase());
                }
                _ => tag.push_str(&part.to_ascii_lowercase()),
            }
            in_extension |= part.len() == 1;
        }
        Ok(Self(tag))
    }
}

impl TryFrom<String> for Locale {
    type Error = LocaleError;
    fn try_from(text: String) -> Result<Self, LocaleError> {
        text.parse()
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> Self {
        locale.0
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_kept_in_its_conventional_case() {
        for (text, kept) in [
            ("en", "en"),
            ("PT-br", "pt-BR"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("FIL-ph", "fil-PH"),
            ("de-ch-1996", "de-CH-1996"),
            ("ca-ES-VALENCIA", "ca-ES-valencia"),
            ("en-us-u-hc-H23", "en-US-u-hc-h23"),
            ("az-Arab-x-AZE-derbend", "az-Arab-x-aze-derbend"),
        ] {
            assert_eq!(text.parse::<Locale>().as_ref().map(Locale::as_str), Ok(kept));
        }
    }

    #[test]
    fn what_is_no_tag_is_refused_by_name() {
        for text in
            ["", "e", "en_US", "en-", "-en", "en--US", "en-u", "e1", "en US", "engelsk-nynorsken", "é", "x-private"]
        {
            let refused = text.parse::<Locale>().expect_err(text).to_string();
            assert!(refused.starts_with(&format!("{text:?}")), "{refused}");
        }
        assert!(format!("en-{}", ["abcdefgh"; 4].join("-")).parse::<Locale>().is_err());
    }
}
