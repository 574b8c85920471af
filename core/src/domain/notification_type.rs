//! Types of notifications: what each is about, and its templates by channel and language. Their rules as a whole are held by
//! [`crate::notify`], which knows what templates mean.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Id, UnixMs,
    event::EventType,
    id::Identified,
    locale::Locale,
    preferences::{Category, Channel},
    workflow::{Gathering, Throttle, Workflow},
};

/// Characters of a key.
const KEY_CHARS_MAX: usize = 128;
/// What stands where a key does in a path of the API, and what clients take out of paths.
const RESERVED: [&str; 3] = [".", "..", "preview"];
/// Types of one tenant.
pub const TYPES_PER_TENANT_MAX: u32 = 1_000;
/// Languages of one channel.
pub const LOCALES_MAX: usize = 50;
/// Bytes of one template.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an example's data as JSON.
pub const SAMPLE_BYTES_MAX: usize = 16 * 1024;

/// What a product calls a type: `comment.created`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeKey(String);

/// Why a text is no key of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeKeyError {
    #[error("a key is 1 to {KEY_CHARS_MAX} characters of a-z, 0-9, _ . and -")]
    Characters,
    #[error("\".\", \"..\" and \"preview\" stand for something else in paths, so they are no keys")]
    Reserved,
}

/// A type as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationType {
    pub id: Id<NotificationType>,
    pub key: TypeKey,
    /// 1 for the first; one more with each change.
    pub version: u32,
    pub definition: Definition,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

/// What its owner says of a type. What is stored has passed [`crate::notify::CompiledType::check`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// For people.
    pub name: String,
    pub category: Category,
    pub urgency: Urgency,
    /// The language of whoever has none of those that there are templates in.
    pub default_locale: Locale,
    pub channels: Channels,
    /// The data of an example, in which all is that templates name.
    pub sample: Map<String, Value>,
}

/// How soon somebody has to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    High,
    #[default]
    Normal,
    Low,
}

/// The channels that a type has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<ChannelSettings<Notice>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<ChannelSettings<Notice>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<ChannelSettings<Mail>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<ToEndpoints>,
}

/// What is set for the channel that tells endpoints, not people: an event has data, and no templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToEndpoints {
    /// What endpoints subscribe to.
    pub event_type: EventType,
}

/// What is set for one channel of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct ChannelSettings<T> {
    pub templates: BTreeMap<Locale, T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if_unseen_for_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestSettings<T>>,
}

/// How a channel gathers what there is, and what it says of more than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestSettings<T> {
    #[serde(flatten)]
    pub gathering: Gathering,
    pub templates: BTreeMap<Locale, T>,
}

/// Whether a message is of one notification, or of those that were gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    #[default]
    Single,
    Digest,
}

/// What stands in an inbox or is pushed to a device: as templates, or as it comes out of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub title: String,
    pub body: String,
    /// Where it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An e-mail: as templates, or as it comes out of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// A text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Title,
    Body,
    Url,
    Subject,
    Text,
    Html,
}

/// One template of a type.
#[derive(Clone, Copy, Debug)]
pub struct TemplateAt<'a> {
    pub channel: Channel,
    pub form: Form,
    pub locale: &'a Locale,
    pub part: Part,
    pub source: &'a str,
}

impl Identified for NotificationType {
    const PREFIX: &'static str = "nty";
}

impl TypeKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeKey {
    type Err = TypeKeyError;
    fn from_str(text: &str) -> Result<Self, TypeKeyError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        if !(1..=KEY_CHARS_MAX).contains(&text.len()) || !text.bytes().all(known) {
            return Err(TypeKeyError::Characters);
        }
        if RESERVED.contains(&text) { Err(TypeKeyError::Reserved) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for TypeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Urgency {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

impl FromStr for Urgency {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::High, Self::Normal, Self::Low].into_iter().find(|urgency| urgency.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no urgency: high, normal or low"))
    }
}

impl Part {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Body => "body",
            Self::Url => "url",
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "html",
        }
    }

    /// Whether it comes out as one line.
    #[must_use]
    pub const fn is_line(self) -> bool {
        matches!(self, Self::Title | Self::Url | Self::Subject)
    }

    /// Bytes that may come out of its template.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Title | Self::Subject => 1024,
            Self::Url => super::limits::URL_BYTES_MAX,
            Self::Body => 16 * 1024,
            Self::Text | Self::Html => 256 * 1024,
        }
    }
}

impl Notice {
    fn parts(&self) -> impl Iterator<Item = (Part, &str)> {
        let must = [(Part::Title, self.title.as_str()), (Part::Body, &self.body)];
        must.into_iter().chain(self.url.as_deref().map(|url| (Part::Url, url)))
    }
}

impl Mail {
    fn parts(&self) -> impl Iterator<Item = (Part, &str)> {
        let must = [(Part::Subject, self.subject.as_str()), (Part::Text, &self.text)];
        must.into_iter().chain(self.html.as_deref().map(|html| (Part::Html, html)))
    }
}

impl Channels {
    /// Those that are there.
    #[must_use]
    pub fn all(&self) -> Vec<Channel> {
        let of_people = self.locales().into_iter().map(|(channel, _)| channel);
        of_people.chain(self.webhook.as_ref().map(|_| Channel::Webhook)).collect()
    }

    /// In which languages each channel of people that is there has templates.
    #[must_use]
    pub fn locales(&self) -> Vec<(Channel, Vec<&Locale>)> {
        let notices = [(Channel::Inbox, &self.inbox), (Channel::Push, &self.push)].into_iter();
        let notices = notices.filter_map(|(channel, set)| Some((channel, set.as_ref()?.templates.keys().collect())));
        let mails = self.email.iter().map(|set| (Channel::Email, set.templates.keys().collect()));
        notices.chain(mails).collect()
    }

    /// As [`Self::locales`], of what channels say of more than one.
    #[must_use]
    pub fn digest_locales(&self) -> Vec<(Channel, Vec<&Locale>)> {
        let notices = [(Channel::Inbox, &self.inbox), (Channel::Push, &self.push)].into_iter();
        let notices = notices
            .filter_map(|(channel, set)| Some((channel, set.as_ref()?.digest.as_ref()?.templates.keys().collect())));
        let mails =
            self.email.iter().filter_map(|set| Some((Channel::Email, set.digest.as_ref()?.templates.keys().collect())));
        notices.chain(mails).collect()
    }

    /// How its channels tell people; a channel of which nothing is set is not there.
    #[must_use]
    pub fn workflows(&self) -> BTreeMap<Channel, Workflow> {
        let all = [
            (Channel::Inbox, self.inbox.as_ref().map(ChannelSettings::workflow)),
            (Channel::Push, self.push.as_ref().map(ChannelSettings::workflow)),
            (Channel::Email, self.email.as_ref().map(ChannelSettings::workflow)),
        ];
        let set = all.into_iter().filter_map(|(channel, workflow)| Some((channel, workflow?)));
        set.filter(|(_, workflow)| *workflow != Workflow::default()).collect()
    }

    /// All templates.
    #[must_use]
    pub fn templates(&self) -> Vec<TemplateAt<'_>> {
        let mut all = Vec::new();
        for (channel, set) in [(Channel::Inbox, &self.inbox), (Channel::Push, &self.push)] {
            for (form, locale, notice) in set.iter().flat_map(ChannelSettings::forms) {
                all.extend(notice.parts().map(|(part, source)| TemplateAt { channel, form, locale, part, source }));
            }
        }
        for (form, locale, mail) in self.email.iter().flat_map(ChannelSettings::forms) {
            let at = |(part, source)| TemplateAt { channel: Channel::Email, form, locale, part, source };
            all.extend(mail.parts().map(at));
        }
        all
    }
}

impl<T> ChannelSettings<T> {
    fn workflow(&self) -> Workflow {
        let digest = self.digest.as_ref().map(|digest| digest.gathering.clone());
        Workflow { only_if_unseen_for_s: self.only_if_unseen_for_s, throttle: self.throttle, digest }
    }

    fn forms(&self) -> impl Iterator<Item = (Form, &Locale, &T)> {
        let single = self.templates.iter().map(|(locale, of)| (Form::Single, locale, of));
        let digest = self.digest.iter().flat_map(|digest| &digest.templates);
        single.chain(digest.map(|(locale, of)| (Form::Digest, locale, of)))
    }
}

impl TemplateAt<'_> {
    /// Where it stands in its type's definition, as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self) -> String {
        let Self { channel, form, locale, part, .. } = self;
        format!("/channels/{}{}/templates/{locale}/{}", channel.as_str(), form.place(), part.as_str())
    }
}

impl Form {
    /// Where its templates stand within a channel, as a JSON pointer.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Single => "",
            Self::Digest => "/digest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_word_in_lower_case_that_no_path_has_already() {
        for good in ["a", "comment.created", "new_follower-2", &"x".repeat(128)] {
            assert_eq!(good.parse::<TypeKey>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "a b", "a/b", "é", &"x".repeat(129)] {
            assert_eq!(bad.parse::<TypeKey>(), Err(TypeKeyError::Characters), "{bad}");
        }
        for bad in RESERVED {
            assert_eq!(bad.parse::<TypeKey>(), Err(TypeKeyError::Reserved));
        }
    }

    #[test]
    fn an_urgency_is_read_as_it_is_written() {
        for urgency in [Urgency::High, Urgency::Normal, Urgency::Low] {
            assert_eq!(urgency.as_str().parse(), Ok(urgency));
        }
        assert!("urgent".parse::<Urgency>().is_err());
    }
}
