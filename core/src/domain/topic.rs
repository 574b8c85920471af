//! Topics: what people subscribe to.

use std::{fmt, str::FromStr};

use super::{
    Id, UnixMs,
    id::Identified,
    recipient::{KeyRefused, judge_key},
};

/// What a product calls a topic: as [`super::recipient::RecipientKey`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicKey(String);

/// Something that people subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: Id<Topic>,
    pub key: TopicKey,
    /// For people.
    pub name: String,
    /// For whom of its subscribers notifications are, as [`crate::notify::Condition`] reads it; `None`: for all.
    pub condition: Option<String>,
    pub subscribers: u64,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

impl Identified for Topic {
    const PREFIX: &'static str = "top";
}

impl TopicKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicKey {
    type Err = KeyRefused;
    fn from_str(text: &str) -> Result<Self, KeyRefused> {
        judge_key(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for TopicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
