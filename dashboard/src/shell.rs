//! Texts of strangers as words of a shell's command that somebody copies: whatever they hold, one word, and nothing that a
//! terminal would obey.

use postrider_core::domain::line::is_unseen;

/// One word for bash, zsh and other shells that know `$'…'`.
pub(crate) fn quoted(text: &str) -> String {
    // A control character, written as it is, may be a command to the terminal that it is pasted into.
    if text.chars().any(|c| c.is_control() || is_unseen(c)) { escaped(text) } else { plain(text) }
}

fn plain(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn escaped(text: &str) -> String {
    let mut word = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' => word.push_str("\\'"),
            '\\' => word.push_str("\\\\"),
            '\n' => word.push_str("\\n"),
            '\t' => word.push_str("\\t"),
            c if c.is_control() || is_unseen(c) => word.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => word.push(c),
        }
    }
    word + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_whatever_it_holds() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(rm -rf /) `x` \"y\" \\"), r#"'it'\''s $(rm -rf /) `x` "y" \'"#);
        assert_eq!(quoted("a\nb'\\\u{1b}[2J"), r"$'a\nb\'\\\U0000001b[2J'");
        assert_eq!(quoted("\u{202e}txt"), r"$'\U0000202etxt'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn bash_reads_the_same_text() {
        for text in
            ["plain", "it's", "'; touch /tmp/x; '", "a\nb\tc", "\u{7}bell\\n", "é\u{202e}!", "$HOME `id` \"\"", "\r\n"]
        {
            let script = format!("LC_ALL=C.UTF-8; printf %s {}", quoted(text));
            let said = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), text, "{script}");
        }
    }
}
