//! Languages as `hreflang` takes them (Google Search Central, "Localized versions of your pages"): a language of ISO 639-1,
//! with a script of ISO 15924 and a region of ISO 3166-1 alpha-2 where they are needed, in the shape of BCP 47.

use std::{fmt, str::FromStr};

use celes::Country;
use isolang::Language;
use serde::{Deserialize, Serialize};
use unicode_script::Script;

/// What ISO 15924 has beside the scripts of Unicode: variants and mixtures of them.
const SCRIPTS_WITHOUT_CHARACTERS: [&str; 10] =
    ["Aran", "Cyrs", "Hans", "Hant", "Jpan", "Kore", "Latf", "Latg", "Syre", "Hrkt"];

/// Codes that ISO 639-1 had once, and what to write instead. That of Serbo-Croatian still stands in many tables, under both its
/// codes.
const WITHDRAWN: [(&str, &str); 6] = [
    ("sh", "sr, hr or bs, whichever the pages are in"),
    ("hbs", "sr, hr or bs, whichever the pages are in"),
    ("iw", "he"),
    ("in", "id"),
    ("ji", "yi"),
    ("mo", "ro"),
];

/// Codes of three letters that no table of ISO 639-3 leads to two from, and what to write instead: those of ISO 639-2 for
/// libraries, and of single languages that two letters stand for with their kin.
const INSTEAD: [(&str, &str); 38] = [
    ("alb", "sq"),
    ("arb", "ar"),
    ("arm", "hy"),
    ("azj", "az"),
    ("baq", "eu"),
    ("bur", "my"),
    ("chi", "zh"),
    ("ckb", "ku"),
    ("cmn", "zh"),
    ("cze", "cs"),
    ("dut", "nl"),
    ("ekk", "et"),
    ("fil", "tl"),
    ("fre", "fr"),
    ("geo", "ka"),
    ("ger", "de"),
    ("gre", "el"),
    ("ice", "is"),
    ("khk", "mn"),
    ("kmr", "ku"),
    ("lvs", "lv"),
    ("mac", "mk"),
    ("mao", "mi"),
    ("may", "ms"),
    ("npi", "ne"),
    ("per", "fa"),
    ("pes", "fa"),
    ("plt", "mg"),
    ("prs", "fa"),
    ("rum", "ro"),
    ("slo", "sk"),
    ("swh", "sw"),
    ("tib", "bo"),
    ("uzn", "uz"),
    ("wel", "cy"),
    ("ydd", "yi"),
    ("yue", "zh-HK"),
    ("zsm", "ms"),
];

/// A tag like `pt-BR` or `zh-Hant-TW`, in its canonical case (RFC 5646, section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LanguageTag(String);

/// Why a text is no tag that search engines take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LanguageRefused {
    #[error("{0:?} has an underscore; write it with a hyphen: {1}")]
    Underscore(String, String),
    #[error("{0:?} has three letters; hreflang takes the two of ISO 639-1: {1}")]
    ThreeLetters(String, &'static str),
    #[error(
        "{0:?} has no two letters in ISO 639-1, and hreflang takes no others, so search engines would pass it over; leave \
        the language out"
    )]
    NoTwoLetters(String),
    #[error("{0:?} was withdrawn from ISO 639-1; write {1}")]
    Withdrawn(String, &'static str),
    #[error("{0:?} is no language of ISO 639-1, two letters like en")]
    Language(String),
    #[error("{0:?} is no script of ISO 15924, four letters like Latn")]
    Script(String),
    #[error("UK is no region of ISO 3166-1; the United Kingdom is GB")]
    Uk,
    #[error("{0:?} is an area of many countries; hreflang takes one of ISO 3166-1, or the language alone")]
    Area(String),
    #[error("{0:?} is no region of ISO 3166-1, two letters like GB")]
    Region(String),
    #[error("{0:?} has more than a language, a script and a region")]
    Surplus(String),
}

impl LanguageTag {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language alone, in two letters.
    #[must_use]
    pub fn language(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }

    /// As `news:language` takes it (sitemap-news 0.9): the language alone, but for Chinese.
    #[must_use]
    pub fn of_news(&self) -> &str {
        if self.language() != "zh" {
            return self.language();
        }
        let is = |part: &str| self.0.split('-').skip(1).any(|other| other == part);
        if is("Hant") || (!is("Hans") && (is("TW") || is("HK") || is("MO"))) { "zh-tw" } else { "zh-cn" }
    }
}

impl FromStr for LanguageTag {
    type Err = LanguageRefused;

    fn from_str(text: &str) -> Result<Self, LanguageRefused> {
        if text.contains('_') {
            return Err(LanguageRefused::Underscore(text.to_owned(), text.replace('_', "-")));
        }
        let mut parts = text.split('-').peekable();
        let mut tag = language(parts.next().unwrap_or_default())?;
        if let Some(part) = parts.next_if(|part| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_alphabetic()))
        {
            tag = format!("{tag}-{}", script(part)?);
        }
        if let Some(part) = parts.next() {
            tag = format!("{tag}-{}", region(part)?);
        }
        match parts.next() {
            Some(_) => Err(LanguageRefused::Surplus(text.to_owned())),
            None => Ok(Self(tag)),
        }
    }
}

fn language(part: &str) -> Result<String, LanguageRefused> {
    let lower = part.to_ascii_lowercase();
    if let Some((_, instead)) = WITHDRAWN.iter().find(|(code, _)| *code == lower) {
        return Err(LanguageRefused::Withdrawn(part.to_owned(), instead));
    }
    if lower.len() == 2 && Language::from_639_1(&lower).is_some() {
        return Ok(lower);
    }
    if let Some((_, instead)) = INSTEAD.iter().find(|(code, _)| *code == lower) {
        return Err(LanguageRefused::ThreeLetters(part.to_owned(), instead));
    }
    Err(match Language::from_639_3(&lower).map(|language| language.to_639_1()) {
        Some(Some(two)) => LanguageRefused::ThreeLetters(part.to_owned(), two),
        Some(None) => LanguageRefused::NoTwoLetters(part.to_owned()),
        None => LanguageRefused::Language(part.to_owned()),
    })
}

fn script(part: &str) -> Result<String, LanguageRefused> {
    let mut name = part.to_ascii_lowercase();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let of_unicode = Script::from_short_name(&name)
        .is_some_and(|script| !matches!(script, Script::Common | Script::Inherited | Script::Unknown));
    match of_unicode || SCRIPTS_WITHOUT_CHARACTERS.contains(&name.as_str()) {
        true => Ok(name),
        false => Err(LanguageRefused::Script(part.to_owned())),
    }
}

fn region(part: &str) -> Result<String, LanguageRefused> {
    let upper = part.to_ascii_uppercase();
    let is_area =
        upper == "LATAM" || upper == "EU" || (upper.len() == 3 && upper.bytes().all(|byte| byte.is_ascii_digit()));
    match upper.as_str() {
        "UK" => Err(LanguageRefused::Uk),
        _ if is_area => Err(LanguageRefused::Area(part.to_owned())),
        _ if upper.len() == 2 && Country::from_alpha2(&upper).is_ok() => Ok(upper),
        _ => Err(LanguageRefused::Region(part.to_owned())),
    }
}

impl TryFrom<String> for LanguageTag {
    type Error = LanguageRefused;
    fn try_from(text: String) -> Result<Self, LanguageRefused> {
        text.parse()
    }
}

impl From<LanguageTag> for String {
    fn from(tag: LanguageTag) -> Self {
        tag.0
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_taken_in_their_canonical_case() {
        for (text, tag) in [
            ("en", "en"),
            ("EN-us", "en-US"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("sr-Latn", "sr-Latn"),
            ("pt-BR", "pt-BR"),
            ("ja-Jpan", "ja-Jpan"),
        ] {
            assert_eq!(text.parse::<LanguageTag>().map(String::from), Ok(tag.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_search_engines_pass_over_is_refused_by_name() {
        let refused = |text: &str| text.parse::<LanguageTag>().expect_err(text).to_string();
        assert_eq!(refused("en-UK"), "UK is no region of ISO 3166-1; the United Kingdom is GB");
        assert_eq!(refused("en_US"), "\"en_US\" has an underscore; write it with a hyphen: en-US");
        assert!(refused("es-LATAM").contains("area of many countries"));
        assert!(refused("es-419").contains("area of many countries"));
        assert_eq!(refused("eng"), "\"eng\" has three letters; hreflang takes the two of ISO 639-1: en");
        for (text, two) in [("fil-PH", "tl"), ("ger", "de"), ("cmn-Hans", "zh")] {
            assert!(refused(text).ends_with(&format!("takes the two of ISO 639-1: {two}")), "{}", refused(text));
        }
        for (code, instead) in INSTEAD {
            let is_known = Language::from_639_3(code).is_some_and(|language| language.to_639_1().is_some());
            assert!(!is_known && instead.parse::<LanguageTag>().is_ok(), "{code}");
        }
        assert!(refused("haw-US").starts_with("\"haw\" has no two letters in ISO 639-1"), "{}", refused("haw-US"));
        for text in ["sh", "SH-RS", "sh-Latn", "hbs"] {
            assert!(
                refused(text).ends_with("withdrawn from ISO 639-1; write sr, hr or bs, whichever the pages are in"),
                "{text}"
            );
        }
        assert_eq!(refused("iw-IL"), "\"iw\" was withdrawn from ISO 639-1; write he");
        assert!(refused("xx").contains("no language"));
        assert!(refused("").contains("no language"));
        assert!(refused("zh-Zyyy").contains("no script"));
        assert!(refused("en-ZZ").contains("no region"));
        assert!(refused("de-DE-1996").contains("more than"));
        assert!(refused("x-default").contains("no language"));
    }

    #[test]
    fn news_sitemaps_know_two_kinds_of_chinese_and_else_the_language() {
        let news = |text: &str| text.parse::<LanguageTag>().unwrap().of_news().to_owned();
        assert_eq!(
            ["zh", "zh-Hant", "zh-TW", "zh-Hans-TW", "zh-HK"].map(news),
            ["zh-cn", "zh-tw", "zh-tw", "zh-cn", "zh-tw"]
        );
        assert_eq!(["pt-BR", "sr-Latn"].map(news), ["pt", "sr"]);
    }
}
