//! What the first start makes: the data folder, the encryption key, the default tenant, the administrator's token.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use postrider_api::TokenText;
use postrider_core::{
    config::Settings,
    domain::{
        Id, UnixMs,
        tenant::{Tenant, Token},
    },
    store::{Cipher, Store, StoreOptions},
};

/// How often a database that does not answer yet is asked again, and how often in all.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
const DATABASE_TRIES: u32 = 30;
const KEY_FILE: &str = "encryption.key";

/// Opens the store, and makes what a first start needs. Waits for a database that does not answer yet.
pub(crate) async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    open_store_within(settings, DATABASE_TRIES).await
}

/// The same, asking the database so many times at most.
pub(crate) async fn open_store_within(settings: &Settings, tries_max: u32) -> anyhow::Result<Store> {
    make_data_dir(&settings.data_dir)?;
    let store = connect(settings, tries_max).await?;
    let missing = store.missing_keys().await?;
    if !missing.is_empty() {
        bail!(
            "endpoints' secrets are encrypted with the key {}, which is not there: restore {} from the backup, \
             or name the key in the setting encryption_key",
            missing.join(" and "),
            settings.data_dir.join(KEY_FILE).display()
        );
    }
    Ok(store)
}

async fn connect(settings: &Settings, tries_max: u32) -> anyhow::Result<Store> {
    let options = StoreOptions {
        url: settings.database_url(),
        cipher: cipher(settings)?,
        node: node(),
        connections_max: settings.database_connections_max,
    };
    let mut tries = 1;
    loop {
        match Store::open(&options).await {
            Err(error) if error.is_unavailable() && tries < tries_max => {
                tracing::warn!(%error, tries, "the database does not answer yet; asking again");
                tries += 1;
                tokio::time::sleep(DATABASE_RETRY).await;
            }
            opened => {
                return opened
                    .with_context(|| format!("the database {} cannot be opened", hide_password(&options.url)));
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
    if let Some(text) = &settings.encryption_key {
        return Cipher::parse(text).context("the setting encryption_key is (hidden), which is not allowed");
    }
    let path = settings.data_dir.join(KEY_FILE);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => {
            file.write_all(Cipher::key_text(rand::random()).as_bytes())?;
            file.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("the key file {} cannot be made", path.display())),
    }
    let text = fs::read_to_string(&path).with_context(|| format!("the key file {} cannot be read", path.display()))?;
    Cipher::parse(text.trim()).with_context(|| format!("the key file {} was changed", path.display()))
}

/// A URL without what must not be logged.
pub(crate) fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://…@{place}"),
        None => url.to_owned(),
    }
}
