//! Who is on a social platform that never was, and who follows whom: a few are followed by many, and most by a few.

use std::collections::BTreeMap;

use anyhow::Context;
use postrider_core::domain::{
    preferences::{Channel, Preferences},
    quiet_hours::{Day, QuietHours},
    recipient::{Attributes, EmailState, NewEmail, NewRecipient, Profile, RecipientKey},
    suppression::SuppressionCause,
};
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, index},
};
use serde_json::{Value, json};

const FIRST: [&str; 24] = [
    "Anna", "Bea", "Carlos", "Dmitri", "Elif", "Farah", "Georg", "Hana", "Ines", "Jonas", "Kofi", "Léa", "Mateus",
    "Nora", "Oskar", "Priya", "Quentin", "Rosa", "Sven", "Tomoko", "Uwe", "Vera", "Wanjiru", "Zoë",
];
const LAST: [&str; 20] = [
    "Almeida", "Brandt", "Costa", "Dubois", "Eriksen", "Fischer", "Gruber", "Haddad", "Ito", "Jansen", "Keller",
    "Lefèvre", "Moreau", "Novák", "Okafor", "Petit", "Rossi", "Sato", "Tanaka", "Weiß",
];
/// Languages with a time zone where they are read.
const PLACES: [(&str, &str); 9] = [
    ("en", "Europe/London"),
    ("en-US", "America/New_York"),
    ("en-US", "America/Los_Angeles"),
    ("de", "Europe/Berlin"),
    ("de-AT", "Europe/Vienna"),
    ("fr", "Europe/Paris"),
    ("fr-CA", "America/Toronto"),
    ("pt-BR", "America/Sao_Paulo"),
    ("ja", "Asia/Tokyo"),
];
/// Hosts at which nobody is (RFC 2606).
const HOSTS: [&str; 4] = ["mail.example", "post.example", "inbox.example", "letters.example"];
const SUPPRESSED: [(SuppressionCause, &str); 4] = [
    (SuppressionCause::Bounce, "550 5.1.1 no such user"),
    (SuppressionCause::Bounce, "550 5.2.1 mailbox disabled"),
    (SuppressionCause::Complaint, "its owner has called a mail unwanted"),
    (SuppressionCause::Manual, "asked us by letter not to be written to"),
];
/// People of whom one has a topic of followers.
const PEOPLE_PER_TOPIC: u32 = 16;
/// The part of all who follow the first.
const FOLLOW_FIRST_PERCENT: u32 = 60;

/// So many people, who are called `m1`, `m2` and so on. Each is by dice of their own, so that the first thousand of many are those of
/// a thousand.
pub(super) struct People {
    count: u32,
    seed: u64,
}

pub(super) struct Person {
    pub(super) new: NewRecipient,
    /// Why nothing is sent to their address.
    pub(super) suppressed: Option<(SuppressionCause, &'static str)>,
}

impl People {
    pub(super) const fn new(count: u32, seed: u64) -> Self {
        Self { count, seed }
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        1..=self.count
    }

    /// How many have a topic of followers: the first of them.
    pub(super) fn topics(&self) -> u32 {
        (self.count / PEOPLE_PER_TOPIC).max(1)
    }

    pub(super) fn key(&self, number: u32) -> anyhow::Result<RecipientKey> {
        format!("m{number}").parse().context("a key that is made up")
    }

    pub(super) fn name(&self, number: u32) -> String {
        let mut dice = self.dice(number, 0);
        let word = |words: &[&'static str], dice: &mut StdRng| words.choose(dice).copied().unwrap_or_default();
        let first = word(&FIRST, &mut dice);
        format!("{first} {}", word(&LAST, &mut dice))
    }

    pub(super) fn person(&self, number: u32) -> anyhow::Result<Person> {
        let mut dice = self.dice(number, 1);
        let (locale, zone) = PLACES.choose(&mut dice).copied().unwrap_or(PLACES[0]);
        let says_where = dice.random_bool(0.9);
        let plan = if dice.random_bool(0.1) { "gold" } else { "free" };
        let Value::Object(attributes) = json!({ "name": self.name(number), "plan": plan }) else { unreachable!() };
        let profile = Profile {
            locale: if says_where { Some(locale.parse()?) } else { None },
            time_zone: if says_where { Some(zone.parse()?) } else { None },
            preferences: preferences(&mut dice)?,
            quiet_hours: quiet_hours(&mut dice)?,
            attributes: Attributes::new(attributes)?,
        };
        let has_address = dice.random_bool(0.9);
        let suppressed = SUPPRESSED.choose(&mut dice).copied().filter(|_| has_address && dice.random_bool(0.005));
        let verified = suppressed.is_none() && dice.random_bool(0.7);
        let host = HOSTS.choose(&mut dice).copied().unwrap_or(HOSTS[0]);
        let email =
            NewEmail { address: format!("m{number}@{host}").parse()?, state: verified.then_some(EmailState::Verified) };
        let new = NewRecipient { key: self.key(number)?, email: has_address.then_some(email), profile };
        Ok(Person { new, suppressed })
    }

    /// How many follow the one at this rank: the second half as many as the first, the third a third, and so on (Zipf's law).
    fn following(&self, rank: u32) -> u32 {
        let first = self.count / 100 * FOLLOW_FIRST_PERCENT;
        (first / rank).clamp(1, self.count)
    }

    /// The keys of those who follow somebody, who does not follow themselves.
    pub(super) fn followers(&self, rank: u32) -> anyhow::Result<Vec<RecipientKey>> {
        let (all, some) = (self.count as usize, self.following(rank) as usize);
        let chosen = index::sample(&mut self.dice(rank, 2), all, some);
        let numbers = chosen.iter().filter_map(|place| u32::try_from(place + 1).ok()).filter(|number| *number != rank);
        let mut keys = numbers.map(|number| self.key(number)).collect::<anyhow::Result<Vec<_>>>()?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// Dice for one use of one person.
    pub(super) fn dice(&self, number: u32, usage: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ u64::from(number) << 32 ^ usage << 16)
    }
}

fn preferences(dice: &mut StdRng) -> anyhow::Result<Preferences> {
    let mut preferences = Preferences::new(BTreeMap::new())?;
    for (category, channel, wants, part) in [
        ("posts", Channel::Inbox, false, 0.06),
        ("posts", Channel::Push, false, 0.3),
        ("mentions", Channel::Push, true, 0.15),
        ("followers", Channel::Inbox, false, 0.08),
        ("security", Channel::Email, true, 0.05),
    ] {
        if dice.random_bool(part) {
            preferences.set(category.parse()?, channel, wants);
        }
    }
    Ok(preferences)
}

fn quiet_hours(dice: &mut StdRng) -> anyhow::Result<Option<QuietHours>> {
    let (from, to, days) = match dice.random_range(0..10) {
        0 => ("22:00", "07:00", Vec::new()),
        1 => ("23:30", "06:30", vec![Day::Sun, Day::Mon, Day::Tue, Day::Wed, Day::Thu]),
        _ => return Ok(None),
    };
    Ok(Some(QuietHours::new(from.parse()?, to.parse()?, days.into_iter().collect())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_followed_by_many_and_most_by_a_few() {
        let people = People::new(50_000, 1);
        let mut counts: Vec<u32> = (1..=people.topics()).map(|rank| people.following(rank)).collect();
        assert_eq!((counts[0], counts[1], counts.len()), (30_000, 15_000, 3_125));
        assert_eq!(counts.iter().filter(|count| **count >= 1_000).count(), 30);
        counts.sort_unstable();
        assert_eq!(counts[counts.len() / 2], 19);
    }

    #[test]
    fn the_same_seed_makes_the_same_people_and_another_makes_others() {
        let [one, again, other] = [1, 1, 2].map(|seed| People::new(100, seed));
        let all = |people: &People| -> Vec<NewRecipient> {
            people.numbers().map(|number| people.person(number).unwrap().new).collect()
        };
        assert_eq!(all(&one), all(&again));
        assert_ne!(all(&one), all(&other));
        assert_eq!(one.followers(3).unwrap(), again.followers(3).unwrap());
        assert!(!one.followers(1).unwrap().contains(&one.key(1).unwrap()), "nobody follows themselves");
    }
}
