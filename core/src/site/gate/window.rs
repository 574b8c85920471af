//! A file that is read once from its beginning to its end: what is kept of it is what is being read, however large it is.

use std::io::{self, BufRead, Read};

/// How much is read at once.
const STEP_BYTES: usize = 64 << 10;

pub(super) struct Window<'a> {
    file: &'a mut dyn Read,
    kept: Vec<u8>,
    /// How much of what is kept was read.
    at: usize,
    /// Since where it stays, though it was read.
    held_from: Option<usize>,
    /// How much of the file has been seen.
    seen_bytes: u64,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a mut dyn Read) -> Self {
        Self { file, kept: Vec::new(), at: 0, held_from: None, seen_bytes: 0 }
    }

    /// How much of the file has been seen.
    pub(super) const fn seen_bytes(&self) -> u64 {
        self.seen_bytes
    }

    /// What comes next: as many bytes at least, or all that is left.
    pub(super) fn ahead(&mut self, bytes: usize) -> io::Result<&[u8]> {
        while self.kept.len() - self.at < bytes && self.go_on()? {}
        Ok(&self.kept[self.at..])
    }

    /// What is read from now on stays.
    pub(super) const fn hold(&mut self) {
        self.held_from = Some(self.at);
    }

    /// What was read since it is held, which ends with this.
    pub(super) fn let_go(&mut self) -> &[u8] {
        let from = self.held_from.take().unwrap_or(self.at);
        &self.kept[from..self.at]
    }

    /// Forgets what was read and sees some more. Whether there was more.
    fn go_on(&mut self) -> io::Result<bool> {
        let done = self.held_from.unwrap_or(self.at);
        self.kept.drain(..done);
        self.at -= done;
        self.held_from = self.held_from.map(|from| from - done);
        self.kept.reserve(STEP_BYTES);
        let seen = self.file.take(STEP_BYTES as u64).read_to_end(&mut self.kept)?;
        self.seen_bytes += seen as u64;
        Ok(seen > 0)
    }
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(out)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

impl BufRead for Window<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.ahead(1)
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives three bytes at a time.
    struct Drips<'a>(&'a [u8]);

    impl Read for Drips<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let few = out.len().min(3);
            self.0.read(&mut out[..few])
        }
    }

    #[test]
    fn a_file_is_read_whole_and_what_is_held_stays_until_it_is_let_go() {
        let text: Vec<u8> = (0..STEP_BYTES * 3 + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut file = Drips(&text);
        let mut window = Window::new(&mut file);
        let (held_from, held_to) = (STEP_BYTES - 10, STEP_BYTES * 2 + 20);
        let mut at = 0;
        while at < text.len() {
            if at == held_from {
                window.hold();
            }
            if at == held_to {
                assert_eq!(window.let_go(), &text[held_from..held_to]);
            }
            let ahead = window.ahead(100).unwrap();
            assert_eq!(ahead, &text[at..at + ahead.len()]);
            assert!(ahead.len() >= 100.min(text.len() - at));
            assert!(window.kept.len() <= STEP_BYTES * 3, "{}", window.kept.len());
            window.consume(1);
            at += 1;
        }
        assert!(window.ahead(1).unwrap().is_empty() && window.let_go().is_empty());
        assert_eq!(window.seen_bytes(), text.len() as u64);
    }
}
