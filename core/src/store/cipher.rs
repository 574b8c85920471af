//! Secrets at rest: AES-256-GCM, each bound to its row, with a key id so that keys can be rotated.

use std::{fmt, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
};
use uuid::Uuid;

use super::StoreError;

const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 4;

/// The encryption keys: the first one seals, all of them open.
#[derive(Clone)]
pub struct Cipher {
    keys: Arc<[(String, LessSafeKey)]>,
    /// Of the same keys, in their order.
    links: Arc<[hmac::Key]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an encryption key is base64 (RFC 4648 §4) of 32 bytes; several are separated by commas, the current one first"
)]
pub struct KeyError;

impl Cipher {
    /// # Errors
    /// When `text` is not one or several keys in base64, separated by commas.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let keys: Vec<_> = text.split(',').map(|key| parse_key(key.trim())).collect::<Result<_, _>>()?;
        let (keys, links): (Vec<_>, Vec<_>) = keys.into_iter().map(|(id, key, link)| ((id, key), link)).unzip();
        Ok(Self { keys: keys.into(), links: links.into() })
    }

    /// A new key's text, from 32 random bytes.
    #[must_use]
    pub fn key_text(random: [u8; KEY_BYTES]) -> String {
        STANDARD.encode(random)
    }

    /// Signs what a link lets its bearer do, with the current key.
    #[must_use]
    pub fn sign_link(&self, meaning: &str) -> String {
        let tag = self.links.first().map(|key| hmac::sign(key, meaning.as_bytes()));
        tag.map_or_else(String::new, |tag| URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whether a link means this, signed with any of the keys.
    #[must_use]
    pub fn is_link(&self, meaning: &str, signature: &str) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.links.iter().any(|key| hmac::verify(key, meaning.as_bytes(), &tag).is_ok())
    }

    /// Whether the key with this id is configured.
    pub(super) fn knows(&self, key_id: &str) -> bool {
        self.keys.iter().any(|(id, _)| id == key_id)
    }

    /// The sealed secret and the id of the key that sealed it. `row` has to be named again to open it.
    pub(super) fn seal(
        &self,
        row: Uuid,
        secret: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Result<(Vec<u8>, String), StoreError> {
        let (key_id, key) = self.keys.first().ok_or_else(|| StoreError::Configuration("no encryption key".into()))?;
        let mut sealed = secret.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(row.into_bytes()), &mut sealed)
            .map_err(|_| StoreError::unreadable("secret", "it is too long to seal"))?;
        Ok(([nonce.as_slice(), &sealed].concat(), key_id.clone()))
    }

    pub(super) fn open(&self, row: Uuid, key_id: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let unreadable = |detail: &str| StoreError::unreadable("secret", detail);
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| id == key_id)
            .ok_or_else(|| unreadable(&format!("its encryption key {key_id} is not among those configured")))?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(|| unreadable("it is too short"))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| unreadable("its nonce is too short"))?;
        let mut secret = sealed.to_vec();
        let opened = key
            .open_in_place(nonce, Aad::from(row.into_bytes()), &mut secret)
            .map_err(|_| unreadable("the encryption key does not open it"))?;
        Ok(opened.to_vec())
    }
}

fn parse_key(text: &str) -> Result<(String, LessSafeKey, hmac::Key), KeyError> {
    let bytes = STANDARD.decode(text).map_err(|_| KeyError)?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyError)?;
    let hash = digest::digest(&digest::SHA256, &bytes);
    let id = hash.as_ref()[..KEY_ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    // Another key for another use: what signs a link opens no secret.
    let link = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"postrider links");
    Ok((id, LessSafeKey::new(key), hmac::Key::new(hmac::HMAC_SHA256, link.as_ref())))
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_in_its_row_and_also_after_a_rotation_of_keys() {
        let (old, new) = (Cipher::key_text([1; 32]), Cipher::key_text([2; 32]));
        let (row, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (sealed, key_id) = Cipher::parse(&old).unwrap().seal(row, b"secret", [3; NONCE_LEN]).unwrap();
        let both = Cipher::parse(&format!("{new},{old}")).unwrap();
        assert_eq!(both.open(row, &key_id, &sealed).unwrap(), b"secret");
        assert!(both.open(other, &key_id, &sealed).is_err());
        assert!(Cipher::parse(&new).unwrap().open(row, &key_id, &sealed).is_err());
        assert!(Cipher::parse("c2hvcnQ=").is_err());
    }

    #[test]
    fn a_link_means_what_was_signed_also_after_a_rotation_of_keys() {
        let (old, new) = (Cipher::key_text([1; 32]), Cipher::key_text([2; 32]));
        let signed = Cipher::parse(&old).unwrap().sign_link("portal of a");
        let both = Cipher::parse(&format!("{new},{old}")).unwrap();
        assert!(both.is_link("portal of a", &signed));
        assert!(!both.is_link("portal of b", &signed) && !both.is_link("portal of a", ""));
        assert!(!Cipher::parse(&new).unwrap().is_link("portal of a", &signed));
    }
}
