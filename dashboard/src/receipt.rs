//! What became of a notification, channel by channel: drawn as a bar, with the same figures in words.

use std::collections::BTreeMap;

use postrider_core::{
    domain::{
        notification::{FateCounts, Suppression},
        preferences::Channel,
    },
    store::Receipt,
};

const WIDTH: f64 = 100.0;
/// What there is can be seen, however little it is beside the rest.
const WIDTH_LEAST: f64 = 2.0;

/// What became of a notification on one channel.
pub(crate) struct ChannelBar {
    pub(crate) channel: &'static str,
    pub(crate) planned: u64,
    pub(crate) parts: [Part; 4],
    /// Why some were not told, in words, and how many.
    pub(crate) reasons: Vec<(String, u64)>,
}

/// Those who came to the same.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// What its colour and sign hang on: as jobs that stand alike look.
    pub(crate) class: &'static str,
    pub(crate) words: &'static str,
    pub(crate) count: u64,
}

impl ChannelBar {
    pub(crate) fn all(receipt: &Receipt) -> Vec<Self> {
        receipt.channels.iter().map(|(channel, counts)| Self::of(*channel, counts)).collect()
    }

    fn of(channel: Channel, counts: &FateCounts) -> Self {
        let part = |class, words, count| Part { class, words, count };
        Self {
            channel: channel.as_str(),
            planned: counts.planned(),
            parts: [
                part("succeeded", "delivered", counts.delivered),
                part("pending", "pending", counts.pending),
                part("cancelled", "suppressed", counts.suppressed.values().sum()),
                part("dead", "dead", counts.dead),
            ],
            reasons: reasons(&counts.suppressed),
        }
    }

    /// Those parts in which there is anybody.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Part> {
        self.parts.into_iter().filter(|part| part.count > 0)
    }

    /// The bar's outlines, one path for each part that is shown. Numbers alone, nothing that somebody wrote.
    pub(crate) fn paths(&self) -> Vec<(&'static str, String)> {
        let whole = self.planned.max(1) as f64;
        let widths: Vec<f64> = self.shown().map(|part| (part.count as f64 / whole * WIDTH).max(WIDTH_LEAST)).collect();
        let scale = WIDTH / widths.iter().sum::<f64>().max(1.0);
        let mut x = 0.0;
        let mut paths = Vec::new();
        for (part, width) in self.shown().zip(widths) {
            let width = width * scale;
            paths.push((part.class, format!("M{x:.2} 0h{width:.2}v10h-{width:.2}z")));
            x += width;
        }
        paths
    }
}

fn reasons(suppressed: &BTreeMap<Suppression, u64>) -> Vec<(String, u64)> {
    suppressed.iter().map(|(why, count)| (reason(*why).0, *count)).collect()
}

/// Why somebody was not told, in words, and what to do about it.
pub(crate) fn reason(why: Suppression) -> (String, &'static str) {
    let (words, todo) = match why {
        Suppression::Preference => (
            "they do not want this category on this channel",
            "They have to want it first: their preferences say so, and the product changes these with `PUT /v1/recipients/KEY`.",
        ),
        Suppression::Actor => (
            "they did it themselves",
            "Nothing: the notification names them as its `actor`, and nobody is told what they did.",
        ),
        Suppression::Removed => (
            "they were removed before they were told",
            "Nothing, unless they should be there: then put them again, and publish it once more.",
        ),
        Suppression::Cancelled => (
            "somebody cancelled the job that would have told them",
            "Publish it once more for those who should hear of it; the audit log has who cancelled it.",
        ),
        Suppression::NoAddress => (
            "no e-mail address of theirs is known",
            "The product hands one in with `PUT /v1/recipients/KEY`, as `email`.",
        ),
        Suppression::AddressSuppressed => (
            "nothing is sent to their e-mail address any more",
            "Their own page says why. Once it is right again, lift it there or with `DELETE /v1/suppressions/ADDRESS`.",
        ),
        Suppression::Bounced => (
            "their mail server said that there is no such mailbox",
            "Nothing is sent to the address any more. Ask them for another, or lift it on their page if it was their server's mistake.",
        ),
        Suppression::Seen => (
            "they saw it in their inbox before",
            "Nothing: the type reaches by this channel only those who have not seen it.",
        ),
        Suppression::Throttled => (
            "they were told often enough of this type by this channel",
            "Nothing, unless the limit is too low: the type has it as `throttle` of the channel.",
        ),
        Suppression::Collapsed => (
            "a newer one with the same collapse key took its place",
            "Nothing: only the newest of a `collapse_key` stands before a person.",
        ),
        Suppression::NoSubscription => (
            "none of their browsers takes pushes",
            "They have to subscribe in a browser: `docs/NOTIFICATIONS.md` has how, under *Browsers that get pushes*.",
        ),
    };
    (words.to_owned(), todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(delivered: u64, dead: u64, preference: u64) -> FateCounts {
        let suppressed = BTreeMap::from([(Suppression::Preference, preference)]);
        FateCounts { delivered, dead, suppressed, ..FateCounts::default() }
    }

    #[test]
    fn a_bar_is_as_wide_as_all_who_were_planned() {
        let bar = ChannelBar::of(Channel::Inbox, &counts(50, 0, 50));
        assert_eq!(
            bar.paths(),
            [
                ("succeeded", "M0.00 0h50.00v10h-50.00z".to_owned()),
                ("cancelled", "M50.00 0h50.00v10h-50.00z".to_owned()),
            ]
        );
        assert_eq!(bar.reasons, [("they do not want this category on this channel".to_owned(), 50)]);
        assert!(ChannelBar::of(Channel::Inbox, &FateCounts::default()).paths().is_empty());
    }

    #[test]
    fn one_who_is_dead_among_a_hundred_thousand_is_seen() {
        let bar = ChannelBar::of(Channel::Email, &counts(99_999, 1, 0));
        let dead = bar.paths().into_iter().find(|(class, _)| *class == "dead").unwrap().1;
        assert_eq!(dead, "M98.04 0h1.96v10h-1.96z");
    }
}
