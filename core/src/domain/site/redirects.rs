//! A site's redirect rules, as its server applies them: from the first to the last, the first that matches wins.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use regex::Regex;

/// Hops that a browser follows at most (Fetch, section 4.4).
pub const HOPS_MAX: usize = 20;

/// One rule of a file.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// Of the file, from 1.
    pub line: usize,
    from: From,
    /// A path, or an address elsewhere. `$1` is what a pattern's first group matched.
    pub to: String,
}

#[derive(Clone, Debug)]
enum From {
    Exact(String),
    Prefix(String),
    /// With what it leads to, as the library wants it.
    Pattern(Regex, String),
}

/// All rules of a site, in their order.
#[derive(Clone, Debug, Default)]
pub struct Redirects(Vec<Redirect>);

/// Why a line of the file is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct RuleRefused {
    pub line: usize,
    pub why: String,
}

/// Where a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The places of the rules that it went through.
    pub rules: Vec<usize>,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// No rule matches this path, so the application answers.
    At(String),
    /// An address of another host.
    Elsewhere(String),
    /// It comes back to where it was, or goes on for more hops than a browser follows.
    Loop,
}

impl Redirects {
    /// Lines of `exact|prefix|regex FROM TO`; empty ones and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// Every line that is no rule.
    pub fn parse(text: &str) -> Result<Self, Vec<RuleRefused>> {
        let (mut rules, mut refused) = (Vec::new(), Vec::new());
        for (place, line) in text.lines().enumerate() {
            let line_text = line.trim();
            if line_text.is_empty() || line_text.starts_with('#') {
                continue;
            }
            match rule(place + 1, line_text) {
                Ok(rule) => rules.push(rule),
                Err(why) => refused.push(RuleRefused { line: place + 1, why }),
            }
        }
        if refused.is_empty() { Ok(Self(rules)) } else { Err(refused) }
    }

    #[must_use]
    pub fn rules(&self) -> &[Redirect] {
        &self.0
    }

    /// The way of a request for this path.
    #[must_use]
    pub fn follow(&self, path: &str) -> Way {
        let (mut seen, mut rules, mut path) = (Vec::new(), Vec::new(), path.to_owned());
        while let Some((place, to)) = self.step(&path) {
            rules.push(place);
            let key = decoded(&path).into_owned();
            if seen.contains(&key) || rules.len() > HOPS_MAX {
                return Way { rules, end: End::Loop };
            }
            seen.push(key);
            if !to.starts_with('/') {
                return Way { rules, end: End::Elsewhere(to) };
            }
            path = to;
        }
        Way { rules, end: End::At(path) }
    }

    /// The first rule that matches a path, and where it leads.
    #[must_use]
    pub fn step(&self, path: &str) -> Option<(usize, String)> {
        let path = decoded(path);
        self.0.iter().enumerate().find_map(|(place, rule)| Some((place, rule.apply(&path)?)))
    }

    /// Rules that no request reaches, each with the earlier one that takes all of its requests.
    #[must_use]
    pub fn shadowed(&self) -> Vec<(usize, usize)> {
        let covers = |place: usize| self.0[..place].iter().position(|earlier| earlier.covers(&self.0[place].from));
        (0..self.0.len()).filter_map(|place| Some((place, covers(place)?))).collect()
    }
}

impl Redirect {
    /// A path that it matches, where one can be told.
    #[must_use]
    pub fn example(&self) -> Option<&str> {
        match &self.from {
            From::Exact(path) | From::Prefix(path) => Some(path),
            From::Pattern(..) => None,
        }
    }

    fn apply(&self, path: &str) -> Option<String> {
        match &self.from {
            From::Exact(from) => (from == path).then(|| self.to.clone()),
            From::Prefix(from) => path.strip_prefix(from.as_str()).map(|rest| format!("{}{rest}", self.to)),
            From::Pattern(pattern, template) => {
                let groups = pattern.captures(path)?;
                let mut to = String::new();
                groups.expand(template, &mut to);
                Some(to)
            }
        }
    }

    /// Whether it takes all that `later` would.
    fn covers(&self, later: &From) -> bool {
        match (&self.from, later) {
            (From::Exact(from), From::Exact(path)) => from == path,
            (From::Prefix(from), From::Exact(path) | From::Prefix(path)) => path.starts_with(from.as_str()),
            (From::Pattern(pattern, _), From::Exact(path)) => pattern.is_match(path),
            (From::Pattern(pattern, _), From::Pattern(other, _)) => pattern.as_str() == other.as_str(),
            (From::Exact(_) | From::Pattern(..), From::Prefix(_))
            | (From::Exact(_) | From::Prefix(_), From::Pattern(..)) => false,
        }
    }
}

fn rule(line: usize, text: &str) -> Result<Redirect, String> {
    let mut words = text.split_whitespace();
    let (Some(kind), Some(from), Some(to), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(format!("{text:?} is no rule; write exact, prefix or regex, then from where and to where"));
    };
    let is_path = |text: &str| text.starts_with('/') && !text.starts_with("//");
    if !is_path(to) && !to.starts_with("https://") && !to.starts_with("http://") && !to.starts_with('$') {
        return Err(format!("{to:?} is neither a path that begins with / nor an address"));
    }
    let plain = || is_path(from).then(|| decoded(from).into_owned()).ok_or(format!("{from:?} does not begin with /"));
    let from = match kind {
        "exact" => From::Exact(plain()?),
        "prefix" => From::Prefix(plain()?),
        "regex" => {
            let pattern = Regex::new(from).map_err(|error| format!("{from:?} is no pattern: {error}"))?;
            let template = template(to, &pattern)?;
            From::Pattern(pattern, template)
        }
        other => return Err(format!("{other:?} is none of exact, prefix and regex")),
    };
    Ok(Redirect { line, from, to: to.to_owned() })
}

/// What a pattern leads to, in the words of the library, to which `$1a` is a group of that name. To servers it is the first group
/// and an `a`: a number has one digit there, unless it stands in braces.
fn template(to: &str, pattern: &Regex) -> Result<String, String> {
    let (mut template, mut rest) = (String::new(), to);
    while let Some((before, after)) = rest.split_once('$') {
        template.push_str(before);
        let braced = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let digit = after.get(..1).filter(|digit| digit.bytes().all(|byte| byte.is_ascii_digit()));
        let group = match (braced, digit) {
            (Some((group, behind)), _) => Some((group, behind)),
            (None, Some(digit)) => Some((digit, &after[1..])),
            (None, None) => None,
        };
        let Some((group, behind)) = group else {
            template.push_str("$$");
            rest = after;
            continue;
        };
        let is_there = match group.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|name| name == group),
        };
        if !is_there {
            return Err(format!("{to:?} has ${group}, and the pattern has no such group; write one, or leave it out"));
        }
        template.extend(["${", group, "}"]);
        rest = behind;
    }
    template.push_str(rest);
    Ok(template)
}

/// A path as servers compare it: its codes decoded once. As it stands where they are no UTF-8.
fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8().unwrap_or(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "# moved in 2024
exact  /old        /new
exact  /a          /b
exact  /b          /c
prefix /blog/      /news/
exact  /blog/x     /y
regex  ^/p/(\\d+)$ /post/$1
exact  /round      /about
exact  /about      /round
exact  /out        https://example.org/
exact  /caf%C3%A9  /cafe
";

    fn rules() -> Redirects {
        Redirects::parse(RULES).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_wins_until_none_does() {
        let end = |path: &str| rules().follow(path).end;
        assert_eq!(end("/old"), End::At("/new".to_owned()));
        assert_eq!(rules().follow("/a"), Way { rules: vec![1, 2], end: End::At("/c".to_owned()) });
        assert_eq!(end("/blog/x"), End::At("/news/x".to_owned()));
        assert_eq!(end("/p/12"), End::At("/post/12".to_owned()));
        assert_eq!(end("/p/x"), End::At("/p/x".to_owned()));
        assert_eq!(end("/round"), End::Loop);
        assert_eq!(end("/out"), End::Elsewhere("https://example.org/".to_owned()));
        for spelling in ["/café", "/caf%c3%a9", "/caf%C3%A9"] {
            assert_eq!(end(spelling), End::At("/cafe".to_owned()), "{spelling}");
        }
        assert_eq!(end("/caf%25C3%25A9"), End::At("/caf%25C3%25A9".to_owned()));
    }

    #[test]
    fn a_rule_behind_one_that_takes_all_of_its_requests_is_shadowed() {
        assert_eq!(rules().shadowed(), [(4, 3)]);
    }

    #[test]
    fn groups_are_named_as_servers_name_them() {
        let end = |rule: &str, path: &str| Redirects::parse(rule).unwrap().follow(path).end;
        assert_eq!(end("regex ^/p/(\\d+)$ /post/$1a", "/p/7"), End::At("/post/7a".to_owned()));
        assert_eq!(end("regex ^/p/(\\d+)$ /post/${1}0/$$/$x", "/p/7"), End::At("/post/70/$$/$x".to_owned()));
        assert_eq!(end("regex ^/p/(?<id>\\d+)$ /post/${id}/$0", "/p/7"), End::At("/post/7//p/7".to_owned()));
        for to in ["/post/$2", "/post/${2}", "/post/${id}"] {
            let refused = Redirects::parse(&format!("regex ^/p/(\\d+)$ {to}")).unwrap_err();
            assert!(refused[0].why.contains("no such group"), "{}", refused[0]);
        }
    }

    #[test]
    fn a_rule_that_grows_its_own_path_is_a_loop() {
        let grows = Redirects::parse("prefix /a /a/a").unwrap();
        assert_eq!(grows.follow("/a").end, End::Loop);
    }

    #[test]
    fn every_line_that_is_no_rule_is_named() {
        let refused = Redirects::parse("exact /a\n\nmove /a /b\nexact a /b\nexact /a b\nregex ( /b").unwrap_err();
        assert_eq!(refused.iter().map(|refused| refused.line).collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
        assert!(refused[1].to_string().starts_with("line 3: \"move\" is none of"), "{}", refused[1]);
    }
}
