//! Images and enclosures as they really are: what the file itself shows is believed before what anybody says of it.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    change::Mark,
    media_type::{judge_media_type, registered},
};
use crate::domain::UnixMs;

/// How long is believed what was found of a file,
pub const BELIEVED_FOR: Duration = Duration::from_secs(24 * 3600);
/// and how long that it is no good: many are put in place a little after the page that names them.
pub const DOUBTED_FOR: Duration = Duration::from_secs(3600);

const NO_LENGTH: &str = "its host does not say how many bytes it has (Content-Length), so no feed takes it as an enclosure; hand it \
    in with its length";

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaState {
    /// Nothing yet.
    Waiting,
    Good,
    Bad,
}

impl MediaState {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Good, Self::Bad];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

impl FromStr for MediaState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is not a file's state: waiting, good, bad"))
    }
}

impl fmt::Display for MediaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file that feeds of a site name, and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub url: String,
    /// Something names it as an image.
    pub is_image: bool,
    pub state: MediaState,
    /// As the file shows it; there where it is a file at all, be it no image where one is wanted.
    pub media_type: Option<String>,
    pub length_bytes: Option<u64>,
    /// What its owner said of it last, where it is an enclosure.
    pub said: Said,
    /// As its host says, to be asked for changes alone.
    pub etag: Option<String>,
    /// When somebody was last asked to look.
    pub asked_at: UnixMs,
    /// When somebody last looked.
    pub checked_at: Option<UnixMs>,
    /// Why it is no good, in words.
    pub fault: Option<String>,
}

impl Media {
    /// Whether somebody has to look again.
    #[must_use]
    pub fn is_old(&self, now: UnixMs) -> bool {
        let believed = if self.state == MediaState::Bad { DOUBTED_FOR } else { BELIEVED_FOR };
        self.asked_at + believed <= now
    }
}

/// What its owner says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub media_type: Option<String>,
    pub length_bytes: Option<u64>,
}

/// A file that feeds name, and which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaUse {
    pub url: String,
    pub is_image: bool,
    pub said: Said,
    pub marks: Vec<Mark>,
}

/// What an answer shows of a file.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Of its beginning, some kilobytes.
    pub bytes: &'a [u8],
    /// As the answer's headers say it, in whatever spelling.
    pub said_type: Option<&'a str>,
    /// Of the whole file.
    pub length_bytes: Option<u64>,
    pub is_image: bool,
    /// As its owner says it of an enclosure.
    pub said_length: Option<u64>,
}

/// What was found of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub media_type: Option<String>,
    pub length_bytes: Option<u64>,
    /// Why it is no good.
    pub fault: Option<String>,
}

impl Found {
    #[must_use]
    pub fn bad(fault: impl Into<String>) -> Self {
        Self { fault: Some(fault.into()), ..Self::default() }
    }

    /// Judges what an answer of success shows.
    #[must_use]
    pub fn of(sample: Sample<'_>) -> Self {
        let Sample { bytes, said_type, length_bytes, is_image, said_length } = sample;
        if bytes.is_empty() || length_bytes == Some(0) {
            return Self::bad("it is empty");
        }
        let said = said_type.and_then(registered);
        let shown = match sniffed(bytes) {
            Some("text/html") => {
                return Self::bad("it is a page (text/html), not a file, though its host says that it is there");
            }
            Some(shown) => registered(shown),
            None if is_image => {
                let said = said.unwrap_or_else(|| "nothing of its type".to_owned());
                return Self::bad(format!("its first bytes are of no kind of image; its host says {said}"));
            }
            None => said,
        };
        match shown.filter(|shown| judge_media_type(shown).is_ok()) {
            None => Self::bad("neither its first bytes nor its host tell what it is"),
            Some(shown) => {
                let fault = match is_image {
                    true if !shown.starts_with("image/") => Some(format!("it is {shown}, not an image")),
                    // RSS has to say it of an enclosure.
                    false if length_bytes.or(said_length).is_none() => Some(NO_LENGTH.to_owned()),
                    _ => None,
                };
                Self { media_type: Some(shown), length_bytes, fault }
            }
        }
    }
}

/// The type that a file's first bytes show.
fn sniffed(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let begins = |what: &[u8]| text.get(..what.len()).is_some_and(|start| start.eq_ignore_ascii_case(what));
    let is_markup = begins(b"<?xml") || begins(b"<!--") || begins(b"<!doctype svg") || begins(b"<svg");
    if is_markup && text.windows(4).any(|four| four == b"<svg") {
        return Some("image/svg+xml");
    }
    if [&b"<!doctype html"[..], b"<html", b"<head", b"<body", b"<script", b"<title"].iter().any(|what| begins(what)) {
        return Some("text/html");
    }
    // MPEG-1 and 2, layer 3, without tags before it (ISO 11172-3, 2.4.1.3): its eleven bits of ones, and what no file has.
    if let [0xFF, second, third, ..] = bytes
        && second & 0xE6 == 0xE2
        && third >> 4 != 0xF
        && third >> 2 & 3 != 3
    {
        return Some("audio/mpeg");
    }
    infer::get(bytes).map(|kind| kind.mime_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const WEBP: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 ";

    fn found(bytes: &[u8], said_type: Option<&str>, is_image: bool) -> Result<String, String> {
        let found = Found::of(Sample { bytes, said_type, length_bytes: Some(10), is_image, said_length: None });
        found.fault.map_or_else(|| Ok(found.media_type.unwrap_or_default()), Err)
    }

    #[test]
    fn what_a_file_shows_is_believed_before_what_is_said_of_it() {
        for (bytes, said, shown) in [
            (&b"\xFF\xD8\xFF\xE0\0\x10JFIF"[..], Some("image/jpg"), "image/jpeg"),
            (PNG, Some("image/png?1477937782"), "image/png"),
            (WEBP, Some("image/jpeg"), "image/webp"),
            (PNG, None, "image/png"),
            (
                b"<?xml version=\"1.0\"?>\n<!-- a --><svg xmlns=\"http://www.w3.org/2000/svg\"/>",
                Some("text/xml"),
                "image/svg+xml",
            ),
            (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B", Some("application/octet-stream"), "image/avif"),
        ] {
            assert_eq!(found(bytes, said, true), Ok(shown.to_owned()), "{bytes:?}");
        }
        for (bytes, said, shown) in [
            (&b"ID3\x04\0\0\0\0\0\0"[..], Some("audio/mp3"), "audio/mpeg"),
            (b"\xFF\xF3\x44\xC0", Some("application/octet-stream"), "audio/mpeg"),
            (b"\0\0\0\x20ftypM4A \0\0\0\0", None, "audio/mp4"),
            (b"%PDF-1.7", None, "application/pdf"),
            (b"WEBVTT\n", Some("text/vtt; charset=utf-8"), "text/vtt"),
        ] {
            assert_eq!(found(bytes, said, false), Ok(shown.to_owned()), "{bytes:?}");
        }
    }

    #[test]
    fn an_enclosure_whose_length_nobody_says_is_bad_and_an_image_is_not() {
        let fault = |said_length, is_image| {
            let bytes = if is_image { PNG } else { b"ID3\x04\0\0\0\0\0\0" };
            Found::of(Sample { bytes, said_type: None, length_bytes: None, is_image, said_length }).fault
        };
        assert!(fault(None, false).unwrap().contains("hand it in with its length"));
        assert_eq!([fault(Some(9), false), fault(None, true)], [None, None]);
    }

    #[test]
    fn what_is_no_file_or_no_image_is_bad_and_says_why() {
        for (bytes, said, is_image, words) in [
            (&b"\n<!DOCTYPE html><title>Not found</title>"[..], Some("image/jpeg"), true, "it is a page"),
            (b"<html>", Some("audio/mpeg"), false, "it is a page"),
            (b"{\"error\":1}", Some("image/jpeg"), true, "no kind of image; its host says image/jpeg"),
            (b"%PDF-1.7", Some("image/png"), true, "it is application/pdf, not an image"),
            (b"", Some("image/png"), true, "empty"),
            (b"what", None, false, "tell what it is"),
        ] {
            let fault = found(bytes, said, is_image).expect_err(words);
            assert!(fault.contains(words), "{fault}");
        }
        let (bytes, length_bytes) = (&b"%PDF-1.7"[..], Some(9));
        let pdf = Found::of(Sample { bytes, said_type: None, length_bytes, is_image: true, said_length: None });
        assert_eq!((pdf.media_type.as_deref(), pdf.length_bytes), (Some("application/pdf"), Some(9)));
    }
}
