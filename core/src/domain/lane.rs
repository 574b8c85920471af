//! Lanes: what shares one limit of concurrency, one rate, one order and one circuit breaker.
//! Owns their names, settings and the rule by which a lane adapts to its receiver; knows no queue.

use std::{fmt, str::FromStr, time::Duration};

use ring::digest;

use super::{
    Id, UnixMs, endpoint::Endpoint, notification_type::Urgency, preferences::Channel, site::settings::SiteSlug,
    tenant::Tenant,
};

/// Bytes of a lane's name.
pub const LANE_NAME_BYTES_MAX: usize = 200;
/// What a lane may have in flight at most when nothing is set.
pub const IN_FLIGHT_MAX: u32 = 64;
/// The same while its receiver answers quickly: most of such a job's time in flight is that of its claim and its commit.
pub const QUICK_IN_FLIGHT_MAX: u32 = 256;
pub const QUICK: Duration = Duration::from_millis(100);

/// What names of sites' lanes begin with.
const SITE_PREFIX: &str = "site:";
/// What names of the lanes of their announcements begin with.
const ANNOUNCEMENTS_PREFIX: &str = "announce:";
/// What names of lanes begin with in which files of sites are looked at, and how many at once of one host.
const PROBE_PREFIX: &str = "probe:";
const PROBES_MAX: u32 = 2;
/// What names of the lanes of notifications begin with, and of the lanes of their subscribers; how many chunks of these are told
/// at once.
const NOTIFICATIONS_PREFIX: &str = "notify:";
const FAN_OUT_PREFIX: &str = "fanout:";
const CHUNKS_MAX: u32 = 4;
/// The same of the lanes on which they are reached on a channel: those who are named, and subscribers.
const NAMED_ON_PREFIX: &str = "notify-";
const SUBSCRIBERS_ON_PREFIX: &str = "fanout-";
const BATCHES_MAX: u32 = 4;
/// The same of what was gathered for people, and how many are sent at once.
const DIGESTS_PREFIX: &str = "digest:";
const DIGESTS_MAX: u32 = 16;

/// A lane's name within its tenant: an endpoint's id, a host, or what the caller of a job chose.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lane's name is 1 to {LANE_NAME_BYTES_MAX} characters of a-z, 0-9, _ . : and -")]
pub struct LaneNameError;

impl LaneName {
    /// The lane of all deliveries to one endpoint.
    #[must_use]
    pub fn of_endpoint(id: Id<Endpoint>) -> Self {
        Self(id.to_string())
    }

    /// The lane of all that is made of one site.
    #[must_use]
    pub fn of_site(slug: &SiteSlug) -> Self {
        Self(format!("{SITE_PREFIX}{slug}"))
    }

    /// Announcements of a site have a lane of their own: an address that nobody answers at keeps no change from being
    /// published.
    #[must_use]
    pub fn of_announcements(slug: &SiteSlug) -> Self {
        Self(format!("{ANNOUNCEMENTS_PREFIX}{slug}"))
    }

    /// The lane of all looks at files of one host.
    #[must_use]
    pub fn of_probes(host: &str) -> Self {
        Self::of_host(PROBE_PREFIX, host)
    }

    /// The lane on which notifications are planned, and those who are named in them told.
    #[must_use]
    pub fn of_notifications(urgency: Urgency) -> Self {
        Self(format!("{NOTIFICATIONS_PREFIX}{}", urgency.as_str()))
    }

    /// The lane on which subscribers are told: one of its own, so that nobody who is named waits behind a hundred thousand others.
    #[must_use]
    pub fn of_fan_out(urgency: Urgency) -> Self {
        Self(format!("{FAN_OUT_PREFIX}{}", urgency.as_str()))
    }

    /// The lane on which those of a chunk are reached on a channel; subscribers have one of their own here too.
    #[must_use]
    pub fn of_batch(channel: Channel, urgency: Urgency, is_named: bool) -> Self {
        let prefix = if is_named { NAMED_ON_PREFIX } else { SUBSCRIBERS_ON_PREFIX };
        Self(format!("{prefix}{}:{}", channel.as_str(), urgency.as_str()))
    }

    /// The lane on which single recipients are tried again: those of one mail or push server wait for it alone.
    #[must_use]
    pub fn of_messages(channel: Channel, host: &str) -> Self {
        Self::of_host(&format!("{}:", channel.as_str()), host)
    }

    /// The lane on which what was gathered is sent by a channel.
    #[must_use]
    pub fn of_digests(channel: Channel) -> Self {
        Self(format!("{DIGESTS_PREFIX}{}", channel.as_str()))
    }

    /// A host's lane; of the host's hash where that is too long or odd for a lane's name.
    pub(super) fn of_host(prefix: &str, host: &str) -> Self {
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let hash = || digest::digest(&digest::SHA256, host.as_bytes());
        let hashed = || hash().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{prefix}{plain}").parse().unwrap_or_else(|_| Self(format!("{prefix}{}", hashed())))
    }

    /// What holds for it where nobody has set anything: a site's jobs run one after the other, and of one host few files are
    /// looked at at once, and few chunks of notifications are told at once, since the database does that work.
    #[must_use]
    pub fn usual_settings(&self) -> LaneSettings {
        let concurrency_max = match &self.0 {
            name if name.starts_with(SITE_PREFIX) => Some(1),
            name if name.starts_with(PROBE_PREFIX) => Some(PROBES_MAX),
            name if name.starts_with(FAN_OUT_PREFIX) => Some(CHUNKS_MAX),
            name if name.starts_with(SUBSCRIBERS_ON_PREFIX) => Some(BATCHES_MAX),
            name if name.starts_with(DIGESTS_PREFIX) => Some(DIGESTS_MAX),
            _ => None,
        };
        LaneSettings { concurrency_max, ..LaneSettings::default() }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LaneName {
    type Err = LaneNameError;
    fn from_str(text: &str) -> Result<Self, LaneNameError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:-".contains(&byte);
        // Names of dots alone are places in a path, which no address can end in.
        let fits =
            (1..=LANE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(known) && !matches!(text, "." | "..");
        if fits { Ok(Self(text.to_owned())) } else { Err(LaneNameError) }
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lane among all tenants' lanes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey {
    pub tenant: Id<Tenant>,
    pub name: LaneName,
}

/// What an operator or an endpoint's owner has set for a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneSettings {
    /// In flight at most, whatever the receiver bears.
    pub concurrency_max: Option<u32>,
    /// Starts in one second at most, evenly spaced.
    pub rate_per_second: Option<u32>,
    /// The next job waits until the one before it is finished, retries included.
    pub ordered: bool,
    pub paused: bool,
}

/// In flight at first, before anything is known of the receiver.
pub const LIMIT_START: u32 = 2;
/// A receiver that owes answers and gave none for this long may be hanging.
pub const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Bad attempts in a row that open the breaker.
pub const BAD_STREAK_MAX: u32 = 5;
/// How long a lane rests after a failed probe: as long as the probe took, within these bounds.
pub const REST_MIN: Duration = Duration::from_millis(5);
pub const REST_MAX: Duration = Duration::from_secs(5);

/// What an attempt says of its lane's receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    Good,
    /// It failed in a way that more calls would make worse: a time-out, a refusal, a 429, a 5xx.
    Bad,
    /// It says nothing of the receiver: cancelled, or refused before a call was made.
    Neutral,
}

/// Whether a lane's calls go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Breaker {
    #[default]
    Closed,
    /// One probe at a time, and none before `rest_until`.
    Open { rest_until: UnixMs },
}

/// What is to be expected of a lane's next call. Lanes of one standing share a part of a worker's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Its last answer was good.
    Answering,
    /// It has not answered yet.
    Unknown,
    /// Its last answer was bad, or it owes answers and is silent.
    Failing,
}

impl Standing {
    pub const ALL: [Self; 3] = [Self::Answering, Self::Unknown, Self::Failing];
}

/// What a lane has learnt of its receiver: how much it bears, and whether it answers at all.
///
/// The Redis queue holds the same rule in `queue/redis/lua/shard.lua`; the conformance suite proves them equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gauge {
    /// In flight at most, as far as the receiver goes; the lane's settings may allow less.
    pub limit: u32,
    pub bad_streak: u32,
    pub breaker: Breaker,
    /// It has answered well, at least once.
    pub proven: bool,
    /// When it last answered, or when it was called with nothing else in flight.
    pub heard_at: UnixMs,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { limit: LIMIT_START, bad_streak: 0, breaker: Breaker::Closed, proven: false, heard_at: UnixMs(0) }
    }
}

impl Gauge {
    /// What is known after an attempt that took `took` and ended at `now`.
    ///
    /// Good adds one to the limit, as far as the lane may use it; Bad halves it. Where nothing is set, a lane above
    /// [`IN_FLIGHT_MAX`] that answers slower than [`QUICK`] loses one. The breaker opens at the fifth Bad in a row,
    /// and each Bad while it is open lets the lane rest as long as the call took: a receiver that fails fast is still
    /// tried, one that hangs holds one slot. The first Good closes it and the limit ramps from 1.
    #[must_use]
    pub fn after(self, health: Health, took: Duration, settings: &LaneSettings, now: UnixMs) -> Self {
        match (health, self.breaker) {
            (Health::Neutral, _) => self,
            (Health::Good, breaker) => {
                let limit = match breaker {
                    Breaker::Open { .. } => 1,
                    Breaker::Closed => self.limit_after_good(took, settings),
                };
                Self { limit, bad_streak: 0, breaker: Breaker::Closed, proven: true, heard_at: now }
            }
            (Health::Bad, _) => {
                let bad_streak = self.bad_streak.saturating_add(1).min(BAD_STREAK_MAX);
                let rest_until = now + took.clamp(REST_MIN, REST_MAX);
                let opens = bad_streak == BAD_STREAK_MAX;
                let breaker = if opens { Breaker::Open { rest_until } } else { Breaker::Closed };
                Self { limit: (self.limit / 2).max(1), bad_streak, breaker, heard_at: now, ..self }
            }
        }
    }

    fn limit_after_good(&self, took: Duration, settings: &LaneSettings) -> u32 {
        let bearable = if took <= QUICK { QUICK_IN_FLIGHT_MAX } else { IN_FLIGHT_MAX };
        match settings.concurrency_max {
            Some(set) if self.limit >= set => self.limit,
            None if self.limit >= bearable => bearable.max(self.limit - 1),
            _ => self.limit + 1,
        }
    }

    /// What is known once a call began at `now`, beside `in_flight` others.
    #[must_use]
    pub const fn called(self, in_flight: u64, now: UnixMs) -> Self {
        Self { heard_at: if in_flight == 0 { now } else { self.heard_at }, ..self }
    }

    #[must_use]
    pub const fn standing(&self) -> Standing {
        match (self.bad_streak, self.proven) {
            (0, true) => Standing::Answering,
            (0, false) => Standing::Unknown,
            _ => Standing::Failing,
        }
    }

    /// As [`Self::standing`], for a lane with `in_flight` calls that is about to start one. `None` when it must wait
    /// for an answer first: one that is silent has no more than a new one in flight.
    #[must_use]
    pub fn standing_at_start(&self, in_flight: u64, silence_max: Duration, now: UnixMs) -> Option<Standing> {
        match in_flight > 0 && now.since(self.heard_at) > silence_max {
            true if in_flight >= u64::from(LIMIT_START) => None,
            true => Some(Standing::Failing),
            false => Some(self.standing()),
        }
    }

    /// In flight at most by what is known and what is set.
    #[must_use]
    pub fn in_flight_max(&self, settings: &LaneSettings) -> u32 {
        let bears = match self.breaker {
            Breaker::Closed if !settings.ordered => self.limit,
            Breaker::Closed | Breaker::Open { .. } => 1,
        };
        settings.concurrency_max.map_or(bears, |set| bears.min(set))
    }

    /// Before this time nothing starts, as far as the receiver goes.
    #[must_use]
    pub fn rests_until(&self) -> UnixMs {
        match self.breaker {
            Breaker::Closed => UnixMs(0),
            Breaker::Open { rest_until } => rest_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn after(gauge: Gauge, healths: &[Health]) -> Gauge {
        healths.iter().fold(gauge, |gauge, &health| gauge.after(health, QUICK, &LaneSettings::default(), NOW))
    }

    #[test]
    fn a_lane_grows_by_one_and_halves() {
        use Health::{Bad, Good, Neutral};
        for (healths, limit) in [
            (&[][..], 2),
            (&[Good], 3),
            (&[Good, Neutral, Good], 4),
            (&[Bad], 1),
            (&[Bad, Bad, Bad, Bad], 1),
            (&[Good, Good, Good, Bad], 2),
            (&[Bad, Good], 2),
        ] {
            let gauge = after(Gauge::default(), healths);
            assert_eq!((gauge.limit, gauge.breaker), (limit, Breaker::Closed), "{healths:?}");
        }
    }

    #[test]
    fn what_a_receiver_bears_is_not_forgotten_while_less_is_allowed() {
        let gauge = after(Gauge::default(), &[Health::Good; 9]);
        for (concurrency_max, limit) in [(0, 11), (1, 11), (11, 11), (12, 12)] {
            let settings = LaneSettings { concurrency_max: Some(concurrency_max), ..LaneSettings::default() };
            let gauge = gauge.after(Health::Good, Duration::ZERO, &settings, NOW);
            assert_eq!(gauge.limit, limit, "{concurrency_max}");
        }
    }

    #[test]
    fn only_a_quick_receiver_gets_more_than_what_suits_any() {
        for (concurrency_max, limit, took_ms, next) in [
            (None, 63, 101, 64),
            (None, 64, 101, 64),
            (None, 64, 100, 65),
            (None, 256, 100, 256),
            (None, 256, 101, 255),
            (None, 65, 9_000, 64),
            (Some(500), 256, 9_000, 257),
            (Some(500), 500, 0, 500),
        ] {
            let settings = LaneSettings { concurrency_max, ..LaneSettings::default() };
            let gauge = Gauge { limit, ..Gauge::default() };
            let gauge = gauge.after(Health::Good, Duration::from_millis(took_ms), &settings, NOW);
            assert_eq!(gauge.limit, next, "{concurrency_max:?}, {limit}, {took_ms} ms");
        }
    }

    #[test]
    fn the_fifth_bad_in_a_row_opens_the_breaker_and_the_first_good_closes_it() {
        let open = after(Gauge { limit: 64, ..Gauge::default() }, &[Health::Bad; 5]);
        assert_eq!(open.breaker, Breaker::Open { rest_until: NOW + Duration::from_millis(100) });
        assert_eq!(open.in_flight_max(&LaneSettings::default()), 1);
        let closed = after(open, &[Health::Good]);
        assert_eq!((closed.limit, closed.bad_streak, closed.breaker), (1, 0, Breaker::Closed));
        assert_eq!(after(closed, &[Health::Good]).limit, 2);
    }

    #[test]
    fn a_lane_stands_as_its_last_answer_was() {
        use Health::{Bad, Good, Neutral};
        for (healths, standing) in [
            (&[][..], Standing::Unknown),
            (&[Neutral], Standing::Unknown),
            (&[Bad], Standing::Failing),
            (&[Bad, Neutral], Standing::Failing),
            (&[Bad, Good], Standing::Answering),
            (&[Good, Good, Bad], Standing::Failing),
        ] {
            assert_eq!(after(Gauge::default(), healths).standing(), standing, "{healths:?}");
        }
    }

    #[test]
    fn a_receiver_that_owes_answers_and_is_silent_gets_no_more_than_a_new_one() {
        let gauge = after(Gauge::default(), &[Health::Good; 9]).called(0, NOW + Duration::from_secs(60));
        for (in_flight, silent_ms, standing) in [
            (0, 9_000, Some(Standing::Answering)),
            (9, 1_000, Some(Standing::Answering)),
            (1, 1_001, Some(Standing::Failing)),
            (2, 1_001, None),
            (9, 1_001, None),
        ] {
            let now = NOW + Duration::from_secs(60) + Duration::from_millis(silent_ms);
            assert_eq!(gauge.standing_at_start(in_flight, SILENCE_MAX, now), standing, "{in_flight}, {silent_ms} ms");
        }
        let called_again = gauge.called(1, NOW + Duration::from_secs(90));
        assert_eq!(called_again.heard_at, gauge.heard_at);
    }

    #[test]
    fn a_rest_is_as_long_as_the_failed_call_within_bounds() {
        for (took_ms, rest_ms) in [(0, 5), (5, 5), (700, 700), (5_000, 5_000), (30_000, 5_000)] {
            let open = after(Gauge::default(), &[Health::Bad; 4]);
            let open = open.after(Health::Bad, Duration::from_millis(took_ms), &LaneSettings::default(), NOW);
            assert_eq!(open.rests_until(), NOW + Duration::from_millis(rest_ms), "{took_ms} ms");
        }
    }

    proptest! {
        #[test]
        fn a_limit_stays_within_one_and_the_most_that_is_set(
            answers in proptest::collection::vec((0..3u8, 0..200u64), 0..400),
            concurrency_max in proptest::option::of(0..100u32),
        ) {
            let settings = LaneSettings { concurrency_max, ..LaneSettings::default() };
            let mut gauge = Gauge::default();
            for (health, took_ms) in answers {
                let health = [Health::Good, Health::Bad, Health::Neutral][usize::from(health)];
                gauge = gauge.after(health, Duration::from_millis(took_ms), &settings, NOW);
                prop_assert!(gauge.limit >= 1);
                prop_assert!(gauge.in_flight_max(&settings) <= concurrency_max.unwrap_or(QUICK_IN_FLIGHT_MAX));
                prop_assert_eq!(gauge.breaker != Breaker::Closed, gauge.bad_streak == BAD_STREAK_MAX);
            }
        }
    }
}
