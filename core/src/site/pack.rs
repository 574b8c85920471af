//! A public file as it is kept: compressed, and telling by itself what it is. Its header (RFC 1952, section 2.3) says when it
//! changed, and in an extra field the hash of what is in it, so that whoever serves it needs no other source for `ETag` and
//! `Last-Modified`, and both are always those of the very bytes.

use std::{
    fmt,
    io::{self, Read, Write},
};

use flate2::{
    Compression, GzBuilder,
    bufread::GzDecoder,
    write::{self, GzEncoder},
};
use ring::digest::{Context, SHA256};

use crate::domain::UnixMs;

const LEVEL: u32 = 3;
/// The extra field's identification, and the bytes of its hash.
const FIELD: [u8; 4] = [b'P', b'R', 32, 0];
const HASH_BYTES: usize = 32;
/// Where the header has its time and, after the length of all extra fields, the hash.
const TIME_AT: usize = 4;
const HASH_AT: usize = 10 + 2 + FIELD.len();

/// A file that is being written.
pub struct Packer {
    out: GzEncoder<Vec<u8>>,
    hash: Context,
    bytes: u64,
}

/// A file that was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    gzip: Vec<u8>,
    /// Before compression.
    pub bytes: u64,
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    pub hash: [u8; HASH_BYTES],
    /// In whole seconds.
    pub changed_at: UnixMs,
}

impl Default for Packer {
    fn default() -> Self {
        let extra = [FIELD.as_slice(), &[0; HASH_BYTES]].concat();
        let out = GzBuilder::new().extra(extra).operating_system(255).write(Vec::new(), Compression::new(LEVEL));
        Self { out, hash: Context::new(&SHA256), bytes: 0 }
    }
}

impl Write for Packer {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.write_all(part)?;
        Ok(part.len())
    }

    fn write_all(&mut self, part: &[u8]) -> io::Result<()> {
        self.hash.update(part);
        self.bytes += part.len() as u64;
        self.out.write_all(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Packer {
    /// # Errors
    /// When memory cannot be written, which does not happen.
    pub fn end(self) -> io::Result<Packed> {
        let mut gzip = self.out.finish()?;
        gzip[HASH_AT..HASH_AT + HASH_BYTES].copy_from_slice(self.hash.finish().as_ref());
        Ok(Packed { gzip, bytes: self.bytes })
    }
}

impl Packed {
    /// SHA-256 before compression.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        &self.gzip[HASH_AT..HASH_AT + HASH_BYTES]
    }

    /// As it is kept, with the time at which it changed.
    #[must_use]
    pub fn dated(mut self, changed_at: UnixMs) -> Vec<u8> {
        let seconds = u32::try_from(changed_at.0.div_euclid(1000)).unwrap_or(0);
        self.gzip[TIME_AT..TIME_AT + 4].copy_from_slice(&seconds.to_le_bytes());
        self.gzip
    }

    /// What is in it, read from what will be public.
    #[must_use]
    pub fn reader(&self) -> impl Read + '_ {
        GzDecoder::new(self.gzip.as_slice())
    }
}

impl Label {
    /// Of a kept file's beginning, what says it.
    pub(super) const BYTES: usize = HASH_AT + HASH_BYTES;

    /// What a kept file's beginning says; `None` where it is none of ours.
    #[must_use]
    pub fn of(gzip: &[u8]) -> Option<Self> {
        let hash = gzip.get(HASH_AT..HASH_AT + HASH_BYTES)?.try_into().ok()?;
        if gzip.get(HASH_AT - FIELD.len()..HASH_AT) != Some(&FIELD) {
            return None;
        }
        let seconds = u32::from_le_bytes(gzip.get(TIME_AT..TIME_AT + 4)?.try_into().ok()?);
        Some(Self { hash, changed_at: UnixMs(i64::from(seconds) * 1000) })
    }
}

/// What is in a kept file.
///
/// # Errors
/// When it is cut off or changed.
pub fn unpacked(gzip: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packer({} bytes)", self.bytes)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.bytes)
    }
}

/// What is in a public file that somebody reads part by part, by its hash.
#[derive(Debug)]
pub struct Contents(Reading);

#[derive(Debug)]
enum Reading {
    Plain(Box<Hash>),
    /// `None` once it was no gzip.
    Packed(Option<Box<write::GzDecoder<Hash>>>),
}

struct Hash(Context);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

impl Write for Hash {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.update(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Contents {
    /// Of a file of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let hash = Hash(Context::new(&SHA256));
        match name.ends_with(".gz") {
            true => Self(Reading::Packed(Some(Box::new(write::GzDecoder::new(hash))))),
            false => Self(Reading::Plain(Box::new(hash))),
        }
    }

    pub fn take(&mut self, part: &[u8]) {
        match &mut self.0 {
            Reading::Plain(hash) => hash.0.update(part),
            Reading::Packed(packed) => {
                if packed.as_mut().is_some_and(|gzip| gzip.write_all(part).is_err()) {
                    *packed = None;
                }
            }
        }
    }

    /// SHA-256 before compression; empty where it was no gzip, or did not come to its end.
    #[must_use]
    pub fn hash(self) -> Vec<u8> {
        let hash = match self.0 {
            Reading::Plain(hash) => Some(*hash),
            Reading::Packed(packed) => packed.and_then(|gzip| gzip.finish().ok()),
        };
        hash.map(|hash| hash.0.finish().as_ref().to_vec()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ring::digest;

    use super::*;

    #[test]
    fn a_file_tells_its_hash_and_its_time_and_has_what_was_written() {
        let mut packer = Packer::default();
        packer.write_all(b"hello ").unwrap();
        packer.write_all(b"world").unwrap();
        let packed = packer.end().unwrap();
        assert_eq!(packed.bytes, 11);
        assert_eq!(packed.hash(), digest::digest(&SHA256, b"hello world").as_ref());
        let hash: [u8; 32] = packed.hash().try_into().unwrap();
        let kept = packed.dated(UnixMs(1_700_000_000_999));
        assert_eq!(Label::of(&kept), Some(Label { hash, changed_at: UnixMs(1_700_000_000_000) }));
        assert_eq!(unpacked(&kept).unwrap(), b"hello world");
        assert!(unpacked(&kept[..kept.len() - 3]).is_err());
        assert_eq!(Label::of(&kept[..20]), None);
    }
}
