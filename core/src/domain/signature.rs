//! Signatures of deliveries, and the secrets they are made with.
//!
//! Source: Standard Webhooks specification 1.0.0, "Signature scheme" (symmetric, `v1`).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;

use super::{UnixMs, id::Identified};

/// Bytes of a secret, by the specification.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const SECRET_BYTES_MADE: usize = 32;
const PREFIX: &str = "whsec_";

/// A symmetric signing secret. Its text is `whsec_` and base64; it never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl Identified for SigningSecret {
    const PREFIX: &'static str = "sec";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ followed by base64 (RFC 4648 §4) of 24 to 64 bytes")]
pub struct SecretError;

impl SigningSecret {
    /// # Errors
    /// When `text` is not `whsec_` and base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        STANDARD.decode(encoded).map_err(|_| SecretError).and_then(Self::from_bytes)
    }

    /// # Errors
    /// When there are not 24 to 64 bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretError> {
        if SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError) }
    }

    /// A new secret from 32 random bytes.
    #[must_use]
    pub fn from_random(random: [u8; SECRET_BYTES_MADE]) -> Self {
        Self(random.to_vec())
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that integrators get, `whsec_…`.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{timestamp_s}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_(hidden)")
    }
}

/// The three headers of a signed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// `webhook-id`
    pub id: String,
    /// `webhook-timestamp`, in seconds
    pub timestamp: String,
    /// `webhook-signature`: one `v1,…` for each secret, joined by one space
    pub signature: String,
}

impl SignedHeaders {
    /// Those of a message whose signature is not known.
    #[must_use]
    pub fn unsigned(id: &str, at: UnixMs) -> Self {
        Self { id: id.to_owned(), timestamp: seconds(at).to_string(), signature: String::new() }
    }
}

const fn seconds(at: UnixMs) -> i64 {
    at.0.div_euclid(1000)
}

/// Signs `body` as message `id` with every secret that is valid now.
#[must_use]
pub fn sign(secrets: &[SigningSecret], id: &str, at: UnixMs, body: &[u8]) -> SignedHeaders {
    let timestamp_s = seconds(at);
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp_s, body)).collect();
    SignedHeaders { signature: signatures.join(" "), ..SignedHeaders::unsigned(id, at) }
}

/// Whether one of the signatures in `headers` was made with `secret`, compared in constant time.
#[must_use]
pub fn verify(secret: &SigningSecret, headers: &SignedHeaders, body: &[u8]) -> bool {
    let Ok(timestamp_s) = headers.timestamp.parse::<i64>() else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut signed = format!("{}.{timestamp_s}.", headers.id).into_bytes();
    signed.extend_from_slice(body);
    let signatures = headers.signature.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    signatures.filter_map(|one| STANDARD.decode(one).ok()).any(|tag| hmac::verify(&key, &signed, &tag).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specification_s_example_has_its_signature() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = sign(
            std::slice::from_ref(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            UnixMs(1_614_265_330_000),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(headers.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(verify(&secret, &headers, br#"{"test": 2432232314}"#));
        assert!(!verify(&secret, &headers, br#"{"test": 2432232315}"#));
    }

    #[test]
    fn secrets_of_24_to_64_bytes_are_taken() {
        for (bytes, fits) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7u8; bytes]));
            assert_eq!(SigningSecret::parse(&text).is_ok(), fits, "{bytes}");
        }
        assert!(SigningSecret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_err());
        assert_eq!(format!("{:?}", SigningSecret::from_random([1; 32])), "whsec_(hidden)");
    }

    fn secret() -> impl Strategy<Value = SigningSecret> {
        prop::collection::vec(any::<u8>(), SECRET_BYTES).prop_map(|bytes| SigningSecret::from_bytes(bytes).unwrap())
    }

    proptest! {
        #[test]
        fn a_secret_is_read_back_from_its_text(secret in secret()) {
            prop_assert_eq!(SigningSecret::parse(&secret.reveal()), Ok(secret));
        }

        #[test]
        fn each_secret_verifies_what_all_have_signed_and_nothing_else(
            secrets in prop::collection::vec(secret(), 1..4), other in secret(), id in "[a-z0-9_]{1,40}",
            body in prop::collection::vec(any::<u8>(), 0..200), at in any::<i64>(), change in any::<prop::sample::Index>(),
        ) {
            let headers = sign(&secrets, &id, UnixMs(at), &body);
            prop_assert_eq!(headers.signature.split(' ').count(), secrets.len());
            for secret in &secrets {
                prop_assert!(verify(secret, &headers, &body));
            }
            prop_assert!(secrets.contains(&other) || !verify(&other, &headers, &body));
            let mut changed = body.clone();
            changed.push(0);
            prop_assert!(!verify(&secrets[0], &headers, &changed));
            if !body.is_empty() {
                changed = body.clone();
                changed[change.index(body.len())] ^= 1;
                prop_assert!(!verify(&secrets[0], &headers, &changed));
            }
            let later = (at.div_euclid(1000) + 1).to_string();
            for forged in [
                SignedHeaders { id: format!("{id}x"), ..headers.clone() },
                SignedHeaders { timestamp: later, ..headers },
            ] {
                prop_assert!(!verify(&secrets[0], &forged, &body));
            }
        }

        #[test]
        fn no_other_text_is_a_signature(signature in "(v1,|v2,| |[A-Za-z0-9+/=]{0,10}){0,8}", timestamp in "\\PC{0,12}") {
            let secret = SigningSecret::from_random([7; 32]);
            let headers = SignedHeaders { id: "evt_1".to_owned(), timestamp, signature };
            prop_assert!(!verify(&secret, &headers, b"1"));
        }
    }
}
