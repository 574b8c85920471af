//! Whether a site's pages are still reached past its redirect rules, under each spelling that browsers, mail programs and
//! content systems make of an address; and which rules can do no good. Owns what is found, not how it is told.

use percent_encoding::{AsciiSet, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization;

use super::{
    permalink::Permalink,
    redirects::{End, HOPS_MAX, Redirects},
};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: Found,
    /// The line of the rule that it is about.
    pub line: Option<usize>,
    /// The address or path that shows it.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Found {
    #[error("the rules lead round in a circle, or over more than {HOPS_MAX} hops")]
    Loop,
    #[error("the rules lead over {hops} hops to {to}; one is enough")]
    Chain { hops: usize, to: String },
    #[error("the rule is never reached: the one in line {by} takes all that it would")]
    Shadowed { by: usize },
    #[error("the page is redirected away, to {to}")]
    Lost { to: String },
    #[error("written {spelling}, the page's address leads to {to} and not to the page")]
    Strayed { spelling: Spelling, to: String },
    #[error("written {spelling}, the page's address goes round in a circle")]
    StrayedLoop { spelling: Spelling },
    #[error("written {spelling}, the page's address is another path, and no rule leads from it to the page")]
    Unhandled { spelling: Spelling },
    #[error("no page can have this address: {why}")]
    Refused { why: String },
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Note,
    Warning,
    Error,
}

/// A way in which an address is written that its page has to answer all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Letters as one character each (NFC), as they stand, without codes.
    Nfc,
    /// Letters and accents apart (NFD), as macOS writes them.
    Nfd,
    LowerHex,
    EncodedTwice,
}

impl Spelling {
    const ALL: [Self; 4] = [Self::Nfc, Self::Nfd, Self::LowerHex, Self::EncodedTwice];

    /// The path in this spelling.
    fn of(self, canonical: &str) -> String {
        match self {
            Self::Nfc => readable(canonical),
            Self::Nfd => {
                utf8_percent_encode(&readable(canonical).nfd().collect::<String>(), &AsciiSet::EMPTY).to_string()
            }
            Self::LowerHex => in_lower_hex(canonical),
            Self::EncodedTwice => canonical.replace('%', "%25"),
        }
    }
}

impl std::fmt::Display for Spelling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nfc => "in letters (NFC)",
            Self::Nfd => "with letters and accents apart (NFD)",
            Self::LowerHex => "with codes in lower case",
            Self::EncodedTwice => "with its codes encoded twice",
        })
    }
}

impl Found {
    /// The name under which pipelines know it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Loop => "redirect-loop",
            Self::Chain { .. } => "redirect-chain",
            Self::Shadowed { .. } => "redirect-shadowed",
            Self::Lost { .. } => "link-lost",
            Self::Strayed { .. } => "spelling-strays",
            Self::StrayedLoop { .. } => "spelling-loops",
            Self::Unhandled { .. } => "spelling-unhandled",
            Self::Refused { .. } => "address-refused",
        }
    }

    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Loop | Self::Lost { .. } | Self::Strayed { .. } | Self::StrayedLoop { .. } | Self::Refused { .. } => {
                Level::Error
            }
            Self::Chain { .. } | Self::Shadowed { .. } => Level::Warning,
            Self::Unhandled { .. } => Level::Note,
        }
    }
}

/// What is wrong with the rules, whatever pages there are.
#[must_use]
pub fn judge_rules(rules: &Redirects) -> Vec<Finding> {
    let line = |place: usize| rules.rules().get(place).map_or(0, |rule| rule.line);
    let shadowed = rules.shadowed().into_iter().map(|(place, by)| Finding {
        what: Found::Shadowed { by: line(by) },
        line: Some(line(place)),
        path: rules.rules()[place].example().unwrap_or_default().to_owned(),
    });
    let ways = rules.rules().iter().filter_map(|rule| {
        let path = rule.example()?;
        let way = rules.follow(path);
        let what = match (&way.end, way.rules.len()) {
            (End::Loop, _) => Found::Loop,
            (End::At(to) | End::Elsewhere(to), hops) if hops > 1 => Found::Chain { hops, to: to.clone() },
            _ => return None,
        };
        Some(Finding { what, line: Some(rule.line), path: path.to_owned() })
    });
    shadowed.chain(ways).collect()
}

/// What is wrong with one page's address.
#[must_use]
pub fn judge_page(rules: &Redirects, page: &Permalink) -> Vec<Finding> {
    let (origin, canonical) = page.split();
    let line =
        |rules_on_way: &[usize]| rules_on_way.first().and_then(|place| rules.rules().get(*place)).map(|rule| rule.line);
    let way = rules.follow(canonical);
    let lost = match (&way.end, way.rules.is_empty()) {
        (_, true) => None,
        (End::Loop, _) => Some(Found::Loop),
        (End::At(to) | End::Elsewhere(to), _) => Some(Found::Lost { to: to.clone() }),
    };
    if let Some(what) = lost {
        return vec![Finding { what, line: line(&way.rules), path: page.as_str().to_owned() }];
    }
    let spellings = Spelling::ALL.into_iter().filter_map(|spelling| {
        let path = spelling.of(canonical);
        let way = rules.follow(&path);
        let is_page = |to: &str| same(to.strip_prefix(origin).unwrap_or(to), canonical);
        let what = match (way.end, way.rules.len()) {
            (End::Loop, _) => Found::StrayedLoop { spelling },
            (End::At(to), _) if is_page(&to) => match way.rules.len() {
                hops @ 2.. => Found::Chain { hops, to },
                _ => return None,
            },
            (End::Elsewhere(to), _) if is_page(&to) => return None,
            (End::At(_), 0) => Found::Unhandled { spelling },
            (End::At(to) | End::Elsewhere(to), _) => Found::Strayed { spelling, to },
        };
        Some(Finding { what, line: line(&way.rules), path })
    });
    spellings.collect()
}

/// Whether a server takes both for one path: codes are compared by what they stand for.
fn same(one: &str, other: &str) -> bool {
    one == other || readable(one) == readable(other)
}

/// Codes of what is no ASCII as the letters that they are.
fn readable(canonical: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(canonical.len()), canonical);
    while let Some((plain, coded)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let code = coded.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|code| !code.is_ascii());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &coded[2..];
            }
            None => {
                bytes.push(b'%');
                rest = coded;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| canonical.to_owned())
}

/// Each code in lower case.
fn in_lower_hex(canonical: &str) -> String {
    let mut parts = canonical.split('%');
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        changed.push('%');
        changed.push_str(&code.to_ascii_lowercase());
        changed.push_str(rest);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::{super::permalink::BaseUrl, *};

    fn found(rules: &str, path: &str) -> Vec<(&'static str, Option<usize>)> {
        let rules = Redirects::parse(rules).unwrap();
        let page = BaseUrl::parse("https://example.com").unwrap().permalink(path).unwrap();
        judge_page(&rules, &page).into_iter().map(|finding| (finding.what.code(), finding.line)).collect()
    }

    #[test]
    fn a_page_is_tried_under_each_spelling() {
        assert_eq!(found("", "/plain"), []);
        let unhandled = ("spelling-unhandled", None);
        assert_eq!(found("", "/café"), [unhandled, unhandled]);
        assert_eq!(found("exact /cafe%CC%81 /caf%C3%A9\nexact /caf%25C3%25A9 /café", "/café"), []);
        assert_eq!(found("exact /cafe%CC%81 https://example.com/café", "/café"), [unhandled]);
        assert_eq!(found("exact /cafe%CC%81 /elsewhere", "/café")[0], ("spelling-strays", Some(1)));
        assert_eq!(found("regex ^/caf%25 /cafe\nexact /cafe /caf%25C3", "/café"), [unhandled, unhandled]);
        assert_eq!(found("exact /caf%25C3%25A9 /caf%25C3%25A9", "/café"), [unhandled, ("spelling-loops", Some(1))]);
        let chain = "exact /cafe%CC%81 /x\nexact /x /café\nexact /caf%25C3%25A9 /café";
        assert_eq!(found(chain, "/café"), [("redirect-chain", Some(1))]);
    }

    #[test]
    fn a_page_that_is_redirected_away_is_lost() {
        assert_eq!(found("prefix /news/ /archive/", "/news/a"), [("link-lost", Some(1))]);
        assert_eq!(found("exact /news/a https://example.org/", "/news/a"), [("link-lost", Some(1))]);
        assert_eq!(found("exact /a /b\nexact /b /a", "/a"), [("redirect-loop", Some(1))]);
    }

    #[test]
    fn rules_that_do_no_good_are_told() {
        let rules = Redirects::parse("prefix /a /b\nexact /a/x /c\nexact /b /d\nexact /r /s\nexact /s /r").unwrap();
        let found: Vec<_> =
            judge_rules(&rules).into_iter().map(|finding| (finding.what.code(), finding.line)).collect();
        assert_eq!(
            found,
            [
                ("redirect-shadowed", Some(2)),
                ("redirect-chain", Some(1)),
                ("redirect-loop", Some(4)),
                ("redirect-loop", Some(5)),
            ]
        );
    }
}
