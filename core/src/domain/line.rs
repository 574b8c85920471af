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
    /// It would read otherwise than it is written.
    #[error("has the character {0:?}, which nobody sees; leave it out")]
    Unseen(char),
}

/// # Errors
/// When `text` is empty, too long, or has a control character or one that nobody sees.
pub fn judge_line(text: &str) -> Result<(), LineRefused> {
    if text.is_empty() {
        return Err(LineRefused::Empty);
    }
    if let Some(control) = text.chars().find(|char| char.is_control()) {
        return Err(LineRefused::Control(control));
    }
    judge_seen(text)?;
    match text.chars().count() {
        count if count > DESCRIPTION_CHARS_MAX => Err(LineRefused::TooLong(count)),
        _ => Ok(()),
    }
}

/// # Errors
/// When `text` has a character that nobody sees: one that turns the direction of writing, or is nothing but empty, so that
/// two names look the same.
pub fn judge_seen(text: &str) -> Result<(), LineRefused> {
    let mut before = 'a';
    for char in text.chars() {
        // Persian and joined emoji need them; between plain letters they only deceive.
        let joins = matches!(char, '\u{200c}' | '\u{200d}') && !before.is_ascii();
        if is_unseen(char) && !joins {
            return Err(LineRefused::Unseen(char));
        }
        before = char;
    }
    Ok(())
}

/// Whether a character has no shape of its own: it turns the direction of writing, joins, fills or marks (Unicode 16,
/// `Default_Ignorable_Code_Point` less the variation selectors of emoji, and the separators of lines and paragraphs).
#[must_use]
pub const fn is_unseen(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether there is nothing to be seen of it.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|char| char.is_whitespace() || char.is_control() || is_unseen(char))
}

/// The text with its control characters and those that nobody sees written out, for what was stored before the rule or comes from elsewhere.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() || is_unseen(char) {
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
    fn a_line_has_no_character_that_nobody_sees() {
        for unseen in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{200d}', '\u{feff}', '\u{61c}', '\u{ad}', '\u{e0041}'] {
            assert_eq!(judge_line(&format!("a{unseen}b")), Err(LineRefused::Unseen(unseen)));
        }
        for seen in ["👩\u{200d}💻", "می\u{200c}خواهم", "❤\u{fe0f}", "שלום", "a b"] {
            assert_eq!(judge_line(seen), Ok(()), "{seen}");
        }
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
        for blank in ["", " \n", "\u{200b}", "\u{feff}\u{3000}\u{2060} \u{200d}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        assert!(!is_blank("\u{200b}می\u{200c}") && !is_blank("0"));
    }

    #[test]
    fn what_is_shown_steers_no_terminal() {
        assert_eq!(visible("ü \u{1b}[31m\n"), "ü \\u{1b}[31m\\n");
    }
}
