//! How a channel of a type tells people, as the API takes it: whom it waits for, how often it tells them, and what it gathers.

use std::collections::BTreeSet;

use postrider_core::domain::{
    notification_type::{ChannelSettings, DigestSettings, Mail, Notice},
    preferences::Channel,
    quiet_hours::ClockTime,
    workflow::{DataPath, Gathering, THROTTLE_LIMIT_MAX, Throttle, WINDOW_S_MAX, Window},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    json::Object,
    notification_types::{MailChannel, MailJson, NoticeChannel, NoticeJson, templates},
    own_object::Named,
    problem::Faults,
};

/// How often one person is told by this channel of this type; more is suppressed as `throttled`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Throttle)]
pub(crate) struct ThrottleJson {
    /// So often at most (1 to 10,000) …
    #[schema(minimum = 1, maximum = 10_000)]
    limit: u32,
    /// … in so many seconds from the first (1 to 2,592,000, which are 30 days).
    #[schema(minimum = 1, maximum = 2_592_000)]
    window_s: u32,
}

/// What is gathered for each person into one message: for `window_s`, or until their clock shows `at`. Its templates know
/// `data.items` (the newest 100, oldest first, each with `data` and `created_at`), `data.count` and `data.more`, which is how many
/// are not among the items. What one has seen in the inbox by then is left out; one alone is sent by the channel's own templates.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeDigest {
    /// Seconds from the first (1 to 2,592,000). Either this or `at`.
    window_s: Option<u32>,
    /// A time of day in their time zone, as in `08:00`; UTC for whoever has none.
    at: Option<String>,
    /// Of `mon` to `sun`, with `at`; absent: each.
    days: Option<Vec<String>>,
    /// Where in `data` something stands, as in `post.id`: what has the same there is gathered together. Absent: all of the type.
    by: Option<String>,
    #[schema(value_type = BTreeMap<String, NoticeJson>)]
    templates: Named<NoticeJson>,
}

/// As a digest of notices, with mails as its templates.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailDigest {
    /// Seconds from the first (1 to 2,592,000). Either this or `at`.
    window_s: Option<u32>,
    /// A time of day in their time zone, as in `08:00`; UTC for whoever has none.
    at: Option<String>,
    /// Of `mon` to `sun`, with `at`; absent: each.
    days: Option<Vec<String>>,
    /// Where in `data` something stands, as in `post.id`: what has the same there is gathered together. Absent: all of the type.
    by: Option<String>,
    #[schema(value_type = BTreeMap<String, MailJson>)]
    templates: Named<MailJson>,
}

/// Of a channel, whatever its templates are.
struct Given<J> {
    templates: Named<J>,
    only_if_unseen_for_s: Option<u32>,
    throttle: Option<Object<ThrottleJson>>,
    digest: Option<GivenDigest<J>>,
}

struct GivenDigest<J> {
    window_s: Option<u32>,
    at: Option<String>,
    days: Option<Vec<String>>,
    by: Option<String>,
    templates: Named<J>,
}

/// A channel of notices, as it is kept. An inbox is where things are seen: it waits for nothing and gathers nothing.
pub(crate) fn notices(of: NoticeChannel, channel: Channel, faults: &mut Faults) -> ChannelSettings<Notice> {
    let NoticeChannel { templates, only_if_unseen_for_s, throttle, digest } = of;
    if channel == Channel::Inbox {
        let detail = "is for other channels: what stands in an inbox is there at once";
        let at = |name: &str| format!("/channels/inbox/{name}");
        faults.check(&at("digest"), digest.is_none(), format_args!("a digest {detail}"));
        let unseen = only_if_unseen_for_s.is_none();
        faults.check(&at("only_if_unseen_for_s"), unseen, format_args!("only_if_unseen_for_s {detail}"));
    }
    let digest = digest.map(|Object(NoticeDigest { window_s, at, days, by, templates })| GivenDigest {
        window_s,
        at,
        days,
        by,
        templates,
    });
    Given { templates, only_if_unseen_for_s, throttle, digest }.keep(channel, faults)
}

/// The channel of mails, as it is kept.
pub(crate) fn mails(of: MailChannel, faults: &mut Faults) -> ChannelSettings<Mail> {
    let MailChannel { templates, only_if_unseen_for_s, throttle, digest } = of;
    let digest = digest.map(|Object(MailDigest { window_s, at, days, by, templates })| GivenDigest {
        window_s,
        at,
        days,
        by,
        templates,
    });
    Given { templates, only_if_unseen_for_s, throttle, digest }.keep(Channel::Email, faults)
}

fn judge_window(pointer: &str, window_s: u32, faults: &mut Faults) {
    let detail = format!("it is 1 to {WINDOW_S_MAX} seconds, which are 30 days");
    faults.check(pointer, (1..=WINDOW_S_MAX).contains(&window_s), detail);
}

impl<J> Given<J> {
    fn keep<T: From<J>>(self, channel: Channel, faults: &mut Faults) -> ChannelSettings<T> {
        let at = format!("/channels/{}", channel.as_str());
        let unseen = format!("{at}/only_if_unseen_for_s");
        if let Some(window_s) = self.only_if_unseen_for_s {
            judge_window(&unseen, window_s, faults);
            let alone = self.digest.is_none();
            faults.check(&unseen, alone, "a digest leaves out what was seen already; set one of the two");
        }
        let throttle = self.throttle.map(|Object(ThrottleJson { limit, window_s })| {
            let fits = (1..=THROTTLE_LIMIT_MAX).contains(&limit);
            faults.check(&format!("{at}/throttle/limit"), fits, format_args!("it is 1 to {THROTTLE_LIMIT_MAX}"));
            judge_window(&format!("{at}/throttle/window_s"), window_s, faults);
            Throttle { limit, window_s }
        });
        let digest = self.digest.and_then(|digest| digest.keep(&format!("{at}/digest"), faults));
        let templates = templates(self.templates, &at, faults);
        ChannelSettings { templates, only_if_unseen_for_s: self.only_if_unseen_for_s, throttle, digest }
    }
}

impl<J> GivenDigest<J> {
    fn keep<T: From<J>>(self, at: &str, faults: &mut Faults) -> Option<DigestSettings<T>> {
        let by = self.by.and_then(|path| faults.keep(&format!("{at}/by"), DataPath::try_from(path)));
        let days = self.days.map(|days| faults.keep_all(&format!("{at}/days"), days, |day| day.parse()));
        let window = match (self.window_s, self.at) {
            (Some(window_s), None) => {
                judge_window(&format!("{at}/window_s"), window_s, faults);
                faults.check(&format!("{at}/days"), days.is_none(), "days are for digests that have `at`");
                Some(Window::Lasting { window_s })
            }
            (None, Some(text)) => {
                let clock = faults.keep(&format!("{at}/at"), text.parse::<ClockTime>());
                clock.map(|clock| Window::Until { at: clock, days: BTreeSet::from_iter(days.unwrap_or_default()) })
            }
            _ => {
                faults.add(at, "say until when it gathers: either `window_s`, or `at` with a time of day");
                None
            }
        };
        let templates = templates(self.templates, at, faults);
        Some(DigestSettings { gathering: Gathering { window: window?, by }, templates })
    }
}
