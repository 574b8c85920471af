//! Signatures: what a secret has signed it verifies, and no header that comes from outside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider_core::domain::{
    UnixMs,
    signature::{SignedHeaders, SigningSecret, sign, verify},
};

fuzz_target!(|input: (&str, &str, &str, i64, &str, &[u8])| {
    let (text, id, timestamp, at, signature, body) = input;
    let own = SigningSecret::from_random([7; 32]);
    let forged = SignedHeaders { id: id.into(), timestamp: timestamp.into(), signature: signature.into() };
    assert!(!verify(&own, &forged, body));
    let signed = sign(std::slice::from_ref(&own), id, UnixMs(at), body);
    assert!(verify(&own, &signed, body));
    let Ok(secret) = SigningSecret::parse(text) else { return };
    assert_eq!(secret.reveal(), text);
    assert!(secret == own || !verify(&secret, &signed, body));
});
