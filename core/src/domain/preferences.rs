//! What a person wants to be told, and where.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Categories that one person has preferences of.
pub const CATEGORIES_MAX: usize = 100;
/// Characters of a category.
const CATEGORY_CHARS_MAX: usize = 64;

/// What a notification is about, as its product divides them: `comments`, `billing`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a category is 1 to {CATEGORY_CHARS_MAX} characters of a-z, 0-9, _ . and -")]
pub struct CategoryError;

/// How something reaches a person, or endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Inbox,
    Push,
    Email,
    /// An event to endpoints, which are the product's and nobody's: people have no preferences of it.
    Webhook,
}

/// By category and channel, whether the person wants it. What is not there they have not decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Preferences(BTreeMap<Category, BTreeMap<Channel, bool>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are preferences of {0} categories; a recipient may have {CATEGORIES_MAX}")]
pub struct TooManyCategories(usize);

impl Preferences {
    /// # Errors
    /// When there are too many categories.
    pub fn new(by_category: BTreeMap<Category, BTreeMap<Channel, bool>>) -> Result<Self, TooManyCategories> {
        match by_category.len() {
            count if count > CATEGORIES_MAX => Err(TooManyCategories(count)),
            _ => Ok(Self(by_category)),
        }
    }

    /// What nobody has decided is wanted.
    #[must_use]
    pub fn wants(&self, category: &Category, channel: Channel) -> bool {
        self.0.get(category).and_then(|channels| channels.get(&channel)).copied().unwrap_or(true)
    }

    /// Decides on one channel of a category.
    pub fn set(&mut self, category: Category, channel: Channel, wants: bool) {
        self.0.entry(category).or_default().insert(channel, wants);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Category, &BTreeMap<Channel, bool>)> {
        self.0.iter()
    }
}

impl Channel {
    pub const ALL: [Self; 4] = [Self::Inbox, Self::Push, Self::Email, Self::Webhook];
    /// Those by which people are told, each for themselves.
    pub const OF_PEOPLE: [Self; 3] = [Self::Inbox, Self::Push, Self::Email];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Push => "push",
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

impl FromStr for Channel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|channel| channel.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no channel: inbox, push, email or webhook"))
    }
}

impl Category {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Category {
    type Err = CategoryError;
    fn from_str(text: &str) -> Result<Self, CategoryError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        let fits = (1..=CATEGORY_CHARS_MAX).contains(&text.len()) && text.bytes().all(known);
        if fits { Ok(Self(text.to_owned())) } else { Err(CategoryError) }
    }
}

impl TryFrom<String> for Category {
    type Error = CategoryError;
    fn try_from(text: String) -> Result<Self, CategoryError> {
        text.parse()
    }
}

impl From<Category> for String {
    fn from(category: Category) -> Self {
        category.0
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_a_short_word_in_lower_case() {
        for good in ["a", "comments", "team.billing", "v1_eu-west", &"x".repeat(64)] {
            assert_eq!(good.parse::<Category>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "Team", "two words", "a/b", "é", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Category>(), Err(CategoryError), "{bad}");
        }
    }

    #[test]
    fn preferences_are_bounded() {
        let of = |count: usize| (0..count).map(|n| (format!("c{n}").parse().unwrap(), BTreeMap::new())).collect();
        assert!(Preferences::new(of(CATEGORIES_MAX)).is_ok());
        assert_eq!(Preferences::new(of(101)), Err(TooManyCategories(101)));
    }
}
