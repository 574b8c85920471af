//! Typed identifiers: a UUIDv7 inside, a TypeID (prefix, underscore, 26 base32 characters) outside.
//!
//! Source of the text form: TypeID specification 0.3 (Crockford's base32 in lower case, most significant first).

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::UnixMs;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_CHARS: usize = 26;

/// A noun that has identifiers of its own.
pub trait Identified {
    /// What stands before the underscore, for example `ep`.
    const PREFIX: &'static str;
}

/// The identifier of one `T`. Two ids of different nouns cannot be confused.
pub struct Id<T> {
    uuid: Uuid,
    noun: PhantomData<fn() -> T>,
}

/// A text that is not an identifier of the expected noun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of the form {prefix}_ and 26 characters of 0-9a-z")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

impl<T> Id<T> {
    /// A new identifier; ids made one after the other in one process sort in that order.
    #[must_use]
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    /// An identifier as if it had been made at that time, with these random bits, the lower 80 of which count.
    #[must_use]
    pub fn at(time: UnixMs, random: u128) -> Self {
        let [.., a, b, c, d, e, f, g, h, i, j] = random.to_be_bytes();
        let millis = u64::try_from(time.0).unwrap_or(0);
        let random = [a, b, c, d, e, f, g, h, i, j];
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, noun: PhantomData }
    }

    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// When it was made (RFC 9562, section 5.7: the first 48 bits are milliseconds since 1970).
    #[must_use]
    pub fn made_at(self) -> UnixMs {
        UnixMs(i64::try_from(self.uuid.as_u128() >> 80).unwrap_or(i64::MAX))
    }

    /// No id that was made at this time or later sorts before this.
    #[must_use]
    pub fn first_of(time: UnixMs) -> Self {
        let ms = u128::try_from(time.0).unwrap_or(0).min((1 << 48) - 1);
        Self::from_uuid(Uuid::from_u128(ms << 80))
    }
}

impl<T> Default for Id<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Identified> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.uuid.as_u128();
        write!(f, "{}_", T::PREFIX)?;
        (0..SUFFIX_CHARS).rev().try_for_each(|place| {
            let digit = usize::try_from((bits >> (place * 5)) & 31).unwrap_or_default();
            write!(f, "{}", char::from(ALPHABET[digit]))
        })
    }
}

impl<T: Identified> FromStr for Id<T> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError { text: text.chars().take(64).collect(), prefix: T::PREFIX };
        let suffix = text
            .strip_prefix(T::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|suffix| suffix.len() == SUFFIX_CHARS && suffix.as_bytes()[0] <= b'7')
            .ok_or_else(refused)?;
        let bits = suffix.bytes().try_fold(0u128, |bits, byte| {
            let digit = ALPHABET.iter().position(|&known| known == byte).ok_or_else(refused)?;
            Ok((bits << 5) | digit as u128)
        })?;
        Ok(Self::from_uuid(Uuid::from_u128(bits)))
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

// Written out because derives would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<T> hash::Hash for Id<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<T: Identified> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Identified> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::event::Event;

    #[test]
    fn the_specification_s_example_reads_and_writes_the_same() {
        struct Prefix;
        impl Identified for Prefix {
            const PREFIX: &'static str = "prefix";
        }
        let id: Id<Prefix> = "prefix_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        assert_eq!(id.uuid().to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
        assert_eq!(id.to_string(), "prefix_01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn ids_of_a_past_sort_by_its_times() {
        let at = |time| Id::<Event>::at(UnixMs(time), u128::MAX);
        assert!(at(1_700_000_000_000) < at(1_700_000_000_001) && at(1_700_000_000_001) < Id::new());
        assert_eq!(at(1_700_000_000_000).uuid().get_version_num(), 7);
    }

    #[test]
    fn what_is_not_an_event_s_id_is_refused() {
        let good = Id::<Event>::new().to_string();
        for bad in [
            "",
            "evt_",
            "evt",
            &good[1..],
            &good.to_uppercase(),
            &format!("{good}0"),
            "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            &good.replace("evt", "ep"),
        ] {
            assert!(bad.parse::<Id<Event>>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let (before, id) = (UnixMs::now(), Id::<Event>::new());
        assert!((before..=UnixMs::now()).contains(&id.made_at()));
        assert!(Id::first_of(id.made_at()) <= id && id < Id::first_of(UnixMs(id.made_at().0 + 1)));
        assert_eq!(Id::<Event>::first_of(UnixMs(-1)).made_at(), UnixMs(0));
    }

    proptest! {
        #[test]
        fn every_id_survives_its_text(bits: u128) {
            let id = Id::<Event>::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<Id<Event>>().unwrap(), id);
        }
    }
}
