//! A text for one browser: Message Encryption for Web Push (RFC 8291), which is one record of `aes128gcm` (RFC 8188).

use postrider_core::domain::{
    push::{PUSH_TEXT_BYTES_MAX, PushKeys},
    vapid::PUBLIC_KEY_BYTES,
};
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom, SystemRandom},
};

/// Bytes of the salt before each body (RFC 8188, section 2.1).
const SALT_BYTES: usize = 16;
/// What a body says of its records' size: more than its one record has (RFC 8291, section 4).
const RECORD_BYTES: u32 = 4_096;
/// Salt, size of records, length of the key and the key (RFC 8188, section 2.1).
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + PUBLIC_KEY_BYTES;
/// What stands behind the text of the last record (RFC 8188, section 2).
const LAST_RECORD: u8 = 2;
const TAG_BYTES: usize = 16;
/// Bytes of a body.
pub(super) const BODY_BYTES_MAX: usize = HEADER_BYTES + PUSH_TEXT_BYTES_MAX + 1 + TAG_BYTES;
const _: () = assert!(BODY_BYTES_MAX == 4_096);

/// Keys that both sides derive (RFC 8291, section 3.4).
struct Derived {
    key: UnboundKey,
    nonce: Nonce,
}

/// Keys of so many bytes.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// What was agreed on with a browser: the shared secret, the public half of what it came of, and the salt.
#[derive(Clone, Copy)]
struct Agreed<'a> {
    shared: &'a [u8],
    sender: &'a [u8],
    salt: [u8; SALT_BYTES],
}

/// The body of a push with this text, which only the browser reads. Each has a key pair and a salt of its own.
///
/// # Errors
/// When the system has no randomness, or the browser's key is none.
pub(super) fn encrypt(keys: &PushKeys, text: &[u8], random: &SystemRandom) -> Result<Vec<u8>, Unspecified> {
    let private = EphemeralPrivateKey::generate(&ECDH_P256, random)?;
    let sender = private.compute_public_key()?;
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    let receiver = UnparsedPublicKey::new(&ECDH_P256, keys.p256dh().as_bytes());
    agree_ephemeral(private, &receiver, |shared| seal(keys, Agreed { shared, sender: sender.as_ref(), salt }, text))?
}

fn seal(keys: &PushKeys, agreed: Agreed<'_>, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let Derived { key, nonce } = derive(keys, agreed)?;
    let mut record = Vec::with_capacity(text.len() + 1 + TAG_BYTES);
    record.extend_from_slice(text);
    record.push(LAST_RECORD);
    LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::empty(), &mut record)?;
    let key_bytes = u8::try_from(agreed.sender.len()).map_err(|_| Unspecified)?;
    Ok([&agreed.salt, RECORD_BYTES.to_be_bytes().as_slice(), &[key_bytes], agreed.sender, &record].concat())
}

fn derive(keys: &PushKeys, agreed: Agreed<'_>) -> Result<Derived, Unspecified> {
    let mut input = [0; 32];
    Salt::new(HKDF_SHA256, keys.auth())
        .extract(agreed.shared)
        .expand(&[b"WebPush: info\0", keys.p256dh().as_bytes(), agreed.sender], Bytes(input.len()))?
        .fill(&mut input)?;
    let content = Salt::new(HKDF_SHA256, &agreed.salt).extract(&input);
    let mut nonce = [0; NONCE_LEN];
    content.expand(&[b"Content-Encoding: nonce\0"], Bytes(NONCE_LEN))?.fill(&mut nonce)?;
    let key = content.expand(&[b"Content-Encoding: aes128gcm\0"], &AES_128_GCM)?.into();
    Ok(Derived { key, nonce: Nonce::assume_unique_for_key(nonce) })
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use p256::{PublicKey, SecretKey, elliptic_curve::ecdh::diffie_hellman};
    use postrider_core::domain::push::parse_auth;

    use super::*;

    /// The example of RFC 8291, section 5, with the values of its appendix A.
    const TEXT: &str = "When I grow up, I want to be a watermelon";
    const AS_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const AS_PUBLIC: &str = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
    const UA_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const UA_PUBLIC: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
        AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn keys() -> PushKeys {
        PushKeys::new(UA_PUBLIC.parse().unwrap(), parse_auth(AUTH).unwrap())
    }

    /// What the holder of a private key and somebody with the public one share.
    fn shared(private: &str, public: &[u8]) -> Vec<u8> {
        let private = SecretKey::from_slice(&bytes(private)).unwrap();
        let public = PublicKey::from_sec1_bytes(public).unwrap();
        diffie_hellman(private.to_nonzero_scalar(), public.as_affine()).raw_secret_bytes().to_vec()
    }

    #[test]
    fn the_example_of_the_rfc_comes_out_as_it_stands_there() {
        let (shared, sender) = (shared(AS_PRIVATE, &bytes(UA_PUBLIC)), bytes(AS_PUBLIC));
        let salt = bytes(SALT).try_into().unwrap();
        let body = seal(&keys(), Agreed { shared: &shared, sender: &sender, salt }, TEXT.as_bytes()).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(body), BODY);
    }

    #[test]
    fn the_browser_reads_what_was_encrypted_for_it_whatever_its_length() {
        for length in [0, 1, 15, 16, 17, PUSH_TEXT_BYTES_MAX] {
            let text = vec![b'x'; length];
            let body = encrypt(&keys(), &text, &SystemRandom::new()).unwrap();
            assert_eq!(body.len(), HEADER_BYTES + length + 1 + TAG_BYTES);
            let (head, record) = body.split_at(HEADER_BYTES);
            let (salt, sender) = (head[..SALT_BYTES].try_into().unwrap(), &head[SALT_BYTES + 5..]);
            let shared = shared(UA_PRIVATE, sender);
            let Derived { key, nonce } = derive(&keys(), Agreed { shared: &shared, sender, salt }).unwrap();
            let mut record = record.to_vec();
            let read = LessSafeKey::new(key).open_in_place(nonce, Aad::empty(), &mut record).unwrap();
            assert_eq!(read, [text.as_slice(), &[LAST_RECORD]].concat());
        }
    }

    #[test]
    fn no_two_bodies_share_a_key_or_a_salt() {
        let random = SystemRandom::new();
        let [one, two] = [(); 2].map(|()| encrypt(&keys(), b"same", &random).unwrap());
        assert_ne!(one[..SALT_BYTES], two[..SALT_BYTES]);
        assert_ne!(one[SALT_BYTES + 5..HEADER_BYTES], two[SALT_BYTES + 5..HEADER_BYTES]);
    }
}
