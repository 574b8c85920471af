//! Why settings are refused, for the person who wrote them: the key, the value, and what is allowed.

use std::{ops::RangeInclusive, path::PathBuf};

use super::PREFIX;
use crate::domain::limits::PAYLOAD_BYTES_MAX;

/// Settings whose values are never shown.
pub(super) const SECRET_KEYS: [&str; 6] =
    ["admin_token", "encryption_key", "database_url", "redis_url", "otlp_url", "smtp_url"];
/// Bounds of the settings that are numbers.
const NUMBERS: [(&str, RangeInclusive<u64>); 14] = [
    ("connections_max", 16..=100_000),
    ("database_connections_max", 4..=1000),
    ("redis_shards", 1..=64),
    ("payload_bytes_max", 1..=PAYLOAD_BYTES_MAX as u64),
    ("token_rate_per_second", 1..=1_000_000),
    ("idempotency_hours", 24..=720),
    ("worker_concurrency", 1..=10_000),
    ("shutdown_grace_seconds", 1..=600),
    ("failing_disables_after_hours", 1..=24 * 365),
    ("retention_payload_days", 1..=3650),
    ("retention_job_days", 1..=3650),
    ("retention_dead_letter_days", 1..=3650),
    ("retention_stats_days", 1..=3650),
    ("retention_notification_days", 1..=3650),
];
/// What the other settings take that are not any text: in the file, and in a variable.
const FORMS: [(&str, &str, &str); 7] = [
    ("trace_ratio", "a number from 0 to 1", "a number from 0 to 1"),
    ("listen", "an address and port, \"127.0.0.1:7077\"", "an address and port, 127.0.0.1:7077"),
    (
        "egress_allow",
        "a list of CIDRs or addresses, [\"10.20.0.0/16\", \"127.0.0.1/32\"]",
        "CIDRs or addresses separated by commas, 10.20.0.0/16,127.0.0.1/32",
    ),
    (
        "trusted_proxies",
        "a list of CIDRs or addresses, [\"10.0.0.0/8\"]",
        "CIDRs or addresses separated by commas, 10.0.0.0/8",
    ),
    (
        "redacted_fields",
        "a list of JSON pointers, [\"/customer/email\"]",
        "JSON pointers separated by commas, /customer/email,/items/*/card",
    ),
    (
        "egress_ports",
        "a list of ports from 1 to 65535, [25, 9200]",
        "ports from 1 to 65535 separated by commas, 25,9200",
    ),
    (
        "retry_schedule_seconds",
        "a list of at most 49 delays in seconds, [5, 300, 1800]",
        "at most 49 delays in seconds separated by commas, 5,300,1800",
    ),
];
/// Settings that take any text of their form.
const TEXTS: [&str; 11] = [
    "redis_ca_file",
    "redis_prefix",
    "data_dir",
    "sites_url",
    "egress_ca_file",
    "log",
    "public_url",
    "proxy_user_header",
    "dkim_key_file",
    "dkim_selector",
    "dkim_domain",
];

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Names the key, the value and what is allowed.
    #[error("the setting {key} is {value}, which is not allowed: {allowed}")]
    Refused { key: String, value: String, allowed: String },
    #[error("the settings cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "the file {0} does not exist; leave out --config to run with the defaults, or make it with `postrider config`"
    )]
    NoFile(PathBuf),
}

/// # Errors
/// When the number is out of the setting's bounds.
pub(super) fn judge_number(key: &str, value: u64) -> Result<(), SettingsError> {
    match NUMBERS.iter().find(|(known, _)| *known == key) {
        Some((_, bounds)) if !bounds.contains(&value) => {
            let allowed = format!("{} to {}", bounds.start(), bounds.end());
            Err(SettingsError::Refused { key: key.to_owned(), value: value.to_string(), allowed })
        }
        _ => Ok(()),
    }
}

/// Where a setting stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Variable,
}

fn allowed(key: &str, place: Place) -> Option<String> {
    if let Some((_, bounds)) = NUMBERS.iter().find(|(known, _)| *known == key) {
        return Some(format!("a whole number from {} to {}", bounds.start(), bounds.end()));
    }
    let form = FORMS.iter().find(|(known, ..)| *known == key);
    if let Some((_, in_file, in_variable)) = form {
        let form = if place == Place::File { in_file } else { in_variable };
        return Some((*form).to_owned());
    }
    let quoted = SECRET_KEYS.contains(&key) || TEXTS.contains(&key);
    quoted.then(|| "a text in quotes; `postrider config` says more".to_owned())
}

/// What could not be read, by the setting that it is.
pub(super) fn explain(error: &confique::Error) -> SettingsError {
    let text = format!("{error:#}");
    if let Some(name) = text.split('`').find(|word| word.starts_with(PREFIX)) {
        return of_variable(name, &text);
    }
    of_file(&text).unwrap_or_else(|| {
        SettingsError::Unreadable(format!(
            "{text}\n`postrider config` prints every key with its meaning",
            text = text.trim_end()
        ))
    })
}

fn of_variable(name: &str, text: &str) -> SettingsError {
    let key = name.trim_start_matches(PREFIX).to_ascii_lowercase();
    let value = match std::env::var(name) {
        Ok(_) if SECRET_KEYS.contains(&key.as_str()) => "(hidden)".to_owned(),
        Ok(value) => format!("{value:?}"),
        Err(_) => "not UTF-8".to_owned(),
    };
    let allowed =
        allowed(&key, Place::Variable).unwrap_or_else(|| "`postrider config` says what is allowed".to_owned());
    // Which part of a list it is, in words of our own; a number's fault is told by its bounds.
    let part = text
        .rsplit_once("`: ")
        .map(|(_, why)| why)
        .filter(|why| FORMS.iter().any(|(list, ..)| *list == key) && why.starts_with('"'));
    let allowed = part.map_or_else(|| allowed.clone(), |part| format!("{part}; give {allowed}"));
    SettingsError::Refused { key: name.to_owned(), value, allowed }
}

/// TOML's fault shows the line that it is in. `None` where that is not a setting's own.
fn of_file(text: &str) -> Option<SettingsError> {
    let line = text.lines().find_map(|line| {
        let (number, line) = line.split_once('|')?;
        number.trim().parse::<u32>().is_ok().then_some(line)
    })?;
    // Nothing of a line with a secret is shown, whatever is wrong with it.
    let secret = SECRET_KEYS.iter().find(|key| line.contains(**key));
    let (key, value) = line.split_once('=').map_or((line.trim(), ""), |(key, value)| (key.trim(), value.trim()));
    let key = secret.copied().unwrap_or(key);
    let allowed = allowed(key, Place::File)?;
    if text.contains("duplicate key") {
        let value = "there twice".to_owned();
        return Some(SettingsError::Refused {
            key: key.to_owned(),
            value,
            allowed: "leave one of the two out".to_owned(),
        });
    }
    let value = match value {
        _ if secret.is_some() => "(hidden)",
        "" => "empty",
        value => value,
    };
    Some(SettingsError::Refused { key: key.to_owned(), value: value.to_owned(), allowed })
}
