//! What says to a push service who pushes: `Authorization: vapid` with a JWT (RFC 8292), signed with ES256 (RFC 7518, section 3.4).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postrider_core::domain::{
    UnixMs,
    vapid::{Subject, Vapid},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::json;

/// For how long a token is valid; push services take a day at most (RFC 8292, section 2).
const VALID: Duration = Duration::from_secs(12 * 3600);
/// For how long one is used, so that none ends on its way, and clocks may be some hours apart.
pub(super) const USED: Duration = Duration::from_secs(6 * 3600);

/// The header's value for push services at `origin`.
///
/// # Errors
/// When the system has no randomness, in words.
pub(super) fn authorization(
    vapid: &Vapid,
    origin: &str,
    now: UnixMs,
    random: &SystemRandom,
) -> Result<String, &'static str> {
    let head = json!({ "typ": "JWT", "alg": "ES256" });
    let mut claims = json!({ "aud": origin, "exp": (now + VALID).0.div_euclid(1000) });
    if let Some(subject) = vapid.subject.as_ref().map(Subject::as_str) {
        claims["sub"] = subject.into();
    }
    let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{head}.{claims}");
    let (private, public) = (vapid.key.private(), vapid.key.public());
    let keys = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        private,
        public.as_bytes(),
        random,
    );
    let signature = keys.map_err(|_| "the key for web push is none")?.sign(random, signed.as_bytes());
    let signature = signature.map_err(|_| "the system has no randomness for a signature")?;
    Ok(format!("vapid t={signed}.{}, k={public}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use postrider_core::domain::{Id, vapid::VapidKey};
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_token_says_for_whom_until_when_and_by_whom_and_is_signed() {
        let now = UnixMs(1_700_000_000_999);
        let key = VapidKey::from_private([7; 32]).unwrap();
        let mut vapid = Vapid { id: Id::new(), key, subject: None, created_at: now, updated_at: now };
        for subject in [None, Some("mailto:ops@example.com")] {
            vapid.subject = subject.map(|subject| subject.parse().unwrap());
            let header = authorization(&vapid, "https://push.example", now, &SystemRandom::new()).unwrap();
            let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
            assert_eq!(key, vapid.key.public().to_string());
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, vapid.key.public().as_bytes());
            public.verify(signed.as_bytes(), &decoded(signature)).unwrap();
            let claims: Value = serde_json::from_slice(&decoded(signed.split_once('.').unwrap().1)).unwrap();
            assert_eq!((&claims["aud"], &claims["exp"]), (&json!("https://push.example"), &json!(1_700_043_200)));
            assert_eq!(claims.get("sub").and_then(Value::as_str), subject);
        }
    }
}
