//! The text of an API token: shown once, kept as its hash.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;

const PREFIX: &str = "pr_";

/// A new token's text, shown once.
pub struct TokenText(String);

impl TokenText {
    /// `pr_` and 43 characters of base64url, from 32 random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored in its place.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        token_hash(&self.0).to_vec()
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pr_(hidden)")
    }
}

/// The SHA-256 of a token's text, which is what SQL keeps of it.
#[must_use]
pub fn token_hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}
