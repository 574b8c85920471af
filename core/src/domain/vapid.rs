//! Who a tenant is to push services (VAPID, RFC 8292): its key pair, and whom they turn to. Knows no token and no HTTP.

use std::{fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use p256::{PublicKey, SecretKey, elliptic_curve::sec1::ToSec1Point};
use serde::{Deserialize, Serialize};

use super::{Id, UnixMs, email::EmailAddress, id::Identified};

/// Bytes of a public key: a point of the curve P-256, uncompressed (SEC 1, section 2.3.3).
pub const PUBLIC_KEY_BYTES: usize = 65;
/// Bytes of a private key.
pub const PRIVATE_KEY_BYTES: usize = 32;
/// What an uncompressed point begins with.
const UNCOMPRESSED: u8 = 4;
/// Bytes of a subject.
const SUBJECT_BYTES_MAX: usize = 255;
const MAILTO: &str = "mailto:";

/// Browsers and libraries leave the padding away, and those who copy keys may not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a tenant signs pushes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vapid {
    /// Another with each change, so that nothing which was made of the former one is taken for this one's.
    pub id: Id<Vapid>,
    pub key: VapidKey,
    pub subject: Option<Subject>,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

impl Identified for Vapid {
    const PREFIX: &'static str = "vap";
}

/// A key pair on the curve P-256. Its private half never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct VapidKey {
    private: [u8; PRIVATE_KEY_BYTES],
    public: PublicPoint,
}

/// A public key as browsers and push services write it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicPoint([u8; PUBLIC_KEY_BYTES]);

/// Whom a push service turns to when something is wrong with what it gets: `mailto:` or `https:` (RFC 8292, section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushKeyRefused {
    #[error("it is not base64url (RFC 4648, section 5)")]
    Encoding,
    #[error("it has {bytes} bytes; it has to have {expected}")]
    Length { bytes: usize, expected: usize },
    #[error("it is no uncompressed point of the curve P-256")]
    Point,
    #[error("it is no private key of the curve P-256")]
    Private,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is mailto: with an e-mail address, or an https: address, of {SUBJECT_BYTES_MAX} bytes at most")]
pub struct SubjectError;

impl VapidKey {
    /// # Errors
    /// When the bytes are no private key: zero, or beyond the order of the curve, as two in 2³² are.
    pub fn from_private(private: [u8; PRIVATE_KEY_BYTES]) -> Result<Self, PushKeyRefused> {
        let key = SecretKey::from_slice(&private).map_err(|_| PushKeyRefused::Private)?;
        let point = key.public_key().to_sec1_point(false);
        Ok(Self { private, public: PublicPoint::of(point.as_bytes())? })
    }

    /// # Errors
    /// When `text` is not base64url of a private key.
    pub fn parse(text: &str) -> Result<Self, PushKeyRefused> {
        Self::from_private(decode(text)?)
    }

    #[must_use]
    pub const fn private(&self) -> &[u8; PRIVATE_KEY_BYTES] {
        &self.private
    }

    #[must_use]
    pub const fn public(&self) -> &PublicPoint {
        &self.public
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VapidKey({})", self.public)
    }
}

impl PublicPoint {
    /// # Errors
    /// When the bytes are no point of the curve, or not in the form in which they are sent.
    pub fn of(bytes: &[u8]) -> Result<Self, PushKeyRefused> {
        let point: [u8; PUBLIC_KEY_BYTES] = sized(bytes)?;
        let is_on_curve = point[0] == UNCOMPRESSED && PublicKey::from_sec1_bytes(&point).is_ok();
        if is_on_curve { Ok(Self(point)) } else { Err(PushKeyRefused::Point) }
    }

    /// One that was judged when it was stored.
    pub(crate) fn stored(bytes: &[u8]) -> Result<Self, PushKeyRefused> {
        sized(bytes).map(Self)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }
}

impl FromStr for PublicPoint {
    type Err = PushKeyRefused;
    fn from_str(text: &str) -> Result<Self, PushKeyRefused> {
        Self::of(&decode::<PUBLIC_KEY_BYTES>(text)?)
    }
}

impl fmt::Display for PublicPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PublicPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Subject {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = SubjectError;
    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let is_plain = text.len() <= SUBJECT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        let names_somebody = match text.strip_prefix(MAILTO) {
            Some(address) => address.parse::<EmailAddress>().is_ok(),
            None => url::Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.has_host()),
        };
        if is_plain && names_somebody { Ok(Self(text.to_owned())) } else { Err(SubjectError) }
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;
    fn try_from(text: String) -> Result<Self, SubjectError> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

/// So many bytes in base64url.
pub(super) fn decode<const N: usize>(text: &str) -> Result<[u8; N], PushKeyRefused> {
    sized(&BASE64URL.decode(text).map_err(|_| PushKeyRefused::Encoding)?)
}

pub(super) fn sized<const N: usize>(bytes: &[u8]) -> Result<[u8; N], PushKeyRefused> {
    bytes.try_into().map_err(|_| PushKeyRefused::Length { bytes: bytes.len(), expected: N })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The application server's keys of RFC 8291, section 5.
    const PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const PUBLIC: &str = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

    #[test]
    fn a_private_key_says_its_public_one() {
        let key = VapidKey::parse(PRIVATE).unwrap();
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(VapidKey::parse(&format!("{PRIVATE}=")).unwrap(), key);
        assert!(!format!("{key:?}").contains(PRIVATE));
    }

    #[test]
    fn what_is_no_key_of_the_curve_is_refused_by_its_fault() {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let length = |bytes, expected| PushKeyRefused::Length { bytes, expected };
        assert_eq!(VapidKey::parse("no key"), Err(PushKeyRefused::Encoding));
        assert_eq!(VapidKey::parse(&encoded(&[1; 31])), Err(length(31, 32)));
        assert_eq!(VapidKey::parse(&encoded(&[0; 32])), Err(PushKeyRefused::Private));
        assert_eq!(VapidKey::parse(&encoded(&[255; 32])), Err(PushKeyRefused::Private));
        let good = URL_SAFE_NO_PAD.decode(PUBLIC).unwrap();
        let point = |bytes: &[u8]| encoded(bytes).parse::<PublicPoint>();
        assert_eq!(point(&good).map(|point| point.to_string()).as_deref(), Ok(PUBLIC));
        assert_eq!(point(&good[1..]), Err(length(64, 65)));
        for (place, value) in [(0, 2), (0, 6), (1, 0), (64, 0)] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(point(&bad), Err(PushKeyRefused::Point), "{place} {value}");
        }
        assert_eq!(point(&[0; 65]), Err(PushKeyRefused::Point));
    }

    #[test]
    fn a_subject_is_an_address_that_somebody_reads() {
        for good in ["mailto:ops@example.com", "https://example.com/contact", "https://example.com"] {
            assert_eq!(good.parse::<Subject>().unwrap().as_str(), good);
        }
        for bad in ["", "ops@example.com", "mailto:", "mailto:ops", "http://example.com", "https://", "mailto:a@b c"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
        assert!(format!("https://example.com/{}", "a".repeat(250)).parse::<Subject>().is_err());
    }
}
