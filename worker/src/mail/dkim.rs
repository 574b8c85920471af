//! Signatures by which mail servers see that a mail is from its domain and as it was sent (DKIM, RFC 6376; keys of RFC 8301 and
//! RFC 8463).

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use postrider_core::domain::UnixMs;
use ring::{
    digest,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

use super::MailError;

/// What is signed where a mail has it: all that its reader sees, and what their mail server goes by. Both of the last have to be
/// (RFC 8058, section 4).
const SIGNED: [&str; 10] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
];
/// Characters of a signature in a line of its header.
const LINE: usize = 72;
/// Bytes of a text in DNS (RFC 1035, section 3.3).
const TEXT_MAX: usize = 255;
/// What `rsaEncryption` without parameters is in a public key's DER (RFC 8017, appendix A.1).
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Signs mails for a domain.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

/// Why mails cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error(
    "mails cannot be signed with the file {} of the setting dkim_key_file: {why}; it has to hold a private key as PEM, RSA of 2048 to \
     4096 bits or Ed25519, without a password: `openssl genrsa -out {} 2048` makes one", path.display(), path.display()
)]
pub struct SignerError {
    path: PathBuf,
    why: String,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("domain", &self.domain).field("selector", &self.selector).finish_non_exhaustive()
    }
}

impl Signer {
    /// With the private key in a PEM file.
    ///
    /// # Errors
    /// When it holds none that mails can be signed with.
    pub fn open(domain: &str, selector: &str, key_file: &Path) -> Result<Self, SignerError> {
        let unfit = |why: String| SignerError { path: key_file.to_owned(), why };
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unfit(error.to_string()))?;
        let key = Key::read(&key).map_err(unfit)?;
        // An RSA key whose parts do not belong together is found out by signing.
        key.sign(b"").map_err(|_| unfit("its parts do not belong together".to_owned()))?;
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), key })
    }

    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What has to stand in the domain's DNS, as a line of its zone file (RFC 6376, section 3.6).
    #[must_use]
    pub fn record(&self) -> String {
        let text = format!("v=DKIM1; k={}; p={}", self.key.algorithm(), STANDARD.encode(self.key.public()));
        let mut record = format!("{}._domainkey.{}. TXT", self.selector, self.domain);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (first, others) = rest.split_at(rest.len().min(TEXT_MAX));
            write!(record, " \"{first}\"").ok();
            rest = others;
        }
        record
    }

    /// A mail with its signature.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(super) async fn sign(self: Arc<Self>, mail: Vec<u8>) -> Result<Vec<u8>, MailError> {
        let now = UnixMs::now();
        match &self.key {
            Key::Ed25519(_) => self.signed(&mail, now),
            // It takes about a millisecond, for which nothing else would go on here.
            Key::Rsa(_) => {
                tokio::task::spawn_blocking(move || self.signed(&mail, now)).await.map_err(|_| MailError::Signature)?
            }
        }
    }

    fn signed(&self, mail: &[u8], now: UnixMs) -> Result<Vec<u8>, MailError> {
        let (head, body) = parted(mail).ok_or(MailError::Signature)?;
        let body_hash = STANDARD.encode(digest::digest(&digest::SHA256, &relaxed_body(body)));
        let headers = headers(head);
        let mut names: Vec<&str> = Vec::new();
        let mut signed = String::new();
        for name in SIGNED {
            if let Some((_, value)) = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                names.push(name);
                signed.push_str(&relaxed_header(name, value));
                signed.push_str("\r\n");
            }
        }
        // A second one, which a mail must not have, would make the signature void (section 8.15).
        names.push("from");
        let mut value = format!(
            "v=1; a={}-sha256; c=relaxed/relaxed; d={}; s={}; t={};\r\n\th={};\r\n\tbh={body_hash};\r\n\tb=",
            self.key.algorithm(),
            self.domain,
            self.selector,
            now.0.div_euclid(1000),
            names.join(":")
        );
        signed.push_str(&relaxed_header("dkim-signature", &value));
        let signature = self.key.sign(signed.as_bytes()).map_err(|_| MailError::Signature)?;
        for (place, char) in STANDARD.encode(signature).chars().enumerate() {
            if place > 0 && place % LINE == 0 {
                value.push_str("\r\n\t");
            }
            value.push(char);
        }
        Ok([b"DKIM-Signature: ", value.as_bytes(), b"\r\n", mail].concat())
    }
}

impl Key {
    fn read(key: &PrivateKeyDer<'_>) -> Result<Self, String> {
        let rsa = match key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => {
                let key = key.secret_pkcs8_der();
                // OpenSSL writes the private half alone.
                if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key) {
                    return Ok(Self::Ed25519(key));
                }
                RsaKeyPair::from_pkcs8(key)
            }
            _ => return Err("its key is of another kind".to_owned()),
        };
        rsa.map(Self::Rsa).map_err(|error| format!("its key is refused ({error})"))
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::Ed25519(_) => "ed25519",
        }
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)?;
                Ok(signature)
            }
            // Of the text's hash (RFC 8463, section 3).
            Self::Ed25519(key) => Ok(key.sign(digest::digest(&digest::SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }

    /// As DNS has it: of RSA a `SubjectPublicKeyInfo`, as all software has it, and of Ed25519 the point alone (RFC 8463, section 4).
    fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let bits = tagged(BIT_STRING, &[&[0], key.public_key().as_ref()].concat());
                tagged(SEQUENCE, &[&RSA_ENCRYPTION, bits.as_slice()].concat())
            }
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

/// A value of DER.
fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![tag];
    match length {
        [short] if *short < 0x80 => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            der.extend(long);
        }
    }
    der.extend(value);
    der
}

/// The head with its last line's end, and the body.
fn parted(mail: &[u8]) -> Option<(&str, &[u8])> {
    let end = mail.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&mail[..end + 2]).ok()?, &mail[end + 4..]))
}

/// Names and values, these with the ends of lines in them.
fn headers(head: &str) -> Vec<(&str, &str)> {
    let mut headers = Vec::new();
    let mut begin = 0;
    for (end, _) in head.match_indices("\r\n") {
        if !head[end + 2..].starts_with([' ', '\t']) {
            headers.extend(head[begin..end].split_once(':'));
            begin = end + 2;
        }
    }
    headers
}

/// Section 3.4.2, without the line's end.
fn relaxed_header(name: &str, value: &str) -> String {
    let words: Vec<&str> = value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    format!("{}:{}", name.trim_end().to_ascii_lowercase(), words.join(" "))
}

/// Section 3.4.4.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len() + 2);
    let mut filled = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let begin = relaxed.len();
        let mut gap = false;
        for byte in line.strip_suffix(b"\r").unwrap_or(line) {
            match byte {
                b' ' | b'\t' => gap = true,
                _ => {
                    if std::mem::take(&mut gap) {
                        relaxed.push(b' ');
                    }
                    relaxed.push(*byte);
                }
            }
        }
        let is_empty = relaxed.len() == begin;
        relaxed.extend(b"\r\n");
        if !is_empty {
            filled = relaxed.len();
        }
    }
    relaxed.truncate(filled);
    relaxed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_does_not_change_with_spaces_and_ends_of_lines() {
        // RFC 6376, section 3.4.5.
        let head = "A: X\r\nB : Y\t\r\n\tZ  \r\n";
        let relaxed: Vec<String> = headers(head).iter().map(|(name, value)| relaxed_header(name, value)).collect();
        assert_eq!(relaxed, ["a:X", "b:Y Z"]);
        assert_eq!(relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!(relaxed_body(b"no end"), b"no end\r\n");
        for empty in [b"".as_slice(), b"\r\n", b" \r\n\r\n"] {
            assert_eq!(relaxed_body(empty), b"");
        }
        // RFC 8463, appendix A.3.
        let body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, &relaxed_body(body)));
        assert_eq!(hash, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    }
}
