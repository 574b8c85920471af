//! `postrider doctor`: what is wrong with this installation, and what to do about it.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use anyhow::bail;
use postrider_core::config::Settings;

use crate::{connections, first_start, logs};

const DEADLINE: Duration = Duration::from_secs(5);
/// A clock before this one (2025-01-01) was never set.
const CLOCK_MS_MIN: i64 = 1_735_689_600_000;

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    /// `Err` says what is wrong and what to do.
    state: Result<String, String>,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut findings = vec![
        Finding { what: "settings", state: check_settings() },
        Finding { what: "data folder", state: check_data_dir(&settings) },
        Finding { what: "database", state: check_database(&settings).await },
        Finding { what: "queue", state: check_queue(&settings).await },
        Finding { what: "clock", state: check_clock() },
    ];
    findings.extend(check_egress(&settings));
    let bad = findings.iter().filter(|finding| finding.state.is_err()).count();
    for finding in findings {
        match finding.state {
            Ok(words) => logs::say(&format!("ok    {:<12} {words}", finding.what))?,
            Err(words) => logs::say(&format!("WRONG {:<12} {words}", finding.what))?,
        }
    }
    if bad > 0 {
        bail!("{bad} of these have to be mended");
    }
    Ok(())
}

fn check_settings() -> Result<String, String> {
    let unknown = Settings::unknown_variables();
    if unknown.is_empty() {
        return Ok("every variable that begins with POSTRIDER_ is known".to_owned());
    }
    Err(format!("{} means nothing to Postrider; `postrider config` lists what does", unknown.join(", ")))
}

fn check_data_dir(settings: &Settings) -> Result<String, String> {
    let path = &settings.data_dir;
    let shown = path.display();
    let Ok(about) = fs::metadata(path) else { return Ok(format!("{shown} will be made at the first start")) };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{shown} has mode {mode:03o}, so others can read secrets there; run `chmod 700 {shown}`"));
    }
    Ok(format!("{shown}, for its owner only"))
}

async fn check_database(settings: &Settings) -> Result<String, String> {
    let shown = first_start::hide_password(&settings.database_url());
    match tokio::time::timeout(DEADLINE, first_start::open_store_within(settings, 1)).await {
        Ok(Ok(store)) => {
            store.close().await;
            Ok(format!("{shown} answers and its tables are up to date"))
        }
        Ok(Err(error)) => Err(format!("{error:#}; check the setting database_url and the server's rights")),
        Err(_) => {
            Err(format!("{shown} does not answer within 5 s; is the server running, and may this machine reach it?"))
        }
    }
}

async fn check_queue(settings: &Settings) -> Result<String, String> {
    let queue = match connections::redis_queue(settings) {
        Ok(Some(queue)) => queue,
        Ok(None) => return Ok("inside the process".to_owned()),
        Err(error) => return Err(format!("{error:#}")),
    };
    // Asked of each shard, and a write: a replica and a cluster with a part missing answer a ping as well.
    match tokio::time::timeout(DEADLINE, queue.epoch()).await {
        Ok(Ok(_)) => Ok("Redis answers and does as it is told".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("Redis does not answer within 5 s; is it running, and may this machine reach it?".to_owned()),
    }
}

fn check_clock() -> Result<String, String> {
    let now = postrider_core::domain::UnixMs::now();
    if now.0 < CLOCK_MS_MIN {
        return Err(format!("it says {now}; signatures carry the time, so set it and keep it with NTP"));
    }
    Ok(format!("{now}; receivers refuse signatures that are more than minutes off, so keep it with NTP"))
}

fn check_egress(settings: &Settings) -> Vec<Finding> {
    let client = match connections::way_out(settings) {
        Ok(_) => Ok("names can be resolved and certificates are there".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    };
    let allowed: Vec<String> = settings.egress_allow.iter().map(ToString::to_string).collect();
    let networks = match allowed.is_empty() {
        true => "only public addresses can be delivered to; egress_allow widens that".to_owned(),
        false => format!("public addresses and {} can be delivered to", allowed.join(", ")),
    };
    vec![Finding { what: "way out", state: client }, Finding { what: "networks", state: Ok(networks) }]
}
