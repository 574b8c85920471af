//! Whether settings are within their bounds and go together.

use super::{Settings, SettingsError, refusal};
use crate::domain::email::EmailAddress;

/// What `log` may say of how much, from nothing on.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Settings {
    /// # Errors
    /// When a value is out of its bounds, or does not go with the others.
    pub(super) fn judge(&self) -> Result<(), SettingsError> {
        for (key, value) in [
            ("connections_max", self.connections_max as u64),
            ("database_connections_max", self.database_connections_max.into()),
            ("redis_shards", self.redis_shards.into()),
            ("payload_bytes_max", self.payload_bytes_max as u64),
            ("token_rate_per_second", self.token_rate_per_second.into()),
            ("idempotency_hours", self.idempotency_hours.into()),
            ("worker_concurrency", self.worker_concurrency as u64),
            ("shutdown_grace_seconds", self.shutdown_grace_seconds),
            ("failing_disables_after_hours", self.failing_disables_after_hours.into()),
            ("retention_payload_days", self.retention_payload_days.into()),
            ("retention_job_days", self.retention_job_days.into()),
            ("retention_dead_letter_days", self.retention_dead_letter_days.into()),
            ("retention_stats_days", self.retention_stats_days.into()),
            ("retention_notification_days", self.retention_notification_days.into()),
        ] {
            refusal::judge_number(key, value)?;
        }
        self.retry_schedule()?;
        self.sites_place()?;
        self.judge_words()?;
        self.judge_signing()?;
        self.judge_redis()
    }

    fn judge_words(&self) -> Result<(), SettingsError> {
        if self
            .admin_token
            .as_ref()
            .is_some_and(|token| token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return refused(
                "admin_token",
                "(hidden)",
                "at least 16 visible ASCII characters, for example from `openssl rand -base64 32`",
            );
        }
        if !is_log_filter(&self.log) {
            return refused(
                "log",
                &self.log,
                "off, error, warn, info, debug or trace, or by module as in info,postrider_worker=debug",
            );
        }
        if self.smtp_url.as_ref().is_some_and(|url| !url.starts_with("smtp://") && !url.starts_with("smtps://")) {
            return refused("smtp_url", "(hidden)", "smtps://USER:PASSWORD@HOST:465 or smtp://HOST:587?tls=required");
        }
        if self.smtp_from.as_ref().is_some_and(|from| from.parse::<EmailAddress>().is_err()) {
            let from = self.smtp_from.as_deref().unwrap_or_default();
            return refused("smtp_from", from, "an e-mail address, as in postrider@example.com");
        }
        if self.smtp_url.is_some() != self.smtp_from.is_some() {
            return refused("smtp_from", "(alone)", "smtp_url and smtp_from together, or neither");
        }
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            return refused("trace_ratio", &self.trace_ratio.to_string(), "a number from 0 to 1");
        }
        if self.otlp_url.as_ref().is_some_and(|url| !is_web_url(url)) {
            return refused(
                "otlp_url",
                "(hidden)",
                "http://HOST:PORT or https://HOST:PORT, as in http://127.0.0.1:4318",
            );
        }
        if self.proxy_user_header.is_some() && self.trusted_proxies.is_empty() {
            return refused(
                "proxy_user_header",
                "(set)",
                "it goes with trusted_proxies, the addresses that are believed; else anybody could name a user",
            );
        }
        if self.egress_ports.contains(&0) {
            return refused("egress_ports", "0", "ports are 1 to 65535");
        }
        Ok(())
    }

    fn judge_signing(&self) -> Result<(), SettingsError> {
        for (key, name, example) in [
            ("dkim_selector", &self.dkim_selector, "letters, digits, - and dots, as in postrider"),
            ("dkim_domain", &self.dkim_domain, "a domain as DNS has it, as in example.com"),
        ] {
            if let Some(name) = name.as_ref().filter(|name| !is_dns_name(name)) {
                return refused(key, name, example);
            }
        }
        if self.dkim_key_file.is_some() != self.dkim_selector.is_some() {
            return refused("dkim_key_file", "(alone)", "dkim_key_file and dkim_selector together, or neither");
        }
        if self.dkim_domain.is_some() && self.dkim_key_file.is_none() {
            return refused("dkim_domain", "(set)", "it goes with dkim_key_file and dkim_selector");
        }
        if self.dkim_key_file.is_some() && self.smtp_url.is_none() {
            return refused("dkim_key_file", "(set)", "it goes with smtp_url, by which mail is sent");
        }
        Ok(())
    }

    fn judge_redis(&self) -> Result<(), SettingsError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte);
        if self.redis_prefix.is_empty() || !self.redis_prefix.bytes().all(plain) {
            return refused("redis_prefix", &self.redis_prefix, "letters, digits, _ - : and .");
        }
        if self.redis_url.is_some() && self.database_url().starts_with("sqlite:") {
            return refused(
                "redis_url",
                "(set)",
                "Redis goes with PostgreSQL; set database_url to postgres://… or leave redis_url out",
            );
        }
        if self.redis_ca_file.is_some() && !self.redis_url.as_ref().is_some_and(|url| url.starts_with("rediss")) {
            return refused(
                "redis_ca_file",
                "(set)",
                "it goes with a redis_url of rediss://… and is of no use without",
            );
        }
        Ok(())
    }
}

fn refused(key: &str, value: &str, allowed: &str) -> Result<(), SettingsError> {
    Err(SettingsError::Refused { key: key.to_owned(), value: format!("{value:?}"), allowed: allowed.to_owned() })
}

fn is_web_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// Whether it is labels with dots between them (RFC 1035, section 2.3.1), or with underscores, as names of keys may have.
fn is_dns_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    text.len() <= 253 && text.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(known))
}

/// Whether each part is a level, or a module with a level. A lone word that is neither would be taken for a module by
/// the logs, and silence all others.
fn is_log_filter(text: &str) -> bool {
    let level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let module = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte))
    };
    text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((name, word)) => module(name) && level(word),
        None => level(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_one_that_stands_in_dns() {
        for text in ["postrider", "example.com", "a_1.xn--exmple-cua.org"] {
            assert!(is_dns_name(text), "{text}");
        }
        for text in ["", "a..b", ".a", "a.", "exämple.org", "a b", "a;d=b", &"a".repeat(64)] {
            assert!(!is_dns_name(text), "{text}");
        }
    }

    #[test]
    fn a_filter_of_logs_is_levels_and_modules_with_levels() {
        for text in ["info", "WARN", "off", "info,postrider_worker=debug", "postrider_core::store=trace, warn"] {
            assert!(is_log_filter(text), "{text}");
        }
        for text in ["loud", "", "info,", "info,postrider_worker", "postrider_worker=loud", "=info", "a b=info", "1"] {
            assert!(!is_log_filter(text), "{text}");
        }
    }
}
