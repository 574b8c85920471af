//! `postrider migrate`.

use postrider_core::config::Settings;

use crate::{first_start, logs};

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    logs::start(&settings.log)?;
    first_start::open_store(&settings, first_start::START_PATIENCE).await?.close().await;
    logs::say(&format!("The tables of {} are up to date.", first_start::hide_password(&settings.database_url())))
}
