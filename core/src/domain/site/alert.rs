//! What is wrong with a site, so that people are told: changes that are late, regenerations that fail, nothing that runs at
//! all, and sitemaps that wait for a person.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{language::LanguageTag, settings::SiteSettings};
use crate::domain::{UnixMs, egress::EndpointUrl, email::EmailAddress};

/// Addresses that one site's alerts go to.
pub const EMAILS_MAX: usize = 20;
/// A job that has failed so often in a row is not mended by another try at once.
pub const FAILURES: u32 = 2;
/// The same of what reads back, which is tried again sooner: about 20 seconds.
pub const FAILURES_TO_READ: u32 = 6;
/// However short the promise is, something that has waited no longer than this is not idle: a worker may be starting.
const IDLE_AT_LEAST: Duration = Duration::from_secs(20);
/// Languages that a message names.
const NAMED: usize = 6;

/// Whom a site's alerts go to, beside endpoints that subscribe to `site.alert`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSettings {
    pub emails: Vec<EmailAddress>,
    /// An incoming webhook of Slack's, or of what takes the same.
    pub slack_url: Option<EndpointUrl>,
}

/// Why people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Changes are not public within the time that was promised.
    Late,
    /// What should publish them fails.
    Failing,
    /// Changes wait, and nothing has begun to publish them.
    Idle,
    /// Sitemaps lost so many addresses at once that a person is asked.
    Held,
}

impl Cause {
    pub const ALL: [Self; 4] = [Self::Late, Self::Failing, Self::Idle, Self::Held];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Failing => "failing",
            Self::Idle => "idle",
            Self::Held => "held",
        }
    }

    /// What is over, once it is.
    #[must_use]
    pub const fn recovered(self) -> &'static str {
        match self {
            Self::Late => "all changes are public again within the time that was promised",
            Self::Failing => "its jobs succeed again",
            Self::Idle => "its changes are being published again",
            Self::Held => "nothing of it waits for a person any more",
        }
    }
}

impl FromStr for Cause {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or_else(|| format!("{text:?} is no cause"))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a site does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Since when each locale waits whose changes are not all known to be public.
    pub waiting: BTreeMap<LanguageTag, UnixMs>,
    /// When the oldest change was accepted that no regeneration has seen to.
    pub stale_since: Option<UnixMs>,
    /// When the last regeneration began.
    pub run_at: Option<UnixMs>,
    /// What the jobs say that fail.
    pub failures: Vec<String>,
    /// Sitemaps that wait for a person.
    pub held: u64,
}

/// What is wrong, with words about it.
#[must_use]
pub fn causes(site: &SiteSettings, condition: &Condition, now: UnixMs) -> BTreeMap<Cause, String> {
    let promised = Duration::from_secs(site.freshness_seconds.into());
    let mut causes = BTreeMap::new();
    let late: Vec<(UnixMs, &str)> = condition
        .waiting
        .iter()
        .filter(|(locale, since)| **since + promised <= now && site.locale(locale).is_some())
        .map(|(locale, since)| (*since, locale.as_str()))
        .collect();
    if let Some((since, _)) = late.iter().min() {
        let (named, more) = (
            late.iter().take(NAMED).map(|(_, locale)| *locale).collect::<Vec<_>>().join(", "),
            late.len().saturating_sub(NAMED),
        );
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let words = format!(
            "changes of {named}{more} are not known to be public, the oldest of {since}; {} s were promised",
            promised.as_secs()
        );
        causes.insert(Cause::Late, words);
    }
    if let Some(failure) = condition.failures.first() {
        causes.insert(Cause::Failing, format!("{failure} (it was tried several times, and is tried again)"));
    }
    let patience = (promised / 2).max(IDLE_AT_LEAST);
    let idle = condition
        .stale_since
        .filter(|since| *since + patience <= now && condition.run_at.is_none_or(|run_at| run_at < *since));
    if let Some(since) = idle {
        let words = format!(
            "changes wait since {since}, and no regeneration has begun since; look whether a worker runs, and whether the lane is paused"
        );
        causes.insert(Cause::Idle, words);
    }
    if condition.held > 0 {
        let (held, s) = (condition.held, if condition.held == 1 { "" } else { "s" });
        let words = format!(
            "{held} sitemap{s} lost more than a fifth of the addresses at once, so what was there stays public; confirm, or mend the pages"
        );
        causes.insert(Cause::Held, words);
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::{permalink::BaseUrl, settings::Locale};

    fn site() -> SiteSettings {
        SiteSettings::new(vec![Locale {
            tag: "de".parse().unwrap(),
            base: BaseUrl::parse("https://a.example").unwrap(),
            publication_name: "A".to_owned(),
            time_zone: Default::default(),
            x_default: false,
        }])
    }

    fn of(condition: &Condition, at_seconds: i64) -> Vec<Cause> {
        causes(&site(), condition, UnixMs(at_seconds * 1_000)).into_keys().collect()
    }

    #[test]
    fn a_site_is_late_when_its_promise_is_broken_and_idle_when_nothing_began() {
        assert_eq!(of(&Condition::default(), 1_000), []);
        let waiting = BTreeMap::from([("de".parse().unwrap(), UnixMs(0))]);
        let condition = Condition { waiting, stale_since: Some(UnixMs(0)), ..Condition::default() };
        assert_eq!(of(&condition, 149), []);
        assert_eq!(of(&condition, 150), [Cause::Idle]);
        assert_eq!(of(&condition, 300), [Cause::Late, Cause::Idle]);
        let began = Condition { run_at: Some(UnixMs(1)), ..condition };
        assert_eq!(of(&began, 300), [Cause::Late]);
        let failing = Condition { failures: vec!["the disk is full".to_owned()], held: 2, ..Condition::default() };
        assert_eq!(of(&failing, 0), [Cause::Failing, Cause::Held]);
    }
}
