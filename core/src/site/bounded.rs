//! A file that is written entry by entry, and never has more entries or bytes than its format takes.

use std::io::{self, Write};

/// There is no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What a file may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries_max: u32,
    /// Before compression.
    pub(super) bytes_max: u64,
}

#[derive(Debug)]
pub(super) struct Bounded<W> {
    out: W,
    bounds: Bounds,
    foot: &'static str,
    entries: u32,
    bytes: u64,
}

impl<W: Write> Bounded<W> {
    pub(super) fn begin(mut out: W, bounds: Bounds, head: &str, foot: &'static str) -> io::Result<Self> {
        out.write_all(head.as_bytes())?;
        Ok(Self { out, bounds, foot, entries: 0, bytes: head.len() as u64 })
    }

    /// Adds an entry whole, or nothing of it.
    pub(super) fn push(&mut self, entry: &str) -> io::Result<Result<(), Full>> {
        let bytes = self.bytes + entry.len() as u64;
        if self.entries == self.bounds.entries_max || bytes + self.foot.len() as u64 > self.bounds.bytes_max {
            return Ok(Err(Full));
        }
        self.out.write_all(entry.as_bytes())?;
        (self.bytes, self.entries) = (bytes, self.entries + 1);
        Ok(Ok(()))
    }

    pub(super) const fn entries(&self) -> u32 {
        self.entries
    }

    /// What it was written to, and how many bytes it has.
    pub(super) fn end(mut self) -> io::Result<(W, u64)> {
        self.out.write_all(self.foot.as_bytes())?;
        Ok((self.out, self.bytes + self.foot.len() as u64))
    }
}
