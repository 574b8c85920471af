//! One line of text for people: names, reasons and words to search for.

use super::limits::DESCRIPTION_CHARS_MAX;

/// Why a text is not such a line. Reads on from what it is, as in "a name is empty".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineRefused {
    #[error("is empty; it has 1 to {DESCRIPTION_CHARS_MAX} characters")]
    Empty,
    #[error("has {0} characters; it may have {DESCRIPTION_CHARS_MAX}")]
    TooLong(usize),
    /// A terminal may take it for a command.
    #[error("has the control character {0:?}; leave it out")]
    Control(char),
}

/// # Errors
/// When `text` is empty, too long, or has a control character.
pub fn judge_line(text: &str) -> Result<(), LineRefused> {
    if text.is_empty() {
        return Err(LineRefused::Empty);
    }
    if let Some(control) = text.chars().find(|char| char.is_control()) {
        return Err(LineRefused::Control(control));
    }
    match text.chars().count() {
        count if count > DESCRIPTION_CHARS_MAX => Err(LineRefused::TooLong(count)),
        _ => Ok(()),
    }
}

/// The text with its control characters written out, for what was stored before the rule or comes from elsewhere.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_1_to_1024_characters_and_none_that_steers_a_terminal() {
        for text in ["a", "Straße 7 \u{1f4ee}", &"é".repeat(1024)] {
            assert_eq!(judge_line(text), Ok(()), "{text}");
        }
        assert_eq!(judge_line(""), Err(LineRefused::Empty));
        assert_eq!(judge_line(&"é".repeat(3000)), Err(LineRefused::TooLong(3000)));
        for control in ['\0', '\n', '\u{1b}', '\u{7f}', '\u{9b}'] {
            assert_eq!(judge_line(&format!("a{control}b")), Err(LineRefused::Control(control)));
        }
        assert_eq!(LineRefused::Control('\u{1b}').to_string(), "has the control character '\\u{1b}'; leave it out");
    }

    #[test]
    fn what_is_shown_steers_no_terminal() {
        assert_eq!(visible("ü \u{1b}[31m\n"), "ü \\u{1b}[31m\\n");
    }
}
