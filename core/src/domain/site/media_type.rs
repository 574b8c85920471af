//! Media types as feeds name them (RFC 6838): of enclosures and of images.

/// What publishers write, and what is registered in its place.
const MISNOMERS: [(&str, &str); 16] = [
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/x-png", "image/png"),
    ("image/svg", "image/svg+xml"),
    ("image/tif", "image/tiff"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/x-mp3", "audio/mpeg"),
    ("audio/m4a", "audio/mp4"),
    ("audio/x-m4a", "audio/mp4"),
    ("video/mov", "video/quicktime"),
    ("video/m4v", "video/mp4"),
    ("application/x-pdf", "application/pdf"),
    ("audio/x-wav", "audio/wav"),
    ("audio/x-flac", "audio/flac"),
    ("video/x-m4v", "video/mp4"),
    ("image/jpe", "image/jpeg"),
];

/// Why a text is no type of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeRefused {
    #[error("the type {0:?} has no slash; a type is like image/jpeg")]
    NoSlash(String),
    #[error("the type {0:?} has {1:?} in it; a type is like image/jpeg")]
    Character(String, char),
    #[error("{0} is no registered type; {1} is")]
    Misnomer(String, &'static str),
    #[error("{0} is the type of a page, not of a file")]
    Page(String),
    #[error("{0:?} is no kind of file; a type begins with image, audio, video, application, text or font")]
    Kind(String),
}

/// Whether readers know it: in lower case and without parameters.
///
/// # Errors
/// Where they do not, with what they know in its place.
pub fn judge_media_type(text: &str) -> Result<(), MediaTypeRefused> {
    let allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "!#$&-^_.+".contains(char);
    let Some((kind, name)) = text.split_once('/') else { return Err(MediaTypeRefused::NoSlash(text.to_owned())) };
    if let Some(char) = text.replacen('/', "", 1).chars().find(|char| !allowed(*char)) {
        return Err(MediaTypeRefused::Character(text.to_owned(), char));
    }
    if let Some((_, registered)) = MISNOMERS.iter().find(|(wrong, _)| *wrong == text) {
        return Err(MediaTypeRefused::Misnomer(text.to_owned(), registered));
    }
    if matches!(text, "text/html" | "application/xhtml+xml") {
        return Err(MediaTypeRefused::Page(text.to_owned()));
    }
    match matches!(kind, "image" | "audio" | "video" | "application" | "text" | "font") && !name.is_empty() {
        true => Ok(()),
        false => Err(MediaTypeRefused::Kind(text.to_owned())),
    }
}

/// The type that a header means, in whatever spelling: `image/PNG?1477937782`, `audio/mp3; x=1`. `None` where it means none,
/// or anything.
#[must_use]
pub fn registered(text: &str) -> Option<String> {
    let name = text.split([';', '?', ',']).next().unwrap_or_default().trim().to_ascii_lowercase();
    let misnomer = MISNOMERS.iter().find(|(wrong, _)| *wrong == name);
    let name = misnomer.map_or(name, |(_, registered)| (*registered).to_owned());
    let says_something = !matches!(name.as_str(), "application/octet-stream" | "binary/octet-stream");
    (says_something && judge_media_type(&name).is_ok()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_lose_a_partner_are_refused_by_name() {
        for (text, words) in [
            ("image/jpg", "image/jpg is no registered type; image/jpeg is"),
            ("image/png?1477937782", "has '?' in it"),
            ("jpeg", "has no slash"),
            ("", "has no slash"),
            ("Image/JPEG", "has 'I' in it"),
            ("image/jpeg; q=1", "has ';' in it"),
            ("image/ jpeg", "has ' ' in it"),
            ("image//jpeg", "has '/' in it"),
            ("text/html", "type of a page"),
            ("image/", "no kind of file"),
            ("picture/jpeg", "no kind of file"),
            ("audio/mp3", "audio/mpeg is"),
        ] {
            let refused = judge_media_type(text).expect_err(text).to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        for text in [
            "image/jpeg",
            "image/svg+xml",
            "image/webp",
            "audio/mpeg",
            "video/mp4",
            "application/pdf",
            "image/vnd.microsoft.icon",
        ] {
            assert_eq!(judge_media_type(text), Ok(()), "{text}");
        }
    }
}
