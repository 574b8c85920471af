//! How deep JSON may be nested that is passed on unread.

/// Arrays and objects within each other; serde_json's own limit, which raw parts of a body would pass by.
pub const DEPTH_MAX: usize = 127;

/// Where a JSON text is nested too deeply. Raw parts are kept unread, so no parser would tell.
#[must_use]
pub fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    bytes.iter().position(|&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nests_counts_and_not_what_stands_in_texts() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(too_deep(nested(DEPTH_MAX).as_bytes()), None);
        assert_eq!(too_deep(nested(DEPTH_MAX + 1).as_bytes()), Some(DEPTH_MAX));
        let text = format!("\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200));
        assert_eq!(too_deep(text.as_bytes()), None);
    }
}
