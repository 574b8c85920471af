//! What an empty page says of how to go on: a command that works as it stands, once a shell knows where and by which token.

use serde_json::Value;

use crate::{shell::quoted, visit::Visit};

/// A way on from a page on which there is nothing yet.
pub(crate) struct How {
    /// The least role of a token that may.
    pub(crate) role: &'static str,
    pub(crate) command: String,
}

impl How {
    pub(crate) fn new(visit: &Visit, role: &'static str, calls: &[(&str, &str, Value)]) -> Self {
        let origin = visit.dashboard.settings.public_origin.as_deref();
        let origin = origin.map_or_else(|| "\"$POSTRIDER_URL\"".to_owned(), quoted);
        let command = |(method, path, body): &(&str, &str, Value)| {
            format!(
                "curl -sS --fail-with-body -X {method} {origin}{} \\\n  -H \"authorization: Bearer $POSTRIDER_TOKEN\" \\\n  \
                -H 'content-type: application/json' \\\n  -d {}",
                quoted(path),
                quoted(&body.to_string())
            )
        };
        Self { role, command: calls.iter().map(command).collect::<Vec<_>>().join("\n") }
    }
}
