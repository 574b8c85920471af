//! What an empty page says of how to go on: a command that works as it stands, once a shell knows where and by which token.

use serde_json::Value;

use crate::{shell::quoted, visit::Visit};

/// A way on from a page on which there is nothing yet.
pub(crate) struct How {
    /// The least role of a token that may.
    pub(crate) role: &'static str,
    /// Its address is that of this server where that is known, and else what the shell has.
    pub(crate) command: String,
    pub(crate) names_server: bool,
}

impl How {
    pub(crate) fn new(visit: &Visit, role: &'static str, calls: &[(&str, &str, Value)]) -> Self {
        let origin = visit.dashboard.settings.public_origin.as_deref();
        // Paths are written for addresses, so they hold nothing that a shell would read between these quotes.
        let url = |path: &str| match origin {
            Some(origin) => quoted(&format!("{origin}{path}")),
            None => format!("\"$POSTRIDER_URL{path}\""),
        };
        let command = |(method, path, body): &(&str, &str, Value)| {
            format!(
                "curl -sS --fail-with-body -X {method} {} \\\n  -H \"authorization: Bearer $POSTRIDER_TOKEN\" \\\n  \
                -H 'content-type: application/json' \\\n  -d {}",
                url(path),
                quoted(&body.to_string())
            )
        };
        Self { role, names_server: origin.is_some(), command: calls.iter().map(command).collect::<Vec<_>>().join("\n") }
    }
}
