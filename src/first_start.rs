//! What the first start makes: the data folder, the encryption key, the default tenant, the administrator's token.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use postrider_core::{
    config::Settings,
    domain::{
        Id, UnixMs,
        tenant::{Tenant, Token},
        token_text::TokenText,
    },
    store::{Cipher, Store, StoreError, StoreOptions},
};

/// How often a database that does not answer yet is asked again.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// How long a start waits for it: servers that start together may take a while.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(180);
const KEY_FILE: &str = "encryption.key";

/// Opens the store, and makes what a first start needs. A database that does not answer yet is asked again for as long
/// as `patience`.
pub(crate) async fn open_store(settings: &Settings, patience: Duration) -> anyhow::Result<Store> {
    make_data_dir(&settings.data_dir)?;
    let store = connect(settings, patience).await?;
    let missing = store.missing_keys().await?;
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        bail!(missing_keys(settings, &missing));
    }
    Ok(store)
}

/// What to do where keys that secrets are sealed with are not there.
pub(crate) fn missing_keys(settings: &Settings, missing: &[&str]) -> String {
    let remedy = if settings.encryption_key.is_some() {
        "which the setting encryption_key does not have: add it there, behind a comma".to_owned()
    } else {
        let file = key_file(settings);
        let file = file.display();
        format!("which {file} does not have: restore that file from the backup, or set encryption_key to the key")
    };
    let (s, begin) = if missing.len() == 1 { ("", "begins") } else { ("s", "begin") };
    let ids = missing.join(" and ");
    format!("endpoints' secrets are encrypted with the key{s} whose SHA-256 {begin} with {ids}, {remedy}")
}

async fn connect(settings: &Settings, patience: Duration) -> anyhow::Result<Store> {
    let options = StoreOptions {
        url: settings.database_url(),
        cipher: cipher(settings)?,
        node: node(),
        connections_max: settings.database_connections_max,
    };
    let database = hide_password(&options.url);
    let (began, mut told) = (Instant::now(), String::new());
    loop {
        match Store::open(&options).await {
            Ok(store) => {
                if !told.is_empty() {
                    tracing::info!(database, waited_ms = began.elapsed().as_millis(), "the database answers");
                }
                return Ok(store);
            }
            Err(error) if error.is_unavailable() && began.elapsed() + DATABASE_RETRY < patience => {
                let words = error.to_string();
                if words != told {
                    tracing::warn!(%error, database, "the database does not answer yet; asking again every second");
                    told = words;
                }
                tokio::time::sleep(DATABASE_RETRY).await;
            }
            // They name the setting themselves.
            Err(error @ (StoreError::Configuration(_) | StoreError::Unreachable(_))) => return Err(error.into()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("the database {database} (setting database_url) cannot be opened"));
            }
        }
    }
}

/// The default tenant and, where neither the settings nor an earlier start have one, a new administrator's token.
pub(crate) async fn administrator(settings: &Settings, store: &Store) -> anyhow::Result<(Tenant, Option<String>)> {
    let now = UnixMs::now();
    let tenant = store.default_tenant(now).await?;
    if settings.admin_token.is_some() || store.has_administrator().await? {
        return Ok((tenant, None));
    }
    let text = TokenText::from_random(rand::random());
    let token = Token {
        id: Id::new(),
        tenant_id: tenant.id,
        name: "administrator".to_owned(),
        role: None,
        expires_at: None,
        created_at: now,
    };
    store.tenant(tenant.id).create_token(&token, &text.hash()).await?;
    Ok((tenant, Some(text.reveal().to_owned())))
}

/// This start of this process, for leases and statistics.
pub(crate) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

fn node() -> String {
    format!("{}-{}-{:08x}", host(), std::process::id(), rand::random::<u32>())
}

fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!("the data folder {} cannot be made; set data_dir to a folder that can be written to", path.display())
    })
}

fn cipher(settings: &Settings) -> anyhow::Result<Cipher> {
    if let Some(cipher) = present_cipher(settings)? {
        return Ok(cipher);
    }
    let path = key_file(settings);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => {
            file.write_all(Cipher::key_text(rand::random()).as_bytes())?;
            file.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("the key file {} cannot be made", path.display())),
    }
    present_cipher(settings)?.with_context(|| format!("the key file {} has vanished", path.display()))
}

/// The encryption keys of the setting or of the key file; `None` where there are none yet.
pub(crate) fn present_cipher(settings: &Settings) -> anyhow::Result<Option<Cipher>> {
    if let Some(text) = &settings.encryption_key {
        let cipher = Cipher::parse(text).context("the setting encryption_key is (hidden), which is not allowed")?;
        return Ok(Some(cipher));
    }
    let path = key_file(settings);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let cipher = Cipher::parse(text.trim());
            cipher
                .map(Some)
                .with_context(|| format!("the key file {} was changed; restore it from the backup", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("the key file {} cannot be read", path.display())),
    }
}

pub(crate) fn key_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join(KEY_FILE)
}

/// A URL without what must not be logged: of a server's its host, port and path, and nothing of one that is odd.
pub(crate) fn hide_password(url: &str) -> String {
    let Some((scheme, _)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite") else {
        return url.to_owned();
    };
    let Ok(parsed) = reqwest::Url::parse(url) else { return format!("{scheme}://…") };
    let host = parsed.host_str().unwrap_or_default();
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{}", parsed.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_url_says_where_and_no_secret() {
        for (url, shown) in [
            ("sqlite:///var/lib/a@b.db", "sqlite:///var/lib/a@b.db"),
            ("postgres://db.example/app", "postgres://db.example/app"),
            ("postgres://me:secret@db.example:6432/app?sslmode=require", "postgres://db.example:6432/app"),
            ("postgres://me@[::1]/app?password=secret@more", "postgres://[::1]/app"),
            ("postgres://me:se@cret@db.example/app", "postgres://db.example/app"),
            ("postgres://me:secret?@db.example/app", "postgres://…"),
        ] {
            assert_eq!(hide_password(url), shown);
        }
    }
}
