//! The queue, the store of public files, the mail server and the way out, as the settings name them.

use anyhow::Context;
use postrider_core::{
    config::Settings,
    domain::{email::EmailAddress, site::place::SitesPlace},
    queue::{EmbeddedOptions, Queue, QueueLimits, RedisOptions, RedisUrl},
    site::Storage,
};
use postrider_worker::{
    Mailer, Signer,
    egress::{EgressClient, EgressOptions},
};

use crate::bucket_http::Connector;

const JOURNAL_FILE: &str = "running.journal";

/// The queue in Redis; `None` where the settings leave it inside the process.
pub(crate) fn redis_queue(settings: &Settings) -> anyhow::Result<Option<Queue>> {
    let Some(url) = &settings.redis_url else { return Ok(None) };
    let url: RedisUrl = url.parse().context("the setting redis_url is not allowed")?;
    let options = RedisOptions {
        ca_file: settings.redis_ca_file.clone(),
        prefix: settings.redis_prefix.clone(),
        shards: settings.redis_shards,
        ..RedisOptions::new(url)
    };
    Queue::redis(options).map(Some).context("the queue in Redis cannot be set up")
}

/// Where the queue is, without a password.
pub(crate) fn queue_place(settings: &Settings) -> String {
    let url = settings.redis_url.as_ref().and_then(|url| url.parse::<RedisUrl>().ok());
    url.map_or_else(|| "inside this process".to_owned(), |url| url.to_string())
}

/// The queue inside the process, with its journal in the data folder.
pub(crate) fn embedded_queue(settings: &Settings) -> anyhow::Result<Queue> {
    let journal = settings.data_dir.join(JOURNAL_FILE);
    Queue::embedded(EmbeddedOptions { limits: QueueLimits::default(), journal: Some(journal.clone()) })
        .with_context(|| format!("the queue's journal {} cannot be opened", journal.display()))
}

/// Where what sites publish lies.
pub(crate) fn storage(settings: &Settings) -> anyhow::Result<Storage> {
    match settings.sites_place()? {
        SitesPlace::Folder(folder) => Ok(Storage::new(&folder)),
        place => Storage::at(&place, Connector::from_env()?)
            .with_context(|| format!("the bucket {place} (setting sites_url) cannot be used")),
    }
}

/// By whom e-mail is sent, where that is set.
pub(crate) fn mailer(settings: &Settings) -> anyhow::Result<Option<Mailer>> {
    let Some((url, from)) = settings.smtp_url.as_ref().zip(settings.smtp_from.as_ref()) else { return Ok(None) };
    let from: EmailAddress = from.parse()?;
    let domain = settings.dkim_domain.clone().unwrap_or_else(|| from.host().to_owned());
    let mailer = Mailer::new(url, from).context("smtp_url cannot be used")?;
    match settings.dkim_key_file.as_ref().zip(settings.dkim_selector.as_ref()) {
        Some((key, selector)) => Ok(Some(mailer.signed_by(Signer::open(&domain, selector, key)?))),
        None => Ok(Some(mailer)),
    }
}

/// The client that reaches receivers.
pub(crate) fn way_out(settings: &Settings) -> anyhow::Result<EgressClient> {
    let options = EgressOptions { ca_file: settings.egress_ca_file.clone(), ..EgressOptions::default() };
    Ok(EgressClient::new(settings.egress_policy(), &options)?)
}
